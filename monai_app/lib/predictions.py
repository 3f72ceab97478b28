"""Masks that the last two versions of the model gave when they were scored: how much a training has changed."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from angioseg.cine import Cine, CineError, read_label, write_label
from angioseg.cine.pixels import pixel_digest
from angioseg.errors import AngioSegError
from angioseg.metrics import dice

__all__ = ["Predictions"]


class Predictions:
    """Masks by version and cine, in ``FOLDER/VERSION/ID.nrrd``.

    Args:
        folder: made when there is something to keep.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def keep(self, version: str, id: str, mask: np.ndarray, cine: Cine, frames: Iterable[int]):
        """Keep what a version says of some frames; of the versions before only the last one stays.

        Args:
            version: of the model.
            id: of the cine.
            mask: (T, H, W), 1 = vessel.
            cine: the cine.
            frames: those that were segmented.
        """
        before = self._before(version)
        # Without them everything works but the agreement.
        with suppress(OSError, AngioSegError):
            folder = self._folder / version
            folder.mkdir(parents=True, exist_ok=True)
            write_label(folder / f"{id}.nrrd", mask, cine, frames, pixel_digest(cine.frames))
            for old in before[1:]:
                shutil.rmtree(old)

    def compare(
        self, version: str, id: str, mask: np.ndarray, cine: Cine, frames: Iterable[int]
    ) -> tuple[str, float] | tuple[None, None]:
        """The version before, and the Dice of its mask and this one over the frames that both have seen.

        Returns:
            (version, Dice); (None, None) where there is no such frame.
        """
        for folder in self._before(version)[:1]:
            with suppress(CineError):
                other, seen = read_label(folder / f"{id}.nrrd", cine=cine)
                both = sorted(set(seen) & set(frames))
                if both and other.shape == mask.shape:
                    return folder.name, round(dice(other[both], mask[both]), 4)
        return None, None

    def _before(self, version: str) -> list[Path]:
        """Folders of the other versions, the last one first."""
        folders = [path for path in self._folder.glob("*") if path.is_dir() and path.name != version]
        return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)
