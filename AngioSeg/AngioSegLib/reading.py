"""The cine that the user works on, with all that belongs to it."""

from collections.abc import Iterable, Sequence

import numpy as np

from AngioSegLib.carry import carryCorrection, shiftBetween
from AngioSegLib.cine import CineSequence
from AngioSegLib.client import Client, InferReply
from AngioSegLib.clipRecord import ClipRecord
from AngioSegLib.clipSegmenter import ClipSegmenter
from AngioSegLib.frameStates import FrameStates
from AngioSegLib.history import Action, History
from AngioSegLib.segmentation import createSegmentation, segmentationOfCine
from AngioSegLib.uploadedCine import UploadedCine
from AngioSegLib.worker import Worker

__all__ = ["Reading"]

# A step of progress every few seconds on a computer without a GPU.
_CHUNK = 4


class Reading:
    """What is done to a cine's masks: by the server, and by the user, whose work is never overwritten unasked.

    Args:
        cine: the cine; it is given an empty sequence of masks when it has none.
        worker: waits for the server.

    Attributes:
        masks, states, record, history: what is known of the cine.
        uploaded: the cine as servers have it.
        file: the name of the local file that it was loaded from, or "". It may name a patient: no scene keeps it.
    """

    def __init__(self, cine: CineSequence, worker: Worker):
        self.cine = cine
        self.masks = segmentationOfCine(cine) or createSegmentation(cine)
        self.states = FrameStates(self.masks)
        self.record = ClipRecord(self.masks)
        self.history = History(self.masks, self.states)
        self.file = ""
        # By index value.
        self._kept: list[str] = []
        self._worker = worker
        self._segmenter: ClipSegmenter | None = None
        self._client: Client | None = None
        self.uploaded = UploadedCine(cine)
        self._mayReplace: dict[str, str | None] = {}
        self._run = Action("segmentation")
        # Its masks, packed, by digest and not by frame: an undo brings back which of them the frame had.
        self._fromModel: dict[str, np.ndarray] = {}

    @property
    def inScene(self) -> bool:
        """Whether the cine and its masks are still in the scene."""
        nodes = (self.cine.sequence, self.cine.browser, self.masks.sequence)
        return all(node.GetScene() is not None for node in nodes)

    # By the server.

    @property
    def running(self) -> bool:
        """Whether frames are being segmented."""
        return self._segmenter is not None and self._segmenter.running

    @property
    def progress(self) -> ClipSegmenter | None:
        """The last run, or None when there was none yet."""
        return self._segmenter if self._segmenter is not None and self._segmenter.total else None

    def madeByUser(self, frames: Iterable[int]) -> list[int]:
        """Those frames whose mask the user corrected, or accepted."""
        return [frame for frame in frames if self._isUsers(frame)]

    def segment(self, client: Client, frames: Sequence[int], replace: Iterable[int] = ()) -> None:
        """Begin to segment frames, from the one on screen outwards.

        Args:
            client: the server.
            frames: their numbers, from 0.
            replace: frames whose mask the user made and gives up; painted on meanwhile, they are kept after all.

        Raises:
            CineUnusable: when the cine's pixels cannot be sent.
        """
        self._mayReplace = {self.cine.indexValue(frame): self.states.digest(frame) for frame in replace}
        self._kept = []
        self._start(client, frames)

    @property
    def kept(self) -> list[int]:
        """The frames of the last run that were left as the user made them."""
        numbers = self.cine.numbers()
        return [numbers[value] for value in self._kept if value in numbers]

    @property
    def left(self) -> list[int]:
        """The frames of the last run that it did not come to."""
        return [] if self._segmenter is None or self.running else self._segmenter.left

    def goOn(self, client: Client) -> None:
        """Segment what the last run left; the server may be another one by now."""
        self._start(client, self.left)

    def _start(self, client: Client, frames: Sequence[int]) -> None:
        segmenter = self._segmenter if client is self._client else self._newSegmenter(client)
        segmenter.start(frames=frames)
        # Key frames are ranked over all that is known of the cine, and not over this run alone.
        segmenter.measures = self.record.measures
        # Not before it has started: the last one knows what is left.
        self._segmenter, self._client, self._run = segmenter, client, Action("segmentation")

    def _newSegmenter(self, client: Client) -> ClipSegmenter:
        return ClipSegmenter(
            self.cine,
            client,
            self.masks,
            _CHUNK,
            worker=self._worker,
            uploaded=self.uploaded,
            place=self._place,
            complete=self.record.setKeyFrames,
        )

    def cancel(self) -> None:
        """End the run; what is finished stays."""
        if self._segmenter is not None:
            self._segmenter.cancel()

    def _isUsers(self, frame: int) -> bool:
        return self.states.of(frame) not in ("none", "model")

    def _place(self, reply: InferReply) -> None:
        frames = [frame for frame in reply.frames if not self._isUsers(frame) or self._given(frame)]
        self._kept += [self.cine.indexValue(frame) for frame in reply.frames if frame not in frames]
        masks = reply.mask[frames]
        self.history.change(self._run, frames, lambda: self.masks.setMask(frames, masks))
        model = reply.params.get("model", {})
        said = {frame: self.states.digest(frame) for frame in frames}
        self.states.setSaidByModel({frame: (digest, str(model.get("version", ""))) for frame, digest in said.items()})
        measured = self.record.measures
        if not self._run.measures:
            self._run.rankedNotes = self.record.rankedNotes
        for frame in frames:
            self._run.measures.setdefault(self.cine.indexValue(frame), measured.get(frame))
        self._fromModel.update({said[frame]: np.packbits(mask) for frame, mask in zip(frames, masks, strict=True)})
        self.record.add(reply.measures)

    def _given(self, frame: int) -> bool:
        value = self.cine.indexValue(frame)
        return value in self._mayReplace and self._mayReplace[value] == self.states.digest(frame)

    # By the user.

    def beginByHand(self, frame: int) -> None:
        """Give a frame an empty mask to paint on."""
        empty = np.zeros((1, *self.masks.size), np.uint8)
        self.history.change(Action("empty mask"), [frame], lambda: self.masks.setMask([frame], empty))

    def accept(self, frame: int) -> None:
        """Note that the frame's mask is right as it is; a leave to replace it that was given before holds no more."""
        self._mayReplace.pop(self.cine.indexValue(frame), None)
        self.states.accept([frame])

    def carry(self, frame: int, reach: int) -> tuple[list[int], list[int]]:
        """Make a frame's correction in its neighbours, moved as what is seen there moved.

        Where the model's own mask of the frame is not known (the scene was loaded from a file), or the neighbour has no
        mask, the whole mask is carried. A neighbour that the user made is left alone.

        Args:
            frame: the corrected frame.
            reach: how many frames to each side.

        Returns:
            (the frames changed, the frames left alone).
        """
        action = Action("carrying")
        corrected, grey = self.masks.maskOf(frame), self.cine.frame(frame)
        fromModel = self._maskFromModel(frame)
        changed, left = [], []
        for side in (-1, 1):
            for distance in range(1, reach + 1):
                neighbour = frame + side * distance
                if not 0 <= neighbour < self.cine.numFrames:
                    break
                if self._isUsers(neighbour):
                    left.append(neighbour)
                    continue
                before = fromModel if self.states.of(neighbour) == "model" else None
                shift = shiftBetween(grey, self.cine.frame(neighbour), corrected)
                mask = carryCorrection(corrected, before, self.masks.maskOf(neighbour), shift)
                self.history.change(action, [neighbour], lambda n=neighbour, m=mask: self.masks.setMask([n], m[None]))
                changed.append(neighbour)
        return sorted(changed), sorted(left)

    def _maskFromModel(self, frame: int) -> np.ndarray | None:
        packed = self._fromModel.get(self.states.saidByModel(frame)[0])
        if packed is None:
            return None
        rows, columns = self.masks.size
        return np.unpackbits(packed, count=rows * columns).reshape(rows, columns)

    def undo(self) -> tuple[list[int], list[int]]:
        """Undo the last action, and what was measured in it; see :meth:`AngioSegLib.history.History.undo`."""
        action = self.history.lastAction
        undone, left = self.history.undo()
        if action.measures:
            before = {frame: action.measures.get(self.cine.indexValue(frame)) for frame in undone}
            # Ranked with what is left, they would be others.
            self.record.restore(before, [] if left else action.rankedNotes)
            action.measures = {}
        return undone, left

    def toSend(self) -> tuple[np.ndarray, list[int], dict[str, str]]:
        """The accepted frames that no server has.

        Returns:
            (mask (T, H, W), their numbers, by index value the digests of their masks).
        """
        frames = self.states.unsent()
        mask = np.zeros((self.cine.numFrames, *self.masks.size), np.uint8)
        for frame in frames:
            mask[frame] = self.masks.maskOf(frame)
        return mask, frames, {self.cine.indexValue(frame): self.states.digest(frame) for frame in frames}
