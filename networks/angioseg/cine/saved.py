"""Cines and labels as this project saves them: NRRD with axes (x, y, t), frame times in the header."""

import json
from collections.abc import Callable, Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from angioseg.cine import header
from angioseg.cine.cine import Cine, CineError
from angioseg.cine.nrrd import write_nrrd
from angioseg.cine.pixels import pixel_digest
from angioseg.cine.read import read_cine
from angioseg.cine.vessel import CATHETER, vessel_mask

__all__ = ["read_label", "write_cine", "write_label"]


def write_cine(path: str | PathLike, cine: Cine, name: str | None = None) -> None:
    """Save a cine as a gzip NRRD; `read_cine` gives the same frames, times and pixel size.

    The header has, each as JSON text, ``frame_times_ms`` (list), ``frame_times_source`` and ``pixel_size_source``.

    Args:
        path: a name that ends in ``.nrrd``.
        cine: the cine.
        name: kept in the header as ``name``. Not the cine's own: that is its file's, which can be a patient's.

    Raises:
        CineError: for another ending.
        WriteError: when the file cannot be written.
    """
    # X-ray noise hardly packs: a higher level costs many times the time and saves a few per cent.
    named = {} if name is None else {header.NAME: json.dumps(name)}
    write_nrrd(_nrrd_path(path), cine.frames, cine.spacing, _values(cine) | named, level=1)


def write_label(
    path: str | PathLike,
    mask: np.ndarray,
    cine: Cine | Sequence[float] | np.ndarray,
    annotated_frames: Iterable[int],
    pixels: str | None = None,
) -> None:
    """Save a label on a cine's grid as a gzip NRRD.

    The header has what `write_cine` writes and ``annotated_frames`` (JSON list): a frame not listed is unknown, not
    empty.

    Args:
        path: a name that ends in ``.nrrd``.
        mask: (T, H, W), uint8 or bool; 1 = vessel.
        cine: the cine that it belongs to, or its frame times in ms (T,).
        annotated_frames: numbers of the labelled frames, from 0.
        pixels: `pixel_digest` of the cine, which `read_label` then tells from another that took its place.

    Raises:
        CineError: for another ending, or a mask or frame numbers that do not fit the cine.
        WriteError: when the file cannot be written.
    """
    path = _nrrd_path(path)
    times_ms = cine.times_ms if isinstance(cine, Cine) else np.asarray(cine, dtype=np.float64)
    if mask.ndim != 3 or mask.dtype not in (np.uint8, np.bool_):
        raise CineError(f"{path}: a label is (T, H, W) of uint8, not {mask.shape} of {mask.dtype}")
    if (isinstance(cine, Cine) and mask.shape != cine.shape) or times_ms.shape != mask.shape[:1]:
        raise CineError(f"{path}: a label of {mask.shape} does not fit a cine of {len(times_ms)} frames or its size")
    frames = sorted({int(frame) for frame in annotated_frames})
    if frames and not 0 <= frames[0] <= frames[-1] < len(mask):
        raise CineError(f"{path}: annotated frames {frames[0]}..{frames[-1]} are not in a cine of {len(mask)} frames")
    values = _values(cine) if isinstance(cine, Cine) else {header.TIMES: json.dumps(times_ms.tolist())}
    spacing = cine.spacing if isinstance(cine, Cine) else (1.0, 1.0)
    values[header.ANNOTATED] = json.dumps(frames)
    if pixels is not None:
        values[header.PIXELS] = json.dumps(pixels)
    write_nrrd(path, mask.view(np.uint8), spacing, values, level=6)


def read_label(
    path: str | PathLike, vessels_only: bool = False, cine: Cine | Callable[[], Cine] | None = None
) -> tuple[np.ndarray, list[int]]:
    """Read a label saved by `write_label`, Slicer or MONAI Label (NRRD, NIfTI or MetaImage), or a folder of pictures.

    Args:
        path: the file or folder.
        vessels_only: refuse a label with anything beside vessel and background in it.
        cine: refuse a label that was made on another one, where the file says on which; or what reads it for that.

    Returns:
        mask: (T, H, W) uint8, 1 = vessel; see `vessel_mask` for what is, and of a segmentation of 3D Slicer
            `header.vessel_value`.
        annotated_frames: the frames that the file lists; where it lists none, those with a vessel pixel, and of a
            folder of pictures all.

    Raises:
        CineError: when it cannot be read, lists frames that it does not have, holds values that no label has, or marks
            and none that means vessel or catheter; when it was made on another cine.
    """
    label = read_cine(path)
    values = label.frames
    if values.min() < 0 or values.max() > 255:
        raise CineError(
            f"{fspath(path)}: is not a label: it holds values from {values.min()} to {values.max()}; labels have 8 bits"
        )
    vessel = label.meta.get(header.VESSEL)
    mask = vessel_mask(values) if vessel is None else (values == vessel).view(np.uint8)
    if vessel is None and not mask.any() and (marks := set(np.unique(values).tolist()) - {0, *CATHETER}):
        raise CineError(
            f"{fspath(path)}: marks pixels with {min(marks)}, which is no vessel; vessels are 1, or in pictures white "
            "(128 and above, save colours as grey levels)"
        )
    if vessels_only and ((values != 0) & (mask == 0)).any():
        raise CineError(
            f"{fspath(path)} holds values that are not vessel: 0 is background, 1 is vessel (in pictures 128 and above)"
        )
    made_on = label.meta.get(header.PIXELS)
    if cine is not None and made_on is not None:
        cine = cine if isinstance(cine, Cine) else cine()
        if made_on != pixel_digest(cine.frames):
            raise CineError(f"{fspath(path)}: was made on the pixels of another cine: label this one anew")
    listed = label.meta.get(header.ANNOTATED)
    if listed is None:
        every = Path(path).is_dir()
        listed = [t for t, frame in enumerate(mask) if every or frame.any()]
    return mask, listed


def _nrrd_path(path: str | PathLike) -> Path:
    path = Path(path)
    if path.suffix.lower() != ".nrrd":
        raise CineError(f"{path}: cines and labels are saved as NRRD: give a name that ends in .nrrd")
    return path


def _values(cine: Cine) -> dict[str, str]:
    return {
        header.TIMES: json.dumps(cine.times_ms.tolist()),
        header.TIMES_SOURCE: json.dumps(cine.times_source),
        header.SPACING_SOURCE: json.dumps(cine.spacing_source),
    }
