"""Decoded cines, so that a client that asks range after range has its cine decoded once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from angioseg.cine import Cine, CineError, read_cine
from fastapi import HTTPException

__all__ = ["CineCache", "NoCine", "file_state"]


class NoCine(HTTPException):
    """This cine, its label, or what is asked of it cannot be had: who asks for many goes on with the next one.

    Status 404 or 400.
    """


class CineCache:
    """Least recently used cines, found by their file's path, size and time of change.

    Args:
        max_bytes: the pixels kept in memory. A single larger cine is read each time it is asked for.

    Attributes:
        fetch: brings a file that is not on this machine yet.
    """

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.fetch: Callable[[str], None] | None = None
        self._cines: OrderedDict[tuple, Cine] = OrderedDict()
        self._lock = threading.Lock()
        self._decoding = threading.Lock()

    def read(self, path: str) -> Cine:
        """The cine of a file or folder of frames; see :func:`angioseg.cine.read_cine` for what is raised."""
        if self.fetch is not None and not Path(path).exists():
            self.fetch(path)
        try:
            key = file_state(path)
        except OSError as error:  # removed since it was looked for
            raise CineError(f"{path}: cannot be read: {error.strerror or error}") from error
        if (cine := self._kept(key)) is None:
            # One cine is decoded at a time: two clients that ask for the same one wait for one decoding, not two.
            with self._decoding:
                cine = self._kept(key) or self._keep(key, read_cine(path))
        return cine

    def _kept(self, key: tuple) -> Cine | None:
        with self._lock:
            if key in self._cines:
                self._cines.move_to_end(key)
            return self._cines.get(key)

    def _keep(self, key: tuple, cine: Cine) -> Cine:
        with self._lock:
            if cine.frames.nbytes <= self.max_bytes:
                self._cines[key] = cine
            while sum(kept.frames.nbytes for kept in self._cines.values()) > self.max_bytes:
                self._cines.popitem(last=False)
        return cine


def file_state(path: str | Path) -> tuple:
    """What changes when the file, or a file of the folder, does.

    Raises:
        OSError: when it is not there.
    """
    path = Path(path)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    stats = [(str(file), file.stat()) for file in files]
    return (str(path), *((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats))
