"""The errors a user can mend: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["AngioSegError", "mendable", "tell_in_one_line", "unwrapped"]


class AngioSegError(Exception):
    """Wrong input or set-up. ``str(error)`` is one line for the user, printed without a traceback."""


def mendable(error: BaseException) -> AngioSegError | None:
    """The error that a user can mend, where another one (of MONAI's config parser, say) wraps it."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, AngioSegError):
        inner = inner.__cause__
    return inner


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
    interrupted: str = "the last checkpoint is kept; --resume True goes on from it",
) -> None:
    """Let a program of others (``python -m monai.bundle``) end with one line for what its user can mend.

    Args:
        interrupted: what to tell who ends it with Ctrl-C.
    """
    usual = sys.excepthook

    def tell(kind, error, traceback) -> None:
        if isinstance(error, KeyboardInterrupt):
            print(f"interrupted: {interrupted}", file=sys.stderr)
        elif (known := mendable(error)) is not None:
            print(f"error: {known}", file=sys.stderr)
        else:
            usual(kind, error, traceback)

    sys.excepthook = tell
