"""Measures of a cine by which simulated and real angiograms are compared.

Every measure takes frames (T, H, W) or one frame (H, W) as floats on the scale of :func:`grey_levels`, and masks of the
same shape, 1 = vessel. Lengths are pixels of a frame whose longer side is 512. What cannot be measured is NaN: the
width of no vessel, the displacement in a single frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from angioseg.cine import Cine
from angioseg.keyframes import FrameMeasure, measure_frames, rank_key_frames

__all__ = [
    "displacement",
    "grey_histogram",
    "grey_levels",
    "histogram_distance",
    "measure_grey",
    "measure_vessels",
    "measured_frames",
    "noise",
    "time_to_peak",
    "vessel_widths",
]

_FULL_SIZE = 512

_EVERY = 3  # frames: a mask costs a second on a CPU

_LEVELS = np.arange(-6, 6.01, 0.05)

_BLOCK = 32
_STILL_SHARE = 1 / 10
_EDGE = 1 / 8  # of each side: collimator blades lie there
_SLOW = 1 / 16  # cycles a pixel
_PAIRS = 12

_WELL_FILLED = 0.5
_FLOW_SIZE = 256
_FLOW_PAIRS = 6
_BACKGROUND = 8  # pixels of the frame the flow is taken on


def grey_levels(frames: np.ndarray) -> np.ndarray:
    """Grey levels on the scale 0 to 255: as stored where they fit into it, else the whole clip's range mapped to it.

    Args:
        frames: (T, H, W), any integer dtype.

    Returns:
        float32 (T, H, W).
    """
    low, high = int(frames.min()), int(frames.max())
    if low >= 0 and high <= 255:
        return frames.astype(np.float32)
    return (frames.astype(np.float32) - low) * np.float32(255 / max(1, high - low))


def grey_histogram(frames: np.ndarray) -> np.ndarray:
    """Distribution of the grey levels as the network sees them: each frame with mean 0 and standard deviation 1.

    Brightness and gain, which the network does not see, do not count; the form does: collimator edges, a dark spine,
    few or many vessels.

    Args:
        frames: (T, H, W) float. Every second pixel of each direction is taken.

    Returns:
        float64 (240,): the share of the pixels in each bin of 0.05 sd from -6 to 6; what lies beyond counts in the
        last bins.
    """
    some = frames[:, ::2, ::2].reshape(len(frames), -1).astype(np.float64)
    some = some - some.mean(1, keepdims=True)
    some /= np.maximum(some.std(1, keepdims=True), 1e-6)
    counts, _ = np.histogram(np.clip(some, _LEVELS[0], _LEVELS[-1]), _LEVELS)
    return counts / counts.sum()


def histogram_distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far grey levels must be moved on average to make one histogram the other (1-Wasserstein).

    Args:
        one: see :func:`grey_histogram`.
        other: the same.

    Returns:
        The distance in standard deviations of a frame's grey levels.
    """
    from scipy.stats import wasserstein_distance

    middles = (_LEVELS[1:] + _LEVELS[:-1]) / 2
    return float(wasserstein_distance(middles, middles, one, other))


def noise(frames: np.ndarray) -> tuple[float, float]:
    """Noise in still background, from the differences of neighbouring frames.

    The differences are cut into blocks of 32 x 32 pixels. Still is the tenth of the blocks with the smallest share of
    slow changes (below 1/16 cycles a pixel), which is what moves. Left out are the outer eighth on each side, where
    collimator blades lie, blocks that touch black or white, where noise is clipped, and blocks without any change.
    What is frozen from frame to frame (lag, video compression) does not count as noise.

    Args:
        frames: (T, H, W) float. At most 12 pairs of neighbours, evenly spread, are taken.

    Returns:
        Standard deviation of the noise in one frame, in grey levels; and the spatial frequency, in cycles a pixel as
        stored, below which half of its power lies: 0.40 for white noise, less the coarser its grain. NaN where nothing
        changes.
    """
    pairs = np.unique(np.linspace(0, len(frames) - 2, _PAIRS).round().astype(int)) if len(frames) > 1 else []
    top, left = (int(length * _EDGE) for length in frames.shape[1:])
    middle = frames[:, top : frames.shape[1] - top, left : frames.shape[2] - left]
    side = min(_BLOCK, *middle.shape[1:])
    window = np.hanning(side + 2)[1:-1]
    window = np.outer(window, window)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    powers = []
    for first in pairs:
        blocks = _blocks(middle[first : first + 2], side)
        blocks = blocks[((blocks.min((1, 2, 3)) > 2) & (blocks.max((1, 2, 3)) < 253))]
        change = blocks[:, 1] - blocks[:, 0]
        change = (change - change.mean((1, 2), keepdims=True)) * window
        powers.append(np.abs(np.fft.fft2(change)) ** 2 / (2 * (window**2).sum()))
    power = np.concatenate(powers) if powers else np.empty((0, side, side))
    total = power.sum((1, 2))
    power, total = power[total > 0], total[total > 0]
    if len(power) == 0:
        return math.nan, math.nan
    slow = power[:, frequency < _SLOW].sum(1) / total
    still = power[slow <= np.quantile(slow, _STILL_SHARE)].mean(0)
    order = np.argsort(frequency, axis=None)
    below = np.cumsum(still.ravel()[order])
    half = float(np.interp(below[-1] / 2, below, frequency.ravel()[order]))
    return math.sqrt(below[-1] / side**2), half


def _blocks(frames: np.ndarray, side: int) -> np.ndarray:
    """(2, H, W) to (blocks, 2, side, side); what is left over at the right and bottom is dropped."""
    rows, columns = (length // side for length in frames.shape[1:])
    cut = frames[:, : rows * side, : columns * side].reshape(2, rows, side, columns, side)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, 2, side, side)


def vessel_widths(mask: np.ndarray) -> np.ndarray:
    """Width of the vessels along their centrelines, twice the distance to the nearest pixel outside.

    Args:
        mask: (H, W), 1 = vessel.

    Returns:
        (n,) float, a width for every pixel of the skeleton, in pixels at 512; empty without vessel.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize

    # Past the border nothing is known: a vessel there is as wide as what is seen of it.
    vessel = np.pad(np.asarray(mask) > 0, 1)
    distance = distance_transform_edt(vessel)
    # From the middle of the outermost vessel pixel to the middle of the first outside it is one pixel too many.
    return (2 * distance[skeletonize(vessel)] - 1) * (_FULL_SIZE / max(mask.shape))


def time_to_peak(areas: Sequence[float], times_s: Sequence[float]) -> float:
    """Time in which the vessels fill: from 10 to 90 % of the largest area.

    Areas count from the smallest one before the peak on: what a network takes for vessel before contrast comes (the
    catheter) is there all the time. Between frames they are taken to rise evenly.

    Args:
        areas: (n,) vessel pixels.
        times_s: (n,) seconds, rising.

    Returns:
        Seconds; NaN without vessel.
    """
    areas = np.asarray(areas, dtype=float)
    peak = int(areas.argmax())
    rise = areas[: peak + 1] - areas[: peak + 1].min()
    if rise[-1] == 0:
        return math.nan
    # The last frame with nothing: a flash before it is not the start.
    start = int(np.flatnonzero(rise == 0)[-1])
    reached = rise[start:] / rise[-1]
    first, last = (_crossing(reached, times_s[start : peak + 1], level) for level in (0.1, 0.9))
    return last - first


def _crossing(reached: np.ndarray, times_s: Sequence[float], level: float) -> float:
    after = int(np.argmax(reached >= level))
    before = after - 1
    part = (level - reached[before]) / (reached[after] - reached[before])
    return float(times_s[before] + part * (times_s[after] - times_s[before]))


def displacement(frame: np.ndarray, following: np.ndarray, mask: np.ndarray) -> float:
    """How far the vessels move from one frame to the next: the median over their pixels.

    Dense optical flow (iterative Lucas-Kanade) on the frames at 256 pixels, without the background's slow shades. Where
    a vessel is straight only what crosses it is seen, so that a tree that shifts by a pixel shows about 0.8 of it.

    Args:
        frame: (H, W) float.
        following: (H, W) float, the next frame.
        mask: (H, W), 1 = vessel in ``frame``.

    Returns:
        Pixels at 512; shifts of more than about 12 are taken for less where vessels lie near each other. NaN without
        vessel.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.registration import optical_flow_ilk
    from skimage.transform import resize

    scale = _FLOW_SIZE / max(frame.shape)
    size = [round(length * scale) for length in frame.shape]

    def prepare(grey: np.ndarray) -> np.ndarray:
        small = resize(grey.astype(np.float32), size, anti_aliasing=True)
        small -= gaussian_filter(small, _BACKGROUND)
        return small / max(float(small.std()), 1e-6)

    vessel = resize((np.asarray(mask) > 0).astype(np.float32), size) > 0.5
    if not vessel.any():
        return math.nan
    down, right = optical_flow_ilk(prepare(frame), prepare(following))
    return float(np.median(np.hypot(down, right)[vessel])) * _FULL_SIZE / _FLOW_SIZE


def measured_frames(num_frames: int) -> range:
    """Numbers of the frames whose vessels are measured: every third, as masks take long."""
    return range(0, num_frames, _EVERY)


def measure_grey(cine: Cine) -> dict[str, float]:
    """Measure what needs no mask.

    Args:
        cine: the cine.

    Returns:
        ``grey_mean``, ``grey_sd``, ``noise_sd`` and ``noise_half_power`` of :data:`MEASURES`.
    """
    grey = grey_levels(cine.frames)
    sd, half_power = noise(grey)
    return {
        "grey_mean": float(grey.mean()),
        "grey_sd": float(np.median(grey.std((1, 2)))),
        "noise_sd": sd,
        "noise_half_power": half_power,
    }


def measure_vessels(cine: Cine, masks: np.ndarray, frames: Sequence[int]) -> tuple[dict[str, float], int]:
    """Measure the vessels of a cine.

    Args:
        cine: the cine.
        masks: (T, H, W), 1 = vessel; only ``frames`` are looked at.
        frames: numbers of the frames that have a mask, rising.

    Returns:
        The measures of :data:`MEASURES` from ``contrast`` on; and the number of the best frame, the middle one of
        ``frames`` when there is no vessel.
    """
    measures = measure_frames(cine.frames, masks, cine.times_ms, frames)
    best = _best(measures)
    size = cine.shape[1] * cine.shape[2]
    areas = [m.area_px for m in measures]
    widths = vessel_widths(masks[best.frame])
    found = {
        "contrast": best.contrast if best.area_px else math.nan,
        "sharpness": best.sharpness if best.area_px else math.nan,
        "share_best": 100 * best.area_px / size,
        "share_mean": 100 * float(np.mean(areas)) / size,
        "time_to_peak": time_to_peak(areas, [m.time_ms / 1000 for m in measures]),
        **_movement(cine, masks, measures),
    }
    for percent in (10, 50, 90):
        found[f"width_{percent}"] = float(np.percentile(widths, percent)) if len(widths) else math.nan
    return found, best.frame


def _best(measures: Sequence[FrameMeasure]) -> FrameMeasure:
    ranked = rank_key_frames(measures, count=1)
    wanted = ranked[0].frame if ranked else measures[len(measures) // 2].frame
    return next(m for m in measures if m.frame == wanted)


def _movement(cine: Cine, masks: np.ndarray, measures: Sequence[FrameMeasure]) -> dict[str, float]:
    """Medians over well filled frames and the ones after them, at most six pairs, evenly spread."""
    largest = max(m.area_px for m in measures)
    filled = [m.frame for m in measures if 0 < m.area_px >= _WELL_FILLED * largest and m.frame + 1 < cine.num_frames]
    if not filled:
        return {"displacement": math.nan, "speed": math.nan}
    some = np.unique(np.linspace(0, len(filled) - 1, _FLOW_PAIRS).round().astype(int))
    pairs = [filled[index] for index in some]
    moved = np.array([displacement(*cine.frames[[t, t + 1]].astype(np.float32), masks[t]) for t in pairs])
    seconds = np.array([cine.times_ms[t + 1] - cine.times_ms[t] for t in pairs]) / 1000
    with np.errstate(divide="ignore"):
        speed = float(np.median(moved / seconds))
    return {"displacement": float(np.median(moved)), "speed": speed}
