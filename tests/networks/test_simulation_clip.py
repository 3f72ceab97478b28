"""Simulated clips: the truth, and what the frames show of it."""

import numpy as np
import pytest
import torch
from angioseg.errors import AngioSegError
from angioseg.simulation import SimulationError, simulate_clip
from angioseg.simulation.codec import CODECS, through_video
from angioseg.simulation.detector import random_detector
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, distance_transform_edt, uniform_filter

# Without shrinking: a clip costs a second.
few = settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate))
SMALL = {"frames": 6, "size": (96, 96)}


@pytest.fixture(scope="module", params=[11, 12, 13, 14])
def clip(request):
    return simulate_clip(request.param, frames=8, size=(160, 160))


@pytest.mark.parametrize(
    ("frames", "size", "fps"), [(3, (32, 32), 15.0), (5, (64, 48), 30.0), (12, (90, 131), 7.5), (4, (200, 64), 10)]
)
def test_shapes_types_and_times(frames, size, fps):
    clip = simulate_clip(1, frames=frames, size=size, fps=fps)
    for stack in (clip.frames, clip.vessels, clip.catheter):
        assert stack.shape == (frames, *size)
        assert stack.dtype == np.uint8
    assert set(np.unique(clip.vessels)) <= {0, 1}
    assert set(np.unique(clip.catheter)) <= {0, 1}
    np.testing.assert_allclose(clip.times_ms, np.arange(frames) * 1000 / fps)
    assert 0 <= clip.best_frame < frames
    assert len(clip.meta["phases"]) == frames


@pytest.mark.parametrize("seed", range(4))
def test_a_run_left_to_chance_lasts_3_to_10_s_at_7_to_30_frames_a_second(seed):
    clip = simulate_clip(seed, size=(32, 32))
    assert 7.5 <= clip.meta["fps"] <= 30
    assert 3 <= len(clip.frames) / clip.meta["fps"] <= 10.1


def test_the_same_seed_gives_the_same_clip_and_another_seed_another_one():
    first, again, other = (simulate_clip(seed, **SMALL) for seed in (21, 21, 22))
    for name in ("frames", "vessels", "catheter", "times_ms"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.meta == again.meta
    assert (first.frames != other.frames).mean() > 0.5


def with_threads(count, work):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        return work()
    finally:
        torch.set_num_threads(before)


# Of a size that torch shares out among its threads, and seeds whose frames a mean in single precision would change.
@pytest.mark.parametrize("seed", [24, 28])
def test_the_number_of_threads_does_not_change_a_clip(seed):
    one, two = (with_threads(n, lambda: simulate_clip(seed, frames=3, size=(512, 512))) for n in (1, 2))
    for name in ("frames", "vessels", "catheter"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_the_number_of_threads_does_not_change_the_mean_level():
    detector = random_detector(np.random.default_rng(0), (512, 512))
    scenes = torch.rand((20, 512, 512), generator=torch.Generator().manual_seed(1))

    def means():
        states = [{} for _ in scenes]
        for scene, state in zip(scenes.split(1), states):
            detector.expose(scene, None, state)
        return [state["mean"].item() for state in states]

    assert with_threads(1, means) == with_threads(2, means)


@few
@given(seed=st.integers(0, 10**6), frames=st.integers(3, 12))
def test_without_contrast_the_truth_is_empty(seed, frames):
    clip = simulate_clip(seed, frames=frames, size=(96, 96))
    before = clip.times_ms < clip.meta["contrast_ms"]
    assert before[0]
    assert not clip.vessels[before].any()
    assert not clip.centrelines.visible[before].any()


@few
@given(seed=st.integers(0, 10**6))
def test_centrelines_run_inside_the_vessels_and_have_their_width(seed):
    clip = simulate_clip(seed, frames=4, size=(256, 256), noise=False)
    lines = clip.centrelines
    frame = clip.best_frame
    column, row = np.rint(lines.places[frame, lines.visible[frame]]).astype(int).T
    assert clip.vessels[frame, row, column].all()
    assert set(lines.vessel) <= set(range(len(lines.names)))
    # Millimetres and pixels agree about magnification: pixels a mm are those of the view, give or take the depth.
    ratio = lines.diameter_px[frame] / lines.diameter_mm
    expected = clip.meta["magnification"] / clip.meta["imager_spacing_mm"]
    np.testing.assert_allclose(ratio, expected, rtol=0.2)
    # A pixel of the mask lies within a vessel's half width of its middle line.
    depth = distance_transform_edt(clip.vessels[frame])
    widest = lines.diameter_px[frame][lines.visible[frame]].max(initial=0.0)
    assert depth.max() <= 2 * widest + 4


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_all_that_is_left_out_without_it(seed):
    quiet, noisy = (simulate_clip(seed, frames=6, size=(128, 128), noise=noise) for noise in (False, True))
    np.testing.assert_array_equal(quiet.vessels, noisy.vessels)
    assert (quiet.meta["jpeg_quality"], quiet.meta["video_codec"]) == (0, "")
    difference = noisy.frames.astype(float) - quiet.frames
    assert 0.2 < difference.std() < 12
    assert abs(difference.mean()) < 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device to compare with")
def test_a_gpu_gives_the_same_geometry_truth_and_noise_free_image():
    here, there = (simulate_clip(8, frames=6, size=(128, 128), noise=False, device=name) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(here.centrelines.places, there.centrelines.places, atol=1e-3)
    assert (here.vessels != there.vessels).mean() < 1e-4
    assert np.abs(here.frames.astype(int) - there.frames).max() <= 1


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [(64, 64), (65, 67)])
def test_video_codecs_change_grey_levels_a_little_and_nothing_else(codec, size):
    frames = simulate_clip(9, frames=5, size=size).frames
    (coarse, small), (fine, large) = (through_video(frames, codec, bits) for bits in (0.1, 4.0))
    assert 0 < small < large
    assert coarse.shape == fine.shape == frames.shape and coarse.dtype == np.uint8
    np.testing.assert_array_equal(fine, through_video(frames, codec, 4.0)[0])
    lost = [np.abs(kept.astype(float) - frames).mean() for kept in (coarse, fine)]
    assert 0 < lost[1] < lost[0] < 12


def test_before_the_contrast_there_is_a_catheter_and_no_vessel(clip):
    early = [frame for frame, word in enumerate(clip.meta["phases"]) if word == "pre-contrast"]
    assert early[0] == 0
    assert not clip.vessels[early].any()
    assert clip.catheter[early].reshape(len(early), -1).any(axis=1).all()


def test_a_short_clip_shows_every_phase(clip):
    words = clip.meta["phases"]
    assert {"pre-contrast", "filling", "full"} <= set(words)
    assert words.index("pre-contrast") < words.index("filling") < words.index("full")


def test_catheter_and_vessels_are_disjoint(clip):
    assert not (clip.vessels & clip.catheter).any()


def test_the_best_frame_shows_the_most_vessel(clip):
    area = clip.vessels.reshape(len(clip.vessels), -1).sum(axis=1)
    assert area[clip.best_frame] == area.max() > 0


@pytest.mark.parametrize("what", ["vessels", "catheter"])
def test_vessels_and_catheter_are_darker_than_what_lies_around_them(clip, what):
    mask = getattr(clip, what)[clip.best_frame].astype(bool)
    other = (clip.vessels | clip.catheter)[clip.best_frame].astype(bool)
    around = binary_dilation(mask, iterations=6) & ~binary_dilation(other, iterations=2)
    frame = clip.frames[clip.best_frame].astype(float)
    # Each pixel against what lies around itself: the background is as uneven as a chest.
    near = uniform_filter(frame * around, 15) / np.maximum(uniform_filter(around.astype(float), 15), 1e-9)
    sure = mask & (uniform_filter(around.astype(float), 15) > 0.05)
    assert np.median(near[sure] - frame[sure]) > 2


def test_contrast_darkens_the_pixels_that_it_fills(clip):
    mask = clip.vessels[clip.best_frame].astype(bool)
    before, after = (clip.frames[frame][mask].astype(float).mean() for frame in (0, clip.best_frame))
    assert after < before - 3


def test_the_share_of_vessel_pixels_is_that_of_real_angiograms():
    shares = []
    for seed in range(40, 52):
        clip = simulate_clip(seed, frames=4, size=(256, 256))
        shares.append(clip.vessels[clip.best_frame].mean())
    assert 0.015 < np.median(shares) < 0.07


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": "one"}, "seed"),
        ({"frames": 0}, "frames"),
        ({"frames": -5}, "frames"),
        ({"frames": 2}, "frames"),
        ({"frames": 4.5}, "frames"),
        ({"size": (10, 10)}, "rows and columns"),
        ({"size": (-512, 512)}, "rows and columns"),
        ({"size": (100.5, 100)}, "rows and columns"),
        ({"size": (512,)}, "rows and columns"),
        ({"size": 512}, "rows and columns"),
        ({"size": (5000, 512)}, "rows and columns"),
        ({"size": (512, 512, 3)}, "rows and columns"),
        ({"fps": 0}, "frame rate"),
        ({"fps": -15}, "frame rate"),
        ({"fps": float("nan")}, "frame rate"),
        ({"fps": float("inf")}, "frame rate"),
        ({"fps": "fast"}, "frame rate"),
        ({"side": "middle"}, "left or right"),
        ({"frames": 10001}, "3 to 10000 frames, not 10001.$"),
        ({"device": "abacus"}, "no device 'abacus': say cpu or cuda"),
        ({"device": 1.5}, "no device '1.5': say cpu or cuda"),
        ({"device": "meta"}, "no device 'meta': say cpu or cuda"),
        ({"device": "mps"}, "no device 'mps': say cpu or cuda"),
        ({"device": "xpu:1"}, "no device 'xpu:1': say cpu or cuda"),
        ({"device": "cuda:77"}, "no CUDA device 77"),
    ],
)
def test_bad_parameters_are_told_in_one_line(arguments, word):
    with pytest.raises(SimulationError, match=word) as caught:
        simulate_clip(**{"seed": 1, "frames": 3, "size": (32, 32), **arguments})
    assert isinstance(caught.value, AngioSegError)
    assert "\n" not in str(caught.value)
