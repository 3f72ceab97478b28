"""What the server measured in a cine, kept with its masks so that a saved scene brings it back."""

from collections.abc import Mapping, Sequence
from typing import Any

from AngioSegLib.notes import Notes
from AngioSegLib.segmentation import SegmentationSequence

__all__ = ["ClipRecord"]

_ATTRIBUTE = "AngioSeg.Measures"
_WELL_FILLED = 0.5


class ClipRecord:
    """Measures of frames and the ranked key frames.

    Args:
        masks: the masks that were measured.
    """

    def __init__(self, masks: SegmentationSequence):
        self._notes = Notes(masks.sequence, _ATTRIBUTE)
        self._cine = masks.cine

    @property
    def measures(self) -> dict[int, dict[str, Any]]:
        """By frame: ``{"frame", "time_ms", "area_px", "length_px", "contrast", "sharpness"}``."""
        return {measure["frame"]: measure for measure in self._inCine("measures")}

    @property
    def keyFrames(self) -> list[dict[str, Any]]:
        """``{"frame", "score", "why"}`` each, best first."""
        return self._inCine("keyFrames")

    @property
    def model(self) -> dict[str, Any]:
        """Name, version and weights of the model that answered last."""
        return self._notes.get().get("model", {})

    def add(self, measures: Sequence[Mapping[str, Any]], model: Mapping[str, Any]) -> None:
        """Note measures of frames, in place of those they had."""
        known = {**self.measures, **{measure["frame"]: dict(measure) for measure in measures}}
        self._keep(measures=[known[frame] for frame in sorted(known)], model=dict(model))

    def setKeyFrames(self, keyFrames: Sequence[Mapping[str, Any]]) -> None:
        """Note the ranked key frames."""
        self._keep(keyFrames=[dict(keyFrame) for keyFrame in keyFrames])

    def neighbour(self, frame: int, step: int) -> int | None:
        """The next (``step`` 1) or previous (-1) key frame in time, or None."""
        beyond = [key["frame"] for key in self.keyFrames if (key["frame"] - frame) * step > 0]
        return min(beyond, key=lambda other: abs(other - frame), default=None)

    def clearest(self) -> int | None:
        """The frame of most contrast among those that show at least half of the longest vessel length."""
        longest = max((measure.get("length_px", 0) for measure in self.measures.values()), default=0)
        filled = [m for m in self.measures.values() if longest and m.get("length_px", 0) >= _WELL_FILLED * longest]
        return max(filled, key=lambda measure: measure.get("contrast", 0))["frame"] if filled else None

    def mostComplete(self) -> int | None:
        """The first key frame: it ranks by how much of the vessels it shows, and then how clearly."""
        return self.keyFrames[0]["frame"] if self.keyFrames else None

    def restore(self, measures: Mapping[int, Mapping[str, Any] | None], keyFrames: Sequence[Mapping[str, Any]]) -> None:
        """Note again what was known before: measures by frame, None where there were none, and the key frames."""
        known = {frame: measure for frame, measure in {**self.measures, **measures}.items() if measure is not None}
        self._keep(measures=[known[frame] for frame in sorted(known)])
        self.setKeyFrames(keyFrames)

    def _inCine(self, name: str) -> list[dict[str, Any]]:
        # Frames may have been removed since.
        return [noted for noted in self._notes.get().get(name, []) if 0 <= noted["frame"] < self._cine.numFrames]

    def _keep(self, **values: Any) -> None:
        self._notes.set({**self._notes.get(), **values})
