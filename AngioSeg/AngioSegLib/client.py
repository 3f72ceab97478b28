"""The AngioSeg server: MONAI Label's protocol with AngioSeg's ``params``.

Nothing here touches a scene, so it may be called from a worker thread. Every method raises a
:class:`~AngioSegLib.errors.ServerError` of some kind when the server does not answer as agreed.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from AngioSegLib.errors import BadReply, NrrdError, RequestRefused, SessionLost
from AngioSegLib.multipart import parseMultipart
from AngioSegLib.nrrd import NrrdImage, readNrrd, writeNrrd
from AngioSegLib.transport import Transport

__all__ = ["Client", "InferReply"]

# No patient name, no file name of the user's, ever leaves in an upload.
_UPLOAD_NAME = "cine.nrrd"
_SPEAKS = "0.1"
"""The server's version that these messages are those of, without its last number."""


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
        token: what the server was started with, or a user's password; "" when it asks for none.
        connectTimeout: seconds to wait for somebody to pick up.
        readTimeout: seconds without a byte of the answer; a range of frames is computed in that time.

    Attributes:
        url: the server's address.
        inClear: whether what is sent can be read on its way.

    Raises:
        ServerAbsent: when the address is none.
    """

    def __init__(
        self,
        url: str,
        model: str = "angioseg",
        token: str = "",
        connectTimeout: float = 5.0,
        readTimeout: float = 300.0,
    ):
        self.model = model
        self._line = Transport(url, token, connectTimeout, readTimeout)
        self.url, self.inClear = self._line.url, self._line.inClear

    def info(self) -> dict[str, Any]:
        """The server's ``/info/``: its name, models and labels.

        Raises:
            ServerError: one of its kinds; :class:`BadReply` when it is no AngioSeg server.
        """
        info = self._line.json("GET", "/info/")
        if not all(_isOffer(info.get(kind, {})) for kind in ("models", "strategies", "trainers")):
            raise BadReply(f"{self.url} lists what it offers in a form not agreed; is it another version?")
        if self.model not in info.get("models", {}):
            raise BadReply(f"{self.url} is a server without the model {self.model!r}; start it with angioseg serve")
        version = str(info.get("version", ""))
        if version.split(".")[:2] != _SPEAKS.split("."):
            raise BadReply(
                f"{self.url} is AngioSeg {version or 'unknown'}; this module speaks {_SPEAKS}: update one of them"
            )
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
        files = {"files": _file(_asNrrd(frames, timesMs, spacing, pixelSizeSource))}
        sessionId = self._line.json("PUT", "/session/", files=files).get("session_id")
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
        keyFrames = self._line.object(self._infer(sessionId, params)).get("key_frames")
        if not isinstance(keyFrames, list) or not all(_isKeyFrame(key) for key in keyFrames):
            raise BadReply(f"{self.url} ranked no key frames; is it another version?")
        return keyFrames

    def deleteSession(self, sessionId: str) -> None:
        """Let the server forget an uploaded cine; one already forgotten is no error.

        Raises:
            ServerError: one of its kinds.
        """
        try:
            self._line.request("DELETE", f"/session/{quote(sessionId, safe='')}")
        except SessionLost:
            return

    # Reading and drawing what Slicer cannot.

    def decode(self, data: bytes, name: str) -> NrrdImage:
        """Have a file read by the server.

        Args:
            data: the bytes of any cine the server reads, or of a zip archive of a folder of frames.
            name: only its ending is sent: it says what kind of file this is, and a file's name may name a patient.

        Returns:
            The cine over (x, y, t), as :meth:`upload` writes it: ``frame_times_ms``, ``pixel_size_source`` and ``name``
            among its values.
        """
        files = {"file": (f"cine{_ending(name)}", data, "application/octet-stream")}
        return self._cine(self._line.request("POST", "/angioseg/decode", files=files).content)

    def sample(self, seed: int) -> NrrdImage:
        """A simulated cine, as :meth:`decode` gives it."""
        return self._cine(self._line.request("POST", "/angioseg/sample", json={"seed": seed}).content)

    def overlay(self, sessionId: str, mask: np.ndarray, frames: Sequence[int]) -> bytes:
        """A video (MP4) of an uploaded cine with a mask drawn on it.

        Args:
            sessionId: see :meth:`upload`.
            mask: (T, H, W) uint8, 1 = vessel.
            frames: numbers of the frames that were segmented, from 0: the mask says nothing of the others.

        Raises:
            SessionLost: when the server forgot the cine.
            ServerError: another of its kinds; :class:`BadReply` when the answer is no video.
        """
        query = {"session_id": sessionId}
        image = NrrdImage(mask, values={"annotated_frames": json.dumps([int(frame) for frame in frames])})
        files = {"mask": ("mask.nrrd", writeNrrd(image), "application/octet-stream")}
        response = self._line.request("POST", "/angioseg/overlay", params=query, files=files)
        # A proxy's log-in page comes with status 200, too.
        isVideo = response.headers.get("Content-Type", "").startswith("video/") or response.content[4:8] == b"ftyp"
        if not isVideo:
            raise BadReply(f"{self.url} sent no video; is there a log-in page before it?")
        return response.content

    # Learning.

    def nextSample(self, strategy: str) -> dict[str, Any] | None:
        """The frame to label next: ``id`` of its cine, ``frame``, ``score`` and ``why``; None when none is left."""
        sample = self._line.json("POST", f"/activelearning/{quote(strategy, safe='')}", json={})
        if sample and not ({"id", "why"} <= set(sample) and isinstance(sample.get("frame"), int)):
            raise BadReply(f"{self.url} named no frame to label next; is it another version?")
        return sample or None

    def image(self, imageId: str) -> NrrdImage:
        """A cine of the server's folder, as :meth:`decode` gives it."""
        return self._cine(self._line.request("GET", "/angioseg/cine", params={"image": imageId}).content)

    def saveImage(
        self,
        imageId: str,
        frames: np.ndarray,
        timesMs: Sequence[float],
        spacing: tuple[float, float] = (1.0, 1.0),
        pixelSizeSource: str = "unknown",
    ) -> str:
        """Put a cine into the server's folder; one that is there already, pixel by pixel, stays.

        Args:
            imageId: names no patient, and no other cine.
            frames: see :meth:`upload`, here and below.
            timesMs: T frame times in milliseconds.
            spacing: (row spacing, column spacing) in mm, or (1, 1).
            pixelSizeSource: where the spacing comes from.

        Returns:
            The id that the server knows it by.

        Raises:
            ServerError: one of its kinds; :class:`RequestRefused` when another cine has that id.
        """
        files = {"file": _file(_asNrrd(frames, timesMs, spacing, pixelSizeSource))}
        reply = self._line.json("PUT", "/datastore/", params={"image": imageId}, files=files)
        return str(reply.get("image") or imageId)

    def saveLabel(self, imageId: str, mask: np.ndarray, frames: Sequence[int]) -> None:
        """Submit the vessels of some frames; the server knows nothing new of the others.

        Args:
            imageId: of the cine.
            mask: (T, H, W) uint8, 1 = vessel.
            frames: numbers of the frames that the mask labels, from 0.

        Raises:
            ServerError: one of its kinds; :class:`BadReply` when it is not the server that answered.
        """
        params = {"annotated_frames": [int(frame) for frame in frames]}
        query = {"image": imageId, "tag": "final"}
        files = {"label": ("label.nrrd", writeNrrd(NrrdImage(mask)), "application/octet-stream")}
        # What a proxy answers in the server's place, be it a log-in page with status 200, is no JSON.
        self._line.json("PUT", "/datastore/label", params=query, data={"params": json.dumps(params)}, files=files)

    def labelled(self) -> dict[str, list[int]]:
        """For each cine in the server's folder, the frames that its final label names."""
        objects = self._line.json("GET", "/datastore/", params={"output": "all"}).get("objects")
        try:
            return {
                imageId: list(one["labels"].get("final", {"info": {}})["info"].get("annotated_frames", []))
                for imageId, one in objects.items()
            }
        except (AttributeError, KeyError, TypeError) as error:
            raise BadReply(f"{self.url} lists its cines in a form not agreed; is it another version?") from error

    def train(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Start a training of the model; see ``GET /info/`` for its parameters. Returns as :meth:`training`."""
        return self._line.json("POST", f"/train/{quote(self.model, safe='')}", json=dict(params))

    def training(self) -> dict[str, Any] | None:
        """The last training, or None: ``status`` ("RUNNING", "DONE", "STOPPED", "ERROR"), ``progress``, ``details``."""
        try:
            return self._line.json("GET", "/train/")
        except RequestRefused as refused:
            if refused.status == 404:
                return None
            raise

    def stopTraining(self) -> None:
        """Stop the training that runs; the server keeps its best model so far."""
        self._line.request("DELETE", "/train/")

    def _infer(self, sessionId: str, params: Mapping[str, Any]):
        return self._line.request(
            "POST",
            f"/infer/{quote(self.model, safe='')}",
            params={"session_id": sessionId, "output": "all"},
            # As a form field: MONAI Label reads `params` from the form, not from the body.
            files={"params": (None, json.dumps(params))},
        )

    def _cine(self, data: bytes) -> NrrdImage:
        try:
            return readNrrd(data)
        except NrrdError as error:
            raise BadReply(f"{self.url} sent no cine ({error}); is it another version?") from error


def _asNrrd(frames, timesMs, spacing, pixelSizeSource) -> bytes:
    values = {
        "frame_times_ms": json.dumps([float(time) for time in timesMs]),
        "pixel_size_source": json.dumps(pixelSizeSource),
    }
    return writeNrrd(NrrdImage(frames, spacing, values))


def _isKeyFrame(key: object) -> bool:
    return isinstance(key, dict) and {"frame", "score", "why"} <= set(key) and type(key["frame"]) is int


def _isOffer(offer: object) -> bool:
    return isinstance(offer, dict) and all(isinstance(about, dict) for about in offer.values())


def _file(data: bytes) -> tuple[str, bytes, str]:
    return (_UPLOAD_NAME, data, "application/octet-stream")


def _ending(name: str) -> str:
    """The ending alone: what stands before it, even after another dot, may be a patient's name."""
    stem, ending = os.path.splitext(name.lower())
    inner = os.path.splitext(stem)[1]
    return (inner if inner in (".nii", ".seq", ".seg") else "") + ending
