"""Cines that the server read, put into the scene."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from AngioSegLib.cine import PIXEL_SIZE_SOURCES, CineSequence, createCine
from AngioSegLib.errors import BadReply, CineUnusable
from AngioSegLib.nrrd import NrrdImage
from AngioSegLib.zipping import zipFolder

__all__ = ["anonymousName", "cineFromNrrd", "fileToDecode", "forgetImageId", "imageIdOn"]

_IMAGE_ID = "AngioSeg.ImageId"
_SERVER = "AngioSeg.Server"


def fileToDecode(path: str | Path) -> bytes:
    """What to send to the server for a file, or for a folder of frames.

    Raises:
        CineUnusable: when it cannot be read.
    """
    path = Path(path)
    try:
        return zipFolder(path) if path.is_dir() else path.read_bytes()
    except OSError as error:
        raise CineUnusable(f"{path.name} cannot be read: {error.strerror or error}") from error


def cineFromNrrd(image: NrrdImage, imageId: str = "", server: str = "", scene=None) -> CineSequence:
    """Put a cine into the scene as :func:`~AngioSegLib.cine.createCine` does.

    Args:
        image: as the server's decoding gives it.
        imageId: the cine's id in the server's folder, where it is from there.
        server: the address of that server.
        scene: ``slicer.mrmlScene`` when not given.

    Raises:
        BadReply: when the image says nothing sensible of its times.
        CineUnusable: when it is no cine.
    """
    try:
        times = np.array(json.loads(image.values["frame_times_ms"]), dtype=np.float64)
        source = json.loads(image.values.get("pixel_size_source", '"unknown"'))
    except (KeyError, TypeError, ValueError) as error:
        raise BadReply("the server sent a cine without its frame times; is it another version?") from error
    source = source if source in PIXEL_SIZE_SOURCES else "unknown"
    name = _text(image.values.get("name", "")) or "cine"
    cine = createCine(image.array, times, image.spacing, source, name, scene)
    if imageId:
        cine.sequence.SetAttribute(_IMAGE_ID, imageId)
        cine.sequence.SetAttribute(_SERVER, server)
    return cine


def imageIdOn(cine: CineSequence, server: str) -> str:
    """A cine's id in a server's folder; empty when it is not from there: the same id may be another cine elsewhere."""
    return (cine.sequence.GetAttribute(_IMAGE_ID) or "") if cine.sequence.GetAttribute(_SERVER) == server else ""


def forgetImageId(cine: CineSequence) -> None:
    """The server has another cine of that id by now."""
    cine.sequence.RemoveAttribute(_IMAGE_ID)
    cine.sequence.RemoveAttribute(_SERVER)


def anonymousName(frames: Iterable[np.ndarray]) -> str:
    """A name for a cine made of its pixels alone: always the same, and nobody's. "cine-" and 12 hexadecimal digits.

    It takes a while, and is for a worker's thread.

    Args:
        frames: (H, W) each, as :meth:`~AngioSegLib.cine.CineSequence.frames` gives them.
    """
    digest = hashlib.blake2b(digest_size=6)
    for frame in frames:
        digest.update(np.ascontiguousarray(frame).data)
    return f"cine-{digest.hexdigest()}"


def _text(value: str) -> str:
    """Plain text, or text in JSON."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if isinstance(parsed, str) else value
