"""Measures of realism against drawings whose answer is known, their laws, and the classical filter."""

import csv
import math

import numpy as np
import pytest
from angioseg.cine import Cine
from angioseg.frangi import frangi_mask
from angioseg.simulation.comparison import MEASURES, compare, save_csv, save_markdown, table_of
from angioseg.simulation.realism import (
    displacement,
    grey_histogram,
    grey_levels,
    histogram_distance,
    measure_grey,
    measure_vessels,
    measured_frames,
    noise,
    time_to_peak,
    vessel_widths,
)
from angioseg.simulation.sheet import beside, contact_sheet, tile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter


def _noisy(sd, blur=0.0, count=6, size=256, seed=0):
    """Frames (T, H, W) of grey 120 with noise of ``sd`` before a Gaussian blur of ``blur`` pixels."""
    frames = np.random.default_rng(seed).normal(0, sd, (count, size, size))
    return (120 + (gaussian_filter(frames, (0, blur, blur), mode="wrap") if blur else frames)).astype(np.float32)


def _tubes(size=256, shift=(0.0, 0.0), depth=40.0):
    """A frame of grey 150 with winding dark tubes some 8 pixels wide, moved by (down, right); and its mask."""
    y, x = np.mgrid[:size, :size] - np.reshape(shift, (2, 1, 1))
    across = np.min([np.abs(y - c - size / 17 * np.sin(12 * x / size + c)) for c in np.arange(0.2, 1, 0.2) * size], 0)
    return 150 - depth * np.exp(-((across / 4) ** 2)), across < 4


# Grey levels


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint8", [0, 255], [0, 255]),
        ("uint8", [7, 90], [7, 90]),
        ("uint16", [0, 200], [0, 200]),
        ("uint16", [0, 4095], [0, 255]),
        ("int16", [-1000, 1000], [0, 255]),
    ],
)
def test_grey_levels(dtype, values, expected):
    assert grey_levels(np.array(values, dtype).reshape(2, 1, 1)).ravel() == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.2, 5), offset=st.floats(-100, 100), seed=st.integers(0, 9))
def test_a_histogram_does_not_see_brightness_and_gain(gain, offset, seed):
    frames = _noisy(10, 2, 2, 64, seed)
    changed = gain * frames + offset
    # Rounding may move a grey level into the next bin.
    assert histogram_distance(grey_histogram(frames), grey_histogram(changed)) < 1e-3


_SHARES = st.lists(st.floats(0, 1), min_size=240, max_size=240).filter(lambda shares: sum(shares) > 0.1)


@settings(max_examples=30, deadline=None)
@given(one=_SHARES, other=_SHARES)
def test_histogram_distance_is_a_distance(one, other):
    one, other = (np.array(shares) / sum(shares) for shares in (one, other))
    assert histogram_distance(one, one) == 0
    assert histogram_distance(one, other) == pytest.approx(histogram_distance(other, one))
    assert histogram_distance(one, other) >= 0


@pytest.mark.parametrize("bins", [1, 20, 100])
def test_histogram_distance_is_how_far_it_was_moved(bins):
    one = np.zeros(240)
    one[100:120] = 1 / 20
    assert histogram_distance(one, np.roll(one, bins)) == pytest.approx(0.05 * bins)


# Noise


@pytest.mark.parametrize("sd", [1.0, 4.0, 12.0])
@pytest.mark.parametrize(
    ("blur", "kept", "half"),
    [
        # Half of the unit square's area lies in a circle of radius sqrt(1 / 2 pi).
        (0.0, 1.0, math.sqrt(1 / (2 * math.pi))),
        # A Gaussian's power spectrum is exp(-(2 pi blur f)^2).
        (1.0, 1 / (2 * math.sqrt(math.pi)), math.sqrt(math.log(2)) / (2 * math.pi)),
        (1.5, 1 / (3 * math.sqrt(math.pi)), math.sqrt(math.log(2)) / (3 * math.pi)),
    ],
)
def test_noise(sd, blur, kept, half):
    found_sd, found_half = noise(_noisy(sd, blur))
    # The stillest blocks lack a little of the slowest noise, which weighs more the coarser the noise is.
    assert found_sd == pytest.approx(kept * sd, rel=0.03 if not blur else 0.12)
    assert found_half == pytest.approx(half, abs=0.02)


@settings(max_examples=15, deadline=None)
@given(offset=st.floats(-50, 50))
def test_noise_is_the_same_in_light_and_dark(offset):
    frames = _noisy(3, count=3, size=128)
    assert noise(frames + np.float32(offset)) == pytest.approx(noise(frames), rel=1e-3)


def _with_blades(frames):
    frames[:, :, :20] = frames[:, -20:] = 50
    return frames


def _with_black(frames):
    frames[:, 128:] = np.maximum(frames[:, 128:] - 120, 0)
    return frames


def _with_a_mover(frames):
    for t, frame in enumerate(frames):
        frame[100:140, 20 + 30 * t : 60 + 30 * t] -= 60
    return frames


def _with_slow_shades(frames):
    return frames + 30 * np.sin(np.arange(256) / 40)[:, None].astype(np.float32)


@pytest.mark.parametrize("change", [_with_blades, _with_black, _with_a_mover, _with_slow_shades])
def test_what_is_no_noise_changes_nothing(change):
    assert noise(change(_noisy(4))) == pytest.approx((4, 0.399), rel=0.03)


@pytest.mark.parametrize("frames", [np.full((4, 64, 64), 90.0), np.full((1, 64, 64), 90.0), np.zeros((3, 64, 64))])
def test_without_change_there_is_no_noise_to_measure(frames):
    assert np.isnan(noise(frames.astype(np.float32))).all()


# Vessels


@pytest.mark.parametrize("width", [1, 3, 7, 15])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_width_of_a_bar(width, turned, size):
    mask = np.zeros((size, size), np.uint8)
    mask[100 : 100 + width, 20:-20] = 1
    widths = vessel_widths(mask.T if turned else mask)
    assert np.median(widths) == pytest.approx(width * 512 / size)


def test_width_at_the_border_is_that_of_what_is_seen():
    mask = np.zeros((512, 512), np.uint8)
    mask[:5, 20:-20] = 1
    assert np.median(vessel_widths(mask)) == pytest.approx(5)


@pytest.mark.parametrize(
    ("areas", "seconds"),
    [
        ([0, 0, 0, 100, 100], 0.16),  # from 10 to 90 % of one step of 0.2 s
        ([0, 25, 50, 75, 100, 100], 0.64),
        ([0, 10, 50, 90, 100, 60], 0.4),
        ([40, 40, 40, 140, 140], 0.16),  # a catheter is always there
        ([0, 30, 0, 0, 100], 0.16),  # a flash is not the start
        ([0, 60, 50, 100, 100], 0.4 + 0.2 * 0.8 - 0.2 / 6),  # 10 % in the first step, 90 % in the third
        ([80, 90, 100, 90], 0.4 * 0.8),  # full before the first frame: what is left of the rise
        ([0, 0, 0], math.nan),
        ([100, 50, 0], math.nan),
        ([7], math.nan),
    ],
)
def test_time_to_peak(areas, seconds):
    assert time_to_peak(areas, np.arange(len(areas)) * 0.2) == pytest.approx(seconds, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(
    areas=st.lists(st.integers(0, 10_000), min_size=1, max_size=20),
    more=st.integers(0, 5000),
    gain=st.integers(1, 9),
    step=st.floats(0.03, 0.5),
)
def test_time_to_peak_depends_on_the_course_alone(areas, more, gain, step):
    times = np.arange(len(areas)) * step
    found = time_to_peak(areas, times)
    assert math.isnan(found) or 0 < found <= times[-1]
    changed = time_to_peak([gain * area + more for area in areas], 2 * times)
    assert changed == pytest.approx(2 * found, nan_ok=True)


@pytest.mark.parametrize(
    ("size", "shift", "sd"),
    [(512, (0, 0), 0), (512, (0, 0), 4), (512, (1, 0), 4), (512, (3, 4), 4), (512, (-9, 6), 4), (256, (-2, 2), 4)],
)
def test_displacement(size, shift, sd):
    rng = np.random.default_rng(0)
    still = 6 * gaussian_filter(rng.normal(0, 1, (size, size)), size / 40) * size / 40
    (frame, mask), (following, _) = _tubes(size), _tubes(size, shift)
    frame, following = (f + still + rng.normal(0, sd, f.shape) for f in (frame, following))
    expected = math.hypot(*shift) * 512 / size
    # Along a tube nothing is seen; noise moves a little.
    assert 0.55 * expected <= displacement(frame, following, mask) <= 1.1 * expected + 0.3


@pytest.mark.parametrize("offset", [-60, 50])
def test_displacement_does_not_see_brightness(offset):
    (frame, mask), (following, _) = _tubes(128), _tubes(128, (1, 1))
    moved = displacement(frame, following, mask)
    assert displacement(frame + offset, following + offset, mask) == pytest.approx(moved, rel=0.01)


def test_without_vessel_nothing_moves():
    frame, mask = _tubes(64)
    assert math.isnan(displacement(frame, frame, np.zeros_like(mask)))


# A whole cine


def _cine(count=13, size=128):
    """A cine whose vessels come between frames 3 and 9, 0.1 s each; and its masks."""
    masks, frames = np.zeros((count, size, size), np.uint8), np.empty((count, size, size))
    for t in range(count):
        frame, mask = _tubes(size)
        filled = np.arange(size) < size * np.clip((t - 3) / 6, 0, 1)
        masks[t] = mask & filled
        frames[t] = np.where(filled, frame, 150) + np.random.default_rng(t).normal(0, 3, frame.shape)
    return Cine(frames.round().astype(np.uint8), np.arange(count) * 100.0), masks


def test_measures_of_a_cine():
    cine, masks = _cine()
    frames = measured_frames(cine.num_frames)
    assert list(frames) == [0, 3, 6, 9, 12]
    found, best = measure_vessels(cine, masks, frames)
    share = 100 * masks.mean((1, 2))
    assert best in (9, 12)
    assert found["share_best"] == pytest.approx(share[9])
    assert found["share_mean"] == pytest.approx(share[list(frames)].mean())
    assert found["time_to_peak"] == pytest.approx(0.8 * 0.6, rel=0.1)
    assert found["width_10"] <= found["width_50"] <= found["width_90"]
    assert found["width_50"] == pytest.approx(7.5 * 512 / 128, rel=0.2)
    assert found["displacement"] < 2  # noise in pixels that are enlarged four times
    assert found["speed"] == pytest.approx(10 * found["displacement"])
    assert found["contrast"] > 5
    grey = measure_grey(cine)
    assert grey["noise_sd"] == pytest.approx(3, rel=0.1)
    assert {*found, *grey, "histogram_nearest", "histogram_mean"} == set(MEASURES)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_cine_without_vessel(count):
    cine = Cine(np.full((count, 64, 64), 90, np.uint8), np.zeros(count))
    found, best = measure_vessels(cine, np.zeros(cine.shape, np.uint8), measured_frames(count))
    assert best in measured_frames(count)
    assert found.pop("share_best") == found.pop("share_mean") == 0
    assert all(math.isnan(value) for value in found.values())


# The comparison


def _measures(**changes):
    return {key: 1.0 for key in MEASURES if not key.startswith("histogram")} | changes


def test_compare():
    histograms = [np.roll(np.eye(240)[0], bins) for bins in (100, 120, 160)]
    rows = compare(
        [_measures(noise_sd=sd, contrast=math.nan) for sd in (1, 2, 6)],
        [{"contrast": value} for value in (3, math.nan, 5)],
        [_measures(noise_sd=sd) for sd in (2.5, 4)],
        ([histograms[0]], histograms[1:]),
    )
    found = {row.key: row for row in rows}
    assert list(found) == list(MEASURES)
    assert (found["noise_sd"].simulated, found["noise_sd"].inside) == ((2, 1, 6), False)
    assert (found["contrast"].truth, found["contrast"].inside) == ((4, 3, 5), None)
    assert found["share_best"].inside is True and found["share_best"].truth is None
    assert found["histogram_nearest"].simulated[0] == pytest.approx(1)
    assert found["histogram_mean"].simulated[0] == pytest.approx(2)
    assert found["histogram_mean"].real[0] == pytest.approx(2)


@pytest.mark.parametrize(("real", "inside"), [(0, None), (1, None), (2, True)])
def test_a_range_takes_two_real_cines(real, inside):
    rows = compare([_measures()], [_measures()], [_measures()] * real, ([np.eye(240)[0]], [np.eye(240)[0]] * real))
    assert {row.inside for row in rows} == {inside}


def test_tables(tmp_path):
    rows = compare(
        [_measures(noise_sd=2, contrast=math.nan)], [{}], [_measures(noise_sd=4)], ([np.eye(240)[0]], [np.eye(240)[0]])
    )
    save_csv(tmp_path / "r.csv", rows)
    with open(tmp_path / "r.csv", newline="") as file:
        lines = {line["measure"]: line for line in csv.DictReader(file)}
    assert lines["noise_sd"]["simulated_median"] == "2" and lines["noise_sd"]["inside"] == ""
    assert lines["contrast"]["simulated_median"] == lines["contrast"]["inside"] == ""
    assert not any(key.startswith("histogram") for key in lines)  # one real cine is no range
    save_markdown(tmp_path / "r.md", table_of(rows), ["A note."])
    text = (tmp_path / "r.md").read_text()
    assert "| noise | of 255 | 2 (2 to 2) |  | 4 (4 to 4) |  |" in text and text.endswith("\nA note.\n")
    alone = table_of(compare([_measures()], [_measures()], [], ([np.eye(240)[0]], [])))
    assert {len(line) for line in alone} == {4}


# Pictures


@pytest.mark.parametrize("shape", [(1, 64, 64), (9, 64, 96), (4, 600, 512)])
def test_a_tile_shows_the_best_frame_and_the_course_in_time(shape):
    frames = np.zeros(shape, np.uint8)
    frames[:] = (20 * np.arange(shape[0]) + 40).astype(np.uint8)[:, None, None]
    picture = np.asarray(tile(frames, shape[0] - 1, "a cine"))
    side = picture.shape[1]
    assert picture[side // 2, side // 2] == frames[-1, 0, 0]
    strip = picture[side + side // 12]
    assert (strip[side // 12], strip[-side // 12]) == (frames[0, 0, 0], frames[-1, 0, 0])


def test_sheets():
    white = tile(np.full((2, 32, 32), 255, np.uint8), 0, "white")
    sheets = [contact_sheet([white] * count) for count in (1, 4, 5)]
    assert [sheet.width for sheet in sheets] == [1600] * 3
    assert sheets[0].height == sheets[1].height < sheets[2].height
    both = beside([("one", sheets[0]), ("two", sheets[2])])
    assert both.width == 3200 and both.height > sheets[2].height


# Frangi's filter


@pytest.mark.parametrize("size", [200, 400])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_frangi_finds_dark_tubes(size, dtype):
    y, x = np.mgrid[:size, :size] / size * 512
    across = np.min([np.abs(y - c - 30 * np.sin(x / 40)) for c in (150, 350)], 0)
    frame = 150 - 40 * np.exp(-((across / 7) ** 2)) + np.random.default_rng(0).normal(0, 4, across.shape)
    truth = across < 7
    mask = frangi_mask(frame.round().astype(dtype))
    assert mask.shape == frame.shape and mask.dtype == np.uint8
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.8
    # What is bright is no vessel with contrast in it.
    assert not frangi_mask((300 - frame).round().astype(dtype))[truth & (across < 3)].mean() > 0.1


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((200, 200), np.uint8),
        np.full((200, 200), 117, np.uint8),
        np.random.default_rng(0).normal(120, 5, (200, 200)).astype(np.uint8),
    ],
)
def test_frangi_finds_nothing_in_an_empty_frame(frame):
    assert frangi_mask(frame).mean() < 0.01


@settings(max_examples=8, deadline=None)
@given(offset=st.integers(0, 100))
def test_frangi_does_not_see_brightness(offset):
    frame = _tubes(128)[0].round().astype(np.uint8)
    np.testing.assert_array_equal(frangi_mask(frame + np.uint8(offset)), frangi_mask(frame))
