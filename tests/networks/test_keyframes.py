"""Measures of vessels against drawings whose answer is known, and the laws of the ranking."""

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from angioseg.keyframes import FrameMeasure, measure_frames, rank_key_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

SIZE = 96


def _tube(start, end, radius=3.0, size=SIZE):
    """Mask of a straight tube between two points (row, column)."""
    y, x = np.mgrid[:size, :size]
    along = np.subtract(end, start)
    length = np.hypot(*along)
    u = along / length
    across = np.abs((y - start[0]) * u[1] - (x - start[1]) * u[0])
    position = (y - start[0]) * u[0] + (x - start[1]) * u[1]
    return ((across <= radius) & (position >= 0) & (position <= length)).astype(np.uint8)


def _frame(mask, depth=40.0, noise=4.0, blur=1.0, seed=0, dtype=np.uint8):
    """A grey frame whose vessels are ``depth`` darker than 150, with noise and a slope in the background."""
    y, _ = np.mgrid[: mask.shape[0], : mask.shape[1]]
    grey = 150 + 0.3 * y - depth * gaussian_filter(mask.astype(float), blur)
    return np.rint(grey + np.random.default_rng(seed).normal(0, noise, mask.shape)).clip(0, 255).astype(dtype)


def _measure(frame, mask):
    return measure_frames(frame[None], mask[None], [0.0], [0])[0]


@pytest.mark.parametrize(
    ("start", "end", "length"),
    [
        ((48, 10), (48, 85), 75),
        ((10, 48), (85, 48), 75),
        ((15, 15), (80, 80), 65 * math.sqrt(2)),
        ((80, 15), (15, 80), 65 * math.sqrt(2)),
        ((48, 0), (48, 95), 95),
    ],
)
@pytest.mark.parametrize("radius", [1, 3, 5])
def test_length_and_area_of_a_tube(start, end, length, radius):
    mask = _tube(start, end, radius)
    measure = _measure(_frame(mask), mask)
    assert measure.area_px == mask.sum()
    # A skeleton ends about a radius before the tube does.
    assert length - 2 * radius - 2 <= measure.length_px <= length + 2


def test_length_of_a_drawn_line_is_exact():
    line = np.zeros((SIZE, SIZE), np.uint8)
    line[40, 20:31] = 1
    line[np.arange(41, 51), np.arange(31, 41)] = 1
    assert _measure(_frame(line), line).length_px == pytest.approx(10 + 10 * math.sqrt(2), abs=0.01)


@pytest.mark.parametrize("mask", [np.zeros((SIZE, SIZE), np.uint8), np.ones((SIZE, SIZE), np.uint8)])
def test_without_vessel_or_surroundings_nothing_stands_out(mask):
    measure = _measure(_frame(mask), mask)
    assert (measure.area_px, measure.contrast, measure.sharpness) == (mask.sum(), 0, 0)


def test_bright_structures_have_no_contrast():
    mask = _tube((48, 10), (48, 85))
    measure = _measure(_frame(mask, depth=-40), mask)
    assert measure.length_px > 60
    assert (measure.contrast, measure.sharpness) == (0, 0)


@pytest.mark.parametrize(("depth", "noise"), [(20, 4), (40, 4), (40, 8), (80, 4)])
def test_contrast_is_depth_over_noise(depth, noise):
    mask = _tube((48, 5), (48, 90), radius=4)
    assert _measure(_frame(mask, depth, noise), mask).contrast == pytest.approx(depth / noise, rel=0.15)


def test_contrast_of_a_noiseless_frame_is_finite():
    mask = _tube((48, 5), (48, 90))
    frame = np.where(mask > 0, 60, 100).astype(np.uint8)
    measure = _measure(frame, mask)
    assert measure.contrast == pytest.approx(40 * math.sqrt(12), rel=0.01)
    assert 0 < measure.sharpness <= 1


def test_sharpness_falls_with_blur_whatever_the_noise():
    mask = _tube((30, 5), (60, 90), radius=4)
    sharpness = [
        [_measure(_frame(mask, 60, noise, blur), mask).sharpness for blur in (0.5, 1, 2, 3)] for noise in (1, 8)
    ]
    for row in sharpness:
        assert row == sorted(row, reverse=True)
        assert row[0] > 2 * row[-1]
    assert sharpness[0] == pytest.approx(sharpness[1], rel=0.25)


@settings(max_examples=15, deadline=None)
@given(gain=st.integers(1, 20), offset=st.integers(-2000, 12000), dtype=st.sampled_from(["int16", "uint16"]))
def test_brightness_and_gain_change_nothing(gain, offset, dtype):
    mask = _tube((20, 10), (70, 85))
    frame = _frame(mask)
    reference = _measure(frame, mask)
    offset = max(offset, 0) if dtype == "uint16" else offset
    changed = _measure((frame.astype(int) * gain + offset).astype(dtype), mask)
    assert changed.length_px == reference.length_px
    assert changed.contrast == pytest.approx(reference.contrast, rel=1e-3)
    assert changed.sharpness == pytest.approx(reference.sharpness, abs=1e-3)


@pytest.fixture(scope="module")
def clip():
    """A vessel that grows and fades: frames, mask and times of 14 frames, the first two without vessel."""
    lengths = [0, 0, 20, 35, 50, 62, 70, 74, 75, 74, 70, 60, 45, 30]
    mask = np.stack([_tube((30, 10), (30, 10 + n)) if n else np.zeros((SIZE, SIZE), np.uint8) for n in lengths])
    frames = np.stack([_frame(m, seed=i) for i, m in enumerate(mask)])
    return frames, mask, np.arange(len(lengths)) * 80.0


@settings(max_examples=20, deadline=None)
@given(ends=st.tuples(st.integers(0, 13), st.integers(0, 13)))
def test_a_range_measures_as_the_whole_does(clip, ends):
    first, last = sorted(ends)
    whole = measure_frames(*clip, range(14))
    alone = [array[first : last + 1] for array in clip]
    assert measure_frames(*clip, range(first, last + 1)) == whole[first : last + 1]
    shifted = measure_frames(*alone, range(last + 1 - first))
    assert [replace(m, frame=m.frame + first) for m in shifted] == whole[first : last + 1]


def test_progress_counts_and_ends_the_work(clip):
    seen = []
    measure_frames(*clip, [4, 2, 9], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_frames(*clip, [0, 1], progress=stop)


@pytest.mark.parametrize(("frames", "mask", "times"), [(3, 2, 3), (3, 3, 2)])
def test_parts_that_do_not_fit(frames, mask, times):
    with pytest.raises(ValueError, match="do not fit together"):
        measure_frames(np.zeros((frames, 8, 8), np.uint8), np.zeros((mask, 8, 8), np.uint8), np.zeros(times), [0])


def test_the_fullest_frames_lead(clip):
    key_frames = rank_key_frames(measure_frames(*clip, range(14)))
    assert key_frames[0].frame in (7, 8, 9)
    assert all(key_frame.frame >= 3 for key_frame in key_frames)


def test_among_equally_full_frames_the_clearest_leads(clip):
    _, mask, _ = clip
    full = np.repeat(mask[8:9], 9, axis=0)
    depths, blurs = [20] * 9, [2.0] * 9
    depths[5], blurs[5] = 60, 0.5
    frames = np.stack([_frame(m, d, 4, b, i) for i, (m, d, b) in enumerate(zip(full, depths, blurs))])
    assert rank_key_frames(measure_frames(frames, full, np.arange(9) * 80.0, range(9)))[0].frame == 5


@pytest.mark.parametrize("at", [0, 1, 3, 8, 9])
def test_a_flash_in_one_frame_does_not_win(at):
    lengths = [100, 300, 500, 600, 650, 660, 655, 600, 500, 300]
    quiet = [FrameMeasure(i, i * 100.0, 10 * n, float(n), 5.0, 0.2) for i, n in enumerate(lengths)]
    flash = [replace(m, length_px=3000.0, area_px=30000) if m.frame == at else m for m in quiet]
    assert rank_key_frames(flash, min_gap_ms=0)[0].frame in (4, 5, 6)


def test_what_comes_and_goes_does_not_win():
    lengths = [100, 300, 800, 800, 400, 700, 720, 740, 720, 700, 600]
    measures = [FrameMeasure(i, i * 100.0, 10 * n, float(n), 5.0, 0.2) for i, n in enumerate(lengths)]
    assert rank_key_frames(measures)[0].frame == 7


def test_a_frame_that_lost_its_vessels_is_no_key_frame():
    measures = [FrameMeasure(i, i * 100.0, 9000, 900.0, 5.0, 0.2) for i in range(9)]
    measures[4] = FrameMeasure(4, 400.0, 0, 0.0, 0.0, 0.0)
    chosen = {key_frame.frame for key_frame in rank_key_frames(measures, count=9, min_gap_ms=0)}
    assert chosen == set(range(9)) - {4}


@pytest.mark.parametrize(
    ("lengths", "contrasts", "why"),
    [
        (
            [700, 1000, 980],
            [5, 6, 7],
            "980 px, 100% of the longest of 3 frames as far as neighbours confirm; "
            "against the median well-filled frame, contrast 17% higher and sharpness the same.",
        ),
        (
            [0, 1200.4],
            [0, 5],
            "1,200 px, 100% of the longest of 2 frames as far as neighbours confirm; "
            "no other frame shows half as much.",
        ),
        ([1200.4], [5], "1,200 px; no other frame was looked at."),
    ],
)
def test_why(lengths, contrasts, why):
    measures = [FrameMeasure(i, 100.0 * i, 5000, n, c, 0.2) for i, (n, c) in enumerate(zip(lengths, contrasts))]
    assert rank_key_frames(measures)[0].why == f"Vessel length {why}"


@pytest.mark.parametrize("measures", [[], [FrameMeasure(i, 80.0 * i, 0, 0.0, 0.0, 0.0) for i in range(5)]])
def test_no_vessel_no_key_frame(measures):
    assert rank_key_frames(measures) == []


@pytest.mark.parametrize("contrast", [0.0, 4.0])
def test_a_single_frame_is_its_clip_s_best(contrast):
    (key_frame,) = rank_key_frames([FrameMeasure(0, 0.0, 500, 80.0, contrast, contrast / 20)])
    assert key_frame.frame == 0
    assert key_frame.score == pytest.approx(1.0 if contrast else 0.7)


_MEASURES = st.lists(
    st.tuples(
        st.floats(1, 400),
        st.one_of(st.just(0.0), st.floats(1, 5000)),
        st.floats(0, 30),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=40,
).map(
    lambda rows: [
        FrameMeasure(i, sum(row[0] for row in rows[:i]), round(4 * n), n, contrast if n else 0.0, sharp if n else 0.0)
        for i, (_, n, contrast, sharp) in enumerate(rows)
    ]
)


@settings(max_examples=200, deadline=None)
@given(measures=_MEASURES, count=st.integers(1, 8), gap=st.floats(0, 1000), data=st.data())
def test_laws_of_the_ranking(measures, count, gap, data):
    key_frames = rank_key_frames(measures, count, gap)
    assert len(key_frames) <= count
    scores = [key_frame.score for key_frame in key_frames]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    times = sorted(measures[key_frame.frame].time_ms for key_frame in key_frames)
    assert all(later - sooner >= gap for sooner, later in pairwise(times))
    assert all(measures[key_frame.frame].area_px > 0 for key_frame in key_frames)
    assert rank_key_frames(data.draw(st.permutations(measures)), count, gap) == key_frames
    # Asking for fewer gives the beginning of the same list.
    assert rank_key_frames(measures, 1, gap) == key_frames[:1]
    for key_frame in key_frames:
        match = re.fullmatch(
            r"Vessel length [\d,]+ px"
            rf"(, (\d+)% of the longest of {len(measures)} frames as far as neighbours confirm)?; "
            r"(no other frame (was looked at|shows half as much)|against the median well-filled frame, "
            r"contrast (the same|\d+% (higher|lower)) and sharpness (the same|\d+% (higher|lower)))\.",
            key_frame.why,
        )
        assert match, key_frame.why
        assert 50 <= int(match[2] or 100) <= 100
