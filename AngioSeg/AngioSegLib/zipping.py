"""A folder of frames as one file."""

import io
import re
import zipfile
from pathlib import Path

__all__ = ["zipFolder"]

_PARTS = re.compile("([0-9]+)")


def zipFolder(folder: Path) -> bytes:
    """A zip archive of the files of a folder, and of its folder ``images`` where it has one.

    They are named by their order, because a file's name may name a patient; numbers in names count as numbers, so that
    frame_2 comes before frame_10.

    Raises:
        OSError: when a file cannot be read.
    """
    images = folder / "images"
    files = [path for path in (images if images.is_dir() else folder).iterdir() if path.is_file()]
    # The odd parts are the numbers.
    files.sort(key=lambda path: [int(p) if i % 2 else p for i, p in enumerate(_PARTS.split(path.name.lower()))])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, file in enumerate(files):
            archive.writestr(f"{number:06}{file.suffix.lower()}", file.read_bytes())
    return packed.getvalue()
