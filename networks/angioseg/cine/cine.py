"""What a cine is in memory."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from angioseg.errors import AngioSegError

__all__ = ["Cine", "CineError"]

_DTYPES = (np.uint8, np.uint16, np.int16)
_SPACING_SOURCES = ("calibrated", "imager", "unknown")


class CineError(AngioSegError):
    """A file or folder that cannot be read or written as a cine."""


@dataclass(frozen=True, eq=False)
class Cine:
    """One X-ray angiography run.

    Args:
        frames: (T, H, W), uint8, uint16 or int16: the numbers the file holds, vessels dark
            (DICOM MONOCHROME1 is inverted, which loses nothing).
        times_ms: (T,) float64, milliseconds since the first frame.
        times_source: where the times come from: ``"FrameTime"``, ``"FrameTimeVector"``, ``"CineRate"``,
            ``"RecommendedDisplayFrameRate"``, another DICOM keyword, ``"container"`` (video), ``"header"`` (NRRD) or
            ``"assumed"``.
        spacing: (row spacing, column spacing) in mm; (1, 1) where the file gives none.
        spacing_source: ``"calibrated"`` (millimetres in the patient), ``"imager"`` (millimetres at the detector:
            lengths in the patient are smaller) or ``"unknown"`` (never to be shown as millimetres).
        name: file stem or folder name.
        warnings: one line each, for the user.
        meta: what else is known and identifies nobody: modality, angles, manufacturer ...

    Raises:
        ValueError: when the parts do not fit together.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    times_source: str = "assumed"
    spacing: tuple[float, float] = (1.0, 1.0)
    spacing_source: str = "unknown"
    name: str = "cine"
    warnings: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames.ndim != 3 or 0 in self.frames.shape:
            raise ValueError(f"frames must be (T, H, W) and not empty, got {self.frames.shape}")
        if self.frames.dtype not in _DTYPES:
            raise ValueError(f"frames must be uint8, uint16 or int16, got {self.frames.dtype}")
        if np.shape(self.times_ms) != (len(self.frames),):
            raise ValueError(f"{len(self.frames)} frames need as many times, got shape {np.shape(self.times_ms)}")
        if self.spacing_source not in _SPACING_SOURCES:
            raise ValueError(f"spacing_source must be one of {_SPACING_SOURCES}, got {self.spacing_source!r}")

    @property
    def num_frames(self) -> int:
        """T."""
        return self.frames.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return self.frames.shape
