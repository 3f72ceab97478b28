"""Cines for MONAI's transforms."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
from monai.data import ImageReader
from monai.utils import MetaKeys, ensure_tuple

from angioseg.cine.cine import CineError
from angioseg.cine.find import is_cine
from angioseg.cine.header import ANNOTATED
from angioseg.cine.read import read_cine

__all__ = ["CineReader"]


class CineReader(ImageReader):
    """Reads whatever `read_cine` reads, for MONAI's ``LoadImage``.

    ``LoadImaged(keys="image", reader=CineReader, dtype=None, ensure_channel_first=True)`` gives a MetaTensor
    (1, T, H, W) of the file's own integers: uint8, int16, and uint16 as int32, for MONAI makes it so. Its ``meta`` has
    what MONAI expects (spatial shape, affine) and ``frame_times_ms``, ``times_source``, ``spacing`` (row, column; mm),
    ``spacing_source``, ``name`` and ``warnings``; a label saved by `write_label` has ``annotated_frames`` too.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether this is one file or folder that may be a cine."""
        names = ensure_tuple(filename)
        return len(names) == 1 and is_cine(names[0])

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs) -> tuple[PathLike, ...]:
        """The path itself, in a tuple; `get_data` reads it.

        ``LoadImage`` answers an error here by trying MONAI's other readers, and one of those would take a CT volume
        for a cine; an error in `get_data` reaches the user.
        """
        return ensure_tuple(data)

    def get_data(self, img: tuple[PathLike, ...]) -> tuple[np.ndarray, dict]:
        """Frames (T, H, W) and their meta data.

        Raises:
            CineError: when the file cannot be read as a cine, or there are several.
        """
        if len(img) != 1:
            raise CineError(f"a cine is one file or one folder, not a list of {len(img)}")
        cine = read_cine(img[0])
        meta = {
            MetaKeys.SPATIAL_SHAPE: np.asarray(cine.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM: "no_channel",
            MetaKeys.AFFINE: np.diag([1.0, *cine.spacing, 1.0]),
            "frame_times_ms": cine.times_ms,
            "times_source": cine.times_source,
            "spacing": list(cine.spacing),
            "spacing_source": cine.spacing_source,
            "name": cine.name,
            "warnings": list(cine.warnings),
        }
        if ANNOTATED in cine.meta:
            meta[ANNOTATED] = cine.meta[ANNOTATED]
        return cine.frames, meta
