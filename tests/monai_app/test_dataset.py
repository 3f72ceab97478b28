"""All labelled cines as one archive."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from angioseg.cine import read_cine, read_label, write_label
from fastapi import HTTPException
from lib.archive import Unreachable
from lib.cines import NoCine
from lib.datastore import CineDatastore

CASES = {
    "run": ["image/run.dcm"],
    "patient__run": ["image/patient__run.nrrd"],
    "frames": [f"image/frames/images/frame_{number:04}.png" for number in range(4)],
}


def names(store, limit=None):
    with zipfile.ZipFile(store.get_dataset_archive(limit)) as archive:
        assert archive.testzip() is None
        return sorted(archive.namelist())


def expected(*ids):
    cines = [name for id in ids for name in CASES[id]]
    return sorted([*cines, *(f"label/{id}.nrrd" for id in ids), "metadata.json"])


@pytest.fixture
def store(write_studies, tmp_path, monkeypatch):
    """A studies folder with three labels; archives go to the test's own temporary folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    store = CineDatastore(str(write_studies(tmp_path / "studies")))
    for id in CASES:
        cine = store.read_image(id)
        write_label(tmp_path / "label.nrrd", np.ones(cine.shape, np.uint8), cine, [1])
        store.save_label(id, str(tmp_path / "label.nrrd"), "final", {})
    return store


@pytest.mark.parametrize(
    ("limit", "ids"), [(None, list(CASES)), (9, list(CASES)), (2, ["frames", "patient__run"]), (1, ["frames"])]
)
def test_what_is_labelled_is_in_it_under_its_id(store, tmp_path, limit, ids):
    assert names(store, limit) == expected(*ids)
    if limit is None:
        zipfile.ZipFile(store.get_dataset_archive(None)).extractall(tmp_path / "unpacked")
        for id in ids:
            before = store.read_image(id)
            after = read_cine(next((tmp_path / "unpacked" / "image").glob(f"{id}*")))
            assert np.array_equal(after.frames, before.frames)
            assert read_label(tmp_path / "unpacked" / "label" / f"{id}.nrrd")[1] == [1]


def test_what_is_gone_or_not_given_is_left_out(store, monkeypatch):
    uri = store.get_image_uri

    def refuse(error):
        def get(id):
            if id == "run":
                raise error
            return "" if id == "frames" else uri(id)

        return get

    monkeypatch.setattr(store, "get_image_uri", refuse(NoCine(404, "Not to be had.")))
    assert names(store) == expected("patient__run")
    monkeypatch.setattr(store, "get_image_uri", refuse(Unreachable("Not to be had.")))
    before = sorted(Path(tempfile.gettempdir()).iterdir())
    with pytest.raises(Unreachable):
        store.get_dataset_archive(None)
    assert sorted(Path(tempfile.gettempdir()).iterdir()) == before


def test_nothing_of_it_stays_on_the_server(server, cine, tmp_path):
    write_label(tmp_path / "label.nrrd", np.ones(cine.shape, np.uint8), cine, [1])
    files = {"label": ("label.nrrd", (tmp_path / "label.nrrd").read_bytes())}
    assert server.send("PUT", "/datastore/label", params={"image": "run"}, files=files).status_code == 200
    try:
        before = sorted(server.home.iterdir())
        for limit, status in ((1, 200), (0, 422), ("x", 422)):
            reply = server.send("GET", "/datastore/dataset", params={"limit_cases": limit})
            assert reply.status_code == status
            if status == 200:
                assert "metadata.json" in zipfile.ZipFile(io.BytesIO(reply.content)).namelist()
        assert sorted(server.home.iterdir()) == before
    finally:
        server.send("DELETE", "/datastore/label", params={"id": "run", "tag": "final"})


def test_without_a_label_there_is_none(write_studies, tmp_path):
    with pytest.raises(HTTPException) as caught:
        CineDatastore(str(write_studies(tmp_path / "studies"))).get_dataset_archive(None)
    assert (caught.value.status_code, caught.value.detail) == (404, "No cine has a final label yet.")
