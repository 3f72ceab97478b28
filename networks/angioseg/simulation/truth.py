"""What a simulated clip knows of itself: centrelines with names and diameters, phases, what is too small to see."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

__all__ = ["Centrelines", "drop_specks", "frame_phases"]

_SPECK_SHARE = 8e-5


@dataclass(frozen=True)
class Centrelines:
    """The middle lines of all vessels of a clip, in every frame; n samples, about 0.7 mm apart.

    Attributes:
        names: a name for each vessel ("LAD", "D1"; a dot and a number for a twig).
        vessel: (n,) int, index into ``names``.
        along_mm: (n,) float32, the way from where the vessel begins.
        diameter_mm: (n,) float32, of the lumen in the patient.
        places: (T, n, 2) float32, column and row in pixels.
        diameter_px: (T, n) float32, of the lumen as projected.
        visible: (T, n) bool, whether the truth's mask shows it there.
    """

    names: tuple[str, ...]
    vessel: np.ndarray
    along_mm: np.ndarray
    diameter_mm: np.ndarray
    places: np.ndarray
    diameter_px: np.ndarray
    visible: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """(m,) sample numbers of one vessel, from its beginning on.

        Raises:
            KeyError: the clip has no such vessel.
        """
        if name not in self.names:
            raise KeyError(name)
        return np.flatnonzero(self.vessel == self.names.index(name))


def drop_specks(mask: np.ndarray) -> None:
    """Take pieces out of a mask that are too small for an eye: twigs that show only along the beam.

    Args:
        mask: (H, W) uint8, 0 or 1; changed in place.
    """
    pieces, _ = label(mask, structure=np.ones((3, 3)))
    small = np.bincount(pieces.ravel()) < _SPECK_SHARE * mask.size
    mask[small[pieces]] = 0


def frame_phases(area: np.ndarray) -> list[str]:
    """What contrast does in each frame.

    Args:
        area: (T,) int, vessel pixels.

    Returns:
        T words: "pre-contrast", "filling", "full" or "washing out".
    """
    best = int(area.argmax())
    full = area >= 0.85 * max(int(area[best]), 1)
    words = []
    for frame, (pixels, filled) in enumerate(zip(area, full)):
        if pixels == 0 and not area[: frame + 1].any():
            words.append("pre-contrast")
        elif filled:
            words.append("full")
        else:
            words.append("filling" if frame < best else "washing out")
    return words
