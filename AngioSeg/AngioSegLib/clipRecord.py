"""What the server measured in a cine, kept with its masks so that a saved scene brings it back.

Frames are kept by index value, as masks are, and have the numbers that they have now when they are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from AngioSegLib.notes import Notes
from AngioSegLib.segmentation import SegmentationSequence

__all__ = ["ClipRecord"]

_ATTRIBUTE = "AngioSeg.Record"
_BY_NUMBER = "AngioSeg.Measures"
_WELL_FILLED = 0.5


class ClipRecord:
    """Measures of frames and the ranked key frames.

    Args:
        masks: the masks that were measured.
    """

    def __init__(self, masks: SegmentationSequence):
        self._cine = masks.cine
        self._notes = Notes(masks.sequence, _ATTRIBUTE, _BY_NUMBER, self._fromNumbers)

    @property
    def measures(self) -> dict[int, dict[str, Any]]:
        """By frame: ``{"frame", "time_ms", "area_px", "length_px", "contrast", "sharpness"}``."""
        return {measure["frame"]: measure for measure in sorted(self._read("measures"), key=lambda m: m["frame"])}

    @property
    def keyFrames(self) -> list[dict[str, Any]]:
        """``{"frame", "score", "why"}`` each, best first."""
        return self._read("keyFrames")

    def add(self, measures: Sequence[Mapping[str, Any]]) -> None:
        """Note measures of frames, in place of those they had."""
        self._setMeasures({measure["frame"]: measure for measure in measures})

    def setKeyFrames(self, keyFrames: Sequence[Mapping[str, Any]]) -> None:
        """Note the ranked key frames."""
        self._keep(keyFrames=[self._noteOf(keyFrame) for keyFrame in keyFrames])

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

    @property
    def rankedNotes(self) -> list[dict[str, Any]]:
        """The key frames as they are kept, for :meth:`restore`."""
        return self._notes.get().get("keyFrames", [])

    def restore(self, measures: Mapping[int, Mapping[str, Any] | None], rankedNotes: list[dict[str, Any]]) -> None:
        """Note again what was known before.

        Args:
            measures: by frame; None where there were none.
            rankedNotes: see :attr:`rankedNotes`.
        """
        self._setMeasures(measures)
        self._keep(keyFrames=rankedNotes)

    def _setMeasures(self, measures: Mapping[int, Mapping[str, Any] | None]) -> None:
        kept = {noted["at"]: noted for noted in self._notes.get().get("measures", [])}
        for frame, measure in measures.items():
            if measure is None:
                kept.pop(self._cine.indexValue(frame), None)
            else:
                kept[self._cine.indexValue(frame)] = self._noteOf({**measure, "frame": frame})
        self._keep(measures=list(kept.values()))

    def _noteOf(self, measure: Mapping[str, Any]) -> dict[str, Any]:
        noted = {**measure, "at": self._cine.indexValue(measure["frame"])}
        del noted["frame"]
        return noted

    def _read(self, name: str) -> list[dict[str, Any]]:
        numbers = self._cine.numbers()
        read = []
        for noted in self._notes.get().get(name, []):
            # Frames may have been removed since.
            if noted["at"] in numbers:
                read.append({**noted, "frame": numbers[noted["at"]]})
                del read[-1]["at"]
        return read

    def _keep(self, **values: Any) -> None:
        self._notes.set({**self._notes.get(), **values})

    def _fromNumbers(self, earlier: dict[str, Any]) -> dict[str, Any]:
        """Notes of earlier versions, with frame numbers."""
        count = self._cine.numFrames
        return {
            name: [self._noteOf(noted) for noted in earlier.get(name, []) if 0 <= noted["frame"] < count]
            for name in ("measures", "keyFrames")
        }
