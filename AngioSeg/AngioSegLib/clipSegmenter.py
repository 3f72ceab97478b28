"""A cine segmented range after range: progress, partial results and cancel, with the scene free to use meanwhile.

Each range is one thing asked of a :class:`~AngioSegLib.worker.Worker`, so what else is asked of the server gets its
turn between two ranges.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from AngioSegLib.cine import CineSequence
from AngioSegLib.client import Client, InferReply
from AngioSegLib.errors import AngioSegLibError, BadReply, CineUnusable, ServerError
from AngioSegLib.segmentation import SegmentationSequence
from AngioSegLib.uploadedCine import UploadedCine
from AngioSegLib.worker import Task, Worker

__all__ = ["ClipSegmenter", "rangesAround"]

_CHANGED = "the cine's frames were changed: segment again"


def rangesAround(frames: Sequence[int], chunk: int, start: int) -> list[tuple[int, int]]:
    """Cut frames into ranges (first, last) of at most ``chunk`` neighbours, nearest to ``start`` first.

    >>> rangesAround(range(10), 4, 5)
    [(4, 7), (0, 3), (8, 9)]
    >>> rangesAround([0, 1, 2, 6, 7], 2, 0)
    [(0, 1), (2, 2), (6, 7)]
    """
    ranges: list[tuple[int, int]] = []
    for frame in sorted(frames):
        if ranges and frame == ranges[-1][1] + 1 and frame - ranges[-1][0] < chunk:
            ranges[-1] = (ranges[-1][0], frame)
        else:
            ranges.append((frame, frame))
    return sorted(ranges, key=lambda ends: max(ends[0] - start, start - ends[1], 0))


class ClipSegmenter:
    """Segments a cine on the server, into the scene.

    Args:
        cine: the cine.
        client: the server. The worker uses it while this object runs.
        segmentation: where masks go.
        chunkSize: frames asked for at a time: the step of progress, and what a cancel waits for at most.
        worker: whose thread waits for the server; one of its own when not given.
        uploaded: the cine as servers have it; one of its own when not given.
        place: what is done with each reply instead of putting all its masks into the segmentation.
        complete: called with the ranked key frames at the end of a run that was not cut short.

    Attributes:
        uploaded: the cine as servers have it.
        done, total: frames finished, frames asked for.
        error: what ended the run early, or None.
        cancelled: whether :meth:`cancel` ended it.
        measures: by frame, what the server measured (all runs of this object).
        keyFrames: the ranked key frames, best first; empty until a run is complete.
        model: name, version and weights of the model that answered.
        warnings: the server's, each once.
    """

    def __init__(
        self,
        cine: CineSequence,
        client: Client,
        segmentation: SegmentationSequence,
        chunkSize: int = 8,
        worker: Worker | None = None,
        uploaded: UploadedCine | None = None,
        place: Callable[[InferReply], None] | None = None,
        complete: Callable[[list[dict[str, Any]]], None] = lambda keyFrames: None,
    ):
        if chunkSize < 1:
            raise ValueError(f"chunkSize is {chunkSize}; at least one frame is asked for at a time")
        self._cine = cine
        self._client = client
        self._segmentation = segmentation
        self._chunkSize = chunkSize
        self._ownWorker = None if worker else Worker()
        self._worker = worker or self._ownWorker
        self._place = place or self._placeAll
        self._complete = complete
        self.uploaded = uploaded or UploadedCine(cine)
        self._task: Task | None = None
        self._indexValues: list[str] = []
        self._left: list[int] = []
        self._ranges: list[tuple[int, int]] = []
        self._threshold: float | None = None
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
        return self._task is not None

    @property
    def done(self) -> int:
        return self.total - len(self._left)

    @property
    def left(self) -> list[int]:
        """The frames asked for that are not finished, also after an early end; none where the cine was changed."""
        return list(self._left) if self._isSame() else []

    def start(
        self,
        first: int = 0,
        last: int | None = None,
        startFrame: int | None = None,
        threshold: float | None = None,
        frames: Sequence[int] | None = None,
    ) -> None:
        """Begin; returns at once. Call :meth:`process` until it says False.

        Args:
            first: the first frame to segment, from 0.
            last: the last one, inclusive; the cine's when not given.
            startFrame: which frame to begin with; the one the user looks at when not given.
            threshold: passed to the server; the model's own when not given.
            frames: these instead of ``first`` to ``last``.

        Raises:
            CineUnusable: when the frames are not the cine's, or the cine's pixels cannot be sent.
            RuntimeError: when it is running already.
        """
        if self.running:
            raise RuntimeError("segmentation is running already; cancel it first")
        count = self._cine.numFrames
        last = count - 1 if last is None else last
        wanted = sorted(set(range(first, last + 1) if frames is None else frames))
        if not wanted or wanted[0] < 0 or wanted[-1] >= count:
            asked = f"frames {first} to {last}" if frames is None else f"frames {wanted}"
            raise CineUnusable(f"{asked} are not all in the cine, which has 0 to {count - 1}")
        self.uploaded.take()
        if not self._isSame():
            self.measures = {}
        self._indexValues = self._cine.indexValues()
        start = self._cine.currentFrame if startFrame is None else startFrame
        self._ranges = rangesAround(wanted, self._chunkSize, start)
        self._threshold = threshold
        self.total, self._left = len(wanted), wanted
        self.error, self.cancelled, self.keyFrames = None, False, []
        self._next()

    def process(self, wait: float = 0.02) -> bool:
        """Put what has arrived into the scene. Main thread only; see :meth:`AngioSegLib.worker.Worker.process`.

        Returns:
            Whether there is more to come.
        """
        self._worker.process(wait)
        return self.running

    def cancel(self) -> None:
        """End now. Frames already in the scene stay; the range under way is finished by the server and thrown away."""
        if self._task is not None:
            self._task.drop()
            self._task = None
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
        self._worker.ask(self._forget, lambda _: None, lambda _: None)
        if self._ownWorker is not None:
            self._ownWorker.close(wait)

    def _forget(self) -> None:
        # A server that is gone has forgotten it.
        with contextlib.suppress(ServerError):
            self.uploaded.forget(self._client)

    def _isSame(self) -> bool:
        """Whether frame numbers still mean what they meant when the run began."""
        return self._cine.indexValues() == self._indexValues

    def _next(self) -> None:
        if self._ranges:
            first, last = self._ranges.pop(0)
            threshold = self._threshold
            work, onDone = lambda: self._infer(first, last, threshold), self._onReply
        else:
            inOrder = [self.measures[frame] for frame in sorted(self.measures)]
            work, onDone = lambda: self._ask(lambda id_: self._client.rank(id_, inOrder)), self._onKeyFrames
        self._task = self._worker.ask(work, onDone, self._onError, self._client)

    # On the worker's thread: the client and the uploaded cine, never the scene.

    def _infer(self, first: int, last: int, threshold: float | None) -> InferReply:
        reply = self._ask(lambda id_: self._client.infer(id_, first, last, threshold=threshold))
        if reply.mask.shape != self.uploaded.shape or reply.frames != tuple(range(first, last + 1)):
            raise BadReply(f"{self._client.url} answered with other frames than {first} to {last} of this cine")
        return reply

    def _ask(self, ask: Callable[[str], Any]) -> Any:
        return self.uploaded.ask(self._client, ask)

    # On the main thread again, called by process().

    def _onReply(self, reply: InferReply) -> None:
        if self._segmentation.sequence.GetScene() is None:
            # The user closed the scene, or removed the masks.
            self.cancel()
            return
        if not self._isSame():
            self._onError(CineUnusable(_CHANGED))
            return
        try:
            self._place(reply)
        except AngioSegLibError as error:
            self._onError(error)
            return
        except Exception as error:
            # A run that neither goes on nor ends keeps all others from beginning.
            self._onError(AngioSegLibError(f"stopped by a fault in AngioSeg: {error!r}"))
            return
        self.measures.update({measure["frame"]: measure for measure in reply.measures})
        self.model = dict(reply.params.get("model", {}))
        self.warnings += [text for text in reply.params.get("warnings", ()) if text not in self.warnings]
        self._left = [frame for frame in self._left if frame not in reply.frames]
        self._next()

    def _placeAll(self, reply: InferReply) -> None:
        frames = list(reply.frames)
        self._segmentation.setMask(frames, reply.mask[frames])

    def _onKeyFrames(self, keyFrames: list[dict[str, Any]]) -> None:
        if not self._isSame():
            self._onError(CineUnusable(_CHANGED))
            return
        self.keyFrames = keyFrames
        self._task = None
        self._complete(keyFrames)

    def _onError(self, error: AngioSegLibError) -> None:
        self.error = error
        self._task = None
