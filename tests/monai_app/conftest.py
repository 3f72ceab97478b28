"""A real server on a small studies folder, started once."""

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email import message_from_bytes
from http.server import ThreadingHTTPServer
from pathlib import Path

import imageio.v3 as imageio
import pytest
import requests
import torch
from angioseg.cine import Cine, read_cine, write_cine
from angioseg.nets import CENet3D2D, save_weights
from angioseg.paths import app_dir
from angioseg.serve import start_server
from angioseg.simulation import simulate_clip, write_xa_dicom

# As the platform does with the folder of an app.
sys.path.append(str(app_dir()))
sys.path.append(str(Path(__file__).parent))

from orthanc import ORTHANC, USER, Gateway, Orthanc, running

FRAMES = 4


class Server:
    """What a client of the server sees."""

    def __init__(self, url: str, home: Path, stop: Callable[[], None]):
        self.url = url
        self.home = home
        self.stop = stop

    def send(self, method: str, path: str, **options) -> requests.Response:
        return requests.request(method, self.url + path, timeout=120, **options)

    def infer(self, params="{}", model="angioseg", **query) -> requests.Response:
        return self.send("POST", f"/infer/{model}", params=query, data={"params": params})

    def upload(self, file: Path, name: str) -> str:
        reply = self.send("PUT", "/session/", files={"files": (name, file.read_bytes())})
        assert reply.status_code == 200, reply.text
        return reply.json()["session_id"]

    @staticmethod
    def parts(reply: requests.Response) -> dict[str, bytes]:
        """The named parts of a multipart reply."""
        assert reply.status_code == 200, reply.text
        head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
        parts = message_from_bytes(head + reply.content).get_payload()
        return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Weights drawn by chance: they mark part of each frame, and that is all that is asked of them here."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    save_weights(CENet3D2D(in_channels=1, out_channels=1, num_neighbors=1), path)
    return path


@pytest.fixture(scope="session")
def write_studies():
    """Writes a folder: DICOM with and without an ending, NRRD in a subfolder, a folder of frames."""
    return _write_studies


def _write_studies(folder: Path) -> Path:
    clip = simulate_clip(5, frames=FRAMES, size=(96, 80))
    folder.mkdir()
    write_xa_dicom(folder / "run.dcm", clip)
    write_xa_dicom(folder / "IM000001", simulate_clip(6, frames=3, size=(96, 96)))
    (folder / "patient").mkdir()
    write_cine(folder / "patient" / "run.nrrd", Cine(frames=clip.frames, times_ms=clip.times_ms))
    (folder / "frames" / "images").mkdir(parents=True)
    for number, frame in enumerate(clip.frames):
        imageio.imwrite(folder / "frames" / "images" / f"frame_{number:04}.png", frame)
    (folder / "notes.txt").write_text("not a cine")
    return folder


@pytest.fixture(scope="session")
def studies(tmp_path_factory) -> Path:
    return _write_studies(tmp_path_factory.mktemp("server") / "studies")


@pytest.fixture(scope="session")
def run_server(weights):
    """Runs a server on a studies folder while a block runs; what is temporary goes to a folder of its own beside it."""

    @contextmanager
    def run(studies: Path) -> Iterator[Server]:
        home = studies.parent / "temporary"
        home.mkdir()
        with ExitStack() as running:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("TMPDIR", str(home))
                patch.setattr(tempfile, "tempdir", str(home))
                patch.setenv("OMP_NUM_THREADS", "1")
                url = running.enter_context(start_server(studies, model=weights, device="cpu"))
            yield Server(url, home, running.close)

    return run


@pytest.fixture(scope="session")
def server(run_server, studies):
    with run_server(studies) as server:
        yield server


@pytest.fixture(scope="session")
def cine(studies) -> Cine:
    return read_cine(studies / "run.dcm")


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


@pytest.fixture
def open_archive(archive, tmp_path, monkeypatch):
    """The archive's cines with a cache folder of that name."""
    from lib.pacs import PacsDatastore
    from monailabel.config import settings

    for name, value in zip(("USERNAME", "PASSWORD"), USER):
        monkeypatch.setattr(settings, f"MONAI_LABEL_DICOMWEB_{name}", value)
    return lambda cache, url=archive.url: PacsDatastore(f"{url}/dicom-web", tmp_path / cache)


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
