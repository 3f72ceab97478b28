"""A file is whole or not there."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from angioseg.cine.cine import CineError

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new name beside ``path`` to write to; it becomes ``path`` when the block ends well, else it is removed.

    Raises:
        CineError: when the file system refuses.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            raise CineError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
