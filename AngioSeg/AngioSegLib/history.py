"""Undo: what the masks were before each action."""

from collections.abc import Callable, Iterable

import numpy as np

from AngioSegLib.frameStates import FrameStates
from AngioSegLib.segmentation import SegmentationSequence

__all__ = ["History"]


class History:
    """The actions on a cine's masks that can be undone. What the user paints has the Segment Editor's own undo.

    Args:
        masks: the masks.
        states: of their frames.
    """

    def __init__(self, masks: SegmentationSequence, states: FrameStates):
        self._masks = masks
        self._states = states
        self._actions: list[tuple[str, dict[int, tuple]]] = []

    @property
    def last(self) -> str:
        """What :meth:`undo` would undo, or ""."""
        return self._actions[-1][0] if self._actions else ""

    def begin(self, name: str) -> None:
        """Start an action; all changes until the next one belong to it."""
        self._actions.append((name, {}))

    def change(self, frames: Iterable[int], change: Callable[[], None]) -> None:
        """Make a change to some frames' masks.

        Args:
            frames: their numbers.
            change: makes it.
        """
        frames = list(frames)
        before = {frame: (self._packed(frame), self._states.saidByModel(frame)) for frame in frames}
        change()
        changes = self._actions[-1][1]
        for frame in frames:
            first = changes[frame][0] if frame in changes else before[frame]
            changes[frame] = (first, self._states.digest(frame))

    def undo(self) -> tuple[list[int], list[int]]:
        """Undo the last action, but not where the user has painted since.

        Returns:
            (the frames that are as they were, the frames left alone).
        """
        _, changes = self._actions.pop()
        undone = [frame for frame, (_, after) in changes.items() if self._states.digest(frame) == after]
        for frame in undone:
            packed, said = changes[frame][0]
            if packed is None:
                self._masks.clear([frame])
            else:
                self._masks.setMask([frame], self._unpacked(packed)[None])
            self._states.setSaidByModel({frame: said})
        return sorted(undone), sorted(set(changes) - set(undone))

    def _packed(self, frame: int) -> bytes | None:
        if self._masks.stamp(frame) is None:
            return None
        return np.packbits(self._masks.maskOf(frame)).tobytes()

    def _unpacked(self, packed: bytes) -> np.ndarray:
        rows, columns = self._masks.size
        return np.unpackbits(np.frombuffer(packed, np.uint8), count=rows * columns).reshape(rows, columns)
