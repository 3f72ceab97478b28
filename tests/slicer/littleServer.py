"""A real HTTP server on the loopback that speaks AngioSeg's protocol over the pixels' brightness, and can be rude."""

import json
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np
from AngioSegLib.nrrd import NrrdImage, readNrrd, writeNrrd

BOUNDARY = b"0123456789abcdef"


INFO = {
    "name": "AngioSeg",
    "version": "0.1.0",
    "models": {"angioseg": {}},
    "strategies": {"first": {"description": "The first frame that is not labelled"}},
    "trainers": {"angioseg": {}},
}


def cineImage(seed: int, frames: int = 6, size=(7, 9), name: str = "a cine") -> NrrdImage:
    """A cine of noise, as the server's decoding gives it."""
    pixels = np.random.default_rng(seed).integers(0, 255, (frames, *size), np.uint8)
    times = json.dumps([66.7 * frame for frame in range(frames)])
    return NrrdImage(
        pixels, (1.0, 1.0), {"frame_times_ms": times, "pixel_size_source": '"unknown"', "name": json.dumps(name)}
    )


def measured(frame: int, mask: np.ndarray) -> dict:
    """Numbers of a frame that differ from frame to frame."""
    area = int(mask.sum())
    return {
        "frame": frame,
        "time_ms": 66.7 * frame,
        "area_px": area,
        "length_px": area / 2,
        "contrast": 1.0 + frame % 3,
        "sharpness": 0.5,
    }


def parseForm(kind: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """By name, the (file name, content) of each part of a form."""
    header = Message()
    header["Content-Type"] = kind
    parts = {}
    for piece in (b"\r\n" + body).split(b"\r\n--" + header.get_param("boundary").encode())[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        disposition = Message()
        disposition["Content-Disposition"] = head.decode().lower().split("content-disposition:")[1].split("\r\n")[0]
        parts[disposition.get_param("name", header="content-disposition")] = (disposition.get_filename(""), content)
    return parts


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
        files: what was sent to be decoded: (its name, its bytes).
        cines: by id, the cines of its folder.
        samples: what it answers when asked what to label next, one after the other.
        labels: what was submitted: (id, frames listed, mask).
        drawn: what it was given to draw a video of: (frames listed, mask).
        training: what it says of its training.
        token: what requests must carry, or "".
        version: of its model.
        sessions: what it has not forgotten.
        rude: when set, called with (handler, method, path); answering itself it returns True.
    """

    def __init__(self):
        self.asked: list[tuple[str, str, dict]] = []
        self.uploads: list[NrrdImage] = []
        self.sessions: dict[str, NrrdImage] = {}
        self.files: list[tuple[str, bytes]] = []
        self.cines: dict[str, NrrdImage] = {}
        self.samples: list[dict] = []
        self.labels: list[tuple[str, list[int], np.ndarray]] = []
        self.drawn: list[tuple[list[int], np.ndarray]] = []
        self.training: dict | None = None
        self.token = ""
        self.version = "0"
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

    def holdSecondRange(self) -> tuple[threading.Event, threading.Event]:
        """From now on the second range of frames asked for sets the first event and waits for the other."""
        held, goOn, seen = threading.Event(), threading.Event(), []

        def rude(handler, method, path):
            if path.startswith("/infer"):
                seen.append(path)
                if len(seen) == 2:
                    held.set()
                    goOn.wait(20)

        self.rude = rude
        return held, goOn

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
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            return self.json(handler, 401, {"detail": "This server asks for its token."})
        query = {name: values[0] for name, values in parse_qs(query).items()}
        kind = handler.headers.get("Content-Type", "")
        parts = parseForm(kind, body) if kind.startswith("multipart/") else {}
        if path == "/info/":
            self.json(handler, 200, INFO)
        elif path.startswith("/session/"):
            self.session(handler, path, parts)
        elif path.startswith("/infer/"):
            self.inferOrRank(handler, query["session_id"], params)
        elif path.startswith("/angioseg/"):
            self.picture(handler, path, query, parts, body)
        elif path.startswith("/activelearning/"):
            self.json(handler, 200, self.samples.pop(0) if self.samples else {})
        elif path.startswith("/datastore/"):
            self.datastore(handler, path, query, parts)
        elif path.startswith("/train/"):
            self.train(handler, json.loads(body or b"{}"))
        else:
            self.json(handler, 404, {"detail": "Not Found"})

    def session(self, handler, path: str, parts):
        if handler.command == "PUT":
            image = readNrrd(parts["files"][1])
            self.uploads.append(image)
            self.sessions[f"session-{len(self.uploads)}"] = image
            self.json(handler, 200, {"session_id": f"session-{len(self.uploads)}", "session_info": {}})
        else:
            known = self.sessions.pop(path.rsplit("/", 1)[1], None)
            self.json(handler, 200 if known else 404, {} if known else {"detail": "no such session"})

    def inferOrRank(self, handler, sessionId: str, params):
        if sessionId not in self.sessions:
            self.json(handler, 404, {"detail": "The session is unknown or expired. Upload the cine again."})
        elif params["frames"]:
            self.infer(handler, self.sessions[sessionId].array, *params["frames"])
        else:
            best = sorted(params["measures"], key=lambda measure: -measure["area_px"])[:2]
            keys = [{"frame": measure["frame"], "score": 1.0, "why": "bright"} for measure in best]
            self.json(handler, 200, {"frames": [], "key_frames": keys})

    def picture(self, handler, path: str, query, parts, body: bytes):
        if path == "/angioseg/overlay" and query["session_id"] not in self.sessions:
            self.json(handler, 404, {"detail": "Unknown or expired session. Upload the cine again."})
        elif path == "/angioseg/overlay":
            known = self.sessions[query["session_id"]].array
            mask = readNrrd(parts["mask"][1])
            assert mask.array.shape == known.shape
            self.drawn.append((json.loads(mask.values["annotated_frames"]), mask.array))
            self.answer(handler, 200, b"a video", "video/mp4")
        elif path == "/angioseg/cine":
            self.answer(handler, 200, writeNrrd(self.cines[query["image"]]))
        elif path == "/angioseg/sample":
            self.answer(handler, 200, writeNrrd(cineImage(seed=json.loads(body)["seed"])))
        else:
            self.files.append(parts["file"])
            data = parts["file"][1]
            if data.startswith(b"NRRD"):
                self.answer(handler, 200, data)
            else:
                self.json(handler, 400, {"detail": f"{parts['file'][0]} is not a cine."})

    def datastore(self, handler, path: str, query, parts):
        if path == "/datastore/label":
            frames = json.loads(parts["params"][1])["annotated_frames"]
            self.labels.append((query["image"], frames, readNrrd(parts["label"][1]).array))
            self.json(handler, 200, {})
        elif handler.command == "PUT":
            image = readNrrd(parts["file"][1])
            known = self.cines.setdefault(query["image"], image)
            same = np.array_equal(known.array, image.array)
            self.json(handler, *((200, {"image": query["image"]}) if same else (409, {"detail": "Use another id."})))
        else:
            listed = {
                name: sorted({f for n, frames, _ in self.labels for f in frames if n == name}) for name in self.cines
            }
            info = {name: {"final": {"info": {"annotated_frames": frames}}} for name, frames in listed.items()}
            self.json(
                handler, 200, {"objects": {name: {"labels": info[name] if listed[name] else {}} for name in info}}
            )

    def train(self, handler, params: dict):
        if handler.command == "POST":
            self.training = {"status": "RUNNING", "request": params, "details": [], "progress": {}}
        elif handler.command == "DELETE":
            self.training = {**self.training, "status": "STOPPED", "result": {"better": False, "stopped": True}}
        if self.training is None:
            self.json(handler, 404, {"detail": "There was no training so far."})
        else:
            self.json(handler, 200, self.training)

    def infer(self, handler, frames: np.ndarray, first: int, last: int):
        mask = np.zeros(frames.shape, np.uint8)
        mask[first : last + 1] = bright(frames)[first : last + 1]
        asked = list(range(first, last + 1))
        reply = {
            "frames": asked,
            "measures": [measured(frame, mask[frame]) for frame in asked],
            "model": {"name": "angioseg", "version": self.version, "weights": "0"},
            "warnings": ["it is a test"],
        }
        parts = multipart(
            params=("application/json", json.dumps(reply).encode()),
            image=("application/octet-stream", writeNrrd(NrrdImage(mask))),
        )
        self.answer(handler, 200, parts, f"multipart/form-data; boundary={BOUNDARY.decode()}")
