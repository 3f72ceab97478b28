"""The AngioSeg server over HTTP: MONAI Label's protocol with AngioSeg's ``params``.

Nothing here touches a scene, so it may be called from a worker thread.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import requests

from AngioSegLib.errors import BadReply, NrrdError, RequestRefused, ServerAbsent, ServerTimeout, SessionLost
from AngioSegLib.multipart import parseMultipart
from AngioSegLib.nrrd import NrrdImage, readNrrd, writeNrrd

__all__ = ["Client", "InferReply"]

# No patient name, no file name of the user's, ever leaves in the upload.
_UPLOAD_NAME = "cine.nrrd"


@dataclass(frozen=True)
class InferReply:
    """What the server says of a range of frames.

    Args:
        mask: (T, H, W) uint8, 1 = vessel, over the cine's whole grid; 0 in frames not asked for.
        frames: the frames it filled, from 0.
        measures: one for each of them: ``{"frame", "time_ms", "area_px", "length_px", "contrast", "sharpness"}``.
        params: the reply's JSON, whole.
    """

    mask: np.ndarray
    frames: tuple[int, ...]
    measures: tuple[dict[str, Any], ...]
    params: Mapping[str, Any]


class Client:
    """One server.

    Args:
        url: such as ``http://127.0.0.1:8000``. Over https the server's certificate is verified.
        model: the infer task's name.
        connectTimeout: seconds to wait for somebody to pick up.
        readTimeout: seconds without a byte of the answer; a range of frames is computed in that time.

    Raises:
        ServerAbsent: when the address is none.
    """

    def __init__(self, url: str, model: str = "angioseg", connectTimeout: float = 5.0, readTimeout: float = 300.0):
        url = url.strip().rstrip("/")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ServerAbsent(f"{url!r} is no server address; write it like http://127.0.0.1:8000")
        self.url = url
        self.model = model
        self._timeout = (connectTimeout, readTimeout)
        self._http = requests.Session()
        # A hospital's proxy settings must not catch calls to this very machine.
        self._http.trust_env = urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1")

    def info(self) -> dict[str, Any]:
        """The server's ``/info/``: its name, models and labels.

        Raises:
            ServerError: one of its kinds; :class:`BadReply` when it is no AngioSeg server.
        """
        info = self._json(self._request("GET", "/info/"))
        if self.model not in info.get("models", {}):
            raise BadReply(f"{self.url} is a server without the model {self.model!r}; start it with angioseg serve")
        return info

    def upload(
        self,
        frames: np.ndarray,
        timesMs: Sequence[float],
        spacing: tuple[float, float] = (1.0, 1.0),
        pixelSizeSource: str = "unknown",
    ) -> str:
        """Hand a cine over once.

        Args:
            frames: (T, H, W) uint8, uint16 or int16.
            timesMs: T frame times in milliseconds.
            spacing: (row spacing, column spacing) in mm, or (1, 1).
            pixelSizeSource: ``"calibrated"``, ``"imager"`` or ``"unknown"``.

        Returns:
            The session's id, for :meth:`infer`, :meth:`rank` and :meth:`deleteSession`.

        Raises:
            ServerError: one of its kinds.
            NrrdError: when the frames are of another type or shape.
        """
        values = {
            "frame_times_ms": json.dumps([float(time) for time in timesMs]),
            "pixel_size_source": json.dumps(pixelSizeSource),
        }
        data = writeNrrd(NrrdImage(frames, spacing, values))
        files = {"files": (_UPLOAD_NAME, data, "application/octet-stream")}
        sessionId = self._json(self._request("PUT", "/session/", files=files)).get("session_id")
        if not isinstance(sessionId, str) or not sessionId:
            raise BadReply(f"{self.url} took the cine but gave no session for it; is it another version?")
        return sessionId

    def infer(self, sessionId: str, first: int, last: int, threshold: float | None = None) -> InferReply:
        """Segment frames ``first`` to ``last`` (inclusive, from 0) of an uploaded cine.

        Raises:
            SessionLost: when the server forgot the cine.
            ServerError: another of its kinds.
        """
        params: dict[str, Any] = {"frames": [first, last]}
        if threshold is not None:
            params["threshold"] = threshold
        response = self._infer(sessionId, params)
        parts = parseMultipart(response.headers.get("Content-Type", ""), response.content)
        try:
            reply = json.loads(parts["params"])
            mask = readNrrd(parts["image"]).array
            frames = tuple(int(frame) for frame in reply["frames"])
            measures = tuple({**measure, "frame": int(measure["frame"])} for measure in reply["measures"])
        except (KeyError, TypeError, ValueError, NrrdError) as error:
            raise BadReply(f"{self.url} answered in a form not agreed ({error}); is it another version?") from error
        if mask.dtype != np.uint8:
            raise BadReply(f"{self.url} answered with a mask of {mask.dtype}; uint8 was agreed")
        return InferReply(mask, frames, measures, reply)

    def rank(self, sessionId: str, measures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rank key frames by measures that :meth:`infer` gave; nothing is segmented for it.

        Returns:
            ``{"frame", "score", "why"}`` each, best first.

        Raises:
            SessionLost: when the server forgot the cine.
            ServerError: another of its kinds.
        """
        params = {"frames": [], "measures": [dict(measure) for measure in measures]}
        keyFrames = self._json(self._infer(sessionId, params)).get("key_frames")
        if not isinstance(keyFrames, list) or not all({"frame", "score", "why"} <= set(key) for key in keyFrames):
            raise BadReply(f"{self.url} ranked no key frames; is it another version?")
        return keyFrames

    def deleteSession(self, sessionId: str) -> None:
        """Let the server forget an uploaded cine; one already forgotten is no error.

        Raises:
            ServerError: one of its kinds.
        """
        try:
            self._request("DELETE", f"/session/{quote(sessionId, safe='')}")
        except SessionLost:
            return

    def _infer(self, sessionId: str, params: Mapping[str, Any]) -> requests.Response:
        return self._request(
            "POST",
            f"/infer/{quote(self.model, safe='')}",
            params={"session_id": sessionId, "output": "all"},
            # As a form field: MONAI Label reads `params` from the form, not from the body.
            files={"params": (None, json.dumps(params))},
        )

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            response = self._http.request(
                method, self.url + path, timeout=self._timeout, allow_redirects=False, **options
            )
        except requests.exceptions.SSLError as error:
            raise ServerAbsent(f"{self.url} shows a certificate that is not trusted; nothing was sent") from error
        except requests.RequestException as error:
            # A body that stops coming is reported by requests as a broken connection around the time-out.
            stalled = any(type(cause).__name__ == "ReadTimeoutError" for cause in error.args)
            if stalled or isinstance(error, requests.ReadTimeout):
                raise ServerTimeout(f"{self.url} said nothing for {self._timeout[1]:g} s; is it busy?") from error
            if isinstance(error, requests.ConnectTimeout):
                raise ServerTimeout(
                    f"{self.url} did not pick up in {self._timeout[0]:g} s; is it switched on?"
                ) from error
            raise ServerAbsent(
                f"nobody answers at {self.url}, or the line broke; start the server, or correct the address"
            ) from error
        if response.status_code >= 300:
            raise self._refusal(response, path)
        return response

    def _refusal(self, response: requests.Response, path: str) -> RequestRefused:
        status = response.status_code
        try:
            detail = str(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = response.reason or "no reason given"
        message = f"{self.url} refused ({status}): {' '.join(detail.split())}"
        aboutSession = path.startswith("/session/") or any(
            words in detail.lower() for words in ("session", "upload the cine again")
        )
        return (SessionLost if status == 404 and aboutSession else RequestRefused)(message, status)

    def _json(self, response: requests.Response) -> dict[str, Any]:
        try:
            value = response.json()
        except ValueError as error:
            raise BadReply(f"{self.url} is no AngioSeg server: its answer is not JSON") from error
        if not isinstance(value, dict):
            raise BadReply(f"{self.url} is no AngioSeg server: its answer is not an object")
        return value
