"""Which values of a label are vessel: the same in a training's frames, in a scoring and in what a client submits."""

import numpy as np
import pytest
from angioseg.cine import Cine, read_label, write_cine, write_label
from angioseg.versions import Versions
from fastapi import HTTPException
from lib.cines import CineCache
from lib.datastore import CineDatastore
from lib.infer import SharedSegmenter
from lib.predictions import Predictions
from lib.scoring import CineScoring
from lib.train import CineTrainTask

SIZE = (64, 64)


@pytest.fixture
def versions(tmp_path, weights):
    return Versions(tmp_path / "models", weights)


@pytest.fixture
def store(tmp_path):
    """Three cines of two frames of noise."""
    (tmp_path / "studies" / "labels" / "final").mkdir(parents=True)
    for seed in range(3):
        frames = np.random.default_rng(seed).integers(256, size=(2, *SIZE), dtype=np.uint8)
        write_cine(tmp_path / "studies" / f"run{seed}.nrrd", Cine(frames, np.arange(2.0)))
    return CineDatastore(str(tmp_path / "studies"))


def put(store, image, labels):
    """Put a label there by hand."""
    path = f"{store._datastore_path}/labels/final/{image}.nrrd"
    write_label(path, labels, store.read_image(image), [0, 1])
    store.refresh()


@pytest.mark.parametrize("vessel", [1, 255])
def test_a_scoring_leaves_a_catheter_out(store, versions, tmp_path, vessel):
    segmenter = SharedSegmenter(versions, "cpu")
    cine = store.read_image("run0")
    found = segmenter(cine, "all").mask
    labels = found * np.uint8(vessel)
    labels[:, :8][labels[:, :8] == 0] = 64
    put(store, "run0", labels)
    scored = CineScoring(segmenter, CineCache(1 << 20), Predictions(tmp_path / "predictions"))({}, store)
    assert found.any()
    assert [frame["dice"] for frame in scored["images"]["run0"]["frames"]] == [1, 1]


def test_a_training_needs_vessels_not_catheters(store, versions):
    task = CineTrainTask(versions, "cpu")
    catheter = np.full((2, *SIZE), 2, np.uint8)
    vessel = catheter.copy()
    vessel[1, :8] = 1
    put(store, "run0", vessel)
    put(store, "run1", catheter)
    with pytest.raises(HTTPException) as caught:
        task.job({}, store)
    assert caught.value.detail.endswith("; 1 has any.")
    put(store, "run1", vessel)
    job = task.job({}, store)
    assert [clip["vessel_frames"] for clip in job["train_clips"] + job["val_clips"]] == [1, 1]


@pytest.mark.parametrize(("value", "taken"), [(1, True), (255, True), (2, False), (64, False)])
def test_what_is_submitted_is_told_by_the_same_rule(store, tmp_path, value, taken):
    labels = np.zeros((2, *SIZE), np.uint8)
    labels[1, :8] = value
    write_label(tmp_path / "label.nrrd", labels, [0.0, 1.0], [1])
    if taken:
        store.save_label("run0", str(tmp_path / "label.nrrd"), "final", {})
        mask, frames = read_label(store.get_label_uri("run0", "final"))
        assert (frames, mask.sum()) == ([1], 8 * SIZE[1])
        return
    with pytest.raises(HTTPException) as caught:
        store.save_label("run0", str(tmp_path / "label.nrrd"), "final", {})
    line = "The label holds values that are not vessel: 0 is background, 1 is vessel (in pictures 128 and above)"
    assert (caught.value.status_code, caught.value.detail) == (400, line)
    assert store.get_labeled_images() == []
