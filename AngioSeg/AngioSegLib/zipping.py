"""A folder of frames as one file."""

import io
import re
import zipfile
from pathlib import Path

from AngioSegLib.errors import CineUnusable

__all__ = ["PICTURES", "zipFolder"]

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Endings of pictures that the server reads as frames."""

_PARTS = re.compile("([0-9]+)")


def zipFolder(folder: Path) -> bytes:
    """A zip archive of the frames in a folder: pictures and DICOM files, or else the pictures in its ``images``.

    They are named by their order, because a file's name may name a patient; numbers in names count as numbers, so that
    frame_2 comes before frame_10. Whatever else lies there stays there.

    Raises:
        CineUnusable: when it holds no frames.
        OSError: when a file cannot be read.
    """
    files = _frames(folder)
    if (folder / "images").is_dir() and not any(_isPicture(path) for path in files):
        files = _frames(folder / "images") or files
    if not files:
        raise CineUnusable(f"{folder.name} holds neither pictures nor DICOM files; choose the folder of the frames")
    # The odd parts are the numbers.
    files.sort(key=lambda path: [int(p) if i % 2 else p for i, p in enumerate(_PARTS.split(path.name.lower()))])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, file in enumerate(files):
            archive.writestr(f"{number:06}{file.suffix.lower()}", file.read_bytes())
    return packed.getvalue()


def _frames(folder: Path) -> list[Path]:
    visible = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return [path for path in visible if _isPicture(path) or _isDicom(path)]


def _isPicture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _isDicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
