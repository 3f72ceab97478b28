"""The simulated loop: what it measures, writes and draws."""

import csv

import numpy as np
import pytest
from angioseg.loop import Point, draw_curves, write_points
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


def test_one_seed_is_drawn_too(tmp_path):
    draw_curves(tmp_path / "loop.png", [point for point in POINTS if point.seed == 0])
    assert Image.open(tmp_path / "loop.png").size == (960, 600)


@pytest.mark.parametrize(
    ("options", "line"),
    [(["--strategies", "cine,best"], "'best'"), (["--size", "9"], "'9'"), (["--rounds", "0"], "--rounds")],
)
def test_wrong_options_are_told(tmp_path, options, line):
    from angioseg.cli import app

    result = CliRunner().invoke(app, ["simulate-loop", "-o", str(tmp_path / "out"), *options])
    assert result.exit_code == 2
    assert line in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_whole_loop(tmp_path):
    from angioseg.cli import app

    size = ["--clips", "3", "--held-out", "1", "--frames", "4", "--rounds", "2", "--per-round", "3", "--seeds", "1"]
    training = ["--epochs", "2", "--iterations", "4", "--batch-size", "1", "--device", "cpu"]
    result = CliRunner().invoke(app, ["simulate-loop", "-o", str(tmp_path / "out"), *size, *training])
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "loop.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["strategy"], row["frames"]) for row in rows] == [
        (strategy, frames) for strategy in ("cine", "random") for frames in ("0", "3", "6")
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"loop.csv", "loop.png", "start.pt"}
