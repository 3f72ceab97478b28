"""The errors a user can mend: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["AngioSegError", "is_full", "lacks_memory", "mendable", "tell_in_one_line", "unwrapped"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


class AngioSegError(Exception):
    """Wrong input or set-up. ``str(error)`` is one line for the user, printed without a traceback."""


def is_full(error: BaseException | None) -> bool:
    """Whether the system refuses to write because a disk, a quota or a limit of files is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def lacks_memory(error: BaseException) -> bool:
    """Whether there was not enough memory: of Python, of a GPU, or of torch on the CPU, which says so in words only."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def mendable(error: BaseException) -> AngioSegError | None:
    """The error that a user can mend, where another one (of MONAI's config parser, say) wraps it."""
    return _cause(error, lambda inner: isinstance(inner, AngioSegError))


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise what a user can mend as itself, where MONAI wraps it in a ``RuntimeError`` of its own."""
    try:
        yield
    except RuntimeError as error:
        if (known := mendable(error)) is None:
            raise
        raise known from None


def tell_in_one_line(
    interrupted: str = "what was written is whole; --resume True goes on from the last checkpoint, where there is one",
) -> None:
    """Let a program of others (``python -m monai.bundle``) end with one line for what its user can mend.

    That is an :class:`AngioSegError`, or a file or folder that the system refuses.

    Args:
        interrupted: what to tell who ends it with Ctrl-C.
    """
    usual = sys.excepthook

    def tell(kind, error, traceback) -> None:
        if isinstance(error, KeyboardInterrupt):
            print(f"interrupted: {interrupted}", file=sys.stderr)
        elif (known := mendable(error)) is not None:
            print(f"error: {known}", file=sys.stderr)
        elif (refused := _refused(error)) is not None:
            print(f"error: {refused.filename}: {refused.strerror}", file=sys.stderr)
        elif _cause(error, lacks_memory) is not None:
            print("error: there is not enough memory; give a smaller --batch_size, or --device cpu", file=sys.stderr)
        else:
            usual(kind, error, traceback)

    sys.excepthook = tell


def _refused(error: BaseException) -> OSError | None:
    """The system's refusal of a file that the user named, where another error wraps it."""
    return _cause(error, lambda inner: isinstance(inner, OSError) and inner.filename and inner.errno in _REFUSALS)


def _cause(error: BaseException, wanted: Callable[[BaseException], object]) -> BaseException | None:
    inner: BaseException | None = error
    while inner is not None and not wanted(inner):
        inner = inner.__cause__
    return inner
