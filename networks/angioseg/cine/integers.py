"""Pixels as the integers a cine holds."""

from pathlib import Path

import numpy as np

from angioseg.cine.cine import CineError

__all__ = ["as_cine_integers"]


def as_cine_integers(pixels: np.ndarray, path: Path) -> np.ndarray:
    """``pixels`` as uint8, uint16 or int16 without changing a value; not copied where they are so already.

    Raises:
        CineError: when values have fractions or need more than 16 bits.
    """
    if pixels.dtype in (np.uint8, np.uint16, np.int16):
        return pixels
    if pixels.dtype == np.int8:
        return pixels.astype(np.int16)
    if pixels.dtype.kind not in "iuf":
        raise CineError(f"{path}: holds {pixels.dtype} values; save it with 8- or 16-bit integers")
    low, high = pixels.min(), pixels.max()
    if not np.isfinite((low, high)).all() or (
        pixels.dtype.kind == "f" and any((part != np.rint(part)).any() for part in pixels)
    ):
        raise CineError(f"{path}: holds values that are no whole numbers; save it with 8- or 16-bit integers")
    for dtype in (np.uint16, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return pixels.astype(dtype)
    raise CineError(f"{path}: holds values from {low:g} to {high:g}; a cine has at most 16 bits")
