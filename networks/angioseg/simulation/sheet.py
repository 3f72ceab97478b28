"""A contact sheet of cines: each with its best frame large, above a strip over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .realism import grey_levels

__all__ = ["beside", "contact_sheet", "tile"]

_COLUMNS, _WIDTH, _GAP = 4, 1600, 8
_SIDE = (_WIDTH - (_COLUMNS + 1) * _GAP) // _COLUMNS
_STRIP = 6
_LETTERS, _LINE = 14, 22
_TITLE = 32
_BLACK, _PALE, _WHITE = 0, 190, 255


def tile(frames: np.ndarray, best: int, caption: str) -> Image.Image:
    """Draw one cine: its best frame, under it six frames evenly from the first to the last, and a caption.

    Grey levels are shown as stored, so that brightness and contrast can be compared.

    Args:
        frames: (T, H, W), any integer dtype.
        best: number of the frame to show large.
        caption: one line.

    Returns:
        A grey picture, as wide as a column of the sheet.
    """
    places = np.linspace(0, len(frames) - 1, _STRIP).round().astype(int)
    grey = grey_levels(frames)
    small = (_SIDE - (_STRIP - 1) * 2) // _STRIP
    picture = Image.new("L", (_SIDE, _SIDE + small + 2 + _LINE), _BLACK)
    _paste(picture, grey[best], (0, 0), _SIDE)
    for number, place in enumerate(places):
        _paste(picture, grey[place], (number * (small + 2), _SIDE + 2), small)
    ImageDraw.Draw(picture).text((0, picture.height - _LINE // 2), caption, _PALE, _font(_LETTERS), anchor="lm")
    return picture


def _paste(picture: Image.Image, grey: np.ndarray, at: tuple[int, int], side: int) -> None:
    frame = Image.fromarray(grey.round().astype(np.uint8))
    scale = side / max(frame.size)
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    left, top = at
    place = (left + (side - size[0]) // 2, top + (side - size[1]) // 2)
    picture.paste(frame.resize(size, Image.Resampling.LANCZOS), place)


def contact_sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    """Lay tiles out four to a row, on a sheet 1600 pixels wide."""
    high = tiles[0].height + _GAP
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("L", (_WIDTH, rows * high + _GAP), _BLACK)
    for index, picture in enumerate(tiles):
        row, column = divmod(index, _COLUMNS)
        sheet.paste(picture, (_GAP + column * (_SIDE + _GAP), _GAP + row * high))
    return sheet


def beside(sheets: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Lay sheets out beside each other, each under its heading."""
    both = Image.new("L", (sum(s.width for _, s in sheets), _TITLE + max(s.height for _, s in sheets)), _BLACK)
    draw = ImageDraw.Draw(both)
    left = 0
    for heading, sheet in sheets:
        draw.text((left + _GAP, _TITLE // 2), heading, _WHITE, _font(_TITLE - 10), anchor="lm")
        both.paste(sheet, (left, _TITLE))
        left += sheet.width
    return both


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
