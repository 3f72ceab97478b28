"""Whose mask a frame has: the model's, or the user's; and whether it is accepted and sent.

Nothing watches the user paint. The masks themselves are compared, by digest, with what the model said, what was
accepted and what was sent: so a change takes back what was said of the mask before it, and an undo gives it back.

Notes are kept by index value, as masks are: when frames are removed, the numbers of others change.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from AngioSegLib.notes import Notes
from AngioSegLib.segmentation import SegmentationSequence

__all__ = ["STATES", "FrameStates"]

STATES = ("none", "model", "corrected", "accepted", "sent")

_ATTRIBUTE = "AngioSeg.FrameStates"
_BY_NUMBER = "AngioSeg.Frames"
_KINDS = ("model", "accepted", "sent")


class FrameStates:
    """The states of a cine's frames. They are kept with the masks, so that a saved scene brings them back.

    Args:
        masks: the masks.
    """

    def __init__(self, masks: SegmentationSequence):
        self._masks = masks
        self._cine = masks.cine
        self._notes = Notes(masks.sequence, _ATTRIBUTE, _BY_NUMBER, self._fromNumbers)
        self._cache: dict[str, tuple[tuple, str]] = {}

    def of(self, frame: int) -> str:
        """One of :data:`STATES`: "none" has no mask, "sent" is accepted and on a server."""
        digest = self.digest(frame)
        if digest is None:
            return "none"
        value, notes = self._cine.indexValue(frame), self._notes.get()
        for state in ("sent", "accepted", "model"):
            if notes.get(state, {}).get(value, (None,))[0] == digest:
                return state
        return "corrected"

    def all(self) -> list[str]:
        """The state of each frame."""
        return [self.of(frame) for frame in range(self._cine.numFrames)]

    def digest(self, frame: int) -> str | None:
        """Names the frame's mask, or None where there is none."""
        stamp = self._masks.stamp(frame)
        if stamp is None:
            return None
        value = self._cine.indexValue(frame)
        if self._cache.get(value, (None,))[0] != stamp:
            packed = np.packbits(self._masks.maskOf(frame)).tobytes()
            self._cache[value] = (stamp, hashlib.blake2b(packed, digest_size=8).hexdigest())
        return self._cache[value][1]

    def saidByModel(self, frame: int) -> tuple[str | None, str]:
        """The digest of the mask that the model gave the frame, or None; and that model's version."""
        return self._noted("model", frame)

    def setSaidByModel(self, said: Mapping[int, tuple[str | None, str]]) -> None:
        """Note what the model's masks are, as :meth:`saidByModel` gives it."""
        self._note("model", self._byIndexValue(said))

    def accept(self, frames: Iterable[int]) -> None:
        """Note that the user stands by these masks as they are."""
        self._note("accepted", self._byIndexValue({frame: (self.digest(frame), "") for frame in frames}))

    def takeBack(self, frames: Iterable[int]) -> None:
        """Note that the user does not stand by these masks any more; what was sent stays on the server."""
        nothing = self._byIndexValue(dict.fromkeys(frames, (None, "")))
        self._note("accepted", nothing)
        self._note("sent", nothing)

    def setSent(self, digests: Mapping[str, str], server: str) -> None:
        """Note which masks a server has; those changed or taken back meanwhile count as not sent.

        Args:
            digests: by index value.
            server: its address.
        """
        accepted = self._notes.get().get("accepted", {})
        kept = {value: digest for value, digest in digests.items() if accepted.get(value, (None,))[0] == digest}
        self._note("sent", {value: (digest, server) for value, digest in kept.items()})

    def sentTo(self, frame: int) -> str:
        """The address of the server that the frame was sent to; "" where it is not known."""
        return self._noted("sent", frame)[1]

    def unsent(self) -> list[int]:
        """Frames accepted and not sent."""
        numbers = self._cine.numbers()
        accepted = sorted(numbers[value] for value in self._notes.get().get("accepted", {}) if value in numbers)
        return [frame for frame in accepted if self.of(frame) == "accepted"]

    def _noted(self, kind: str, frame: int) -> tuple[str | None, str]:
        """A digest, and who it is of: the model's version, or the server's address."""
        digest, source = self._notes.get().get(kind, {}).get(self._cine.indexValue(frame), (None, ""))
        return digest, source

    def _byIndexValue(self, noted: Mapping[int, Any]) -> dict[str, Any]:
        return {self._cine.indexValue(frame): note for frame, note in noted.items()}

    def _note(self, kind: str, noted: Mapping[str, tuple[str | None, str]]) -> None:
        kept = {each: dict(self._notes.get().get(each, {})) for each in _KINDS}
        for value, (digest, source) in noted.items():
            if digest is None:
                kept[kind].pop(value, None)
            else:
                kept[kind][value] = (digest, source)
        self._notes.set(kept)

    def _fromNumbers(self, earlier: dict[str, Any]) -> dict[str, Any]:
        """Notes of earlier versions: digests by frame number, and no sources."""
        values = self._cine.indexValues()
        return {
            kind: {values[int(number)]: (digest, "") for number, digest in noted.items() if int(number) < len(values)}
            for kind, noted in earlier.items()
        }
