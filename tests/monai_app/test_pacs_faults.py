"""An image archive that fails: which fault is whose, and what goes on meanwhile."""

import threading
import time
from pathlib import Path

import lib.archive
import pytest
import requests
from angioseg.cine import write_label
from angioseg.errors import AngioSegError
from angioseg.serve import start_server
from fastapi import HTTPException
from lib.archive import Archive
from monailabel.config import settings
from orthanc import FRAMES, USER, free_port, needs_orthanc


@needs_orthanc
def test_a_cine_that_the_archive_does_not_give_is_told_from_an_archive_that_is_down(archive, open_archive):
    uid = archive.add(45).SOPInstanceUID
    datastore = open_archive("cache")
    assert uid in datastore.list_images()
    del archive.clips[uid]
    archive.remove(uid)
    with pytest.raises(HTTPException) as caught:
        datastore.read_image(uid)
    line = "The archive does not give this cine (it answered 404)."
    assert (caught.value.status_code, caught.value.detail) == (404, line)


@needs_orthanc
def test_a_file_that_is_damaged_in_the_archive_is_its_own_fault_alone(archive, open_archive):
    uid = archive.add(48).SOPInstanceUID
    datastore = open_archive("cache")
    del archive.clips[uid]
    name = archive.send("GET", f"{archive.path(uid)}/attachments/dicom/info").json()["Uuid"]
    next(archive.folder.rglob(name)).unlink()
    with pytest.raises(HTTPException) as caught:
        datastore.read_image(uid)
    assert caught.value.status_code == 404
    archive.remove(uid)


@needs_orthanc
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (401, "it answered 401"),
        (500, "it answered 500"),
        (504, "it answered 504"),
        ("breaks off", "its answer broke off, or did not come"),
    ],
)
def test_a_fault_with_one_cine_is_told_from_an_archive_that_is_down(archive, open_archive, gateway, fault, why):
    bad, good = list(archive.clips)[:2]
    gateway.fault, gateway.broken = fault, f"instances/{bad}"
    datastore = open_archive("cache", gateway.url)
    with pytest.raises(HTTPException) as caught:
        datastore.read_image(bad)
    assert caught.value.status_code == 404
    assert caught.value.detail == f"The archive does not give this cine ({why})."
    assert datastore.read_image(good).num_frames == FRAMES
    Path(datastore.image_path(good)).unlink()
    gateway.broken = "/"
    with pytest.raises(HTTPException) as caught:
        datastore.read_image(good)
    assert caught.value.status_code == 502


@needs_orthanc
def test_an_upload_is_segmented_while_the_archive_hangs(archive, gateway, platform_settings, weights):
    platform_settings("cache")
    image = next(iter(archive.clips))
    with start_server(f"{gateway.url}/dicom-web", model=weights, device="cpu") as url:
        cine = archive.sources[image].read_bytes()
        upload = requests.put(f"{url}/session/", files={"files": ("run.dcm", cine)}, timeout=60).json()
        queries = [{"session_id": upload["session_id"], "output": "json"}, {"image": image, "output": "json"}]
        for hangs in (False, True):
            if hangs:
                gateway.fault, gateway.asked = "hangs", []
            for query in queries:
                reply = requests.post(
                    f"{url}/infer/angioseg", params=query, data={"params": '{"frames": 1}'}, timeout=9
                )
                assert (reply.status_code, reply.json()["frames"]) == (200, [1])
        assert gateway.asked == []


@needs_orthanc
def test_while_somebody_waits_for_the_archive_others_work(archive, open_archive, gateway, tmp_path):
    image, clip = next(iter(archive.clips.items()))
    datastore = open_archive("cache", gateway.url)
    datastore.read_image(image)
    gateway.fault, gateway.asked, datastore._scanned_at = "hangs", [], -float("inf")
    assert (datastore.status()["total"], gateway.asked) == (len(archive.clips), [])  # as before each inference
    waiting = threading.Thread(target=datastore.list_images)
    waiting.start()
    while not gateway.asked:
        time.sleep(0.01)
    write_label(tmp_path / "label.nrrd", clip.vessels, clip.times_ms, [1])

    def work():
        assert image in datastore.list_images()
        datastore.read_image(image)
        datastore.save_label(image, str(tmp_path / "label.nrrd"), "original", {})
        datastore.remove_label(image, "original")

    working = threading.Thread(target=work)
    working.start()
    working.join(5)
    assert (working.is_alive(), waiting.is_alive(), len(gateway.asked)) == (False, True, 1)
    gateway.fault = None
    gateway.released.set()
    waiting.join()


@needs_orthanc
@pytest.mark.parametrize("fault", ["hangs", "drips"])
def test_an_archive_that_hangs_is_given_up_once(archive, open_archive, gateway, monkeypatch, fault):
    datastore = open_archive("cache", gateway.url)
    monkeypatch.setattr(lib.archive, "_SEARCH_S", 0.5)
    gateway.fault, gateway.asked = fault, []
    asking = [threading.Thread(target=datastore._look, args=(True,)) for _ in range(5)]
    began = time.monotonic()
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert time.monotonic() - began < 3
    assert len(gateway.asked) == 1  # not once more each, nor for segmentations
    assert set(archive.clips) <= set(datastore.list_images())


@needs_orthanc
@pytest.mark.parametrize("fault", ["says nothing", lambda found: ([], {})], ids=["breaks off", "tells of none"])
def test_an_empty_answer_is_not_an_empty_archive(archive, open_archive, gateway, tmp_path, fault):
    image = next(iter(archive.clips))
    datastore = open_archive("cache", gateway.url)
    file = Path(datastore.get_image_uri(image))
    gateway.fault, gateway.broken = fault, "/series?Modality"
    datastore._look(at_once=True)
    assert set(datastore.list_images()) == set(archive.clips)
    assert file.exists()


@needs_orthanc
@pytest.mark.parametrize(
    ("user", "path", "line"),
    [
        (USER, "/nothing", "The archive answered 404."),
        (("reader", "guess"), "/dicom-web", "The archive answered 401."),
        (USER, "/system?", "The archive did not answer as DICOMweb does"),
    ],
)
def test_an_archive_that_does_not_answer_as_one_is_told(archive, tmp_path, monkeypatch, user, path, line):
    for name, value in zip(("USERNAME", "PASSWORD"), user):
        monkeypatch.setattr(settings, f"MONAI_LABEL_DICOMWEB_{name}", value)
    with pytest.raises(HTTPException) as caught:
        Archive(archive.url + path)
    assert (caught.value.status_code, caught.value.detail[: len(line)]) == (502, line)


def test_an_archive_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path))
    with pytest.raises(AngioSegError) as caught, start_server(f"http://127.0.0.1:{free_port()}/dicom-web"):
        pass
    assert "The archive cannot be reached. --studies takes a folder" in str(caught.value)
    assert "Traceback" not in str(caught.value)
