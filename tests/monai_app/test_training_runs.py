"""A training in a process of its own, however long the list of what it trains on."""

import subprocess
import sys
import tempfile

import lib.train
import pytest
from lib.train import TrainingRuns


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return TrainingRuns(str(tmp_path))


def test_a_long_list_of_clips_reaches_the_process_and_nothing_is_left(runs, tmp_path):
    clips = [{"image": f"{'run' * 20}{n}.dcm", "label": f"{n}.nrrd", "frames": list(range(50))} for n in range(2000)]
    job = {"root": str(tmp_path / "models"), "first": str(tmp_path / "nothing.pt"), "train_clips": clips}
    task = runs.wait(runs.start({**job, "val_clips": clips[:1]}, {})["id"])
    assert (task["status"], task["details"][-1]) == ("ERROR", "nothing.pt: no such weights file.")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_what_cannot_be_read_is_left_out_and_told(runs, tmp_path, weights):
    clip = {"image": str(tmp_path / "run.dcm"), "label": str(tmp_path / "run.nrrd")}
    job = {"root": str(tmp_path / "models"), "first": str(weights), "train_clips": [clip], "val_clips": [clip]}
    task = runs.wait(runs.start({**job, "device": "cpu"}, {})["id"])
    assert (task["status"], task["details"]) == (
        "ERROR",
        ["left out: run.dcm: no such file or folder", "the data set has no usable frame; label at least one."],
    )


def test_what_others_print_ends_no_following(runs, tmp_path, monkeypatch):
    """A library's word before the process has told its lines from theirs, and one that a kill has cut short."""
    lines = ["A new version is there!", "0", "null", '{"line": "epoch 1 of 2"}', '{"line": "epo']
    program = f"import sys; print(*{lines}, sep=chr(10)); sys.stdout.flush(); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", program, str(tmp_path / "job.json")]
    monkeypatch.setattr(lib.train, "_process", lambda job: subprocess.Popen(command, **pipes))
    task = runs.start({}, {})
    assert runs.stop()["status"] == "ERROR"
    assert runs.wait(task["id"])["details"] == ["epoch 1 of 2", "The training was killed."]


def test_a_process_that_cannot_be_started_does_not_bar_the_next(runs, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(lib.train.subprocess, "Popen", refuse)
    for _ in range(2):
        task = runs.start({}, {})
        assert task["status"] == "ERROR"
        assert task["details"] == ["The training could not be started (Cannot allocate memory)."]
    assert list(tmp_path.iterdir()) == []
