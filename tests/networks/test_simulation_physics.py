"""The laws a simulated angiogram obeys: projection, attenuation, flow, motion, branching."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from angioseg.simulation.anatomy import grow_tree
from angioseg.simulation.contrast import Bolus, arrival_times, random_bolus
from angioseg.simulation.motion import random_motion
from angioseg.simulation.projection import View, cover, random_view, splat
from hypothesis import given, settings
from hypothesis import strategies as st

radii = st.floats(1.5, 9.0)
angles = st.floats(0.0, math.pi)
seeds = st.integers(0, 10**6)
few = settings(max_examples=20, deadline=None)


def view(primary=0.0, secondary=0.0, sid=1000.0, sod=750.0, pixel=0.4, size=(128, 128)) -> View:
    return View(primary, secondary, sid, sod, pixel, size)


def tube(angle, radius, size=(128, 128), step=0.25, centre=(63.5, 63.5), foreshortened=1.0):
    """A straight tube across the image, one unit of attenuation a pixel of path."""
    way = torch.arange(-100.0, 100.0, step)
    places = torch.stack([centre[0] + way * math.cos(angle), centre[1] + way * math.sin(angle)], 1)[None]
    whole = torch.full((1, len(way)), float(radius))
    return splat(places, whole, torch.full((1, len(way)), step * foreshortened), size), cover(places, whole, size)


@few
@given(radius=radii, angle=angles, foreshortened=st.floats(1.0, 3.0))
def test_the_way_through_a_tube_is_its_chord(radius, angle, foreshortened):
    image, _ = tube(angle, radius, foreshortened=foreshortened)
    y, x = np.mgrid[:128, :128] - 63.5
    distance = np.abs(x * math.sin(angle) - y * math.cos(angle))
    chord = 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0)) * foreshortened
    # The rim is a pixel wide: compare inside of it and outside.
    sure = np.abs(distance - radius) > 1.0
    np.testing.assert_allclose(image[0].numpy()[sure], chord[sure], atol=0.12 * radius * foreshortened)


@few
@given(radius=radii, other=radii, angle=angles, turn=st.floats(0.6, 2.5))
def test_attenuation_adds_where_tubes_cross(radius, other, angle, turn):
    size, steps = (128, 128), torch.arange(-100.0, 100.0, 0.25)
    parts = []
    for direction, wide in ((angle, radius), (angle + turn, other)):
        places = torch.stack([63.5 + steps * math.cos(direction), 63.5 + steps * math.sin(direction)], 1)[None]
        parts.append((places, torch.full((1, len(steps)), wide), torch.full((1, len(steps)), 0.25)))
    alone = [splat(*part, size) for part in parts]
    both = splat(*(torch.cat(kind, dim=1) for kind in zip(*parts)), size)
    torch.testing.assert_close(both, alone[0] + alone[1], atol=1e-3, rtol=1e-4)
    assert float(both.max()) > max(float(image.max()) for image in alone) + min(radius, other)


@few
@given(radius=radii, angle=angles)
def test_the_mask_is_the_tube(radius, angle):
    _, mask = tube(angle, radius)
    y, x = np.mgrid[:128, :128] - 63.5
    distance = np.abs(x * math.sin(angle) - y * math.cos(angle))
    sure = np.abs(distance - radius) > 0.3
    np.testing.assert_array_equal(mask[0].numpy()[sure], (distance < radius)[sure])


@few
@given(radius=radii, angle=angles, right=st.integers(-9, 9), down=st.integers(-9, 9))
def test_a_moved_tube_has_the_same_mask_moved(radius, angle, right, down):
    # On whole numbers, so that rounding is the same in both places.
    _, here = tube(angle, radius, centre=(64.0, 64.0))
    _, there = tube(angle, radius, centre=(64.0 + right, 64.0 + down))
    rolled = torch.roll(here[0], (down, right), (0, 1))
    inner = (slice(10, -10), slice(10, -10))
    assert (rolled[inner] != there[0][inner]).float().mean() < 2e-3


@few
@given(sid=st.floats(900, 1250), sod=st.floats(600, 800), angle=angles)
def test_area_scales_with_the_square_of_the_magnification(sid, sod, angle):
    way = np.arange(-15, 15, 0.1)
    points = np.stack([way * math.cos(angle), np.zeros_like(way), way * math.sin(angle)], 1)
    areas = []
    for stand in (view(sid=sid, sod=sod, pixel=0.2, size=(512, 512)), view(pixel=0.2, size=(512, 512))):
        places, scale = stand.project(points)
        wide = torch.as_tensor(8.0 * scale, dtype=torch.float32)[None]
        mask = cover(torch.as_tensor(places, dtype=torch.float32)[None], wide, (512, 512))
        areas.append(float(mask.sum()) / stand.magnification**2)
    assert areas[0] == pytest.approx(areas[1], rel=0.03)  # a row of pixels more or less on each side


@pytest.mark.parametrize(
    ("primary", "secondary", "point", "direction"),
    [
        (0, 0, (10, 0, 0), (1, 0)),  # patient's left is on the right of a frontal picture
        (0, 0, (0, 0, 10), (0, -1)),  # the head is up
        (0, 0, (0, 10, 0), (0, 0)),  # depth is not seen
        (90, 0, (0, 10, 0), (1, 0)),  # from the left side (LAO 90) the back is on the right
        (-90, 0, (0, 10, 0), (-1, 0)),  # from the right side (RAO 90) it is on the left
        (45, 0, (0, 62, 0), (1, 0)),  # LAO throws the spine to the right
        (-30, 0, (0, 62, 0), (-1, 0)),  # RAO to the left
        (0, 30, (0, 10, 0), (0, -1)),  # cranial lifts what lies behind
        (0, -30, (0, 10, 0), (0, 1)),  # caudal lowers it
    ],
)
def test_views_show_the_patient_as_clinicians_name_them(primary, secondary, point, direction):
    stand = view(primary, secondary)
    places, _ = stand.project(np.array([[0.0, 0.0, 0.0], point], float))
    moved = places[1] - places[0]
    np.testing.assert_allclose(places[0], [63.5, 63.5])
    np.testing.assert_array_equal(np.sign(np.round(moved, 6)), direction)


@pytest.mark.parametrize(("towards_detector", "larger"), [(-100.0, True), (100.0, False)])
def test_what_lies_nearer_the_source_is_larger(towards_detector, larger):
    stand = view()
    _, scale = stand.project(stand.axes[2][None] * towards_detector)
    assert bool(scale[0] > stand.px_per_mm) is larger


@few
@given(seed=seeds)
def test_trees_branch_as_vessels_do(seed):
    tree = grow_tree(np.random.default_rng(seed))
    names = {vessel.name for vessel in tree.vessels}
    assert ({"LM", "LAD", "LCx"} if tree.side == "left" else {"RCA"}) <= names
    for vessel in tree.vessels:
        assert np.isfinite(vessel.points).all()
        assert (vessel.radius > 0).all()
        assert vessel.radius.max() < 4.0
        assert (np.diff(vessel.arc) > 0).all()
        if vessel.parent >= 0:
            mother = tree.vessels[vessel.parent]
            np.testing.assert_allclose(vessel.points[0], mother.points[vessel.joined], atol=1e-9)
            assert vessel.arc[0] == mother.arc[vessel.joined]


@pytest.mark.parametrize("side", ["left", "right"])
def test_proximal_diameters_are_those_of_normal_arteries(side):
    """Dodge et al. 1992: left main 4.5 mm, LAD 3.7, LCx 3.4, RCA 3.9 (2.8 where the left dominates)."""
    expected = {"LM": 4.5, "LAD": 3.7, "LCx": 3.4} if side == "left" else {"RCA": 3.9}
    trees = [grow_tree(np.random.default_rng(seed), side) for seed in range(40)]
    for name, diameter in expected.items():
        measured = [2 * v.radius[8] for tree in trees for v in tree.vessels if v.name == name]
        assert np.median(measured) == pytest.approx(diameter, rel=0.15)


@few
@given(seed=seeds, frames=st.integers(3, 90), fps=st.sampled_from([7.5, 10.0, 15.0, 30.0]))
def test_contrast_comes_late_and_later_farther_down(seed, frames, fps):
    rng = np.random.default_rng(seed)
    tree = grow_tree(rng)
    bolus = random_bolus(rng, frames / fps, frames, 72.0, 0.0)
    times = np.arange(frames) / fps
    arrival = arrival_times(tree, bolus)
    for vessel, late in zip(tree.vessels, arrival):
        assert (np.diff(late) > 0).all()
        if vessel.parent >= 0:
            assert late[0] >= arrival[vessel.parent][vessel.joined]
    filling = bolus.filling(arrival[0], times)
    assert (filling[0] == 0).all()
    assert (filling >= 0).all() and (filling <= 1).all()
    assert filling.max() > 0


def test_flow_is_as_fast_as_in_life_and_washes_out():
    bolus = Bolus(1.0, 2.0, 150.0, 0.2, 0.5, 1.0, 0.0, 0.8, 0.0, 1.0)
    tree = grow_tree(np.random.default_rng(3), "left")
    lad = next(i for i, v in enumerate(tree.vessels) if v.name == "LAD")
    # TIMI frame count: contrast reaches the distal LAD within about 1.2 s.
    assert 0.4 < arrival_times(tree, bolus)[lad][-1] < 2.5
    course = bolus.filling(np.zeros(1), np.array([0.5, 1.0, 1.3, 2.9, 4.0, 8.0]))[:, 0]
    np.testing.assert_allclose(course[:4], [0, 0, 1, 1], atol=1e-6)
    assert course[3] > course[4] > course[5]
    assert course[5] < 0.01


@pytest.mark.parametrize("hurry", [1.0, 6.5])
def test_streams_come_and_go_with_the_heart(hurry):
    beat_s, shift = 0.8, 0.3
    bolus = Bolus(-10.0 * hurry, 1e3, 150.0, 0.2, 0.5, 1.0, 0.5, beat_s, shift, hurry)
    at = np.linspace(0, 4 * beat_s, 400, endpoint=False)
    course = bolus.filling(np.zeros(1), at)[:, 0]
    # A whole number of beats: all of what comes and goes lies in the heart's own frequency, at the heart's own phase.
    waves = np.abs(np.fft.rfft(course - course.mean()))
    assert waves.argmax() == 4
    least = at[course.argmin()] / beat_s + shift
    assert least % 1.0 == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("duration", [0.4, 5.0])
def test_an_injection_knows_the_hearts_beat(duration):
    bolus = random_bolus(np.random.default_rng(2), duration, 6, 60.0, 0.7)
    assert (bolus.beat_s, bolus.beat_shift) == (1.0, 0.7)


@few
@given(seed=seeds)
def test_the_heart_beats_in_time_and_comes_back(seed):
    rng = np.random.default_rng(seed)
    tree = grow_tree(rng)
    motion = random_motion(rng, tree, random_view(rng, tree.side, (128, 128)), 3.0)
    assert 50 <= motion.bpm <= 110
    beat = 60.0 / motion.bpm
    moments = np.linspace(0, beat, 200, endpoint=False)
    strength = motion.contraction(moments)
    assert strength.min() == pytest.approx(0.0, abs=0.02)
    assert strength.max() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(motion.contraction(moments + 3 * beat), strength, atol=1e-6)
    # Systole is shorter than diastole, and nothing jumps from frame to frame.
    assert (np.diff(strength) > 0).mean() < 0.6
    assert np.abs(np.diff(np.append(strength, strength[0]))).max() < 0.08
    points = np.concatenate([v.points for v in tree.vessels])
    moved = motion.beat(points, tree.heart, moments)
    travel = np.linalg.norm(moved - moved[:1], axis=2).max()
    assert 1.0 < travel < 45.0


@few
@given(seed=seeds)
def test_the_apex_twists_and_swings_as_stated_and_the_ostium_less(seed):
    rng = np.random.default_rng(seed)
    tree = grow_tree(rng)
    drawn = random_motion(rng, tree, random_view(rng, tree.side, (128, 128)), 3.0)
    still = replace(drawn, breath_mm=0.0)
    ends = -still.shift * 60 / still.bpm + np.array([0.0, still.systole * 60 / still.bpm])  # diastole, systole
    np.testing.assert_allclose(still.contraction(ends), [0, 1], atol=1e-9)
    apex = np.array([[0.0, 0.0, 1.0], [0.1, 0.0, 1.0], [0.0, 0.1, 1.0]]) * tree.heart.length
    before, after = (still.beat(apex, tree.heart, ends) - still.centre) @ still.tilt
    np.testing.assert_allclose((after[0] - before[0]) @ still.tilt.T, still.swing, atol=1e-9)
    for side in (1, 2):
        (x, y, _), (u, v, _) = before[side] - before[0], after[side] - after[0]
        turned = (math.atan2(v, u) - math.atan2(y, x) + math.pi) % (2 * math.pi) - math.pi
        assert math.degrees(turned) == pytest.approx(still.twist)
    # With nothing but swing, everything moves by its own share of it.
    swings = replace(still, twist=0.0, squeeze=0.0, shorten=0.0)
    points = np.concatenate([tree.ostium[None], *(v.points for v in tree.vessels)])
    moved = np.linalg.norm(np.diff(swings.beat(points, tree.heart, ends), axis=0)[0], axis=1)
    share = moved / np.linalg.norm(swings.swing)
    assert 0.4 <= share[0] <= 0.85
    assert share.max() == pytest.approx(1.0)
    far = points[:, 2] > 0.8 * tree.heart.length
    assert (share[far] > 0.75).all()
