"""The infer task: a cine or a range of its frames in, a mask on the cine's grid and what is known of each frame out.

The bundle's inference config, which ``Segmenter`` runs, is the one place that says how a cine is prepared and its mask
finished: MONAI Label's own bundle task would hold the whole clip several times over and knows no ranges of frames.
"""

import dataclasses
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from angioseg.atomic import WriteError
from angioseg.cine import Cine, write_label
from angioseg.errors import AngioSegError
from angioseg.guard import client_gone
from angioseg.keyframes import FrameMeasure, rank_key_frames
from angioseg.segmentation import Segmentation, Segmenter, parse_frames
from angioseg.selection import FrameScore, score_frame
from angioseg.versions import Versions
from fastapi import HTTPException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.cines import CineCache, NoCine
from lib.options import check_options

__all__ = ["CineInferTask", "SharedSegmenter", "check_request"]

_OPTIONS = ("frames", "threshold", "measures")
"""Of an inference."""

logger = logging.getLogger("angioseg.server")


class SharedSegmenter:
    """The newest model in memory, loaded at its first use, used by one request at a time.

    Args:
        versions: says which model is the newest; asked at every request.
        device: "cpu", "cuda"; a GPU where there is one when None.

    Attributes:
        frames: segmented for clients since the start.
    """

    def __init__(self, versions: Versions, device=None):
        self.stopping = threading.Event()
        self._versions = versions
        self._device = device
        self._loaded: tuple[tuple, Segmenter] | None = None
        self._turns = threading.Condition()
        self._busy = False
        self._waiting = 0
        self.frames = 0

    def load(self) -> Segmenter:
        """Load the newest model now, unless it is loaded.

        Raises:
            AngioSegError: when its weights are missing or not of this network.
        """
        version = self._versions.current()
        # Where the newest was moved away, another model may have come in its place under its number.
        written = version.weights.stat().st_mtime_ns if version.weights.exists() else None
        if self._loaded is None or self._loaded[0] != (version, written):
            self._loaded = None  # two models at once may not fit the memory
            self._loaded = (version, written), Segmenter(version.weights, self._device, bundle=version.bundle)
        return self._loaded[1]

    def __call__(self, cine, frames, threshold: float | None = None) -> Segmentation:
        """Segment ``frames`` of ``cine``, with the bundle's threshold when there is none given.

        Raises:
            HTTPException: before the next batch, when the server is stopping (503) or the client has hung up (499).
        """
        done = 0

        def progress(now: int, total: int):
            nonlocal done
            self.frames += now - done
            done = now
            if now < total:
                self._go_on()

        with self._turn(first=True) as segmenter:
            self._go_on()
            return segmenter(cine, frames, progress=progress, threshold=threshold)

    def score(self, cine: Cine, frame: int) -> tuple[str, FrameScore]:
        """Score a frame when nobody waits for a segmentation: (digest of the model's weights, scores)."""
        with self._turn(first=False) as segmenter:
            self._go_on()
            return segmenter.model["weights"], score_frame(segmenter, cine, frame)

    def weights(self) -> str:
        """Digest of the newest model's weights."""
        with self._turn(first=False) as segmenter:
            return segmenter.model["weights"]

    @contextmanager
    def _turn(self, first: bool) -> Iterator[Segmenter]:
        with self._turns:
            self._waiting += first
            self._turns.wait_for(lambda: not self._busy and (first or not self._waiting))
            self._waiting -= first
            self._busy = True
        try:
            try:
                segmenter = self.load()
            except AngioSegError as error:
                raise HTTPException(503, f"The model cannot be loaded: {error}") from error
            yield segmenter
        finally:
            with self._turns:
                self._busy = False
                self._turns.notify_all()

    def _go_on(self):
        if self.stopping.is_set():
            raise HTTPException(503, "The server is stopping.")
        gone = client_gone.get()
        if gone is not None and gone.is_set():
            logger.info("An inference was given up: its client has hung up.")
            raise HTTPException(499, "The client has hung up.")


class CineInferTask(InferTask):
    """Answers ``POST /infer/angioseg``.

    Request: ``frames`` ("all", one number, or [first, last], counted from 0, last included) and ``threshold`` (0..1).
    With ``frames`` [] and the ``measures`` of earlier replies, nothing is inferred: the reply ranks the key frames over
    all of them, for a client that asked range after range.
    """

    def __init__(self, segmenter: SharedSegmenter, cines: CineCache):
        super().__init__(
            type=InferType.SEGMENTATION,
            labels={"vessel": 1},
            dimension=3,
            description="Coronary arteries in every frame of an X-ray angiography cine",
            config={"frames": "all"},
        )
        self._segmenter = segmenter
        self._cines = cines

    def is_valid(self) -> bool:
        return True

    def info(self):
        return {**super().info(), "frames_segmented": self._segmenter.frames}

    def __call__(self, request) -> tuple[str | None, dict]:
        path = request["image"]
        check_options(request, _OPTIONS)
        try:
            if request.get("frames") == []:
                return None, _rank(request.get("measures"))
            if not path:  # so the platform says that it found no file
                raise NoCine(404, "The cine was removed a moment ago.")
            return self._segment(path, request.get("frames", "all"), _threshold(request.get("threshold")))
        except WriteError:
            raise
        except AngioSegError as error:
            # The server's own folders are not the client's business.
            raise NoCine(400, str(error).replace(path, os.path.basename(path))) from error

    def _segment(self, path: str, frames, threshold) -> tuple[str, dict]:
        start = time.perf_counter()
        cine = self._cines.read(path)
        read = time.perf_counter()
        segmentation = self._segmenter(cine, frames, threshold)
        write = time.perf_counter()
        handle, file = tempfile.mkstemp(prefix="angioseg-", suffix=".nrrd")
        os.close(handle)
        try:
            write_label(file, segmentation.mask, cine, segmentation.frames)
        except BaseException:
            os.unlink(file)
            raise
        params = segmentation.summary()
        params["latencies"] = {
            **params["latencies"],
            "read": round(read - start, 3),
            "write": round(time.perf_counter() - write, 3),
        }
        logger.info("Segmented %d frames in %.1f s.", len(segmentation.frames), segmentation.latencies["infer"])
        return file, params


def check_request(request: dict):
    """Refuse what no cine could be segmented with, before many are asked.

    Raises:
        HTTPException: 400, for a misspelt option.
        AngioSegError: for frames or a threshold that are none.
    """
    check_options(request, _OPTIONS)
    parse_frames(request.get("frames", "all"), sys.maxsize)
    _threshold(request.get("threshold"))


def _threshold(value) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise AngioSegError(f"threshold must be a number between 0 and 1, not {str(value)[:60]!r}.")
    return float(value)


def _rank(measures) -> dict:
    if not isinstance(measures, list) or not measures:
        raise AngioSegError("`frames` is empty: give frames, or the `measures` of earlier replies to rank them.")
    try:
        ranked = rank_key_frames([_measure(measure) for measure in measures])
    except (TypeError, ValueError, OverflowError) as error:
        raise AngioSegError("`measures` must be those of earlier replies, unchanged.") from error
    return {"frames": [], "key_frames": [dataclasses.asdict(key_frame) for key_frame in ranked]}


def _measure(values) -> FrameMeasure:
    if not isinstance(values, dict) or not all(type(value) in (int, float) for value in values.values()):
        raise TypeError
    return FrameMeasure(**values)
