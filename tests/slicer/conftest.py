"""A real Slicer scene, and a real HTTP server on the loopback to be rude to its client."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
sys.path.append(str(SLICER_DIR))

from AngioSegLib.cine import createCine  # noqa: E402
from AngioSegLib.nrrd import NrrdImage, readNrrd, writeNrrd  # noqa: E402
from AngioSegLib.scene import createScene  # noqa: E402

BOUNDARY = b"0123456789abcdef"


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


def multipart(**parts: tuple[str, bytes]) -> bytes:
    """A body of named parts, each (content type, bytes), as the server writes it."""
    lines = []
    for name, (kind, content) in parts.items():
        head = f'Content-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}'.encode()
        lines += [b"--" + BOUNDARY, head, b"", content]
    return b"\r\n".join([*lines, b"--" + BOUNDARY + b"--", b""])


def bright(frames: np.ndarray) -> np.ndarray:
    """What the little server calls a vessel."""
    return (frames > np.median(frames)).astype(np.uint8)


class LittleServer:
    """Speaks the protocol over the pixels' brightness, and misbehaves on request.

    Attributes:
        asked: (method, path without query, params) of each request.
        uploads: the NRRD images received.
        sessions: what it has not forgotten.
        rude: when set, called with (handler, method, path); answering itself it returns True.
    """

    def __init__(self):
        self.asked: list[tuple[str, str, dict]] = []
        self.uploads: list[NrrdImage] = []
        self.sessions: dict[str, NrrdImage] = {}
        self.rude: Callable | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.handle(self, body)

            do_GET = do_PUT = do_POST = do_DELETE = _serve

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        self._http.shutdown()
        self._http.server_close()

    def answer(self, handler, status: int, body: bytes, kind: str = "application/json"):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def json(self, handler, status: int, value):
        self.answer(handler, status, json.dumps(value).encode())

    def handle(self, handler, body: bytes):
        path, _, query = handler.path.partition("?")
        params = {}
        if path.startswith("/infer/"):
            params = json.loads(body[body.index(b"\r\n\r\n") + 4 : body.rindex(b"\r\n--")])
        self.asked.append((handler.command, path, params))
        if self.rude is not None and self.rude(handler, handler.command, path):
            return
        if path == "/info/":
            self.json(handler, 200, {"name": "AngioSeg", "version": "0.1.0", "models": {"angioseg": {}}})
        elif handler.command == "PUT":
            start = body.index(b"NRRD")
            image = readNrrd(body[start : body.rindex(b"\r\n--")])
            self.uploads.append(image)
            self.sessions[f"session-{len(self.uploads)}"] = image
            self.json(handler, 200, {"session_id": f"session-{len(self.uploads)}", "session_info": {}})
        elif handler.command == "DELETE":
            known = self.sessions.pop(path.rsplit("/", 1)[1], None)
            self.json(handler, 200 if known else 404, {} if known else {"detail": "no such session"})
        else:
            sessionId = query.split("session_id=")[1].split("&")[0]
            if sessionId not in self.sessions:
                self.json(handler, 404, {"detail": "The session is unknown or expired. Upload the cine again."})
            elif params["frames"]:
                self.infer(handler, self.sessions[sessionId].array, *params["frames"])
            else:
                best = sorted(params["measures"], key=lambda measure: -measure["area_px"])[:2]
                keys = [{"frame": measure["frame"], "score": 1.0, "why": "bright"} for measure in best]
                self.json(handler, 200, {"frames": [], "key_frames": keys})

    def infer(self, handler, frames: np.ndarray, first: int, last: int):
        mask = np.zeros(frames.shape, np.uint8)
        mask[first : last + 1] = bright(frames)[first : last + 1]
        asked = list(range(first, last + 1))
        reply = {
            "frames": asked,
            "measures": [{"frame": frame, "area_px": int(mask[frame].sum())} for frame in asked],
            "model": {"name": "angioseg", "version": "0", "weights": "0"},
            "warnings": ["it is a test"],
        }
        parts = multipart(
            params=("application/json", json.dumps(reply).encode()),
            image=("application/octet-stream", writeNrrd(NrrdImage(mask))),
        )
        self.answer(handler, 200, parts, f"multipart/form-data; boundary={BOUNDARY.decode()}")


@pytest.fixture
def server():
    little = LittleServer()
    yield little
    little.stop()


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
