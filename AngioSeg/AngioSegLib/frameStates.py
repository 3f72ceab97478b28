"""Whose mask a frame has: the model's, or the user's; and whether it is accepted and sent.

Nothing watches the user paint. The masks themselves are compared, by digest, with what the model said, what was
accepted and what was sent: so a change takes back what was said of the mask before it, and an undo gives it back.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from AngioSegLib.notes import Notes
from AngioSegLib.segmentation import SegmentationSequence

__all__ = ["STATES", "FrameStates"]

STATES = ("none", "model", "corrected", "accepted", "sent")

_ATTRIBUTE = "AngioSeg.Frames"
_KINDS = ("model", "accepted", "sent")


class FrameStates:
    """The states of a cine's frames. They are kept with the masks, so that a saved scene brings them back.

    Args:
        masks: the masks.
    """

    def __init__(self, masks: SegmentationSequence):
        self._masks = masks
        self._notes = Notes(masks.sequence, _ATTRIBUTE)
        self._cache: dict[int, tuple[tuple, str]] = {}

    def of(self, frame: int) -> str:
        """One of :data:`STATES`: "none" has no mask, "sent" is accepted and on the server."""
        digest = self.digest(frame)
        if digest is None:
            return "none"
        for state in ("sent", "accepted", "model"):
            if self._kept(state).get(str(frame)) == digest:
                return state
        return "corrected"

    def all(self) -> list[str]:
        """The state of each frame."""
        return [self.of(frame) for frame in range(self._masks.cine.numFrames)]

    def digest(self, frame: int) -> str | None:
        """Names the frame's mask, or None where there is none."""
        stamp = self._masks.stamp(frame)
        if stamp is None:
            return None
        if self._cache.get(frame, (None,))[0] != stamp:
            packed = np.packbits(self._masks.maskOf(frame)).tobytes()
            self._cache[frame] = (stamp, hashlib.blake2b(packed, digest_size=8).hexdigest())
        return self._cache[frame][1]

    def saidByModel(self, frame: int) -> str | None:
        """The digest of the mask that the model gave the frame, or None."""
        return self._kept("model").get(str(frame))

    def setSaidByModel(self, digests: dict[int, str | None]) -> None:
        """Note what the model's masks are; None where it gave none."""
        self._note("model", digests)

    def accept(self, frames: Iterable[int]) -> None:
        """Note that the user stands by these masks as they are."""
        self._note("accepted", {frame: self.digest(frame) for frame in frames})

    def takeBack(self, frames: Iterable[int]) -> None:
        """Note that the user does not stand by these masks any more; what was sent stays on the server."""
        frames = list(frames)
        self._note("accepted", dict.fromkeys(frames))
        self._note("sent", dict.fromkeys(frames))

    def setSent(self, digests: dict[int, str]) -> None:
        """Note which masks the server has; those changed or taken back meanwhile count as not sent."""
        accepted = self._kept("accepted")
        self._note("sent", {frame: digest for frame, digest in digests.items() if accepted.get(str(frame)) == digest})

    def unsent(self) -> list[int]:
        """Frames accepted and not sent."""
        return [frame for frame, state in enumerate(self.all()) if state == "accepted"]

    def _kept(self, kind: str) -> dict[str, str]:
        return self._notes.get().get(kind, {})

    def _note(self, kind: str, digests: dict[int, str | None]) -> None:
        kept = {each: dict(self._kept(each)) for each in _KINDS}
        for frame, digest in digests.items():
            if digest is None:
                kept[kind].pop(str(frame), None)
            else:
                kept[kind][str(frame)] = digest
        self._notes.set(kept)
