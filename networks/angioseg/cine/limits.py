"""No file, however small, may make a reader ask for more memory than any real cine needs."""

from pathlib import Path

from angioseg.cine.cine import CineError

__all__ = ["MAX_BYTES", "check_size"]

_MAX_SIDE = 16_384
MAX_BYTES = 4 * 2**30


def check_size(path: Path, count: int, rows: int, columns: int, itemsize: int) -> None:
    """Refuse sizes that no cine has, before memory is asked for.

    Raises:
        CineError: for a side of 0 or above 16,384 pixels, or more than 4 GiB of pixels.
    """
    if min(count, rows, columns) < 1:
        raise CineError(f"{path}: holds no image ({count} frames of {columns} x {rows} pixels)")
    if max(rows, columns) > _MAX_SIDE or count * rows * columns * itemsize > MAX_BYTES:
        raise CineError(
            f"{path}: claims {count} frames of {columns} x {rows} pixels, more than any cine has "
            f"(at most {_MAX_SIDE} pixels a side and {MAX_BYTES // 2**30} GiB): the file is damaged, or split it"
        )
