"""A file is whole or not there."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import AngioSegError

__all__ = ["WriteError", "replacing"]


class WriteError(AngioSegError):
    """The file system refuses to keep a file; its cause is the ``OSError``."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new name beside ``path`` to write to; it becomes ``path`` when the block ends well, else it is removed.

    When the block has ended, the file is on the disk: neither a killed process nor a lost power takes it back.

    Raises:
        WriteError: when the file system refuses.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            if os.name == "posix":
                _sync_folder(path.parent)
        except OSError as error:
            raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
