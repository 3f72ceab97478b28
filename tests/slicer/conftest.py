"""A real Slicer scene, servers to talk to, and the window in a small host."""

import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

try:
    import slicer  # noqa: F401
except ImportError as error:
    pytest.skip(
        f"Slicer's library does not load ({error}): pip install slicer-core requests; "
        "for a missing libGL or libX: apt-get install libgl1 libglu1-mesa libxrender1 libxt6",
        allow_module_level=True,
    )

SLICER_DIR = Path(__file__).resolve().parents[2] / "AngioSeg"
sys.path += [str(SLICER_DIR), str(Path(__file__).parent)]

from AngioSegLib.cine import createCine  # noqa: E402
from AngioSegLib.scene import createScene  # noqa: E402
from littleServer import LittleServer  # noqa: E402


@pytest.fixture
def scene():
    return createScene()


@pytest.fixture
def makeCine(scene):
    """Make a cine of noise in the scene: ``makeCine(frames=6, dtype="uint8", spacing=..., ...)``."""

    def make(frames=6, dtype="uint8", frameTime=66.7, size=(7, 9), **options):
        limits = np.iinfo(dtype)
        pixels = np.random.default_rng(3).integers(limits.min, limits.max, (frames, *size), dtype, endpoint=True)
        return createCine(pixels, np.arange(frames) * frameTime, **options)

    return make


@pytest.fixture
def makeServer():
    """Start a little server; all of them are stopped in the end."""
    with ExitStack() as running:

        def make() -> LittleServer:
            little = LittleServer()
            running.callback(little.stop)
            return little

        yield make


@pytest.fixture
def server(makeServer):
    return makeServer()


@pytest.fixture
def freeUrl():
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def until(condition: Callable[[], bool], seconds: float = 10.0):
    """Wait for what another thread will do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def host(scene, tmp_path, monkeypatch):
    """AngioSeg's window, open, in real Qt."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        pytest.skip(
            f"Qt does not load ({error}): pip install PySide6-Essentials; "
            "for a missing library: "
            "apt-get install libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0"
        )
    from host import Host

    host = Host(monkeypatch, tmp_path / "settings")
    host.open()
    yield host
    host.close()


@pytest.fixture
def connected(host, server):
    """The window, connected to the little server."""
    host.connect(server.url)
    return host


@pytest.fixture
def cine(connected, makeCine):
    """A cine of ten frames, chosen in the window."""
    cine = makeCine(10, name="run 1")
    connected.ui.cineSelector.choose("run 1")
    return cine


@pytest.fixture
def half(cine, connected, server):
    """Segmenting is half-way: four frames are there, and the server holds the next until the event is set."""
    held, goOn = server.holdSecondRange()
    connected.press("allButton")
    connected.until(lambda: connected.widget.window.reading.progress.done == 4 and held.is_set())
    yield goOn
    goOn.set()


@pytest.fixture(scope="session")
def realServer(tmp_path_factory):
    """A real AngioSeg server with the weights that ship, on two small simulated cines: (address, folder)."""
    pytest.importorskip("monailabel")
    from angioseg.serve import start_server
    from angioseg.simulation import simulate_clip, write_xa_dicom

    studies = tmp_path_factory.mktemp("window") / "studies"
    studies.mkdir()
    for seed in (31, 32):
        write_xa_dicom(studies / f"run{seed}.dcm", simulate_clip(seed, frames=6, size=(128, 128)))
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield running.enter_context(start_server(studies, device="cpu")), studies
