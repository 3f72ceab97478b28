"""Training further: a better model comes out, a worse one does not, and what was there is not touched."""

import hashlib
import json

import numpy as np
import pytest
from angioseg.cine import Cine, write_cine, write_label
from angioseg.errors import AngioSegError
from angioseg.paths import bundle_dir
from angioseg.segmentation import Segmenter
from angioseg.simulation import simulate_clip
from angioseg.versions import Versions

SMALL = {"device": "cpu", "grid": [192, 192], "crop": [192, 192], "batch_size": 1, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two clips of 6 frames with two labelled frames each."""
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for seed in (100, 101):
        clip = simulate_clip(seed, frames=6, size=(192, 192))
        cine = Cine(frames=clip.frames, times_ms=clip.times_ms)
        write_cine(folder / f"{seed}.nrrd", cine)
        write_label(folder / f"{seed}_label.nrrd", clip.vessels, cine, [3, 4])
        made.append({"image": str(folder / f"{seed}.nrrd"), "label": str(folder / f"{seed}_label.nrrd")})
    return made


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_better_model_is_the_next_version(tmp_path, clips, spoilt):
    shipped = digest(bundle_dir())
    versions = Versions(tmp_path / "models", spoilt)
    told, left_out = [], []
    unfit = {"image": clips[0]["image"], "label": str(tmp_path / "label.nrrd")}
    write_label(unfit["label"], np.ones((3, 192, 192), np.uint8), np.arange(3.0), [1])
    steps = {"max_epochs": 1, "iterations_per_epoch": 3, "progress": told.append, "left_out": left_out.append}
    result = versions.train([unfit, *clips[:1]], [*clips[1:], unfit], **SMALL, **steps)
    assert result.better
    assert result.dice > result.dice_before
    assert (result.train_frames, result.val_frames, result.stopped) == (2, 2, False)
    version = versions.current()
    assert (version.number, version.name) == (1, "0.1.0+1")
    changelog = json.loads((version.bundle / "configs" / "metadata.json").read_text())["changelog"]
    assert changelog["0.1.0+1"] == f"from 0.1.0: {result}"
    assert digest(bundle_dir()) == shipped
    assert [path.name for path in versions.root.iterdir()] == ["1"]
    assert len(left_out) == 2
    assert all("do not fit images of shape" in line for line in left_out)
    assert (told[0].epoch, told[0].loss) == (0, None)
    assert (told[-1].epoch, told[-1].seconds_left) == (1, 0.0)
    assert told[-1].val_dice == told[-1].best_dice == result.dice
    assert Segmenter(version.weights, "cpu", bundle=version.bundle).model["version"] == "0.1.0+1"


@pytest.mark.parametrize(("accept_worse", "version"), [(False, 0), pytest.param(True, 1, marks=pytest.mark.slow)])
def test_a_worse_model_comes_out_only_when_asked_for(tmp_path, clips, accept_worse, version):
    versions = Versions(tmp_path / "models")
    # A rate that ruins any network.
    result = versions.train(
        clips[:1],
        clips[1:],
        **{**SMALL, "learning_rate": 0.5},
        max_epochs=1,
        iterations_per_epoch=2,
        accept_worse=accept_worse,
    )
    assert result.better == accept_worse
    assert versions.current().number == version
    assert len(list(versions.root.iterdir())) == version


def test_stopping_keeps_the_best_so_far(tmp_path, clips, spoilt):
    versions = Versions(tmp_path / "models", spoilt)
    epochs = []
    result = versions.train(
        clips[:1],
        clips[1:],
        **SMALL,
        max_epochs=1000,
        iterations_per_epoch=3,
        progress=lambda now: epochs.append(now.epoch),
        stop=lambda: epochs[-1] == 2,
    )
    assert result.stopped
    assert result.better
    assert max(epochs) == 2
    assert versions.current().number == 1


@pytest.mark.parametrize(("side", "line"), [("val", "show no vessel"), ("train", "no usable frame")])
def test_frames_without_vessel_do_not_do(tmp_path, clips, side, line):
    cine = Cine(frames=np.zeros((3, 192, 192), np.uint8), times_ms=np.arange(3.0))
    write_cine(tmp_path / "cine.nrrd", cine)
    write_label(tmp_path / "label.nrrd", cine.frames, cine, [1])
    empty = [{"image": str(tmp_path / "cine.nrrd"), "label": str(tmp_path / "label.nrrd")}]
    versions = Versions(tmp_path / "models")
    with pytest.raises(AngioSegError, match=line):
        versions.train(*((clips, empty) if side == "val" else (empty, clips)), **SMALL, max_epochs=1)
    assert list(versions.root.iterdir()) == []


def test_a_version_that_lost_its_weights_is_not_in_the_next_ones_way(tmp_path, clips, spoilt):
    versions = Versions(tmp_path / "models", spoilt)
    (versions.root / "1").mkdir(parents=True)
    (versions.root / "1" / "notes.txt").touch()
    result = versions.train(clips[:1], clips[1:], **SMALL, max_epochs=1, iterations_per_epoch=3)
    assert (result.better, versions.current().number) == (True, 2)
