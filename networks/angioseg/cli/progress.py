"""How far a command is: a bar on a terminal, a few plain lines elsewhere; always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

__all__ = ["show_progress"]


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show work while the block runs.

    Args:
        what: the work, as "segmenting".

    Yields:
        A function to call with (steps done, steps to do).
    """
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


class _Lines:
    """A line at every quarter of the work."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = time.monotonic()
        self.quarters = 0

    def __call__(self, done: int, total: int) -> None:
        quarters = 4 * done // total
        if quarters == self.quarters:
            return
        self.quarters = quarters
        left = (time.monotonic() - self.start) / done * (total - done)
        typer.echo(f"{self.what}: {done} of {total}" + (f", {left:.0f} s left" if done < total else ""), err=True)
