"""Labels, trainings and scores over HTTP: what is refused, what is told, and what is kept."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from angioseg.cine import read_label, write_label
from angioseg.nets import CENet3D2D, save_weights
from angioseg.paths import bundle_dir


@pytest.mark.parametrize(
    ("model", "params", "status", "line"),
    [
        ("angioseg", {}, 400, "Training needs labelled frames with vessels in two"),
        ("angioseg", {"client_id": "slicer", "start": ["last", "first"]}, 400, "Training needs labelled frames"),
        ("other", {}, 404, "There is no model 'other' to train; there is: angioseg."),
        ("angioseg", {"max_epochs": 0}, 400, "`max_epochs` must be a whole number from 1 to 10000, not '0'."),
        ("angioseg", {"max_epochs": 1.5}, 400, "`max_epochs` must be a whole number"),
        ("angioseg", {"max_epochs": True}, 400, "`max_epochs` must be a whole number"),
        ("angioseg", {"max_epochs": 10**400}, 400, "`max_epochs` must be a whole number"),
        ("angioseg", {"learning_rate": "fast"}, 400, "`learning_rate` must be a number from 1e-07 to 1, not 'fast'."),
        ("angioseg", {"crop": [64, 64]}, 400, "`crop` must be a whole number from 64 to 2048"),
        ("angioseg", {"val_split": None}, 400, "`val_split` must be a number from 0 to 0.5"),
        ("angioseg", {"start": "middle"}, 400, '`start` must be "last" or "first", not \'middle\'.'),
        ("angioseg", {"start": {}}, 400, "`start` must be"),
        ("angioseg", {"accept_worse": "yes"}, 400, "`accept_worse` must be true or false."),
        ("angioseg", {"max_epoch": 3}, 400, "`max_epoch` is no option; did you mean `max_epochs`?"),
        # MONAI Label's clients send these.
        ("angioseg", {"train_batch_size": 1, "val_batch_size": 1, "name": "x"}, 400, "Training needs labelled frames"),
        ("angioseg", [1], 422, "Input should be a valid dictionary"),
    ],
)
def test_a_training_that_cannot_be_is_refused_in_one_line(server, model, params, status, line):
    reply = server.send("POST", f"/train/{model}", json=params)
    assert reply.status_code == status
    assert line in reply.json()["detail"]
    assert "\n" not in reply.json()["detail"]


@pytest.mark.parametrize(
    ("query", "line"),
    [("", "There was no training so far."), ("?all=true", "There was"), ("?check_if_running=true", "No training is")],
)
def test_no_training_is_told_of(server, query, line):
    reply = server.send("GET", f"/train/{query}")
    assert (reply.status_code, reply.json()["detail"][: len(line)]) == (404, line)


def test_stopping_nothing_is_no_error(server):
    reply = server.send("DELETE", "/train/")
    assert (reply.status_code, reply.json()) == (200, None)


def test_information_offers_the_training(server):
    info = server.send("GET", "/info/").json()
    assert info["trainers"]["angioseg"]["config"]["max_epochs"] == 20
    assert info["train_stats"]["angioseg"] == {"version": "0.1.0", "trained_versions": 0}


@pytest.mark.parametrize(
    ("path", "status", "line"),
    [
        ("/activelearning/other", 404, "There is no strategy 'other' here; there is: cine, uncertainty, "),
        ("/scoring/other", 404, "There is no scoring 'other' here; there is: dice."),
    ],
)
def test_what_does_not_exist(server, path, status, line):
    reply = server.send("POST", path, json={})
    assert (reply.status_code, reply.json()["detail"][: len(line)]) == (status, line)


def test_a_strategy_is_named_by_its_path_alone(server):
    reply = server.send("POST", "/activelearning/first", json={"strategy": ["first"]})
    assert reply.status_code == 404
    assert reply.json()["detail"].startswith("There is no strategy ")


@pytest.fixture
def submit(server, tmp_path):
    """Sends a label for an image."""

    def send(mask, listed, image="IM000001", params="{}", name="label.nrrd"):
        write_label(tmp_path / "label.nrrd", mask, np.arange(float(len(mask))), listed)
        files = {"label": (name, (tmp_path / "label.nrrd").read_bytes())}
        query = {"image": image, "tag": "final"}
        return server.send("PUT", "/datastore/label", params=query, data={"params": params}, files=files)

    return send


@pytest.mark.parametrize(
    ("shape", "options", "status", "line"),
    [
        ((3, 96, 95), {}, 400, "The label is 95 x 96 x 3; its cine is 96 x 96 x 3 (x, y, t)."),
        ((3, 96, 96), {"params": '{"annotated_frames": [3]}'}, 400, "`annotated_frames` names frame 3"),
        ((3, 96, 96), {"params": '{"annotated_frames": "all"}'}, 400, "`annotated_frames` must be a list"),
        ((3, 96, 96), {"params": "{"}, 400, "`params` is not valid JSON"),
        ((3, 96, 96), {"name": "label.png"}, 400, "A label must be one of"),
        ((3, 96, 96), {"name": "x" * 300 + ".nrrd"}, 400, "The name of the uploaded file"),
        ((3, 96, 96), {"name": "a." + "b" * 250 + ".nrrd"}, 400, "The name of the uploaded file"),
        ((3, 96, 96), {"name": ".."}, 400, "The name of the uploaded file"),
        ((3, 96, 96), {"image": "nobody"}, 404, "There is no image 'nobody'"),
        ((3, 96, 96), {"image": "../evil"}, 400, "'../evil' is not a valid image id"),
    ],
)
def test_a_label_that_does_not_fit_is_refused_and_not_stored(server, studies, submit, shape, options, status, line):
    before = written(studies)
    reply = submit(np.ones(shape, np.uint8), [0], **options)
    assert reply.status_code == status
    assert reply.json()["detail"].startswith(line)
    assert written(studies) == before


def written(studies):
    """Files and when they were written; the platform's lock is, with some versions of its library, at every look."""
    return {path: path.stat().st_mtime_ns for path in studies.rglob("*") if path.name != ".lock"}


def test_the_models_own_masks_score_full_marks_and_their_absence_none(server, submit, tmp_path):
    (tmp_path / "mask.nrrd").write_bytes(server.infer('{"frames": [0, 1]}', image="IM000001", output="image").content)
    mask, _ = read_label(tmp_path / "mask.nrrd")
    assert mask[1].any()
    mask[1] = 0
    assert submit(mask, [0, 1]).status_code == 200
    reply = server.send("POST", "/scoring/dice", params={"run_sync": True})
    task = reply.json()
    assert (reply.status_code, task["status"]) == (200, "DONE")
    scores = task["result"]["images"]["IM000001"]
    assert [(one["frame"], one["dice"], one["cldice"]) for one in scores["frames"]] == [(0, 1, 1), (1, 0, 0)]
    assert (scores["dice"], scores["cldice"], scores["version"]) == (0.5, 0.5, "0.1.0")
    info = server.send("GET", "/datastore/label/info", params={"label": "IM000001", "tag": "final"}).json()
    assert info["scores"] == {"0.1.0": {"dice": 0.5, "cldice": 0.5}}
    assert server.send("GET", "/scoring/").json()["id"] == task["id"]


def files_in(folder):
    """All files below a folder, while the server may be removing some."""
    return {Path(where, name) for where, _, names in os.walk(folder) for name in names}


def upload(server, method, path, query, field, name):
    files = {field: (name, io.BytesIO(b"hello"))}
    return server.send(method, path, params=query, files=files)


@pytest.mark.parametrize(
    "name",
    ["..", "/etc/..", "/etc/", "../../evil.nrrd", "a\\b", "x" * 300, "a." + "y" * 240, "a\x07b.nrrd", "%2e%2e%2fevil"],
)
@pytest.mark.parametrize(
    ("method", "path", "query", "field"),
    [
        ("PUT", "/datastore/image", {}, "file"),
        ("PUT", "/datastore/label", {"image": "run"}, "label"),
        ("PUT", "/session/", {}, "files"),
        ("POST", "/infer/angioseg", {}, "file"),
        ("POST", "/infer/angioseg", {"image": "run"}, "label"),
    ],
)
def test_no_file_name_makes_the_server_fail_or_write_elsewhere(server, studies, method, path, query, field, name):
    before = files_in(server.home.parent)
    reply = upload(server, method, path, query, field, name)
    after = files_in(server.home.parent)
    if reply.status_code == 200:
        # What was uploaded is there for a while, in the server's own folder.
        assert all(server.home in path.parents for path in after ^ before)
    else:
        assert 400 <= reply.status_code < 500
        assert "\n" not in reply.json()["detail"]
        assert after - before == set()


def test_a_new_version_is_held_against_the_one_before(server, submit, studies, cine):
    def score():
        task = server.send("POST", "/scoring/dice", params={"run_sync": True}).json()
        return task["result"]["images"]["IM000001"]

    assert submit(np.ones((3, 96, 96), np.uint8), [0, 1], params='{"replace": true}').status_code == 200
    assert "agreement" not in score()
    # What a training leaves behind, with weights drawn anew.
    bundle = studies / "angioseg-models" / "1"
    shutil.copytree(bundle_dir(), bundle)
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    (bundle / "configs" / "metadata.json").write_text(json.dumps({**metadata, "version": "0.1.0+1"}))
    torch.manual_seed(1)
    save_weights(CENet3D2D(in_channels=1, out_channels=1, num_neighbors=1), bundle / "models" / "model.pt")
    try:
        new = score()
        assert (new["version"], new["agrees_with"]) == ("0.1.0+1", "0.1.0")
        assert 0 < new["agreement"] < 1
        info = server.send("GET", "/datastore/label/info", params={"label": "IM000001", "tag": "final"}).json()
        assert info["scores"]["0.1.0+1"]["agreement"] == new["agreement"]
    finally:
        shutil.rmtree(bundle)
    back = score()
    assert (back["version"], back["agrees_with"], back["agreement"]) == ("0.1.0", "0.1.0+1", new["agreement"])


def test_many_cines_are_segmented_one_after_the_other(server, studies):
    objects = server.send("GET", "/datastore/", params={"output": "all"}).json()["objects"]
    unlabeled = {image for image, known in objects.items() if "final" not in known["labels"]}
    (studies / "damaged.nrrd").write_bytes(b"NRRD0004\n")
    try:
        path, query = "/batch/infer/angioseg", {"images": "unlabeled", "run_sync": True}
        task = server.send("POST", path, params=query, json={"frames": 0, "label_tag": "batch"}).json()
    finally:
        (studies / "damaged.nrrd").unlink()
    assert task["status"] == "DONE", task
    assert set(task["result"]["images"]) == unlabeled
    assert list(task["result"]["problems"]) == ["damaged"]
    assert task["result"]["problems"]["damaged"].startswith("damaged.nrrd: ")
    assert task["progress"] == {"done": len(unlabeled) + 1, "total": len(unlabeled) + 1}
    for image in task["result"]["images"]:
        assert read_label(studies / "labels" / "batch" / f"{image}.nrrd")[1] == [0]
    assert server.send("GET", "/batch/infer").json()["id"] == task["id"]
    assert server.send("DELETE", "/batch/infer").json() is None


@pytest.mark.parametrize(
    ("path", "params", "status", "line"),
    [
        ("/batch/infer/other", {}, 404, "There is no model 'other' here"),
        ("/batch/infer/angioseg", {"label_tag": "final"}, 400, 'What a model says does not become a "final" label'),
        ("/batch/infer/angioseg", {"label_tag": "../x"}, 400, "'../x' is not a valid label tag"),
        ("/batch/infer/angioseg?images=some", {}, 422, "images: "),
        ("/batch/infer/angioseg", {"frame": 3}, 400, "`frame` is no option; did you mean `frames`?"),
        ("/batch/infer/angioseg", {"frames": "x"}, 400, "frames 'x': give "),
        ("/batch/infer/angioseg", {"threshold": 7}, 400, "threshold must be a number between 0 and 1"),
        ("/batch/infer/angioseg", [1], 422, "Input should be a valid dictionary"),
    ],
)
def test_a_batch_that_cannot_be_is_refused_in_one_line(server, path, params, status, line):
    reply = server.send("POST", path, json=params)
    assert (reply.status_code, reply.json()["detail"][: len(line)]) == (status, line)


@pytest.mark.parametrize("path", ["/logs/", "/logs/gpu"])
def test_the_log_is_not_given(server, path):
    reply = server.send("GET", path)
    assert (reply.status_code, reply.json()["detail"][:7]) == (404, "The log")
