"""Rows of pictures under common headings: the worst frames, or several models on the same frames."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_panels"]

_GAP, _LINE, _LETTERS = 6, 26, 17
_SIDE = 300
"""Of a picture's place, in pixels; pictures keep their shape."""
_BLACK, _PALE, _WHITE = (0, 0, 0), (190, 190, 190), (255, 255, 255)


def draw_panels(headings: Sequence[str], rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Lay pictures out in a table.

    Args:
        headings: one a column.
        rows: for each a caption and a picture a column.

    Returns:
        An RGB picture.
    """
    width = len(headings) * (_SIDE + _GAP) + _GAP
    high = _SIDE + _LINE + _GAP
    sheet = Image.new("RGB", (width, _LINE + len(rows) * high + _GAP), _BLACK)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LETTERS)
    for column, heading in enumerate(headings):
        middle = _GAP + column * (_SIDE + _GAP) + _SIDE // 2
        draw.text((middle, _LINE // 2), heading, _WHITE, font, anchor="mm")
    for row, (caption, pictures) in enumerate(rows):
        top = _LINE + row * high
        for column, picture in enumerate(pictures):
            scale = _SIDE / max(picture.size)
            small = picture.resize(
                (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS
            )
            left = _GAP + column * (_SIDE + _GAP) + (_SIDE - small.width) // 2
            sheet.paste(small, (left, top + (_SIDE - small.height) // 2))
        draw.text((_GAP, top + _SIDE + _LINE // 2), caption, _PALE, font, anchor="lm")
    return sheet
