"""Models against labels: what is counted, how sure a mean is, and what the command writes."""

import csv
import math

import numpy as np
import pytest
import torch
from angioseg.cine import Cine, write_cine, write_label
from angioseg.cli import app
from angioseg.data import clip_pairs
from angioseg.errors import AngioSegError
from angioseg.evaluation import FIGURES, evaluate_clips, figures_of, network_predictor, score_clip
from angioseg.intervals import FEWEST, FEWEST_SEEDS, mean_interval, verdict
from angioseg.key_frame_score import score_key_frame, true_lengths
from angioseg.segmentation import Segmenter
from angioseg.simulation import simulate_clip, write_clip
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner


def bars(*places, height=32):
    """(T, 32, 32): in each frame a horizontal bar of 3x20 at a row; None leaves it empty."""
    mask = np.zeros((len(places), height, 32), np.uint8)
    for frame, row in enumerate(places):
        if row is not None:
            mask[frame, row : row + 3, 6:26] = 1
    return mask


TRUTH = bars(None, 5, 10, 15)


@pytest.mark.parametrize(
    ("pred", "frames", "figures"),
    [
        (TRUTH, [0, 1, 2, 3], {"dice": 1, "cldice": 1, "hd95": 0, "false_share": 0, "temporal_error": 0}),
        (bars(None, 5, 10, 20), [1, 2], {"dice": 1, "sensitivity": 1, "false_share": math.nan}),
        (bars(None, 5, 10, 20), [1, 2, 3], {"dice": 2 / 3, "cldice": 2 / 3}),
        (
            bars(5, 5, 10, 15),
            [0, 1, 2, 3],
            {"dice": 6 / 7, "betti0_error": 1 / 4, "false_share": 60 / 1024},
        ),
        (bars(None, None, None, None), [1, 2, 3], {"dice": 0, "change": 0, "truth_change": 1, "temporal_error": 1}),
        (bars(None, 5, 5, 15), [1, 3], {"dice": 1, "change": math.nan, "truth_change": math.nan}),
        (bars(None, None, None, None), [0], {"dice": math.nan, "specificity": 1, "cldice": math.nan}),
    ],
)
def test_only_labelled_frames_count(pred, frames, figures):
    found = figures_of(score_clip(pred, TRUTH, frames))
    assert set(found) == set(FIGURES)
    assert {name: found[name] for name in figures} == pytest.approx(figures, nan_ok=True)


@pytest.fixture
def cines(tmp_path):
    """Three cines of 4 frames whose brightness says which they are; in the second only two frames are labelled."""
    for number, frames in enumerate(([0, 1, 2, 3], [1, 2], [0, 1, 2, 3])):
        cine = Cine(frames=np.full(TRUTH.shape, number, np.uint8), times_ms=np.arange(4) * 66.0)
        write_cine(tmp_path / f"run{number}.nrrd", cine)
        write_label(tmp_path / f"run{number}_label.nrrd", TRUTH, cine, frames)
    return tmp_path


def predict_shifted(image, frames):
    """Right in the first cine, wrong in one frame of the second, and in all of the third."""
    return {0: TRUTH, 1: bars(None, 5, 20, 15), 2: bars(None, 15, 20, 25)}[int(image[0, 0, 0])]


def test_models_are_scored_cine_by_cine_and_the_worst_frames_drawn(cines):
    asked = []

    def predict_nothing(image, frames):
        asked.append(frames)
        return np.zeros(image.shape, np.uint8)

    evaluation = evaluate_clips(clip_pairs(cines), {"A": predict_nothing, "B": predict_shifted}, worst=5)
    assert asked == [[0, 1, 2, 3], [1, 2], [0, 1, 2, 3]]
    assert [result.cine for result in evaluation.results["B"]] == ["run0.nrrd", "run1.nrrd", "run2.nrrd"]
    assert [result.figures["dice"] for result in evaluation.results["B"]] == [1, 0.5, 0]
    assert [result.figures["dice"] for result in evaluation.results["A"]] == [0, 0, 0]
    captions = [caption for caption, _ in evaluation.worst]
    wrong = [("run1", 2), ("run2", 1), ("run2", 2), ("run2", 3)]
    assert sorted(captions[:4]) == [f"{cine}.nrrd, frame {frame}: Dice 0.00" for cine, frame in wrong]
    assert captions[4].endswith("Dice 1.00")
    assert all(len(pictures) == 4 for _, pictures in evaluation.worst)


@example([0.0, 1e-284], 1)  # its square is 0
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 3))
def test_laws_of_intervals(values, cines):
    found = mean_interval(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.units == len(values)
    if len(values) == 1:
        assert math.isnan(found.low)
        return
    known = (
        stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values)) if np.std(values) else values[:2]
    )
    assert (found.low, found.high) == pytest.approx(known, abs=1e-6)
    # As many cines of each patient tell no more than one.
    again = mean_interval(
        [v for v in values for _ in range(cines)], [n for n in range(len(values)) for _ in range(cines)]
    )
    assert (again.mean, again.low, again.high) == pytest.approx((found.mean, found.low, found.high))
    assert again.units == found.units


def test_cines_of_one_patient_are_not_independent():
    values, patients = [0.0, 0.2] * 5 + [0.8, 1.0] * 5, [0] * 10 + [1] * 10
    together, apart = mean_interval(values, patients), mean_interval(values)
    assert (together.mean, together.units) == (apart.mean, 2)
    assert together.high - together.low > 10 * (apart.high - apart.low)
    assert mean_interval([math.nan, 1.0]).mean == 1


@pytest.mark.parametrize(
    ("cines", "least"),
    [([1, 2, 3], 0.92), ([1] * 6, 0.92), ([1, 2, 3] * 4, 0.92), ([10] + [1] * 11, 0.9), ([20] + [1] * 5, 0.86)],
    ids=str,
)
def test_an_interval_holds_the_truth_as_often_as_it_says(cines, least):
    """Cines of a patient share what is the patient's."""
    rng = np.random.default_rng(len(cines))
    units = len(cines)
    patients = [number for number, count in enumerate(cines) for _ in range(count)]
    held = 0
    for _ in range(1000):
        own = rng.normal(size=units)[patients] + 0.3 * rng.normal(size=len(patients))
        found = mean_interval(own.tolist(), patients)
        held += found.low <= 0 <= found.high
    assert least <= held / 1000 <= 0.98


@pytest.mark.parametrize(
    ("gaps", "more_is_better", "says"),
    [
        ([0.1] * FEWEST, True, "B is better than A"),
        ([-0.1] * FEWEST, True, "B is worse than A"),
        ([-0.1] * FEWEST, False, "B is better than A"),
        ([0.1, -0.1] * FEWEST, True, "no difference is shown"),
        ([0.1] * (FEWEST - 1), True, "no verdict"),
        ([], True, "nothing to compare"),
    ],
)
def test_verdicts(gaps, more_is_better, says):
    assert says in verdict("Dice", mean_interval(gaps), more_is_better)


def test_a_verdict_of_seeds_names_the_networks_and_rests_on_three():
    line = verdict("IoU", mean_interval([0.1, 0.11, 0.12]), True, ("2D", "3D-2D"), "seeds", FEWEST_SEEDS)
    assert line.startswith("IoU, 3D-2D against 2D: +0.1100 (95 % interval ")
    assert line.endswith(", n = 3): 3D-2D is better than 2D.")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    clip = simulate_clip(5, frames=12, size=(128, 128))
    write_clip(folder / "clip_0000", clip)
    return folder, clip


def test_the_key_frame_is_looked_up_in_the_truth(simulated):
    folder, clip = simulated
    lengths = true_lengths(folder / "clip_0000")
    assert lengths.shape == (12,)
    assert (lengths[~clip.vessels.any(axis=(1, 2))] == 0).all()
    assert lengths[clip.best_frame] > 0.8 * lengths.max()
    best = score_key_frame(clip.frames, clip.vessels, lengths)
    assert best.share > 0.8 and not best.before_contrast
    early = np.roll(clip.vessels, -int(clip.best_frame), axis=0)
    assert score_key_frame(clip.frames, early, lengths).share < best.share
    assert score_key_frame(clip.frames, 0 * clip.vessels, lengths).frame is None
    assert true_lengths(folder) is None


def test_simulated_clips_tell_of_their_key_frames(simulated):
    folder, clip = simulated
    evaluation = evaluate_clips(clip_pairs(folder), {"truth": lambda image, frames: clip.vessels}, worst=1)
    (result,) = evaluation.results["truth"]
    assert result.figures["dice"] == 1
    assert result.key_frame.share > 0.8


def test_labels_without_a_labelled_frame_are_told(tmp_path, simulated):
    _, clip = simulated
    cine = Cine(frames=clip.frames, times_ms=clip.times_ms)
    write_cine(tmp_path / "none.nrrd", cine)
    write_label(tmp_path / "none_label.nrrd", 0 * clip.vessels, cine, [])
    command = ["evaluate", str(tmp_path), "-o", str(tmp_path / "out"), "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "there is nothing to evaluate" in result.output) == (1, True)
    write_cine(tmp_path / "one.nrrd", cine)
    write_label(tmp_path / "one_label.nrrd", clip.vessels, cine, [clip.best_frame])
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "1 of 2 cines have a label without a labelled frame" in result.output) == (0, True)


def test_a_cine_that_cannot_be_used_costs_the_others_nothing(cines):
    (cines / "run0.nrrd").write_bytes((cines / "run0.nrrd").read_bytes()[:-9])
    lines = []
    evaluation = evaluate_clips(clip_pairs(cines), {"A": predict_shifted}, left_out=lines.append)
    assert [result.cine for result in evaluation.results["A"]] == ["run1.nrrd", "run2.nrrd"]
    assert len(lines) == 1 and str(cines / "run0.nrrd") in lines[0]
    with pytest.raises(AngioSegError, match="run0"):
        evaluate_clips(clip_pairs(cines), {"A": predict_shifted})
    for number in (1, 2):
        (cines / f"run{number}.nrrd").write_bytes(b"")
    with pytest.raises(AngioSegError, match="run2"):
        evaluate_clips(clip_pairs(cines), {"A": predict_shifted}, left_out=lines.append)


def test_the_command_leaves_out_and_tells_what_cannot_be_used(cines, simulated):
    _, clip = simulated
    cine = Cine(frames=clip.frames, times_ms=clip.times_ms)
    write_cine(cines / "run0.nrrd", cine)  # its label has another size
    write_cine(cines / "run1.nrrd", cine)
    write_label(cines / "run1_label.nrrd", clip.vessels, cine, [clip.best_frame])
    write_cine(cines / "run2.nrrd", cine)
    out = cines / "out"
    command = ["evaluate", str(cines), "-o", str(out), "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    for number in (0, 2):
        assert f"warning: left out: {cines}/run{number}_label.nrrd: labels of shape" in result.output
    assert "error: 2 of 3 cines could not be used and are not in these figures." in result.output
    text = (out / "evaluation.md").read_text()
    assert f"Left out: {cines}/run0_label.nrrd: labels of shape" in text and "| run1.nrrd | A | 1 |" in text
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "evaluation.md: is already there" in result.output) == (1, True)
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 1
    assert (out / "evaluation.md").read_text() == text


def test_the_command(tmp_path, simulated):
    """With the weights that ship, on two cines of which one frame each is labelled."""
    _, clip = simulated
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    cine = Cine(frames=clip.frames, times_ms=clip.times_ms)
    for name in ("one", "two"):
        write_cine(data / f"{name}.nrrd", cine)
        write_label(data / f"{name}_label.nrrd", clip.vessels, cine, [clip.best_frame])
    options = ["--frangi", "--temporal", "--device", "cpu"]
    result = CliRunner().invoke(app, ["evaluate", str(data), "-o", str(out), *options])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.csv", "evaluation.md", "frames.csv", "worst.png"]
    with (out / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["cine"], row["model"]) for row in rows] == [
        (f"{cine}.nrrd", model) for model in ("Frangi", "A") for cine in ("one", "two")
    ]
    frame = clip.best_frame
    mask = network_predictor(Segmenter(device="cpu"))(clip.frames, [frame])
    figures = figures_of(score_clip(mask, clip.vessels, [frame]))
    assert float(rows[2]["dice"]) == pytest.approx(figures["dice"], abs=1e-3)
    text = (out / "evaluation.md").read_text()
    assert "A: the weights that come along (SHA-256 " in text and f"Data: {data}" in text
    assert "| A | 2 |" in text and "temporal error" in text and "Student's t" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["{empty}", "-o", "{out}"], "no labelled clips here"),
        (["{data}", "-o", "{out}", "--model", "{empty}/none.pt"], "no such weights file"),
        (["{data}", "-o", "{out}", "--model", "a", "--model", "b", "--model", "c"], "one model or two"),
    ],
)
def test_what_the_command_refuses_in_one_line(tmp_path, cines, arguments, line):
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"empty": empty, "data": cines, "out": tmp_path / "out"}
    result = CliRunner().invoke(app, ["evaluate", *(text.format(**places) for text in arguments)])
    assert result.exit_code in (1, 2)
    assert line in result.output
    assert not (tmp_path / "out").exists()


def test_temporal_figures_agree_with_the_metric():
    from angioseg.metrics import TemporalErrorMetric

    pred = bars(5, 5, 20, 15)
    metric = TemporalErrorMetric()
    metric(*(torch.from_numpy(mask[None, None]) for mask in (pred, TRUTH)))
    found = figures_of(score_clip(pred, TRUTH, range(4)))["temporal_error"]
    assert found == pytest.approx(metric.aggregate().item())
