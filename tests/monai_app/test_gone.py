"""Cines that are removed while the server runs: told so, and nothing else suffers."""

import json
import os
import shutil
import tempfile
import time

import numpy as np
import pytest
from angioseg.atomic import WriteError
from angioseg.cine import Cine, read_label, write_cine, write_label
from angioseg.errors import AngioSegError
from angioseg.paths import app_dir, bundle_dir
from angioseg.versions import Versions
from fastapi import HTTPException
from lib.archive import Unreachable
from lib.cines import CineCache, NoCine
from lib.datastore import CineDatastore
from lib.infer import CineInferTask, SharedSegmenter
from lib.predictions import Predictions
from lib.scores import ScoreBoard
from lib.scoring import CineScoring
from lib.strategies import CineStrategy, Reservations
from lib.train import CineTrainTask
from monailabel.config import settings
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

IMAGE = {"image": "gone"}
LABEL = {"files": {"label": ("label.nrrd", b"")}}
NOT_GIVEN = NoCine(404, "Not to be had.")
DOWN = Unreachable("Not to be had.")


@pytest.fixture
def gone(server, studies, cine, tmp_path):
    """A cine that the server knows, with a final label, removed a moment ago; gives where it was, and its label."""
    path, label = studies / "gone.nrrd", studies / "labels" / "final" / "gone.nrrd"
    write_cine(path, cine)
    write_label(tmp_path / "label.nrrd", np.ones(cine.shape, np.uint8), cine, [1])
    files = {"label": ("label.nrrd", (tmp_path / "label.nrrd").read_bytes())}
    assert server.send("PUT", "/datastore/label", params=IMAGE, files=files).status_code == 200
    server.send("GET", "/datastore/")
    shutil.move(path, tmp_path / "renamed.nrrd")
    yield path, label
    for left in (path, label):
        left.unlink(missing_ok=True)


def test_a_cine_that_is_gone_is_told_so_and_its_label_stays(server, gone, tmp_path):
    path, label = gone
    before = label.read_bytes()
    for method, where, options in [
        ("GET", "/angioseg/cine", {"params": IMAGE}),
        ("PUT", "/datastore/label", {"params": IMAGE, **LABEL}),
        ("POST", "/infer/angioseg", {"params": IMAGE}),
        ("POST", "/infer/angioseg", {"params": IMAGE, "data": {"params": json.dumps({"save_label": True})}}),
        ("GET", "/datastore/image", {"params": IMAGE}),
        ("GET", "/datastore/image/info", {"params": IMAGE}),
        ("PUT", "/datastore/image/info", {"params": IMAGE}),
        ("DELETE", "/datastore/", {"params": {"id": "gone"}}),
        ("DELETE", "/datastore/label", {"params": {"id": "gone", "tag": "final"}}),
    ]:
        shutil.move(tmp_path / "renamed.nrrd", path)
        server.send("GET", "/angioseg/cine", params=IMAGE)
        shutil.move(path, tmp_path / "renamed.nrrd")
        reply = server.send(method, where, **options)
        assert (reply.status_code, "\n" in reply.json()["detail"]) == (404, False), where
        assert label.read_bytes() == before
    sample = server.send("POST", "/activelearning/first", json={})
    assert (sample.status_code, sample.json().get("id") == "gone") == (200, False)

    shutil.move(tmp_path / "renamed.nrrd", path)
    assert server.send("GET", "/angioseg/cine", params=IMAGE).status_code == 200
    info = server.send("GET", "/datastore/label/info", params={"label": "gone", "tag": "final"}).json()
    assert (info["annotated_frames"], info["version"]) == ([1], 1)
    assert read_label(label)[1] == [1]


@pytest.fixture
def segmenter(weights, tmp_path):
    return SharedSegmenter(Versions(tmp_path / "models", weights), "cpu")


def test_what_lies_in_the_working_folder_is_not_segmented_in_its_place(segmenter, studies, monkeypatch):
    monkeypatch.chdir(studies / "frames")
    with pytest.raises(HTTPException) as caught:
        CineInferTask(segmenter, CineCache(1 << 20))({"image": ""})
    assert (caught.value.status_code, caught.value.detail) == (404, "The cine was removed a moment ago.")


def test_another_model_under_the_number_of_one_that_was_moved_away_is_loaded(segmenter, weights, tmp_path):
    version = tmp_path / "models" / "1"
    loaded = []
    for written in (1, 2):
        shutil.copytree(bundle_dir(), version, ignore=shutil.ignore_patterns("*.pt"))
        shutil.copy(weights, version / "models" / "model.pt")
        os.utime(version / "models" / "model.pt", (written, written))
        loaded.append(segmenter.load())
        assert segmenter.load() is loaded[-1]
        version.rename(tmp_path / f"away{written}")
    assert loaded[0] is not loaded[1]


def fails(error):
    def fetch(path):
        raise error

    return fetch


@pytest.mark.parametrize(
    "fetch",
    [
        None,
        fails(NoCine(404, "The archive does not give this cine (it answered 404).")),
        fails(WriteError("No space left on device")),
        fails(RuntimeError("Doe^John.nrrd")),
        fails(MemoryError()),
    ],
)
def test_the_other_cines_are_scored(segmenter, tmp_path, caplog, fetch):
    write_cine(tmp_path / "run.nrrd", Cine(np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64), np.zeros(1)))
    cines = CineCache(1 << 20)
    cines.fetch = fetch
    board = ScoreBoard(segmenter, cines, tmp_path / "scores")
    board.want({"gone": str(tmp_path / "Doe^John.nrrd"), "run": str(tmp_path / "run.nrrd")})
    while board.wait():
        pass
    assert board.get("run").scores
    if fetch is None:
        assert board.get("gone").scores == ()
    else:
        assert board.get("gone") is None
    assert board.progress() == {"done": 2, "total": 2}
    assert "Doe" not in caplog.text
    assert "\n" not in "".join(record.getMessage() for record in caplog.records)

    # What failed is tried again when it is wanted again.
    cines.fetch = None
    shutil.copyfile(tmp_path / "run.nrrd", tmp_path / "Doe^John.nrrd")
    board.want({"gone": str(tmp_path / "Doe^John.nrrd")})
    while board.wait():
        time.sleep(0.01)
    assert board.get("gone").scores


def test_scoring_ends_where_nothing_can_be_had_of_the_archive(segmenter, tmp_path, caplog):
    asked = []

    def fetch(path):
        asked.append(path)
        raise Unreachable("The archive cannot be reached.")

    cines = CineCache(1 << 20)
    cines.fetch = fetch
    board = ScoreBoard(segmenter, cines, tmp_path / "scores")
    board.want({name: str(tmp_path / name) for name in ("a.dcm", "b.dcm")})
    with pytest.raises(HTTPException, match="The archive cannot be reached"):
        while board.wait():
            pass
    assert len(asked) == 1
    assert board.progress() == {"done": 0, "total": 2}
    assert "Scoring stopped: The archive cannot be reached." in caplog.text


class Refused(CineCache):
    """The archive gives all cines but one; or none, when it is down."""

    def __init__(self, error):
        super().__init__(1 << 20)
        self.error = error

    def read(self, path):
        if isinstance(self.error, Unreachable) or path.endswith("a.dcm"):
            raise self.error
        return super().read(path)


@pytest.mark.parametrize("name", ["first", "random", "uncertainty"])
@pytest.mark.parametrize("error", [NOT_GIVEN, DOWN], ids=["not given", "down"])
def test_a_sample_is_of_a_cine_that_can_be_had_or_tells_why_there_is_none(studies, segmenter, tmp_path, name, error):
    folder = tmp_path / "studies"
    folder.mkdir()
    for file in ("a", "b"):
        shutil.copyfile(studies / "IM000001", folder / f"{file}.dcm")
    cines = Refused(error)
    board = ScoreBoard(segmenter, cines, tmp_path / "scores")
    strategy = CineStrategy(name, board, cines, Reservations())
    if error is DOWN:
        with pytest.raises(Unreachable):
            strategy({}, CineDatastore(str(folder)))
    else:
        assert strategy({}, CineDatastore(str(folder)))["id"] == "b"


@pytest.fixture
def app(studies, weights, tmp_path, monkeypatch):
    """The app on two cines, in this process; what is temporary goes to a folder of its own."""
    from main import AngioSegApp

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(settings, "MONAI_LABEL_SESSIONS", False)
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in ("a", "b"):
        shutil.copyfile(studies / "IM000001", folder / f"{name}.dcm")
    return AngioSegApp(str(app_dir()), str(folder), {"model": str(weights), "device": "cpu"})


def test_a_mask_that_cannot_be_saved_leaves_nothing(app, tmp_path, monkeypatch):
    def refuse(*_):
        raise NoCine(404, "There is no image 'a' here.")

    monkeypatch.setattr(app.datastore(), "save_label", refuse)
    with pytest.raises(HTTPException):
        app.infer({"model": "angioseg", "image": "a", "frames": 0, "save_label": True})
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_result_that_the_disk_refuses_is_not_the_clients_fault(app, tmp_path, monkeypatch):
    def refuse(*_):
        raise WriteError("No space left on device")

    monkeypatch.setattr("lib.infer.write_label", refuse)
    with pytest.raises(WriteError):
        app.infer({"model": "angioseg", "image": "a", "frames": 0})
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("error", "images"), [(NOT_GIVEN, ["a", "b"]), (DOWN, ["a"])], ids=["not given", "down"])
def test_a_batch_goes_on_after_a_cine_that_is_not_given_and_ends_with_the_archive(app, monkeypatch, error, images):
    asked = []

    def refuse(request):
        asked.append(request["image"])
        raise error

    monkeypatch.setattr(app, "infer", refuse)
    task = app.batches.wait(app.start_batch("angioseg", BatchInferImageType.IMAGES_ALL, {})["id"])
    assert (asked, task["status"]) == (images, "ERROR" if error is DOWN else "DONE")


@pytest.fixture
def store(studies, cine, tmp_path, monkeypatch):
    """One labelled cine, removed since the store looked."""
    monkeypatch.setattr(CineDatastore, "scan_every_s", 60.0)
    folder = tmp_path / "studies"
    folder.mkdir()
    shutil.copyfile(studies / "run.dcm", folder / "run.dcm")
    store = CineDatastore(str(folder))
    write_label(tmp_path / "label.nrrd", np.ones(cine.shape, np.uint8), cine, [1])
    store.save_label("run", str(tmp_path / "label.nrrd"), "final", {})
    (folder / "run.dcm").unlink()
    return store


def test_a_scoring_goes_on_without_it(store, segmenter, tmp_path):
    scoring = CineScoring(segmenter, CineCache(1 << 20), Predictions(tmp_path / "predictions"))
    problem = {"problem": "The cine or its label was removed meanwhile."}
    assert scoring({}, store) == {"images": {"run": problem}}


@pytest.mark.parametrize("error", [NOT_GIVEN, DOWN], ids=["not given", "down"])
def test_what_an_archive_does_not_give_is_not_scored_and_not_trained_on(store, segmenter, tmp_path, monkeypatch, error):
    def refuse(image_id):
        raise error

    monkeypatch.setattr(store, "get_image_uri", refuse)
    scoring = CineScoring(segmenter, CineCache(1 << 20), Predictions(tmp_path / "predictions"))
    training = CineTrainTask(Versions(tmp_path / "models", None), "cpu")
    monkeypatch.setattr(store, "get_labeled_images", lambda: ["run"])
    if error is DOWN:
        for ask in (lambda: scoring({}, store), lambda: training.job({}, store)):
            with pytest.raises(Unreachable):
                ask()
        return
    assert scoring({}, store) == {"images": {"run": {"problem": "Not to be had."}}}
    with pytest.raises(HTTPException) as caught:
        training.job({}, store)
    assert caught.value.status_code == 400


def test_a_dataset_is_made_without_it(store):
    with pytest.raises(HTTPException) as caught:
        store.get_dataset_archive(None)
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("conf", "line"),
    [
        ({"modle": "model.pt"}, "--conf modle: there is no such key; there are model, device, cine_cache_mb."),
        ({"model": "nowhere.pt"}, "--conf model nowhere.pt: no such weights file."),
        ({"device": "cuda9"}, "device 'cuda9' cannot be used here"),
        ({"cine_cache_mb": "much"}, "--conf cine_cache_mb much: give a whole number from 0."),
        ({"cine_cache_mb": "-1"}, "--conf cine_cache_mb -1: give a whole number from 0."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_server_cannot_begin_with_is_told(tmp_path, conf, line):
    from main import AngioSegApp

    with pytest.raises(AngioSegError) as caught:
        AngioSegApp(str(app_dir()), str(tmp_path), conf)
    assert line in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_that_is_kept_to_compare_is_no_reason_to_fail(tmp_path, monkeypatch):
    def refuse(*_):
        raise WriteError("No space left on device")

    monkeypatch.setattr("lib.predictions.write_label", refuse)
    cine = Cine(np.zeros((1, 4, 4), np.uint8), np.zeros(1))
    Predictions(tmp_path).keep("1", "run", cine.frames, cine, [0])
    assert Predictions(tmp_path).compare("2", "run", cine.frames, cine, [0]) == (None, None)


def test_masks_of_another_cine_are_not_compared(tmp_path):
    """One that lay here before under the same name."""
    cines = [Cine(np.arange(16, dtype=np.uint8).reshape(1, 4, 4)[..., ::step], np.zeros(1)) for step in (1, -1)]
    mask = np.ones((1, 4, 4), np.uint8)
    Predictions(tmp_path).keep("1", "run", mask, cines[0], [0])
    assert Predictions(tmp_path).compare("2", "run", mask, cines[0], [0]) == ("1", 1.0)
    assert Predictions(tmp_path).compare("2", "run", mask, cines[1], [0]) == (None, None)
