"""What the NRRD files of this project and of 3D Slicer say about a cine beside its pixels."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from angioseg.cine.times import assumed_times, from_zero

__all__ = [
    "ANNOTATED",
    "NAME",
    "PIXELS",
    "SPACING_SOURCE",
    "TIMES",
    "TIMES_SOURCE",
    "VESSEL",
    "annotated_frames",
    "frame_times",
    "made_on",
    "spacing_source",
    "vessel_value",
]

TIMES = "frame_times_ms"
TIMES_SOURCE = "frame_times_source"
SPACING_SOURCE = "pixel_size_source"
ANNOTATED = "annotated_frames"
NAME = "name"
PIXELS = "cine_pixels"
VESSEL = "vessel_value"

_VESSEL_NAMES = re.compile("vessel|coronar|arter|lumen", re.IGNORECASE)
_MS = {"s": 1000.0, "ms": 1.0}


def frame_times(
    values: Mapping[str, str], count: int, index_values: str | None = None, index_unit: str = ""
) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Frame times of a saved cine: (times_ms, source, warnings).

    Args:
        values: the file's ``key:=value`` pairs.
        count: number of frames.
        index_values: of a Slicer sequence: its index values.
        index_unit: and their unit; anything but seconds and milliseconds is no time.
    """
    times = None
    if TIMES in values:
        times = from_zero(_json(values[TIMES]), count)
    elif index_values is not None and index_unit in _MS:
        times = from_zero(index_values.split(), count)
        times = None if times is None else times * _MS[index_unit]
    if times is None:
        return assumed_times(count)
    if _json(values.get(TIMES_SOURCE, "")) == "assumed":
        return times, "assumed", ("the frame times in the file were assumed, not measured",) if count > 1 else ()
    return times, "header", ()


def spacing_source(values: Mapping[str, str]) -> str:
    """Where the pixel size comes from; ``"unknown"`` unless this project wrote it."""
    source = _json(values.get(SPACING_SOURCE, ""))
    return source if source in ("calibrated", "imager") else "unknown"


def annotated_frames(values: Mapping[str, str], count: int) -> list[int] | None:
    """The frames that somebody has labelled, or None where the file does not say (or says nonsense)."""
    listed = _json(values.get(ANNOTATED, ""))
    if not isinstance(listed, list) or not all(type(frame) is int and 0 <= frame < count for frame in listed):
        return None
    return sorted(set(listed))


def made_on(values: Mapping[str, str]) -> str | None:
    """The `pixel_digest` of the cine that a label was made on, or None where the file does not say."""
    digest = _json(values.get(PIXELS, ""))
    return digest if isinstance(digest, str) and digest else None


def vessel_value(values: Mapping[str, str]) -> int | None:
    """The value of the vessels in a segmentation of 3D Slicer: of its only segment, or of the one that its name tells.

    Source: https://slicer.readthedocs.io, "Segmentations", keys ``SegmentN_Name`` and ``SegmentN_LabelValue``.

    Returns:
        The value; None where the file names no segments.

    Raises:
        ValueError: with the names of the segments, when they do not tell which one it is.
    """
    segments = [
        (values.get(key.replace("LabelValue", "Name"), key), int(value))
        for key, value in values.items()
        if re.fullmatch(r"Segment\d+_LabelValue", key) and value.strip().isdecimal()
    ]
    vessels = [value for name, value in segments if len(segments) == 1 or _VESSEL_NAMES.search(name)]
    if segments and len(vessels) != 1:
        raise ValueError(", ".join(name for name, _ in segments))
    return vessels[0] if vessels else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
