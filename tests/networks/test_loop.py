"""The simulated loop: what it measures, writes and draws."""

import csv
import gc

import numpy as np
import pytest
from angioseg.cli import app
from angioseg.errors import AngioSegError
from angioseg.loop import (
    Point,
    compare,
    draw_curves,
    frames_needed,
    read_points,
    simulate_loop,
    untrained_weights,
    write_points,
)
from angioseg.nets import CENet3D2D
from PIL import Image
from typer.testing import CliRunner

POINTS = [
    Point(strategy, seed, frames, value + seed / 10, frames // 4)
    for strategy, values in (("cine", (0.1, 0.6)), ("random", (0.1, 0.4)))
    for seed in (0, 1)
    for frames, value in zip((0, 4), values)
]


def test_points_are_written_as_they_are(tmp_path):
    write_points(tmp_path / "loop.csv", POINTS)
    with (tmp_path / "loop.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(POINTS)
    assert rows[3] == {"strategy": "cine", "seed": "1", "frames": "4", "dice": "0.7000", "version": "1"}


def test_a_curve_goes_through_the_means(tmp_path):
    draw_curves(tmp_path / "loop.png", POINTS)
    pixels = np.asarray(Image.open(tmp_path / "loop.png").convert("RGB")).astype(int)
    end = pixels[20:541, 938]  # just before the last point; Dice 1 is row 20, Dice 0 row 540
    for colour, value in (((27, 96, 170), 0.65), ((200, 70, 30), 0.45)):
        rows = np.flatnonzero((abs(end - colour) < 30).all(axis=1))
        assert rows.mean() == pytest.approx(520 * (1 - value), abs=4)


def test_points_are_read_as_they_were_written(tmp_path):
    write_points(tmp_path / "loop.csv", POINTS)
    assert read_points(tmp_path / "loop.csv") == POINTS
    assert read_points(tmp_path / "none.csv") == []
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AngioSegError, match=r"other\.csv: was not written by simulate-loop"):
        read_points(tmp_path / "other.csv")


def curve(strategy, *dices, seed=0, step=4):
    return [Point(strategy, seed, number * step, dice, 0) for number, dice in enumerate(dices)]


@pytest.mark.parametrize(
    ("dices", "needed"),
    [
        ((0.1, 0.5, 0.9), 2 * 4),  # 95 % of 0.9474 is 0.9
        ((0.1, 0.8, 1.0), 1.5 * 4),
        ((0.1, 0.95, 0.2), 4 * (0.8 / 0.85)),
        ((0.9, 0.1, 0.1), 0),
        ((0.1, 0.5, 0.8), None),
    ],
)
def test_frames_needed_are_read_off_the_curve(dices, needed):
    full = curve("all", 0.1, 0.5, 0.9 / 0.95, step=20)
    found = frames_needed([*curve("cine", *dices), *full, *curve("cine", 0.1, 0.2, seed=1)])
    assert found == {"cine": {0: needed if needed is None else pytest.approx(needed)}}


def test_strategies_are_compared_seed_by_seed():
    points = [*curve("cine", 0.1, 0.5, 0.7), *curve("random", 0.1, 0.4, 0.6)]
    points += [
        *curve("cine", 0.3, 0.9, 0.9, seed=1),
        *curve("random", 0.3, 0.6, 0.6, seed=1),
        *curve("cine", 0, 1, seed=2),
    ]
    found = compare(points, "cine", "random")
    assert (found.mean, found.units) == (pytest.approx(0.2), 2)
    assert found.high - found.mean == pytest.approx(12.706 * 0.1, rel=1e-3)  # Student's t of one degree of freedom
    assert compare(points, "cine", "all").units == 0


def test_all_labels_are_a_level_line(tmp_path):
    full = [Point("all", 0, frames, value, 0) for frames, value in ((0, 0.1), (60, 0.8), (60, 0.9))]
    # One seed: no bands lie over the line.
    draw_curves(tmp_path / "loop.png", [*(point for point in POINTS if point.seed == 0), *full])
    column = np.asarray(Image.open(tmp_path / "loop.png").convert("RGB")).astype(int)[20:541, 900]
    level = np.flatnonzero((abs(column - 90) < 5).all(axis=1))
    assert level.mean() == pytest.approx(520 * (1 - 0.9), abs=2)


def test_what_was_measured_is_not_measured_again(tmp_path):
    small = ["--strategies", "cine,random", "--seeds", "2", "-o", str(tmp_path)]
    (tmp_path / "loop.json").write_text('{"clips": 5}')  # of a run that came to nothing
    refused = CliRunner().invoke(app, ["simulate-loop", *small, "--start", "nofile.pt"])
    assert (refused.exit_code, "nofile.pt: no such weights file" in refused.output) == (1, True)
    (tmp_path / "loop.json").unlink()
    write_points(tmp_path / "loop.csv", POINTS)
    result = CliRunner().invoke(app, ["simulate-loop", *small, "--strategies", "cine,random,cine"])
    assert result.exit_code == 0, result.output
    assert read_points(tmp_path / "loop.csv") == POINTS
    assert Image.open(tmp_path / "loop.png").size == (960, 600)
    assert "cine - random: +0.2000 Dice over the curve, 95 % interval" in result.output
    other = CliRunner().invoke(app, ["simulate-loop", *small, "--clips", "13"])
    assert other.exit_code == 1
    assert "was begun with clips 12, not 13; give another folder." in " ".join(other.output.split())


def test_one_seed_is_drawn_too(tmp_path):
    draw_curves(tmp_path / "loop.png", [point for point in POINTS if point.seed == 0])
    assert Image.open(tmp_path / "loop.png").size == (960, 600)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--strategies", "cine,best"], "'best'"),
        (["--size", "9"], "'9'"),
        (["--rounds", "0"], "--rounds"),
        (["--learning-rate", "-1"], "--learning-rate"),
    ],
)
def test_wrong_options_are_told(tmp_path, options, line):
    result = CliRunner().invoke(app, ["simulate-loop", "-o", str(tmp_path / "out"), *options])
    assert result.exit_code == 2
    assert line in result.output
    assert not (tmp_path / "out").exists()


def test_networks_of_its_trainings_do_not_pile_up(tmp_path):
    def networks():
        return {id(one) for one in gc.get_objects() if type(one) is CENet3D2D}

    gc.collect()
    before = networks()
    untrained_weights(tmp_path / "model.pt")
    size = {"clips": 3, "held_out": 1, "frames": 4, "size": (96, 96), "rounds": 1, "per_round": 3, "grid": (96, 96)}
    training = {"max_epochs": 1, "iterations_per_epoch": 1, "batch_size": 1, "crop": [96, 96]}
    points = simulate_loop("random", 0, weights=tmp_path / "model.pt", device="cpu", **size, **training)
    assert [point.frames for point in points] == [0, 3]
    assert networks() <= before


@pytest.mark.slow
def test_the_whole_loop(tmp_path):
    size = ["--clips", "3", "--held-out", "1", "--frames", "4", "--rounds", "2", "--per-round", "3", "--seeds", "1"]
    training = ["--epochs", "2", "--iterations", "4", "--batch-size", "1", "--device", "cpu"]
    result = CliRunner().invoke(app, ["simulate-loop", "-o", str(tmp_path / "out"), *size, *training])
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "loop.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["strategy"], row["frames"]) for row in rows] == [
        (strategy, frames)
        for strategy, counts in (("cine", "036"), ("random", "036"), ("all", ("0", "12", "12")))
        for frames in counts
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"loop.csv", "loop.png", "loop.json"}
