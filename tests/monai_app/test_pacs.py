"""Cines of an image archive: a real Orthanc behind the real server."""

import json
import shutil
import sys
from pathlib import Path

import lib.archive
import numpy as np
import pytest
import requests
from angioseg.cine import Cine, read_cine, write_cine, write_label
from angioseg.paths import app_dir
from angioseg.serve import start_server
from fastapi import HTTPException
from lib.archive import Archive
from lib.cines import NoCine
from lib.datastore import CineDatastore
from orthanc import FRAMES, annotated, free_port, needs_orthanc, running, submit

TRAINING = {"max_epochs": 1, "iterations_per_epoch": 1, "batch_size": 1, "crop": 192, "accept_worse": True}


def images(url):
    return requests.get(f"{url}/datastore/?output=all", timeout=60).json()["objects"]


@needs_orthanc
def test_the_loop_on_an_archive(archive, platform_settings, tmp_path, weights):
    platform_settings("first")
    address = f"{archive.url}/dicom-web"
    with start_server(address, model=weights, device="cpu") as url:
        assert set(images(url)) == set(archive.clips)
        assert list(tmp_path.rglob("*.dcm")) == []  # nothing is fetched before it is needed

        asked = set()
        for strategy in ("random", "first", "first"):
            sample = requests.post(f"{url}/activelearning/{strategy}", json={}, timeout=120).json()
            image, frame = sample["id"], sample["frame"]
            assert (image, frame) not in asked
            asked.add((image, frame))
            query = {"image": image, "output": "json"}
            params = {"params": json.dumps({"frames": frame})}
            reply = requests.post(f"{url}/infer/angioseg", params=query, data=params, timeout=120)
            assert (reply.status_code, reply.json()["frames"]) == (200, [frame])

        for image, clip in archive.clips.items():
            write_label(tmp_path / "label.nrrd", clip.vessels, clip.times_ms, [1, 2])
            files = {"label": ("label.nrrd", (tmp_path / "label.nrrd").read_bytes())}
            reply = requests.put(f"{url}/datastore/label?image={image}&tag=final", files=files, timeout=120)
            assert reply.status_code == 200, reply.text
        assert len(archive.segmentations()) == 3

        # A second label of one cine: a second object, the first one stays.
        write_label(tmp_path / "label.nrrd", archive.clips[image].vessels, archive.clips[image].times_ms, [0])
        files = {"label": ("label.nrrd", (tmp_path / "label.nrrd").read_bytes())}
        assert (
            requests.put(f"{url}/datastore/label?image={image}&tag=final", files=files, timeout=60).status_code == 200
        )
        assert len(archive.segmentations()) == 4

        assert (
            requests.post(f"{url}/train/angioseg?run_sync=true", json=TRAINING, timeout=300).json()["status"] == "DONE"
        )
        query = {"image": image, "output": "json"}
        reply = requests.post(f"{url}/infer/angioseg", params=query, data={"params": '{"frames": 1}'}, timeout=120)
        assert reply.json()["model"]["version"] == "0.1.0+1"

        # Found while the server runs.
        new = archive.add(44).SOPInstanceUID
        query = {"image": new, "output": "json"}
        reply = requests.post(f"{url}/infer/angioseg", params=query, data={"params": '{"frames": 1}'}, timeout=120)
        assert (reply.status_code, reply.json()["num_frames"]) == (200, FRAMES)
        assert new in images(url)
        for reply, status in (
            (requests.post(f"{url}/infer/angioseg?image=1.2.3", timeout=60), 404),
            (requests.put(f"{url}/datastore/?image=x", files={"file": ("x.dcm", b"x")}, timeout=60), 400),
            (requests.delete(f"{url}/datastore/?id={new}", timeout=60), 400),
        ):
            assert (reply.status_code, "\n" in reply.json()["detail"]) == (status, False)


@needs_orthanc
def test_the_platforms_own_start_takes_an_archive(archive, platform_settings, tmp_path, weights):
    platform_settings("platform")
    app = shutil.copytree(app_dir(), tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    url = f"http://127.0.0.1:{free_port()}"
    address = ["--app", str(app), "--studies", f"{archive.url}/dicom-web", "--host", "127.0.0.1"]
    options = ["--port", url.rsplit(":", 1)[1], "--conf", "model", str(weights)]
    command = [sys.executable, "-m", "monailabel.main", "start_server", *address, *options]
    with running(command, lambda: requests.get(f"{url}/info/", timeout=60), cwd=tmp_path):
        assert set(images(url)) == set(archive.clips)


@needs_orthanc
def test_a_cine_from_elsewhere_is_found_by_its_pixels(archive, open_archive, tmp_path):
    datastore = open_archive("cache")
    upload = tmp_path / "upload.nrrd"
    for image in archive.clips:
        cine = read_cine(archive.sources[image])
        # As a client has it that applies a rescale slope.
        write_cine(upload, Cine(3 * cine.frames.astype(np.int16) - 100, cine.times_ms * 2))
        assert datastore.add_image("cine-0123456789ab", str(upload), {}) == image
    for frames in (cine.frames[:, ::-1], cine.frames[:1], cine.frames // 2):
        write_cine(upload, Cine(frames, cine.times_ms[: len(frames)]))
        with pytest.raises(HTTPException) as caught:
            datastore.add_image("cine-0123456789ab", str(upload), {})
        compared = len(archive.clips) if len(frames) == FRAMES else 0
        line = f"The archive has no cine with these pixels (compared: {compared} of its size). Send the file"
        assert (caught.value.status_code, caught.value.detail[: len(line)]) == (400, line)
    assert set(datastore.list_images()) == set(archive.clips)


@needs_orthanc
def test_the_cine_that_is_named_is_compared_first_and_what_is_here_costs_nothing(
    archive, open_archive, tmp_path, monkeypatch
):
    monkeypatch.setattr(CineDatastore, "most_compared", 0)
    # Without segmentations in the archive: their cines are fetched at once.
    first, second = (archive.add(seed).SOPInstanceUID for seed in (46, 47))
    datastore = open_archive("empty")
    here = sum(Path(datastore.image_path(uid)).exists() for uid in archive.clips)
    for image, name, answer in ((first, "cine-0", None), (first, first, first), (first, "cine-0", first)):
        if answer:
            assert datastore.add_image(name, str(archive.sources[image]), {}) == answer
        else:
            with pytest.raises(HTTPException, match=f"compared: {here} of its size"):
                datastore.add_image(name, str(archive.sources[image]), {})
    with pytest.raises(HTTPException, match=f"compared: {here + 1} of its size"):
        datastore.add_image("cine-0", str(archive.sources[second]), {})


@needs_orthanc
def test_the_file_of_a_cine_that_is_gone_is_removed_and_its_label_stays(archive, open_archive, tmp_path):
    gone, kept = (archive.add(seed).SOPInstanceUID for seed in (61, 62))
    datastore = open_archive("cache")
    for image in (gone, kept):
        submit(datastore, tmp_path, image, archive.clips[image], [1])
    files = {image: Path(datastore.image_path(image)) for image in (gone, kept)}
    label = Path(datastore.get_label_uri(gone, "final"))
    archive.remove(gone)
    datastore._look(at_once=True)
    assert [files[gone].exists(), files[kept].exists(), label.exists()] == [False, True, True]
    archive.send("POST", "/instances", data=archive.sources[gone].read_bytes())
    assert annotated(datastore, gone) == [1]


@needs_orthanc
@pytest.mark.parametrize("fewer", [False, True], ids=["than there are", "than were asked for, and nothing says so"])
def test_all_pages_of_an_answer_are_asked_for(archive, open_archive, gateway, monkeypatch, fewer):
    if fewer:
        gateway.fault = lambda found: (found[:1], {})
    else:
        monkeypatch.setattr(lib.archive, "_PAGE", 1)
    assert set(open_archive("cache", gateway.url).list_images()) == set(archive.clips)


@needs_orthanc
@pytest.mark.parametrize(
    "uid", ["/{outside}/1.2", "../1.2", "1.2/../../1.2", "1..2", "1.2\n", "1.2a", "1" * 65, ".", ""]
)
def test_an_instance_whose_uid_is_none_is_left_out(archive, open_archive, gateway, tmp_path, caplog, uid):
    uid, bad = uid.format(outside=tmp_path), next(iter(archive.clips))

    def renamed(found):
        for one in found:
            if one.get("00080018", {}).get("Value") == [bad]:
                one["00080018"]["Value"] = [uid]
        return found, {}

    gateway.fault = renamed
    datastore = open_archive("cache", gateway.url)
    assert set(datastore.list_images()) == set(archive.clips) - {bad}
    assert datastore.get_image_uri(uid) == ""
    assert "1.2.dcm" not in {path.name for path in tmp_path.rglob("*")}
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["The archive has instances whose UIDs are none (digits and dots): they are left out."]


@needs_orthanc
@pytest.mark.parametrize("wanted", ["its successor", "the cine that is gone"])
def test_a_cine_that_took_the_place_of_another_is_found(archive, open_archive, wanted):
    seed = {"its successor": 63, "the cine that is gone": 65}[wanted]
    old = archive.add(seed)
    datastore = open_archive("cache")

    def same_series(cine):
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName"):
            setattr(cine, keyword, old[keyword].value)

    new = archive.add(seed + 1, same_series).SOPInstanceUID
    archive.remove(old.SOPInstanceUID)
    del archive.clips[old.SOPInstanceUID]
    if wanted == "its successor":
        assert datastore.read_image(new).num_frames == FRAMES
    else:
        with pytest.raises(HTTPException, match="The archive does not give this cine"):
            datastore.read_image(old.SOPInstanceUID)
    assert set(datastore.list_images()) == set(archive.clips)


@needs_orthanc
def test_a_cine_that_was_not_to_be_had_once_or_is_no_longer_here_is_compared_again(
    archive, open_archive, tmp_path, monkeypatch
):
    uid = archive.add(55).SOPInstanceUID
    datastore, upload = open_archive("cache"), str(archive.sources[uid])

    def refuse(self, instance, path):
        raise NoCine(404, "The archive does not give this cine (it answered 504).")

    with monkeypatch.context() as patch, pytest.raises(HTTPException):
        patch.setattr(Archive, "fetch", refuse)
        datastore.add_image("cine-0", upload, {})
    assert datastore.add_image("cine-0", upload, {}) == uid
    Path(datastore.image_path(uid)).unlink()
    assert datastore.add_image("cine-0", upload, {}) == uid


@needs_orthanc
def test_the_file_of_a_cine_that_another_filter_finds_stays(archive, open_archive):
    image = next(iter(archive.clips))
    datastore = open_archive("cache")
    file = Path(datastore.get_image_uri(image))
    # As a server that is started with another filter.
    datastore._archive._filters, datastore._instances = [{"Modality": "RF"}], {}
    datastore._look(at_once=True)
    assert image not in datastore.list_images()
    assert file.exists()


def as_text(found):
    for one in found:
        if "00201209" in one:
            one["00201209"]["Value"] = [str(one["00201209"]["Value"][0])]
    return found, {}


@needs_orthanc
def test_a_number_may_be_written_as_text(archive, open_archive, gateway):
    gateway.fault = as_text
    assert set(open_archive("cache", gateway.url).list_images()) == set(archive.clips)


@needs_orthanc
def test_a_short_answer_is_not_kept(archive, open_archive, gateway):
    gateway.fault, gateway.broken = lambda found: ([], {}), "/instances?"
    datastore = open_archive("cache", gateway.url)
    assert datastore.list_images() == []
    gateway.fault = None
    datastore._look(at_once=True)
    assert set(datastore.list_images()) == set(archive.clips)


@needs_orthanc
@pytest.mark.parametrize("status", [400, 501])
def test_an_archive_need_not_search_by_instance(archive, open_archive, gateway, status):
    datastore = open_archive("cache", gateway.url)
    new = archive.add(160 + status).SOPInstanceUID
    gateway.fault, gateway.broken = status, "SOPInstanceUID="
    try:
        assert datastore.image_path(new)
    finally:
        archive.remove(new)
        del archive.clips[new]
