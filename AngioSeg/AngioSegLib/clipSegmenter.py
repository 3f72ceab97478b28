"""A cine segmented range after range: progress, partial results and cancel, with the scene free to use meanwhile.

One worker thread owns the HTTP client. It never touches the scene: what it gets waits in a queue, and
:meth:`ClipSegmenter.process`, called on the main thread by a timer, puts it there.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from AngioSegLib.cine import CineSequence
from AngioSegLib.client import Client, InferReply
from AngioSegLib.errors import AngioSegLibError, BadReply, CineUnusable, ServerError, SessionLost
from AngioSegLib.segmentation import SegmentationSequence

__all__ = ["ClipSegmenter", "rangesAround"]


def rangesAround(first: int, last: int, chunk: int, start: int) -> list[tuple[int, int]]:
    """Cut frames ``first`` to ``last`` (inclusive) into ranges of at most ``chunk``, nearest to ``start`` first.

    >>> rangesAround(0, 9, 4, 5)
    [(4, 7), (0, 3), (8, 9)]
    """
    ranges = [(begin, min(begin + chunk - 1, last)) for begin in range(first, last + 1, chunk)]
    return sorted(ranges, key=lambda ends: max(ends[0] - start, start - ends[1], 0))


@dataclass(frozen=True)
class _Upload:
    frames: np.ndarray
    timesMs: np.ndarray
    spacing: tuple[float, float]
    pixelSizeSource: str


class ClipSegmenter:
    """Segments a cine on the server, into the scene.

    Args:
        cine: the cine.
        client: the server. The worker uses it while this object runs.
        segmentation: where masks go.
        chunkSize: frames asked for at a time: the step of progress, and what a cancel waits for at most.

    Attributes:
        done, total: frames finished, frames asked for.
        error: what ended the run early, or None.
        cancelled: whether :meth:`cancel` ended it.
        measures: by frame, what the server measured (all runs of this object).
        keyFrames: the ranked key frames, best first; empty until a run is complete.
        model: name, version and weights of the model that answered.
        warnings: the server's, each once.
    """

    def __init__(self, cine: CineSequence, client: Client, segmentation: SegmentationSequence, chunkSize: int = 8):
        if chunkSize < 1:
            raise ValueError(f"chunkSize is {chunkSize}; at least one frame is asked for at a time")
        self._cine = cine
        self._client = client
        self._segmentation = segmentation
        self._chunkSize = chunkSize
        self._sessionId: str | None = None
        self._running = False
        self._worker: threading.Thread | None = None
        self._stop = threading.Event()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self.done = 0
        self.total = 0
        self.error: AngioSegLibError | None = None
        self.cancelled = False
        self.measures: dict[int, dict[str, Any]] = {}
        self.keyFrames: list[dict[str, Any]] = []
        self.model: dict[str, Any] = {}
        self.warnings: list[str] = []

    @property
    def running(self) -> bool:
        """Whether a run is under way and has not been cancelled."""
        return self._running

    def start(
        self, first: int = 0, last: int | None = None, startFrame: int | None = None, threshold: float | None = None
    ) -> None:
        """Begin; returns at once. Call :meth:`process` until it says False.

        Args:
            first: the first frame to segment, from 0.
            last: the last one, inclusive; the cine's when not given.
            startFrame: which frame to begin with; the one the user looks at when not given.
            threshold: passed to the server; the model's own when not given.

        Raises:
            CineUnusable: when the frames are not the cine's, or the cine's pixels cannot be sent.
            RuntimeError: when it is running already.
        """
        if self.running:
            raise RuntimeError("segmentation is running already; cancel it first")
        last = self._cine.numFrames - 1 if last is None else last
        count = self._cine.numFrames
        if not 0 <= first <= last < count:
            raise CineUnusable(f"frames {first} to {last} are not all in the cine, which has 0 to {count - 1}")
        start = self._cine.currentFrame if startFrame is None else startFrame
        ranges = rangesAround(first, last, self._chunkSize, start)
        upload = _Upload(self._cine.frames(), self._cine.timesMs(), self._cine.spacing, self._cine.pixelSizeSource)
        self.done, self.total = 0, last - first + 1
        self.error, self.cancelled, self.keyFrames = None, False, []
        # Of its own for each run: what a cancelled worker still sends is thrown away with them.
        self._stop, self._results = threading.Event(), queue.SimpleQueue()
        self._running = True
        self._onWorker(self._work, upload, ranges, threshold, dict(self.measures), self._stop, self._results.put)

    def process(self, wait: float = 0.02) -> bool:
        """Put what has arrived into the scene. Main thread only.

        Args:
            wait: seconds to wait for something to arrive. Not 0 when a timer calls this: an event loop in C++ may
                keep Python's lock all the time, and the worker runs only while this waits.

        Returns:
            Whether there is more to come.
        """
        try:
            while self._running:
                handle, value = self._results.get(timeout=wait) if wait else self._results.get_nowait()
                if self._segmentation.sequence.GetScene() is None:
                    # The user closed the scene, or removed the masks.
                    self.cancel()
                else:
                    handle(value)
                wait = 0.0
        except queue.Empty:
            pass
        except AngioSegLibError as error:
            self.cancel()
            self.error = error
        return self._running

    def cancel(self) -> None:
        """End now. Frames already in the scene stay; the range under way is finished by the server and thrown away."""
        if self._running:
            self._stop.set()
            self._running = False
            self.cancelled = True

    def run(self, progress: Callable[[int, int], None] | None = None, **options: Any) -> list[dict[str, Any]]:
        """Segment and wait: for scripts.

        Args:
            progress: called with (frames done, frames asked for) as they come.
            options: those of :meth:`start`.

        Returns:
            The key frames, best first: ``{"frame", "score", "why"}``.

        Raises:
            AngioSegLibError: what ended the run early; frames finished before it are in the scene.
        """
        self.start(**options)
        told = None
        try:
            more = True
            while more:
                more = self.process(wait=0.1)
                if progress is not None and told != self.done:
                    told = self.done
                    progress(told, self.total)
        finally:
            self.cancel()
        if self.error is not None:
            raise self.error
        return self.keyFrames

    def close(self, wait: float = 2.0) -> None:
        """Cancel, and let the server forget the cine.

        Args:
            wait: seconds to wait for that at most; it goes on by itself afterwards.
        """
        self.cancel()
        self._onWorker(self._forget)
        self._worker.join(wait)

    def _onWorker(self, target: Callable[..., None], *args: Any) -> None:
        previous = self._worker

        def afterPrevious() -> None:
            # A cancelled run may still be in its last request: HTTP has one owner at a time.
            if previous is not None:
                previous.join()
            target(*args)

        self._worker = threading.Thread(target=afterPrevious, name="AngioSeg client", daemon=True)
        self._worker.start()

    # On the worker thread, from here on: the client and the queue, never the scene.

    def _forget(self) -> None:
        sessionId, self._sessionId = self._sessionId, None
        if sessionId is not None:
            # A server that is gone has forgotten it.
            with contextlib.suppress(ServerError):
                self._client.deleteSession(sessionId)

    def _work(self, upload: _Upload, ranges, threshold, measures, stop: threading.Event, put) -> None:
        try:
            for reply in self._replies(upload, ranges, threshold, stop):
                measures.update({measure["frame"]: measure for measure in reply.measures})
                put((self._onReply, reply))
            if not stop.is_set():
                inOrder = [measures[frame] for frame in sorted(measures)]
                put((self._onKeyFrames, self._inSession(upload, stop, lambda id_: self._client.rank(id_, inOrder))))
        except AngioSegLibError as error:
            put((self._onError, error))
        except Exception as error:
            # A thread that dies in silence leaves a progress bar that never moves.
            put((self._onError, AngioSegLibError(f"segmentation stopped by a fault in AngioSeg: {error!r}")))

    def _replies(self, upload: _Upload, ranges, threshold, stop: threading.Event) -> Iterator[InferReply]:
        for first, last in ranges:
            if stop.is_set():
                return
            reply = self._inSession(
                upload, stop, lambda id_, ends=(first, last): self._client.infer(id_, *ends, threshold=threshold)
            )
            if reply.mask.shape != upload.frames.shape or reply.frames != tuple(range(first, last + 1)):
                raise BadReply(f"{self._client.url} answered with other frames than {first} to {last} of this cine")
            yield reply

    def _inSession(self, upload: _Upload, stop: threading.Event, ask: Callable[[str], Any]) -> Any:
        if self._sessionId is not None:
            try:
                return ask(self._sessionId)
            except SessionLost:
                if stop.is_set():
                    raise
        self._sessionId = self._client.upload(upload.frames, upload.timesMs, upload.spacing, upload.pixelSizeSource)
        return ask(self._sessionId)

    # On the main thread again, called by process().

    def _onReply(self, reply: InferReply) -> None:
        frames = list(reply.frames)
        self._segmentation.setMask(frames, reply.mask[frames])
        self.measures.update({measure["frame"]: measure for measure in reply.measures})
        self.model = dict(reply.params.get("model", {}))
        self.warnings += [text for text in reply.params.get("warnings", ()) if text not in self.warnings]
        self.done += len(frames)

    def _onKeyFrames(self, keyFrames: list[dict[str, Any]]) -> None:
        self.keyFrames = keyFrames
        self._running = False

    def _onError(self, error: AngioSegLibError) -> None:
        self.error = error
        self._running = False
