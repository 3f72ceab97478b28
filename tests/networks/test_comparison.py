"""The paper's comparison at its very smallest: three networks, one step each."""

import csv
import shutil
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from angioseg.cine import Cine, read_cine, write_cine, write_label
from angioseg.cli import app
from angioseg.comparison import COLUMNS, Protocol, compare, simulate_data
from angioseg.data import read_clip
from angioseg.errors import AngioSegError
from angioseg.nets import CENet3D2D, save_weights
from angioseg.simulation import simulate_clip
from PIL import Image
from typer.testing import CliRunner

TRAINED = ("N0_seed0", "N1_seed0", "N2_seed0")
FILES = {"figure2.png", "protocol.json", "runs.csv", "table1.csv", "table1.md"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A cine that runs backwards: vessels in the first frames, which test when the seed is 0."""
    folder = tmp_path_factory.mktemp("data")
    clip = simulate_clip(3, frames=6, size=(64, 64))
    cine = Cine(frames=clip.frames[::-1].copy(), times_ms=clip.times_ms)
    write_cine(folder / "run.nrrd", cine)
    write_label(folder / "run_label.nrrd", clip.vessels[::-1].copy(), cine, range(6))
    return folder


@pytest.fixture
def short(data, tmp_path):
    """Its first two frames, to be changed."""
    cine, label = read_cine(data / "run.nrrd"), read_cine(data / "run_label.nrrd")
    (tmp_path / "data").mkdir()
    cine = Cine(frames=cine.frames[:2], times_ms=cine.times_ms[:2])
    write_cine(tmp_path / "data" / "run.nrrd", cine)
    write_label(tmp_path / "data" / "run_label.nrrd", label.frames[:2], cine, range(2))
    return tmp_path / "data", cine


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    options = (
        "--seeds 1 --crop 192 --epochs 1 --iterations 1 --batch-size 1 --encoder none --recipe modern --device cpu"
    )
    command = ["compare", "-o", str(out), "--data", str(data), *options.split()]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return out, command


def test_the_table_names_files_and_not_where_they_lie(data):
    training = (("pretrained", "/home/somebody/resnet34.pth"), ("crop", [192, 192]), ("train#x", "$1"))
    protocol = Protocol(str(data), partition="patients", recipe="modern", training=training)
    recipe = "recipe: modern with pretrained resnet34.pth, crop [192, 192]"
    told = f"Data: {data.name}; clips: 1; partition: patients"
    assert protocol.described() == f"{told}; {recipe}"
    assert protocol.described({0}) == f"{told}; weights given for N = 0; {recipe}"
    assert protocol.described({0, 1, 2}) == f"{told}; weights given for N = 0, 1, 2"


def test_table_and_figure_are_the_papers(compared):
    out, _ = compared
    assert {path.name for path in out.iterdir()} == {*FILES, *TRAINED}
    lines = (out / "table1.md").read_text().splitlines()
    assert sum(line.endswith("(n = 1); no verdict: 3 seeds are needed.") for line in lines) == 6
    assert sum(" CE-Net is better than " in line for line in lines) == 0
    assert [line.split(" | ")[0] for line in lines[2:5]] == [
        "| 2D CE-Net",
        "| 3D-2D CE-Net, N = 1",
        "| 3D-2D CE-Net, N = 2",
    ]
    with (out / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [(run["N"], run["seed"]) for run in runs] == [("0", "0"), ("1", "0"), ("2", "0")]
    assert set(COLUMNS) < set(runs[0])
    assert all(0 <= float(run["mean_iou"]) <= 1 and 0 <= float(run["paper_specificity"]) <= 1 for run in runs)
    assert Image.open(out / "figure2.png").width > 5 * 300
    for name, window in zip(TRAINED, (None, 3, 5)):
        state = torch.load(out / name / "model.pt", weights_only=True)
        found = state["fusion.conv3d.weight"].shape[2] if window else "fusion.conv3d.weight" in state
        assert found == (window or False)
        assert sorted(path.name for path in (out / name).iterdir()) == ["figures.json", "model.pt"]


def test_what_is_done_is_not_done_again(compared):
    out, command = compared
    done = {path: path.stat().st_mtime_ns for name in TRAINED for path in (out / name).iterdir()}
    table = (out / "table1.csv").read_bytes()
    (out / "table1.csv").unlink()
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "training" not in result.output
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert (out / "table1.csv").read_bytes() == table


def test_another_protocol_is_refused(compared):
    _, command = compared
    result = CliRunner().invoke(app, [*command, "--epochs", "2"])
    assert (result.exit_code, "another protocol" in result.output) == (1, True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """N -> a file for the one seed."""
    folder = tmp_path_factory.mktemp("weights")
    for neighbors in (0, 1, 2):
        torch.manual_seed(neighbors)
        save_weights(CENet3D2D(num_neighbors=neighbors), folder / f"{neighbors}.pt")
    return {neighbors: [folder / f"{neighbors}.pt"] for neighbors in (0, 1, 2)}


def test_given_weights_are_not_trained(data, weights, tmp_path):
    out = tmp_path / "out"
    (out / "N0_seed0").mkdir(parents=True)
    (out / "protocol.json").write_text('{"data": "of a run that came to nothing, which binds nobody"}')
    protocol = Protocol(str(data))
    table = compare(protocol, out, seeds=1, weights=weights, device="cpu")
    assert [row[1] for row in table] == ["N", "0", "1", "2"]
    assert not list(out.glob("*/model.pt"))
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(AngioSegError, match="is a network of N = 1, not 0"):
        compare(protocol, other, seeds=1, weights={**weights, 0: weights[1]}, device="cpu")


def test_labels_that_have_changed_do_not_come_into_the_old_table(short, weights, tmp_path):
    (folder, cine), out = short, tmp_path / "out"
    out.mkdir()
    protocol = Protocol(str(folder), partition="all")
    before = compare(protocol, out, seeds=1, weights=weights, device="cpu")
    assert compare(protocol, out, seeds=1, weights=weights, device="cpu") == before
    write_label(folder / "run_label.nrrd", np.eye(64, dtype=np.uint8)[None].repeat(2, 0), cine, range(2))
    with pytest.raises(AngioSegError, match="has changed since"):
        compare(protocol, out, seeds=1, weights=weights, device="cpu")


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--device", "gpu"], "device 'gpu' cannot be used here"),
        (["--weights", "2=nofile.pt"], "nofile.pt: no such weights file"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_refused_leaves_nothing(data, weights, tmp_path, monkeypatch, wrong, line):
    monkeypatch.chdir(tmp_path)
    command = ["compare", "-o", "out", "--partition", "all", "--seeds", "1"]
    given = [["--data", str(data)], ["--device", "cpu"], *(["--weights", f"{n}={weights[n][0]}"] for n in (0, 1, 2))]
    at = max(number for number, option in enumerate(given) if option[0] == wrong[0])
    result = CliRunner().invoke(app, [*command, *chain(*given[:at], wrong, *given[at + 1 :])])
    assert (result.exit_code, line in result.output) == (1, True), result.output
    assert not (tmp_path / "out").exists()


def test_frames_that_show_no_vessel_compare_nothing(short, weights, tmp_path):
    (folder, cine), out = short, tmp_path / "out"
    out.mkdir()
    write_label(folder / "run_label.nrrd", np.zeros(cine.shape, np.uint8), cine, range(2))
    with pytest.raises(AngioSegError, match="no frame that tests shows a vessel"):
        compare(Protocol(str(folder), partition="all"), out, seeds=1, weights=weights, device="cpu")


def test_a_seed_whose_frames_show_no_vessel_is_not_counted(data, weights, tmp_path):
    """The cine's last frames, which test with some seeds, are before contrast."""
    seeds = 2
    given = {neighbors: files * seeds for neighbors, files in weights.items()}
    ends = [read_clip(clip)[1].any() for seed in range(seeds) for clip in Protocol(str(data)).sides(seed)[1]]
    assert ends[0] and not all(ends)
    compare(Protocol(str(data)), tmp_path, seeds=seeds, weights=given, device="cpu")
    empty = ", ".join(str(seed) for seed, shows in enumerate(ends) if not shows)
    assert f"their tested frames show no vessel: seeds {empty}." in (tmp_path / "table1.md").read_text()
    with (tmp_path / "runs.csv").open() as file:
        assert [bool(run["iou"]) for run in csv.DictReader(file)] == ends * 3


def test_simulated_clips_are_made_once(tmp_path):
    plan = tuple({"seed": seed, "frames": 3, "size": (64, 64)} for seed in (1, 2))
    protocol = Protocol(str(tmp_path / "data"), simulated=plan)
    simulate_data(protocol, tmp_path)
    first, second = (tmp_path / "data" / f"clip_{n:04d}" for n in (0, 1))
    made = first.stat().st_mtime_ns
    shutil.rmtree(second)  # as if the first run had been ended before it
    steps = []
    simulate_data(protocol, tmp_path, lambda done, total: steps.append((done, total)))
    assert first.stat().st_mtime_ns == made
    assert second.is_dir()
    assert steps == [(1, 2), (2, 2)]
    with pytest.raises(AngioSegError, match=r"under another protocol \(simulated\)"):
        simulate_data(replace(protocol, simulated=plan[:1]), tmp_path)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    simulate_data(replace(protocol, data=str(moved / "data")), moved)
    assert (moved / "data" / first.name).stat().st_mtime_ns == made


def test_a_clip_without_a_label_for_training_does_not_stop_the_others(data, weights, tmp_path):
    folder = shutil.copytree(data, tmp_path / "data")
    cine = read_cine(folder / "run.nrrd")
    write_cine(folder / "a.nrrd", cine)
    write_label(folder / "a_label.nrrd", np.zeros(cine.shape, np.uint8), cine, [0])  # which tests
    command = ["compare", "-o", str(tmp_path / "out"), "--data", str(folder), "--recipe", "modern", "--device", "cpu"]
    options = "--seeds 1 --crop 192 --epochs 1 --iterations 1 --batch-size 1 --encoder none"
    options += f" --weights 1={weights[1][0]} --weights 2={weights[2][0]}"
    result = CliRunner().invoke(app, [*command, *options.split()])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--partition", "all"], "leaves nothing to train on"),
        (["--weights", "1=a.pt"], "3 files, one for each seed"),
        (["--weights", "3=a.pt"], "N 0, 1 or 2"),
        (["--crop", "256"], "the paper's recipe crops nothing"),
        (["--recipe", "best"], "modern or paper"),
        (["--partition", "frames"], "time, patients or all"),
        (["--encoder", "none", "--data", "nowhere"], "nowhere: no such folder"),
        (["--data", "nowhere", "--frames", "12"], "are taken as they are"),
        (["--data", "nowhere", "--clips", "2", "--size", "64x64"], "are taken as they are"),
        (["--size", "64x64", "--frames", "12"], "give --clips"),
        (["--size", "64", "--clips", "2"], "as 512x512"),
    ],
)
def test_what_is_refused_in_one_line(tmp_path, options, line):
    command = ["compare", "-o", str(tmp_path / "out"), "--device", "cpu"]
    command += [] if {"--data", "--size"} & {*options} else ["--data", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code in (1, 2)
    assert line in result.output
