"""Diseased arteries: the lesion asked for is the one that the truth shows."""

import numpy as np
import pytest
from angioseg.simulation import Lesion, SimulationError, simulate_clip
from angioseg.simulation.anatomy import grow_tree
from angioseg.simulation.contrast import arrival_times, random_bolus
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

# Without shrinking: a clip costs seconds.
FEW = settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.generate))
SMALL = {"frames": 6, "size": (160, 160), "fps": 15.0}


@FEW
@example(seed=1094, severity=0.2844416626531221, at=29.978755160061052, length=12.5)  # no sample near either end
@given(
    seed=st.integers(0, 10**6),
    severity=st.floats(0.1, 0.9),
    at=st.floats(20.0, 35.0),
    length=st.floats(5.0, 15.0),
)
def test_the_stenosis_asked_for_is_the_one_measured(seed, severity, at, length):
    lesion = Lesion("stenosis", "LAD", at, length, severity)
    healthy = simulate_clip(seed, side="left", lesions=(), **SMALL)
    narrowed = simulate_clip(seed, side="left", lesions=(lesion,), **SMALL)
    samples = healthy.centrelines.of("LAD")
    mm = healthy.centrelines.along_mm[samples]
    left = narrowed.centrelines.diameter_mm[samples] / healthy.centrelines.diameter_mm[samples]
    assert left.min() == pytest.approx(1 - severity, abs=0.06 * severity)  # samples may miss the middle
    assert mm[np.argmin(left)] == pytest.approx(at, abs=0.71)
    within = mm[left < 1 - 1e-4 * severity]
    assert within[-1] - within[0] == pytest.approx(length, abs=1.6)  # a sample each 0.71 mm, at both ends
    # In pixels too: the same share in every frame.
    pixels = narrowed.centrelines.diameter_px[:, samples] / healthy.centrelines.diameter_px[:, samples]
    np.testing.assert_allclose(pixels, np.broadcast_to(left, pixels.shape), rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), severity=st.floats(0.1, 0.9))
def test_a_stenosis_changes_its_own_vessel_alone(seed, severity):
    healthy = grow_tree(np.random.default_rng(seed), "left", ())
    narrowed = grow_tree(np.random.default_rng(seed), "left", (Lesion("stenosis", "LAD", 25, 10, severity),))
    for before, after in zip(healthy.vessels, narrowed.vessels):
        share = after.radius / before.radius
        assert share.min() == pytest.approx(1 - severity if before.name == "LAD" else 1.0, abs=0.02)
        np.testing.assert_array_equal(after.points, before.points)


def test_an_ectasia_widens_its_vessel():
    healthy = grow_tree(np.random.default_rng(4), "right", ())
    wide = grow_tree(np.random.default_rng(4), "right", (Lesion("ectasia", "RCA", 40, 20, 0.5),))
    share = wide.vessels[0].radius / healthy.vessels[0].radius
    assert share.max() == pytest.approx(1.5)
    assert share.min() == 1.0


def test_no_contrast_flows_past_an_occlusion():
    tree = grow_tree(np.random.default_rng(4), "right", (Lesion("occlusion", "RCA", 40, 4),))
    bolus = random_bolus(np.random.default_rng(1), 4.0, 60, 70.0, 0.0)
    times = np.arange(60) / 15
    closed = tree.vessels[0].open_to
    fills = {v.name: bolus.filling(late, times) for v, late in zip(tree.vessels, arrival_times(tree, bolus))}
    assert fills["RCA"][:, : closed - 1].max() > 0.1
    assert fills["RCA"][:, closed:].max() == 0.0
    behind = [v.name for v in tree.vessels if v.parent == 0 and v.joined >= closed]
    assert behind and all(fills[name].max() == 0.0 for name in behind)


@pytest.mark.parametrize("seed", [3, 4, 5, 9])
def test_the_truth_ends_where_an_occlusion_does(seed):
    lesion = Lesion("occlusion", "RCA", 40, 4)
    clip = simulate_clip(seed, side="right", lesions=(lesion,), frames=8, size=(256, 256), fps=10.0, noise=False)
    samples = clip.centrelines.of("RCA")
    ends = clip.centrelines.along_mm[samples][clip.centrelines.visible[:, samples].any(axis=0)].max()
    assert 38 < ends <= 40


@pytest.mark.parametrize("at", [15.0, 40.0, 90.0])
def test_the_wires_of_a_stent_run_in_the_wall_and_are_as_dark_as_asked(at):
    tree = grow_tree(np.random.default_rng(4), "right", (Lesion("stent", "RCA", at, 20, 0.3),))
    vessel, wires = tree.vessels[0], tree.implants[0]
    every = np.arange(0.0, len(vessel.arc) - 1, 0.05)
    axis = np.stack([np.interp(every, np.arange(len(vessel.arc)), way) for way in vessel.points.T], axis=1)
    apart = np.linalg.norm(wires.points[:, None] - axis[None], axis=2)
    radius = np.interp(every, np.arange(len(vessel.arc)), vessel.radius)[apart.argmin(axis=1)]
    # Where the vessel bends, its axis comes nearer from the side.
    share = apart.min(axis=1) / radius
    assert share.max() < 1.02
    assert np.quantile(share, 0.05) > 0.9
    # A row of discs adds up to its weight times what a step of them covers of their width.
    step = np.linalg.norm(np.diff(wires.points, axis=0), axis=1)
    across = wires.dark[:-1] * 2 * wires.radius[:-1] / step
    assert np.median(across) == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize("kind", ["calcification", "stent"])
def test_what_shows_without_contrast_is_no_vessel(kind):
    lesion = Lesion(kind, "RCA", 40, 20, 1.0)
    with_it, without = (simulate_clip(3, side="right", lesions=some, noise=False, **SMALL) for some in ((lesion,), ()))
    assert not with_it.vessels[0].any()
    np.testing.assert_array_equal(with_it.vessels, without.vessels)
    darker = without.frames[0].astype(int) - with_it.frames[0]
    assert darker.max() > 3
    middle = with_it.centrelines.places[0, with_it.centrelines.of("RCA")]
    rows, columns = np.nonzero(darker > 3)
    near = np.hypot(rows[:, None] - middle[:, 1], columns[:, None] - middle[:, 0]).min(axis=1)
    assert near.max() < 8


@pytest.mark.parametrize(
    ("lesion", "line"),
    [
        (Lesion("rupture", "RCA", 10, 5, 0.5), "no lesion 'rupture'"),
        (Lesion("stenosis", "LAD", 10, 5, 0.5), "no vessel 'LAD'"),
        (Lesion("stenosis", "RCA", -1, 5, 0.5), "no stenosis lies at -1 mm"),
        (Lesion("stenosis", "RCA", 900, 5, 0.5), "no stenosis lies at 900 mm"),
        (Lesion("stenosis", "RCA", 10, 0, 0.5), "length above 0 mm"),
        (Lesion("stenosis", "RCA", 10, -5, 0.5), "length above 0 mm"),
        (Lesion("stenosis", "RCA", 10, 0.1, 0.5), "Too little of a stenosis of 0.1 mm at 10 mm lies in RCA"),
        (Lesion("stent", "RCA", 0, 2.0, 0.5), "Too little of a stent of 2 mm at 0 mm lies in RCA"),
        (Lesion("stenosis", "RCA", 10, 5, 1.2), "no diameter that exists"),
        (Lesion("ectasia", "RCA", 10, 5, -0.5), "no diameter that exists"),
        (Lesion("stenosis", "RCA", float("nan"), 5, 0.5), "are numbers"),
        (Lesion("stenosis", "RCA", 10, "long", 0.5), "are numbers"),
    ],
)
def test_a_lesion_that_cannot_be_is_told_in_one_line(lesion, line):
    with pytest.raises(SimulationError, match=line) as caught:
        simulate_clip(1, side="right", lesions=(lesion,), frames=3, size=(32, 32))
    assert "\n" not in str(caught.value)
