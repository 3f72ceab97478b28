"""Undo: what the masks were before each action."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from AngioSegLib.frameStates import FrameStates
from AngioSegLib.segmentation import SegmentationSequence

__all__ = ["Action", "History"]


class Action:
    """Changes that are undone together. Several can be under way: the user acts while a run goes on.

    Args:
        name: what it is called.

    Attributes:
        changes: by index value, what was there before (packed mask or None, what the model said) and the digest after.
        measures: by index value, what was measured there before; None where nothing was.
        rankedNotes: those of the key frames before.
    """

    def __init__(self, name: str):
        self.name = name
        self.measures: dict[str, dict[str, Any] | None] = {}
        self.rankedNotes: list[dict[str, Any]] = []
        self.changes: dict[str, tuple[tuple[bytes | None, tuple[str | None, str]], str | None]] = {}


class History:
    """The actions on a cine's masks that can be undone. What the user paints has the Segment Editor's own undo.

    Args:
        masks: the masks.
        states: of their frames.
    """

    def __init__(self, masks: SegmentationSequence, states: FrameStates):
        self._masks = masks
        self._states = states
        self._actions: list[Action] = []

    @property
    def last(self) -> str:
        """What :meth:`undo` would undo, or ""."""
        return self._actions[-1].name if self._actions else ""

    @property
    def lastAction(self) -> Action:
        """The one that :meth:`undo` would undo."""
        return self._actions[-1]

    def change(self, action: Action, frames: Iterable[int], change: Callable[[], None]) -> None:
        """Make a change to some frames' masks.

        Args:
            action: what the change belongs to; with its first one it becomes the last action.
            frames: their numbers.
            change: makes it.
        """
        frames = list(frames)
        before = {frame: (self._packed(frame), self._states.saidByModel(frame)) for frame in frames}
        change()
        if frames and not action.changes:
            self._actions.append(action)
        for frame in frames:
            value = self._masks.cine.indexValue(frame)
            first = action.changes[value][0] if value in action.changes else before[frame]
            action.changes[value] = (first, self._states.digest(frame))

    def undo(self) -> tuple[list[int], list[int]]:
        """Undo the last action, but not where the user has painted since, nor what is accepted or sent.

        Returns:
            (the frames that are as they were, the frames left alone).
        """
        action = self._actions.pop()
        # A run that goes on after its undo changes masks anew.
        noted, action.changes = action.changes, {}
        numbers = self._masks.cine.numbers()
        changes = {numbers[value]: change for value, change in noted.items() if value in numbers}
        undone = [
            frame
            for frame, (_, after) in changes.items()
            if self._states.digest(frame) == after and self._states.of(frame) not in ("accepted", "sent")
        ]
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
