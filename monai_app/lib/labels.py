"""Labels as they come in: what is taken, and how a new one joins the frames that were labelled before."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from angioseg.cine import Cine, CineError, read_label

from lib.cines import NoCine

__all__ = [
    "Label",
    "describe_label",
    "join_labels",
    "read_mask",
    "read_submitted",
]


@dataclass(frozen=True)
class Label:
    """A label on a cine's grid.

    Attributes:
        mask: uint8 (T, H, W), 1 = vessel.
        frames: the frames that somebody has labelled; the others are unknown.
    """

    mask: np.ndarray
    frames: list[int]


def read_submitted(path: str, cine: Cine, listed: object = None) -> Label:
    """Read the label that a client has sent for a cine.

    Args:
        path: the file.
        cine: what it labels.
        listed: the client's ``annotated_frames``; those of the file, or its frames with a vessel pixel, when None.

    Raises:
        NoCine: 400, when it is no label, not on the cine's grid, or names frames that the cine does not have.
    """
    label = read_mask(path, cine)
    frames = label.frames
    if listed is not None:
        if not isinstance(listed, list) or not all(type(frame) is int for frame in listed):
            raise NoCine(400, "`annotated_frames` must be a list of frame numbers, as [3, 17].")
        outside = [frame for frame in listed if not 0 <= frame < cine.num_frames]
        if outside:
            raise NoCine(
                400, f"`annotated_frames` names frame {outside[0]}: the cine has frames 0 to {cine.num_frames - 1}."
            )
        frames = sorted(set(listed))
    if not frames:
        raise NoCine(400, "The label has no labelled frame: name the empty ones in `annotated_frames`.")
    return Label(label.mask, frames)


def read_mask(path: str, cine: Cine) -> Label:
    """Read a mask on a cine's grid; one without any pixel has no frames.

    Raises:
        NoCine: 400, when it is no mask, not on the cine's grid, holds more than vessels, or was made on another cine.
    """
    _check_grid(path, cine)
    try:
        mask, frames = read_label(path, vessels_only=True, cine=cine)
    except CineError as error:
        raise NoCine(400, str(error).replace(str(path), "The label")) from error
    if mask.shape != cine.shape:
        raise NoCine(400, _wrong_grid(mask.shape[::-1], cine))
    return Label(mask, frames)


def join_labels(new: Label, before: Label | None) -> Label:
    """The new label, with the frames of the one before that the new one does not name."""
    if before is None or before.mask.shape != new.mask.shape:
        return new
    mask = new.mask.copy()
    kept = [frame for frame in before.frames if frame not in new.frames]
    mask[kept] = before.mask[kept]
    return Label(mask, sorted({*new.frames, *kept}))


def describe_label(path: Path, cine: Callable[[], Cine]) -> dict:
    """What the datastore says about a label's file: its ``annotated_frames``, or the ``problem`` with it.

    Args:
        path: the file.
        cine: reads the cine; asked where the label says on which pixels it was made.
    """
    try:
        return {"annotated_frames": read_label(path, cine=cine)[1]}
    except CineError as error:
        return {"annotated_frames": [], "problem": str(error).replace(str(path), "The label")}


def _check_grid(path: str, cine: Cine) -> None:
    """Compare sizes before pixels are unpacked: a small file may claim more than the memory holds."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise NoCine(400, "The label cannot be read: it is cut short, damaged or of another kind.") from error
    size = reader.GetSize()
    if int(np.prod(size, dtype=np.float64)) * reader.GetNumberOfComponents() != cine.frames.size:
        raise NoCine(400, _wrong_grid(size, cine))


def _wrong_grid(size, cine: Cine) -> str:
    found, wanted = (" x ".join(map(str, shape)) for shape in (size, cine.shape[::-1]))
    return f"The label is {found}; its cine is {wanted} (x, y, t)."
