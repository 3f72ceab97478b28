"""Which frames show the vessels most clearly and completely."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

__all__ = ["FrameMeasure", "KeyFrame", "measure_frames", "rank_key_frames"]

# In pixels of a frame of 512; the edge of a vessel itself is blurred over the first two.
_RING_INNER, _RING_OUTER = 3, 8
_FULL_SIZE = 512
# Integers cannot show less noise than that of their own rounding.
_ROUNDING_NOISE = 1 / math.sqrt(12)
_WELL_FILLED = 0.5
_LEAST = 1e-4  # contrast and sharpness are given to four digits


@dataclass(frozen=True)
class FrameMeasure:
    """The vessels of one frame in numbers, each taken from this frame alone.

    Attributes:
        frame: frame number, from 0.
        time_ms: milliseconds since the first frame.
        area_px: vessel pixels.
        length_px: length of the vessels' centrelines (skeleton) in pixels, a diagonal step counting sqrt 2.
        contrast: how far the vessels are darker than the ring around them (3 to 8 pixels away in a frame of 512), in
            standard deviations of the noise there: the median along the centrelines, so that thin and thick vessels
            count by their length; 0 where they are not darker.
        sharpness: how steeply the grey levels rise across the vessels' edges: share of the step between vessel and
            ring that one pixel makes, 0 (blurred, or no vessel) to 1.
    """

    frame: int
    time_ms: float
    area_px: int
    length_px: float
    contrast: float
    sharpness: float


@dataclass(frozen=True)
class KeyFrame:
    """A frame worth looking at.

    Attributes:
        frame: frame number, from 0.
        score: 0 to 1, against the other frames of the same clip.
        why: one sentence.
    """

    frame: int
    score: float
    why: str


def measure_frames(
    frames: np.ndarray,
    mask: np.ndarray,
    times_ms: Sequence[float],
    indices: Iterable[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[FrameMeasure]:
    """Measure the vessels of some frames.

    Adding to all grey levels or multiplying them changes no measure (beyond rounding): what an X-ray system's
    brightness is set to says nothing about the vessels.

    Args:
        frames: (T, H, W), any integer dtype, vessels dark.
        mask: (T, H, W), 0 or 1, 1 = vessel.
        times_ms: (T,) frame times in milliseconds.
        indices: numbers of the frames to measure, from 0.
        progress: called with (frames done, frames to do) after each frame.

    Returns:
        One measure for each index, in that order.

    Raises:
        ValueError: when frames, mask and times do not fit together.
    """
    if frames.shape != mask.shape or len(times_ms) != len(frames):
        raise ValueError(f"frames {frames.shape}, mask {mask.shape} and {len(times_ms)} times do not fit together.")
    indices = list(indices)
    measures = []
    for done, index in enumerate(indices, start=1):
        measures.append(_measure(int(index), float(times_ms[index]), frames[index], mask[index]))
        if progress is not None:
            progress(done, len(indices))
    return measures


def _measure(index: int, time_ms: float, frame: np.ndarray, mask: np.ndarray) -> FrameMeasure:
    from skimage.morphology import skeletonize

    vessel = np.asarray(mask) > 0
    area = int(vessel.sum())
    if area == 0:
        return FrameMeasure(index, time_ms, 0, 0.0, 0.0, 0.0)
    scale = max(1.0, max(vessel.shape) / _FULL_SIZE)
    inner, outer = round(_RING_INNER * scale), round(_RING_OUTER * scale)
    rows, columns = np.flatnonzero(vessel.any(1)), np.flatnonzero(vessel.any(0))
    box = (
        slice(max(0, rows[0] - outer - 1), rows[-1] + outer + 2),
        slice(max(0, columns[0] - outer - 1), columns[-1] + outer + 2),
    )
    vessel, grey = vessel[box], frame[box].astype(np.float32)
    grey -= grey.mean()  # small numbers keep their digits in float32
    centreline = skeletonize(vessel)
    step, contrast = _step_and_contrast(grey, vessel, centreline, inner, outer)
    sharpness = _slope(grey, vessel) / step if contrast > 0 else 0.0
    return FrameMeasure(
        index, time_ms, area, round(_length(centreline), 2), round(contrast, 4), round(min(max(sharpness, 0.0), 1.0), 4)
    )


def _step_and_contrast(
    grey: np.ndarray, vessel: np.ndarray, centreline: np.ndarray, inner: int, outer: int
) -> tuple[float, float]:
    """Grey levels from vessel to ring, and the same over the ring's noise: medians along the centrelines."""
    from scipy import ndimage

    near, far = (ndimage.maximum_filter(vessel.view(np.uint8), 2 * reach + 1) for reach in (inner - 1, outer))
    ring = (far > near).astype(np.float32)
    if not ring.any():
        return 0.0, 0.0
    background = _local_mean(grey, ring, 4 * outer + 1)
    some = np.flatnonzero(ring)[::3]
    noise = 1.4826 * float(np.median(np.abs(grey.ravel()[some] - background.ravel()[some])))
    lumen = _local_mean(grey, vessel.astype(np.float32), 2 * inner - 1)
    step = float(np.median(background[centreline] - lumen[centreline]))
    return step, max(0.0, step / max(noise, _ROUNDING_NOISE))


def _local_mean(grey: np.ndarray, where: np.ndarray, size: int) -> np.ndarray:
    """Mean of the pixels of ``where`` in the square around each pixel."""
    from scipy import ndimage

    total = ndimage.uniform_filter(grey * where, size, mode="constant")
    total /= np.maximum(ndimage.uniform_filter(where, size, mode="constant"), np.float32(0.5 / size**2))
    return total


def _slope(grey: np.ndarray, vessel: np.ndarray) -> float:
    """Mean rise of the grey levels a pixel, straight out of the vessels, at their edges.

    Only what rises outwards counts: noise, which has no direction, averages out.
    """
    from scipy import ndimage

    soft = ndimage.gaussian_filter(vessel.astype(np.float32), 1.0, truncate=2)
    edge = (soft > 0.25) & (soft < 0.75)
    edge[[0, -1]] = edge[:, [0, -1]] = False
    y, x = np.nonzero(edge)
    if len(y) == 0:
        return 0.0
    out_y, out_x = soft[y - 1, x] - soft[y + 1, x], soft[y, x - 1] - soft[y, x + 1]
    rise_y, rise_x = grey[y + 1, x] - grey[y - 1, x], grey[y, x + 1] - grey[y, x - 1]
    steepness = np.hypot(out_y, out_x)
    return float(np.mean((out_y * rise_y + out_x * rise_x) / (2 * np.maximum(steepness, 1e-6))))


def _length(skeleton: np.ndarray) -> float:
    """Links between neighbouring skeleton pixels; a diagonal that two straight links already join is not counted."""
    s = skeleton
    straight = (s[1:] & s[:-1]).sum() + (s[:, 1:] & s[:, :-1]).sum()
    falling = s[1:, 1:] & s[:-1, :-1] & ~(s[1:, :-1] | s[:-1, 1:])
    rising = s[1:, :-1] & s[:-1, 1:] & ~(s[1:, 1:] | s[:-1, :-1])
    return float(straight + math.sqrt(2) * (falling.sum() + rising.sum()))


def rank_key_frames(measures: Sequence[FrameMeasure], count: int = 5, min_gap_ms: float = 300.0) -> list[KeyFrame]:
    """Rank the frames of one clip by how completely and how clearly they show the vessels.

    A frame's vessel length counts as far as its neighbours confirm it: no more than the median of the three frames
    around it, so that a flash in one frame does not win, and no more than the mean of the five around it, because a
    mask's errors come and go while vessels stay. Completeness is that length over the longest of those measured; frames
    with less than half of it are no key frames. Clarity is contrast and sharpness over the best of those left. The
    score is completeness x (0.7 + 0.2 contrast + 0.1 sharpness): completeness leads, clarity decides between frames
    that show about the same.

    Args:
        measures: of one clip, in any order; ranges measured separately may be joined.
        count: how many key frames at most.
        min_gap_ms: key frames lie at least so far apart in time; the lower-ranked neighbour gives way.

    Returns:
        Best first; empty when no frame shows a vessel.
    """
    measures = sorted(measures, key=lambda measure: measure.frame)
    lengths = _confirmed_lengths(measures)
    longest = max(lengths, default=0.0)
    if longest == 0:
        return []
    filled = [(m, length / longest) for m, length in zip(measures, lengths) if length >= _WELL_FILLED * longest]
    best_contrast = max(_LEAST, max(m.contrast for m, _ in filled))
    best_sharpness = max(_LEAST, max(m.sharpness for m, _ in filled))
    usual_contrast = max(_LEAST, median(m.contrast for m, _ in filled))
    usual_sharpness = max(_LEAST, median(m.sharpness for m, _ in filled))

    ranked = []
    for m, complete in filled:
        score = complete * (0.7 + 0.2 * m.contrast / best_contrast + 0.1 * m.sharpness / best_sharpness)
        why = f"Vessel length {m.length_px:,.0f} px"
        if len(measures) > 1:
            why += f", {complete:.0%} of the longest of {len(measures)} frames as far as neighbours confirm"
        if len(measures) == 1:
            why += "; no other frame was looked at."
        elif len(filled) == 1:
            why += "; no other frame shows half as much."
        else:
            why += (
                f"; against the median well-filled frame, contrast {_compared(m.contrast, usual_contrast)} and "
                f"sharpness {_compared(m.sharpness, usual_sharpness)}."
            )
        ranked.append((m.time_ms, KeyFrame(m.frame, round(score, 4), why)))
    ranked.sort(key=lambda item: (-item[1].score, item[1].frame))

    chosen: list[tuple[float, KeyFrame]] = []
    for time_ms, key_frame in ranked:
        if len(chosen) < count and all(abs(time_ms - other) >= min_gap_ms for other, _ in chosen):
            chosen.append((time_ms, key_frame))
    return [key_frame for _, key_frame in chosen]


def _compared(value: float, usual: float) -> str:
    change = round(100 * (value / usual - 1))
    return f"{abs(change)}% {'higher' if change > 0 else 'lower'}" if change else "the same"


def _confirmed_lengths(measures: Sequence[FrameMeasure]) -> list[float]:
    """Each frame's length, as far as its neighbours confirm it.

    No more than the median of the three frames around it (at an end, of the last three), and no more than the mean of
    those that are at most two away.
    """
    by_frame = {measure.frame: measure.length_px for measure in measures}

    def confirmed(frame: int) -> float:
        near = [by_frame[n] for n in range(frame - 2, frame + 3) if n in by_frame]
        length = min(by_frame[frame], mean(near))
        for first in (frame - 1, frame, frame - 2):
            three = [by_frame[n] for n in range(first, first + 3) if n in by_frame]
            if len(three) == 3:
                return min(length, median(three))
        return length

    return [confirmed(measure.frame) for measure in measures]
