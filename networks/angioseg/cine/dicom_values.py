"""Values of a DICOM header, wherever classic and enhanced images keep them, and however badly they are written."""

import math
from collections.abc import Iterator

from pydicom import Dataset

__all__ = ["number", "numbers", "per_frame", "text", "value"]


def text(dataset: Dataset, keyword: str) -> str | None:
    """The value as text, or None where it is missing or empty."""
    found = _find(dataset, keyword)
    return None if found is None else str(found).strip() or None


def numbers(dataset: Dataset, keyword: str) -> list[float] | None:
    """The value as finite numbers, or None where it is missing or not that."""
    return _numbers(_find(dataset, keyword))


def number(dataset: Dataset, *keywords: str) -> float | int | None:
    """The first of the values that is one finite number, whole numbers as int."""
    for keyword in keywords:
        found = numbers(dataset, keyword)
        if found is not None and len(found) == 1:
            return int(found[0]) if found[0].is_integer() else found[0]
    return None


def per_frame(dataset: Dataset, keyword: str) -> list[object]:
    """A value of an enhanced image for each frame, None where a frame lacks it; empty for a classic image."""
    groups = value(dataset, "PerFrameFunctionalGroupsSequence") or []
    found = ([value(item, keyword) for item in _macros(group)] for group in groups)
    return [next((one for one in values if one is not None), None) for values in found]


def _find(dataset: Dataset, keyword: str) -> object:
    """The value in the image itself, else in its shared or its first frame's functional groups."""
    found = value(dataset, keyword)
    if found is not None:
        return found
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (value(dataset, sequence) or [])[:1]:
            for item in _macros(group):
                found = value(item, keyword)
                if found is not None:
                    return found
    return None


def _macros(group: Dataset) -> Iterator[Dataset]:
    for element in group:
        if element.VR == "SQ":
            yield from element.value


def value(dataset: Dataset, keyword: str) -> object:
    """The value in the dataset itself, or None where it is missing, empty or unreadable."""
    try:
        found = dataset.get(keyword)
    except Exception:  # pydicom converts on access, and raises whatever a badly written value leads it to
        return None
    return None if found == "" else found


def _numbers(found: object) -> list[float] | None:
    several = hasattr(found, "__iter__") and not isinstance(found, str)
    try:
        found = [float(part) for part in (found if several else [found])]
    except (TypeError, ValueError):
        return None
    return found if found and all(map(math.isfinite, found)) else None
