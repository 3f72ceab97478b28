"""A folder of frames as one file."""

import io
import zipfile
from pathlib import Path

__all__ = ["zipFolder"]


def zipFolder(folder: Path) -> bytes:
    """A zip archive of the files of a folder, and of its folder ``images`` where it has one.

    They are named by their order, because a file's name may name a patient.

    Raises:
        OSError: when a file cannot be read.
    """
    images = folder / "images"
    files = sorted(path for path in (images if images.is_dir() else folder).iterdir() if path.is_file())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, file in enumerate(files):
            archive.writestr(f"{number:06}{file.suffix.lower()}", file.read_bytes())
    return packed.getvalue()
