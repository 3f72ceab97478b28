"""Pixel size of DICOM projection images, and what it means (PS3.3 10.7.1.3)."""

import math

from pydicom import Dataset

from angioseg.cine.dicom_values import numbers, text

__all__ = ["pixel_size"]

_PRECISION = 1e-4
"""Relative: what is written as a decimal string may be rounded, another number each time."""


def pixel_size(dataset: Dataset) -> tuple[tuple[float, float], str, tuple[str, ...]]:
    """Pixel size: ((row spacing, column spacing) in mm, source, warnings).

    ObjectPixelSpacingInCenterOfBeam (enhanced), and PixelSpacing with a PixelSpacingCalibrationType or other than
    ImagerPixelSpacing, are calibrated; ImagerPixelSpacing is the detector's. PixelSpacing with nothing beside it may be
    either: its source is unknown.
    """
    imager = _pair(dataset, "ImagerPixelSpacing")
    pixel = _pair(dataset, "PixelSpacing")
    in_object = _pair(dataset, "ObjectPixelSpacingInCenterOfBeam")
    if in_object:
        return in_object, "calibrated", ()
    if pixel and (text(dataset, "PixelSpacingCalibrationType") or (imager and not _same(pixel, imager))):
        return pixel, "calibrated", ()
    if imager:
        return imager, "imager", ()
    if pixel:
        return pixel, "unknown", ("PixelSpacing does not say whether it is calibrated: no millimetres are shown",)
    return (1.0, 1.0), "unknown", ()


def _same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(math.isclose(a, b, rel_tol=_PRECISION) for a, b in zip(one, other))


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    found = numbers(dataset, keyword)
    return (found[0], found[1]) if found and len(found) == 2 and min(found) > 0 else None
