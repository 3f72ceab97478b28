"""Cines of an image archive: a real Orthanc behind the real server."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import lib.archive
import numpy as np
import pydicom
import pytest
import requests
from angioseg.cine import Cine, read_cine, read_label, write_cine, write_label
from angioseg.cine.dicom_seg import read_dicom_seg, write_dicom_seg
from angioseg.errors import AngioSegError
from angioseg.paths import app_dir
from angioseg.serve import start_server
from angioseg.simulation import simulate_clip, write_xa_dicom
from fastapi import HTTPException
from lib import pacs
from lib.archive import Archive, Unreachable
from lib.datastore import CineDatastore
from lib.pacs import PacsDatastore
from monailabel.config import settings
from pydicom.uid import generate_uid

PLUGINS = Path("/usr/share/orthanc/plugins")
ORTHANC = shutil.which("Orthanc")
USER = ("reader", "of-cines")
FRAMES = 3
TRAINING = {"max_epochs": 1, "iterations_per_epoch": 1, "batch_size": 1, "crop": 192, "accept_worse": True}

needs_orthanc = pytest.mark.skipif(
    ORTHANC is None or not (PLUGINS / "libOrthancDicomWeb.so").exists(),
    reason="needs an archive: apt-get install orthanc orthanc-dicomweb",
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def answers(ask):
    try:
        return ask().status_code < 500
    except requests.ConnectionError:
        return False


@contextmanager
def running(command, alive, **options):
    """A program, while the block runs; it answers when the block begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        while not answers(alive):
            assert process.poll() is None
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


class Orthanc:
    """An archive with three cines in it, two of them in one series, and an image of another modality."""

    def __init__(self, folder):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.clips = {}
        self.sources = {}
        self.folder = folder
        config = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": int(self.url.rsplit(":", 1)[1]),
            "DicomServerEnabled": False,
            "MaximumStorageCacheSize": 0,
            "Plugins": [str(PLUGINS)],
            "AuthenticationEnabled": True,
            "RegisteredUsers": dict([USER]),
            "DicomWeb": {"Enable": True},
        }
        (folder / "orthanc.json").write_text(json.dumps(config))

    def send(self, method, path, **options):
        return requests.request(method, self.url + path, auth=USER, timeout=60, **options)

    def add(self, seed, change=lambda cine: None):
        clip = simulate_clip(seed, frames=FRAMES, size=(192, 192))
        path = write_xa_dicom(self.folder / f"{seed}.dcm", clip)
        cine = pydicom.dcmread(path)
        change(cine)
        cine.save_as(path)
        assert self.send("POST", "/instances", data=path.read_bytes()).status_code == 200
        self.clips[cine.SOPInstanceUID], self.sources[cine.SOPInstanceUID] = clip, path
        return cine

    def path(self, uid):
        return f"/instances/{self.send('POST', '/tools/lookup', data=uid).json()[0]['ID']}"

    def remove(self, uid):
        assert self.send("DELETE", self.path(uid)).status_code == 200

    def segmentations(self):
        return self.send("GET", "/dicom-web/series?Modality=SEG").json()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    if ORTHANC is None:
        pytest.skip("needs an archive: apt-get install orthanc orthanc-dicomweb")
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"))
    with running([ORTHANC, str(orthanc.folder / "orthanc.json")], lambda: orthanc.send("GET", "/system")):
        first = orthanc.add(40)

        def same_series(cine):
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName"):
                setattr(cine, keyword, first[keyword].value)
            cine.InstanceNumber = 2

        def a_ct(cine):
            cine.Modality = "CT"

        orthanc.add(41, same_series)
        orthanc.add(42)
        del orthanc.clips[orthanc.add(43, a_ct).SOPInstanceUID]
        yield orthanc


@pytest.fixture
def platform_settings(tmp_path, monkeypatch):
    """Who may ask the archive, in the platform's own words, and where to keep what it gives."""
    for name, value in zip(("USERNAME", "PASSWORD"), USER):
        monkeypatch.setenv(f"MONAI_LABEL_DICOMWEB_{name}", value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def choose(cache):
        monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / cache))

    return choose


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


@pytest.fixture
def open_archive(archive, tmp_path, monkeypatch):
    """The archive's cines with a cache folder of that name."""
    for name, value in zip(("USERNAME", "PASSWORD"), USER):
        monkeypatch.setattr(settings, f"MONAI_LABEL_DICOMWEB_{name}", value)
    return lambda cache, url=archive.url: PacsDatastore(f"{url}/dicom-web", tmp_path / cache)


def submit(datastore, folder, image, clip, frames):
    write_label(folder / "label.nrrd", clip.vessels, clip.times_ms, frames)
    datastore.save_label(image, str(folder / "label.nrrd"), "final", {"replace": True})


@needs_orthanc
def test_a_final_label_is_read_again_where_there_is_nothing_but_the_archive(archive, open_archive, tmp_path):
    first, stored = open_archive("first"), len(archive.segmentations())
    submitted = dict(zip(archive.clips, ([1, 2], [2], [0, 1])))
    for image, frames in submitted.items():
        submit(first, tmp_path, image, archive.clips[image], frames)
    assert len(archive.segmentations()) == stored + 3
    second = open_archive("second")
    assert set(submitted) <= set(second.get_labeled_images())
    for image in submitted:
        Path(second.image_path(image)).unlink()
    with zipfile.ZipFile(second.get_dataset_archive(None)) as dataset:  # their files are fetched for it
        assert {f"image/{image}.dcm" for image in submitted} <= set(dataset.namelist())
    Path(dataset.filename).unlink()
    for image, frames in submitted.items():
        mask, annotated = read_label(second.get_label_uri(image, "final"))
        assert annotated == second.get_label_info(image, "final")["annotated_frames"] == frames
        assert np.array_equal(mask[frames], archive.clips[image].vessels[frames])
        assert not np.delete(mask, frames, axis=0).any()
    assert len(archive.segmentations()) == stored + 3  # what was read is not stored again

    # What one server stores, the other has as its newest version; what is removed does not come back.
    submit(second, tmp_path, image, archive.clips[image], [2])
    version = first.get_label_info(image, "final")["version"]
    first._look(at_once=True)
    info = first.get_label_info(image, "final")
    assert (info["annotated_frames"], info["version"]) == ([2], version + 1)
    first.remove_label(image, "final")
    first._look(at_once=True)
    assert image not in first.get_labeled_images()


@needs_orthanc
def test_a_cine_from_elsewhere_is_found_by_its_pixels(archive, open_archive, tmp_path):
    datastore = open_archive("cache")
    upload = tmp_path / "upload.nrrd"
    for image in archive.clips:
        cine = read_cine(archive.sources[image])
        write_cine(upload, Cine(cine.frames, cine.times_ms * 2))
        assert datastore.add_image("cine-0123456789ab", str(upload), {}) == image
    for frames in (cine.frames[:, ::-1], cine.frames[:1], cine.frames.astype(np.uint16)):
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


class Gateway(BaseHTTPRequestHandler):
    """Passes everything on to an archive, and notes what was asked; what names a certain instance, or everything, is
    answered with a fault."""

    def do_GET(self):
        self.server.asked.append(self.path)
        fault = self.server.fault if self.server.broken in self.path else None
        if fault == "hangs":
            self.server.released.wait(100)
        elif fault == "says nothing":
            self.begin(200, {"Content-Type": "application/dicom+json", "Content-Length": "1000"})
        elif fault in ("breaks off", "drips"):
            self.begin(200, {"Content-Type": "multipart/related", "Content-Length": "1000"})
            self.wfile.write(b"half")
            while fault == "drips" and not self.server.released.wait(0.05):
                self.wfile.write(b" ")
        elif isinstance(fault, int):
            self.begin(fault, {"Content-Length": "0"})
        else:
            self.answer(requests.get(self.server.archive + self.path, headers=self.headers, timeout=60), fault)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.fault != "is not passed on":
            reply = requests.post(self.server.archive + self.path, body, headers=self.headers, timeout=60)
        if self.server.fault:
            self.begin(504, {"Content-Length": "0"})
        else:
            self.answer(reply)

    def answer(self, reply, change=None):
        content, headers = reply.content, {}
        if callable(change) and "json" in reply.headers["Content-Type"]:
            found, headers = change(json.loads(content))
            content = json.dumps(found).encode()
        headers |= {"Content-Type": reply.headers["Content-Type"], "Content-Length": str(len(content))}
        self.begin(reply.status_code, headers)
        self.wfile.write(content)

    def begin(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def gateway(archive):
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        gateway.url = f"http://127.0.0.1:{gateway.server_port}"
        gateway.archive, gateway.fault, gateway.broken = archive.url, None, "/"
        gateway.asked, gateway.released = [], threading.Event()
        threading.Thread(target=gateway.serve_forever).start()
        try:
            yield gateway
        finally:
            gateway.released.set()
            gateway.shutdown()


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
def test_a_label_goes_to_the_patient_whom_the_archive_has_now(archive, open_archive, tmp_path):
    cine = archive.add(60)
    image, study = cine.SOPInstanceUID, cine.StudyInstanceUID
    datastore = open_archive("cache")
    datastore.read_image(image)  # fetched with the wrong name
    right = {"PatientID": "RIGHT-60", "PatientName": "M\u00fcller^Right"}
    uids = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    correction = {"Replace": right, "Keep": uids, "Force": True, "KeepSource": False}
    patient = archive.send("GET", f"{archive.path(image)}/patient").json()["ID"]
    assert archive.send("POST", f"/patients/{patient}/modify", json=correction).status_code == 200
    submit(datastore, tmp_path, image, archive.clips[image], [1])
    (series,) = archive.send("GET", f"/dicom-web/studies/{study}/series?Modality=SEG").json()
    where = f"/dicom-web/studies/{study}/series/{series['0020000E']['Value'][0]}/metadata"
    (seg,) = archive.send("GET", where).json()
    assert seg["00100020"]["Value"] == [right["PatientID"]]
    assert seg["00100010"]["Value"] == [{"Alphabetic": right["PatientName"]}]
    patients = archive.send("GET", f"/dicom-web/studies?StudyInstanceUID={study}").json()
    assert [one["00100020"]["Value"] for one in patients] == [[right["PatientID"]]]


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
def test_the_rest_of_the_hospital_is_not_walked_through(archive, open_archive, gateway, tmp_path):
    image, elsewhere = next(iter(archive.clips)), generate_uid()
    add_seg(archive, tmp_path, image, [1], StudyInstanceUID=elsewhere, SeriesInstanceUID=generate_uid(prefix="1.99."))
    datastore = open_archive("cache", gateway.url)
    assert set(datastore.list_images()) == set(archive.clips)
    assert [path for path in gateway.asked if elsewhere in path or "/series/1.99." in path] == []
    # How many instances a series has is known.
    assert [path for path in gateway.asked if "/instances" in path and "offset=" in path] == []
    assert len([path for path in gateway.asked if "Modality=SEG" in path and "offset=" not in path]) == 1


@needs_orthanc
@pytest.mark.parametrize("fault", [400, lambda found: ([], {}), lambda found: (found[:1], {})])
def test_an_archive_that_finds_one_study_at_once_is_asked_one_by_one(archive, open_archive, gateway, tmp_path, fault):
    for image in archive.clips:
        add_seg(archive, tmp_path, image, [2])
    gateway.fault, gateway.broken = fault, "%2C"  # a comma: several studies
    assert set(open_archive("cache", gateway.url).get_labeled_images()) == set(archive.clips)


@needs_orthanc
def test_a_filter_may_find_segmentations_too(archive, open_archive, monkeypatch, tmp_path):
    image = next(iter(archive.clips))
    study = of_study(archive, image)
    add_seg(archive, tmp_path, image, [2])
    with monkeypatch.context() as patch:
        patch.setattr(settings, "MONAI_LABEL_DICOMWEB_SEARCH_FILTER", {"StudyInstanceUID": study})
        datastore = open_archive("cache")
    settings.model_fields_set.discard("MONAI_LABEL_DICOMWEB_SEARCH_FILTER")
    assert set(datastore.list_images()) == {one for one in archive.clips if of_study(archive, one) == study}
    assert image in datastore.get_labeled_images()


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
@pytest.mark.parametrize("fault", ["loses its answer", "is not passed on"])
def test_the_archive_is_asked_what_became_of_a_label(archive, open_archive, gateway, tmp_path, fault):
    seed = {"loses its answer": 67, "is not passed on": 68}[fault]
    image = archive.add(seed).SOPInstanceUID
    datastore, stored = open_archive("cache", gateway.url), len(archive.segmentations())
    gateway.fault, gateway.broken = fault, "nothing"
    if fault == "loses its answer":
        submit(datastore, tmp_path, image, archive.clips[image], [1])
    else:
        with pytest.raises(HTTPException, match="the archive did not take it"):
            submit(datastore, tmp_path, image, archive.clips[image], [1])
        gateway.fault = None
        submit(datastore, tmp_path, image, archive.clips[image], [1])
    datastore._look(at_once=True)
    info = datastore.get_label_info(image, "final")
    assert (info["annotated_frames"], info["version"]) == ([1], 1 if fault == "loses its answer" else 2)
    assert len(archive.segmentations()) == stored + 1


@needs_orthanc
def test_a_segmentation_that_is_not_given_is_asked_for_again_after_a_restart(
    archive, open_archive, tmp_path, monkeypatch
):
    image, clip = next(iter(archive.clips.items()))
    submit(open_archive("first"), tmp_path, image, clip, [1])
    fetch = Archive.fetch

    def refuse(self, instance, path):
        raise HTTPException(404, "The archive does not give this cine (it answered 500).")

    monkeypatch.setattr(Archive, "fetch", refuse)
    assert image not in open_archive("second").get_labeled_images()
    monkeypatch.setattr(Archive, "fetch", fetch)
    assert image in open_archive("second").get_labeled_images()


@needs_orthanc
@pytest.mark.parametrize("status", [404, 502])
def test_a_segmentation_that_comes_late_does_not_displace_a_newer_label(
    archive, open_archive, tmp_path, monkeypatch, status
):
    (image, clip), (other, _) = list(archive.clips.items())[:2]
    second = open_archive("second")
    for uid in (image, other):
        submit(open_archive("first"), tmp_path, uid, archive.clips[uid], [1])
        Path(second.get_image_uri(uid)).unlink()
    fetch = Archive.fetch

    def refuse(self, instance, path):
        fetch(self, instance, path)
        if status == 404 and path.name == "seg.dcm" and read_dicom_seg(path).source == image:
            raise HTTPException(404, "The archive does not give this cine (it answered 500).")
        if status == 502 and instance.uid == other:
            path.unlink()
            raise HTTPException(502, "The archive cannot be reached.")

    monkeypatch.setattr(Archive, "fetch", refuse)
    second._look(at_once=True)
    submit(second, tmp_path, image, clip, [2])
    monkeypatch.setattr(Archive, "fetch", fetch)
    again = open_archive("second")
    again._look(at_once=True)
    assert again.get_label_info(image, "final")["annotated_frames"] == [2]
    assert again.get_label_info(other, "final")["annotated_frames"] == [1]


def refuse_all(self, *args):
    raise HTTPException(502, "The archive cannot be reached.")


def annotated(datastore, image):
    datastore._look(at_once=True)
    return datastore.get_label_info(image, "final").get("annotated_frames")


def add_seg(archive, folder, image, frames, **changes):
    """A segmentation from elsewhere comes to the archive."""
    write_dicom_seg(folder / "elsewhere.dcm", archive.sources[image], archive.clips[image].vessels, frames)
    seg = pydicom.dcmread(folder / "elsewhere.dcm")
    for keyword, value in changes.items():
        setattr(seg, keyword, value)
    seg.save_as(folder / "elsewhere.dcm")
    assert archive.send("POST", "/instances", data=(folder / "elsewhere.dcm").read_bytes()).status_code == 200
    return seg.SOPInstanceUID


@needs_orthanc
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"Rows": 20_000}, "It is damaged, or does not fit its cine."),
        ({"PixelData": b"\0\0"}, "It is damaged, or does not fit its cine."),
        ({"SegmentationType": "FRACTIONAL"}, "no coronary arteries in frames of one cine."),
    ],
)
def test_a_segmentation_that_cannot_be_read_is_told_once(archive, open_archive, tmp_path, caplog, changes, line):
    image = next(iter(archive.clips))
    datastore = open_archive("cache")
    caplog.clear()
    uid = add_seg(archive, tmp_path, image, [1], **changes)
    for _ in range(2):
        datastore._look(at_once=True)
    assert [record.getMessage() for record in caplog.records] == [f"{uid} in the archive is left out: {line}"]
    archive.remove(uid)


@needs_orthanc
def test_what_two_servers_label_is_joined_and_what_comes_late_is_a_version(archive, open_archive, tmp_path):
    image = archive.add(50).SOPInstanceUID
    first, second = open_archive("first"), open_archive("second")
    for datastore, frames in ((first, [0, 1]), (second, [2])):
        write_label(tmp_path / "label.nrrd", archive.clips[image].vessels, archive.clips[image].times_ms, frames)
        datastore.save_label(image, str(tmp_path / "label.nrrd"), "final", {})
    assert annotated(first, image) == annotated(second, image) == [0, 1, 2]
    add_seg(archive, tmp_path, image, [1], ContentDate="20200101")
    for _ in range(2):  # versions are listed at the next look
        assert annotated(first, image) == [0, 1, 2]
    versions = first.get_label_info(image, "final")["versions"]
    labels = Path(first.get_label_uri(image, "final")).parent
    assert [read_label(labels / name)[1] for name in versions] == [[0, 1], [1]]


@needs_orthanc
@pytest.mark.parametrize("why", ["read only", "not taken"])
def test_a_label_that_is_here_alone_is_not_displaced(archive, open_archive, tmp_path, monkeypatch, why):
    image = archive.add(51).SOPInstanceUID
    datastore = open_archive(why)
    if why == "read only":
        monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_READ_ONLY", True)
        submit(datastore, tmp_path, image, archive.clips[image], [1, 2])
    else:
        with monkeypatch.context() as patch, pytest.raises(HTTPException):
            patch.setattr(Archive, "store", refuse_all)
            submit(datastore, tmp_path, image, archive.clips[image], [1, 2])
    add_seg(archive, tmp_path, image, [0], ContentDate="20200101")
    assert annotated(datastore, image) == [1, 2]
    add_seg(archive, tmp_path, image, [0])
    assert annotated(datastore, image) == [0, 1, 2]
    if why == "not taken":
        submit(datastore, tmp_path, image, archive.clips[image], [1])
        add_seg(archive, tmp_path, image, [0], ContentDate="20990101")  # the archive has both: the newest counts
        assert annotated(datastore, image) == [0]


@needs_orthanc
def test_a_segmentation_that_does_not_fit_keeps_none_away(archive, open_archive, tmp_path):
    image = archive.add(52).SOPInstanceUID
    datastore = open_archive("cache")
    add_seg(archive, tmp_path, image, [0], ContentDate="20990101", Rows=8, Columns=8, PixelData=bytes(8))
    assert annotated(datastore, image) is None
    add_seg(archive, tmp_path, image, [1])
    assert annotated(datastore, image) == [1]


@needs_orthanc
def test_a_segmentation_may_come_before_its_cine(archive, open_archive, tmp_path):
    image = archive.add(53).SOPInstanceUID
    other = archive.add(54, lambda cine: setattr(cine, "StudyInstanceUID", of_study(archive, image)))
    datastore = open_archive("cache")
    archive.remove(image)
    add_seg(archive, tmp_path, image, [1])
    assert annotated(datastore, other.SOPInstanceUID) is None
    archive.send("POST", "/instances", data=archive.sources[image].read_bytes())
    assert annotated(datastore, image) == [1]


def of_study(archive, image):
    return pydicom.dcmread(archive.sources[image], stop_before_pixels=True).StudyInstanceUID


@needs_orthanc
def test_a_cine_that_was_not_to_be_had_once_or_is_no_longer_here_is_compared_again(
    archive, open_archive, tmp_path, monkeypatch
):
    uid = archive.add(55).SOPInstanceUID
    datastore, upload = open_archive("cache"), str(archive.sources[uid])

    def refuse(self, instance, path):
        raise HTTPException(404, "The archive does not give this cine (it answered 504).")

    with monkeypatch.context() as patch, pytest.raises(HTTPException):
        patch.setattr(Archive, "fetch", refuse)
        datastore.add_image("cine-0", upload, {})
    assert datastore.add_image("cine-0", upload, {}) == uid
    Path(datastore.image_path(uid)).unlink()
    assert datastore.add_image("cine-0", upload, {}) == uid


@needs_orthanc
def test_of_two_labels_at_once_the_archive_has_both(archive, open_archive, tmp_path, monkeypatch):
    image = archive.add(56).SOPInstanceUID
    datastore, clip = open_archive("cache"), archive.clips[image]
    read, delays = pacs.read_label, iter((2.0, 1.0, 0.0))

    def slowly(path):
        label = read(path)
        time.sleep(next(delays))
        return label

    monkeypatch.setattr(pacs, "read_label", slowly)

    def put(frame):
        write_label(tmp_path / f"{frame}.nrrd", clip.vessels, clip.times_ms, [frame])
        datastore.save_label(image, str(tmp_path / f"{frame}.nrrd"), "final", {})

    threads = [threading.Thread(target=put, args=(frame,)) for frame in range(FRAMES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert annotated(datastore, image) == annotated(open_archive("other"), image) == [0, 1, 2]


@needs_orthanc
def test_a_label_that_the_archive_does_not_take_is_kept_and_told(archive, open_archive, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_STOW_PREFIX", "nowhere")
    datastore = open_archive("cache")
    image, clip = next(iter(archive.clips.items()))
    write_label(tmp_path / "label.nrrd", clip.vessels, clip.times_ms, [0])
    stored = len(archive.segmentations())
    with pytest.raises(HTTPException) as caught:
        datastore.save_label(image, str(tmp_path / "label.nrrd"), "final", {})
    assert caught.value.status_code == 502
    assert caught.value.detail == "The label is saved on this server, but the archive did not take it."
    assert 0 in datastore.get_label_info(image, "final")["annotated_frames"]
    monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_READ_ONLY", True)
    datastore.save_label(image, str(tmp_path / "label.nrrd"), "final", {})
    assert len(archive.segmentations()) == stored


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


@pytest.fixture
def look_while_storing(monkeypatch):
    """Another thread looks through the archive, and is at the segmentations, while a label is stored.

    Gives a function that starts it with a store's next label, and one that lets it go on.
    """
    search, header = Archive.segmentations, Archive.header
    asking, stored, lookers = threading.Event(), threading.Event(), []

    def slow(self, studies):
        if threading.current_thread() in lookers:
            asking.set()
            stored.wait(20)
        return search(self, studies)

    def begin(datastore):
        def looked(self, instance, keywords):
            found = header(self, instance, keywords)
            lookers.append(threading.Thread(target=datastore._look, args=(True,)))
            lookers[0].start()
            asking.wait(20)
            return found

        monkeypatch.setattr(Archive, "segmentations", slow)
        monkeypatch.setattr(Archive, "header", looked)

    def end():
        stored.set()
        lookers[0].join()

    return begin, end


@needs_orthanc
@pytest.mark.parametrize("removed", [False, True])
def test_a_label_that_was_just_stored_is_none_from_elsewhere(
    archive, open_archive, tmp_path, look_while_storing, removed
):
    image = archive.add(150 + removed).SOPInstanceUID
    datastore = open_archive("cache")
    begin, end = look_while_storing
    begin(datastore)
    submit(datastore, tmp_path, image, archive.clips[image], [1])
    if removed:
        datastore.remove_label(image, "final")
    end()
    labels = datastore._datastore.objects[image].labels
    assert [label.info["version"] for label in labels.values()] == ([] if removed else [1])


@needs_orthanc
@pytest.mark.parametrize("what", ["cines", "segmentations"])
def test_what_was_not_seen_is_joined_when_it_is(archive, open_archive, tmp_path, monkeypatch, what):
    image = archive.add(152 + len(what)).SOPInstanceUID
    clip = archive.clips[image]
    first, second = open_archive("first"), open_archive("second")
    submit(second, tmp_path, image, clip, [1])

    def label():
        write_label(tmp_path / "label.nrrd", clip.vessels, clip.times_ms, [2])
        first.save_label(image, str(tmp_path / "label.nrrd"), "final", {})

    def refuse(*_):
        raise Unreachable("The archive cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(Archive, what, refuse)
        with pytest.raises(Unreachable):
            label()
    label()  # as the answer advises
    assert annotated(first, image) == annotated(second, image) == [1, 2]
