"""Pictures for people: the cine with its vessels as a video, the key frames as a picture, the numbers as a table."""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .atomic import replacing
from .cine import Cine
from .cine.times import ASSUMED_FPS
from .keyframes import FrameMeasure, KeyFrame

__all__ = ["draw_frame", "grey_window", "save_frames_csv", "save_key_frame", "save_overlay_video"]

# Orange of Okabe and Ito's palette, which people with any colour vision tell from greys; the outline is also brighter
# than any vessel, so that it shows without colour.
_VESSEL = (230, 159, 0)
_OUTLINE = (255, 200, 60)
_OPACITY = 0.35

_SMALLEST = 512
_GAP = 4
_NARROWEST = 480
_WHITE, _PALE, _BLACK = (255, 255, 255), (190, 190, 190), (0, 0, 0)

_TICKS = 90_000  # a second: the clock of MPEG video, fine enough for any frame time
_LONGEST_S = 10.0


def grey_window(frames: np.ndarray) -> tuple[float, float]:
    """The grey levels to show as black and white: those that all but 1 % of a clip's pixels lie between.

    Args:
        frames: (T, H, W), any integer dtype. At most 16 frames, evenly spread, are looked at.

    Returns:
        (black, white), white above black.
    """
    some = frames[np.unique(np.linspace(0, len(frames) - 1, 16).round().astype(int))]
    step = max(1, max(frames.shape[1:]) // 256)
    low, high = np.percentile(some[:, ::step, ::step], (0.5, 99.5))
    return float(low), float(max(high, low + 1))


def draw_frame(frame: np.ndarray, mask: np.ndarray | None, window: tuple[float, float]) -> Image.Image:
    """Draw one frame, its vessels tinted and outlined.

    Args:
        frame: (H, W), any integer dtype.
        mask: (H, W), 1 = vessel; None draws the frame alone.
        window: see :func:`grey_window`.

    Returns:
        An RGB picture, enlarged by a whole number so that its longer side is 512 pixels or more.
    """
    low, high = window
    grey = np.clip((frame.astype(np.float32) - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
    factor = math.ceil(_SMALLEST / max(frame.shape))
    size = (frame.shape[1] * factor, frame.shape[0] * factor)
    picture = Image.fromarray(grey)
    if factor > 1:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    if mask is None or not mask.any():
        return picture.convert("RGB")

    from scipy import ndimage

    vessel = Image.fromarray((mask > 0).astype(np.uint8) * np.uint8(255))
    if factor > 1:
        vessel = vessel.resize(size, Image.Resampling.BILINEAR)
    vessel = np.asarray(vessel) >= 128
    rgb = np.asarray(picture.convert("RGB")).copy()
    rgb[vessel] = (rgb[vessel] * (1 - _OPACITY) + np.array(_VESSEL) * _OPACITY).astype(np.uint8)
    # Outside the vessel, so that the line hides none of it.
    rgb[ndimage.binary_dilation(vessel, iterations=max(1, round(max(size) / 800))) & ~vessel] = _OUTLINE
    return Image.fromarray(rgb)


def save_overlay_video(
    path: str | Path,
    cine: Cine,
    mask: np.ndarray,
    key_frames: Sequence[KeyFrame],
    frames: Collection[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the whole cine with its vessels as an H.264 video (mp4, 4:2:0), at the cine's own frame times.

    Under each frame stand its number, its time and, when it is one, that it is a key frame. The memory that
    this takes does not grow with the cine.

    Args:
        path: a name that ends in ``.mp4``.
        cine: the cine, T frames.
        mask: (T, H, W), 1 = vessel.
        key_frames: best first.
        frames: numbers of the frames that were segmented, all when None; the others are shown without vessels.
        progress: called with (frames done, T) after each frame; an exception raised there ends the work and leaves no
            file.

    Raises:
        WriteError: when the file cannot be written.
    """
    import av

    segmented = range(cine.num_frames) if frames is None else set(frames)
    ranks = {key_frame.frame: rank for rank, key_frame in enumerate(key_frames, start=1)}
    window = grey_window(cine.frames)
    ticks, ends = _ticks(cine.times_ms)
    lasting = dict(zip(ticks, np.diff([*ticks, ends]).tolist()))
    rate = Fraction(_TICKS * len(ticks), ends).limit_denominator(1000)

    def mux(packets) -> None:
        for packet in packets:
            # The encoder takes every frame to last as long as the usual one, and players believe it of the last.
            packet.duration = lasting[packet.pts]
            container.mux(packet)

    with replacing(Path(path)) as temporary, av.open(str(temporary.absolute()), "w", format="mp4") as container:
        stream = None
        for index, frame in enumerate(cine.frames):
            inside = index in segmented
            picture = draw_frame(frame, mask[index] if inside else None, window)
            picture = _with_line(picture, cine, index, ranks.get(index), inside)
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=_H264)
                stream.width, stream.height = picture.size
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, _TICKS)
            shown = av.VideoFrame.from_image(picture).reformat(format="yuv420p", dst_colorspace="ITU709")
            shown.pts, shown.time_base = ticks[index], Fraction(1, _TICKS)
            mux(stream.encode(shown))
            if progress is not None:
                progress(index + 1, cine.num_frames)
        mux(stream.encode(None))


_H264 = {
    "crf": "18",
    "preset": "veryfast",
    "bf": "0",
    "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709",
}


def _ticks(times_ms: np.ndarray) -> tuple[list[int], int]:
    """Each frame's start and the last one's end in ticks; every frame is seen, none longer than ten seconds."""
    steps = np.diff(times_ms)
    if (steps > 0).any():
        usual = float(np.median(steps[steps > 0]))
    else:
        usual = 1000 / ASSUMED_FPS
        steps = np.full(len(steps), usual)
    lasting = np.clip(np.append(steps, usual), 1.0, 1000 * _LONGEST_S)
    ends = np.round(np.cumsum(lasting) * (_TICKS / 1000)).astype(int).tolist()
    return [0, *ends[:-1]], ends[-1]


def _with_line(picture: Image.Image, cine: Cine, index: int, rank: int | None, segmented: bool) -> Image.Image:
    """The picture above a line of text, on a canvas of even sides."""
    size = _text_size(picture)
    high = picture.height + round(size * 1.6)
    canvas = Image.new("RGB", (_even(max(picture.width, _NARROWEST)), _even(high)), _BLACK)
    canvas.paste(picture, ((canvas.width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    middle = picture.height + size * 0.8
    text = f"{_place(cine, index)}   {_seconds(cine, index)}"
    draw.text((size * 0.5, middle), text, _WHITE, _font(size), anchor="lm")
    note, colour = ("", _PALE) if segmented else ("not segmented", _PALE)
    if rank is not None:
        note, colour = f"key frame {rank}", _OUTLINE
    draw.text((canvas.width - size * 0.5, middle), note, colour, _font(size), anchor="rm")
    return canvas


def save_key_frame(
    path: str | Path,
    cine: Cine,
    mask: np.ndarray,
    key_frames: Sequence[KeyFrame],
    measures: Sequence[FrameMeasure],
) -> None:
    """Write the best frame as a PNG: as it is beside its vessels, with the reason, above the next key frames.

    Without key frames the picture is of the frame with the most vessel, or of the middle one of the measured frames,
    and says so.

    Args:
        path: a name that ends in ``.png``.
        cine: the cine, T frames.
        mask: (T, H, W), 1 = vessel.
        key_frames: best first; the first five are shown.
        measures: of the frames that were segmented.

    Raises:
        WriteError: when the file cannot be written.
    """
    window = grey_window(cine.frames)
    if key_frames:
        best = key_frames[0]
        shown = best.frame
        title = f"Key frame 1: {_place(cine, shown)}, at {_seconds(cine, shown)}, score {best.score:.2f}"
        reason = best.why
    else:
        shown, title, reason = _without_key_frame(cine, measures)

    pictures = [draw_frame(cine.frames[shown], None, window)]
    if mask[shown].any():
        pictures.append(draw_frame(cine.frames[shown], mask[shown], window))
    size = _text_size(pictures[0])
    row = _row(pictures)
    width = max(row.width, _NARROWEST)
    rows = [row, _text(title, reason, width, size)]
    if others := [
        (draw_frame(cine.frames[k.frame], mask[k.frame], window), _short(cine, rank, k))
        for rank, k in enumerate(key_frames[1:5], start=2)
    ]:
        rows.append(_strip(others, width, size))

    canvas = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), _BLACK)
    top = 0
    for row in rows:
        canvas.paste(row, ((canvas.width - row.width) // 2, top))
        top += row.height
    with replacing(Path(path)) as temporary:
        canvas.save(temporary, format="PNG")


def _without_key_frame(cine: Cine, measures: Sequence[FrameMeasure]) -> tuple[int, str, str]:
    count = f"the {len(measures)} segmented frames" if len(measures) != 1 else "the segmented frame"
    most = max(measures, key=lambda measure: measure.area_px, default=None)
    if most is not None and most.area_px > 0:
        shown, title = most.frame, "No key frame: only specks were found"
        reason = f"What was found in {count} is too short or in single frames only."
    else:
        shown = measures[len(measures) // 2].frame if measures else cine.num_frames // 2
        title = "No key frame: no vessel was found"
        reason = f"There is no vessel in {count}."
    return shown, title, f"{reason} Above is {_place(cine, shown)}, at {_seconds(cine, shown)}."


def _short(cine: Cine, rank: int, key_frame: KeyFrame) -> str:
    return f"{rank}: frame {key_frame.frame}, {_seconds(cine, key_frame.frame)}, {key_frame.score:.2f}"


def _row(pictures: Sequence[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (sum(p.width + _GAP for p in pictures) - _GAP, max(p.height for p in pictures)), _BLACK)
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + _GAP
    return row


def _text(title: str, body: str, width: int, size: int) -> Image.Image:
    small = round(size * 0.85)
    lines = list(_wrapped(title, width - size, size)), list(_wrapped(body, width - size, small))
    step = round(size * 1.4)
    block = Image.new("RGB", (width, step * (len(lines[0]) + len(lines[1])) + size), _BLACK)
    draw = ImageDraw.Draw(block)
    top = size // 2
    for part, colour, letters in ((lines[0], _WHITE, size), (lines[1], _PALE, small)):
        for line in part:
            draw.text((size // 2, top), line, colour, _font(letters))
            top += step
    return block


def _strip(pictures: Sequence[tuple[Image.Image, str]], width: int, size: int) -> Image.Image:
    """Four places beside each other however many are filled, each a small picture above its caption."""
    place = (width - 3 * _GAP) // 4
    small = min(round(size * 0.8), place // 12)
    first = pictures[0][0]
    scale = place / max(first.width, first.height)
    thumb = (max(1, round(first.width * scale)), max(1, round(first.height * scale)))
    strip = Image.new("RGB", (4 * place + 3 * _GAP, thumb[1] + 2 * small), _BLACK)
    draw = ImageDraw.Draw(strip)
    for number, (picture, caption) in enumerate(pictures):
        left = number * (place + _GAP)
        strip.paste(picture.resize(thumb, Image.Resampling.LANCZOS), (left + (place - thumb[0]) // 2, 0))
        draw.text((left + place / 2, thumb[1] + small), caption, _PALE, _font(small), anchor="mm")
    return strip


def _wrapped(text: str, width: int, size: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if line and _font(size).getlength(longer) > width:
            yield line
            longer = word
        line = longer
    yield line


def _text_size(picture: Image.Image) -> int:
    return max(18, min(picture.size) // 36)


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _place(cine: Cine, index: int) -> str:
    return f"frame {index} of 0-{cine.num_frames - 1}"


def _seconds(cine: Cine, index: int) -> str:
    return f"{cine.times_ms[index] / 1000:.2f} s"


def _even(length: int) -> int:
    return length + length % 2


def save_frames_csv(
    path: str | Path, measures: Sequence[FrameMeasure], key_frames: Sequence[KeyFrame], cine: Cine
) -> None:
    """Write one row a measured frame.

    Columns: frame, time_ms, area_px, length_px, contrast, sharpness (as in :class:`FrameMeasure`), rank and score (of
    key frames, else empty); area_mm2 and length_mm only where the pixel size is calibrated in the patient. The length
    of pixels that are not square is taken with the mean of their sides.

    Raises:
        WriteError: when the file cannot be written.
    """
    ranks = {key_frame.frame: (rank, key_frame.score) for rank, key_frame in enumerate(key_frames, start=1)}
    calibrated = cine.spacing_source == "calibrated"
    row_mm, column_mm = cine.spacing
    columns = ["frame", "time_ms", "area_px", "length_px", "contrast", "sharpness", "rank", "score"]
    columns += ["area_mm2", "length_mm"] if calibrated else []
    with replacing(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for m in measures:
            row = [m.frame, f"{m.time_ms:.3f}", m.area_px, f"{m.length_px:.2f}", f"{m.contrast:.4f}"]
            row += [f"{m.sharpness:.4f}", *ranks.get(m.frame, ("", ""))]
            if calibrated:
                row += [f"{m.area_px * row_mm * column_mm:.3f}", f"{m.length_px * (row_mm + column_mm) / 2:.3f}"]
            writer.writerow(row)
