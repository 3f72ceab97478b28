"""Frame times of DICOM cines (PS3.3 C.7.6.5 Cine, C.7.6.6 Multi-frame, C.7.6.16 functional groups)."""

from datetime import datetime

import numpy as np
from pydicom import Dataset

from angioseg.cine.dicom_values import number, numbers, per_frame, value
from angioseg.cine.times import assumed_times, from_zero

__all__ = ["frame_times"]

_FRAME_TIME, _FRAME_TIME_VECTOR = 0x00181063, 0x00181065


def frame_times(dataset: Dataset, count: int) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Frame times: (times_ms (T,), the DICOM keyword they come from or "assumed", warnings)."""
    if count == 1:
        return assumed_times(1)
    sources = {
        "FrameTime": lambda: _every(number(dataset, "FrameTime"), count),
        "FrameTimeVector": lambda: _vector(numbers(dataset, "FrameTimeVector"), count),
        "FrameReferenceDateTime": lambda: _datetimes(per_frame(dataset, "FrameReferenceDateTime"), count),
        "FrameAcquisitionDateTime": lambda: _datetimes(per_frame(dataset, "FrameAcquisitionDateTime"), count),
        "TemporalPositionTimeOffset": lambda: _seconds(per_frame(dataset, "TemporalPositionTimeOffset"), count),
        "CineRate": lambda: _rate(number(dataset, "CineRate"), count),
        "RecommendedDisplayFrameRate": lambda: _rate(number(dataset, "RecommendedDisplayFrameRate"), count),
    }
    # The pointer says which of the two an image with both means.
    first = "FrameTimeVector" if _pointer(dataset) == _FRAME_TIME_VECTOR else "FrameTime"
    notes: tuple[str, ...] = ()
    for source in sorted(sources, key=lambda name: name != first):
        times = sources[source]()
        if times is not None:
            return times, source, notes
        if source in dataset:
            notes += (f"{source} is not usable for {count} frames: not used",)
    times, source, assumed = assumed_times(count)
    return times, source, notes + assumed


def _pointer(dataset: Dataset) -> int | None:
    pointer = value(dataset, "FrameIncrementPointer")
    try:
        return int(pointer if isinstance(pointer, int) else pointer[0])
    except (TypeError, ValueError, IndexError):
        return None


def _every(milliseconds: float | None, count: int) -> np.ndarray | None:
    return np.arange(count) * float(milliseconds) if milliseconds and milliseconds > 0 else None


def _rate(per_second: float | None, count: int) -> np.ndarray | None:
    return np.arange(count) * (1000 / per_second) if per_second and per_second > 0 else None


def _vector(increments: list[float] | None, count: int) -> np.ndarray | None:
    """Increments from one frame to the next; the first frame's is 0 by the standard."""
    if increments is None or len(increments) != count or not any(increments[1:]):
        return None
    return from_zero(np.cumsum(increments), count)


def _seconds(offsets: list, count: int) -> np.ndarray | None:
    times = from_zero(offsets, count)
    return times * 1000 if times is not None and times[-1] > 0 else None


def _datetimes(moments: list, count: int) -> np.ndarray | None:
    try:
        parsed = [_datetime(str(moment)) for moment in moments]
    except ValueError:
        return None
    return _seconds([(moment - parsed[0]).total_seconds() for moment in parsed], count)


def _datetime(moment: str) -> datetime:
    # The offset from UTC is the same for all frames of a cine.
    digits, _, fraction = moment.partition("+")[0].partition("-")[0].strip().partition(".")
    return datetime.strptime(f"{digits}.{fraction or 0}", "%Y%m%d%H%M%S.%f")
