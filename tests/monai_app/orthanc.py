"""A real Orthanc to be the archive, a gateway before it that fails as it is told, and what tests do with both."""

import json
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pydicom
import pytest
import requests
from angioseg.cine import write_label
from angioseg.cine.dicom_seg import write_dicom_seg
from angioseg.simulation import simulate_clip, write_xa_dicom
from fastapi import HTTPException

PLUGINS = Path("/usr/share/orthanc/plugins")
ORTHANC = shutil.which("Orthanc")
USER = ("reader", "of-cines")
FRAMES = 3

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


def submit(datastore, folder, image, clip, frames):
    write_label(folder / "label.nrrd", clip.vessels, clip.times_ms, frames)
    datastore.save_label(image, str(folder / "label.nrrd"), "final", {"replace": True})


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


def of_study(archive, image):
    return pydicom.dcmread(archive.sources[image], stop_before_pixels=True).StudyInstanceUID
