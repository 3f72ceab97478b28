"""What a command says to its user: warnings and errors, one line each, on stderr."""

import functools
from collections.abc import Callable, Sequence

import typer

from angioseg.errors import AngioSegError, lacks_memory

__all__ = ["clear_errors", "counted", "fail", "note", "printable", "tell_table", "warn"]


def printable(text: object) -> str:
    """One line, whatever a file's name or header holds."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(str(text).split()))


def note(text: object) -> None:
    """Tell something worth knowing."""
    typer.echo(f"note: {printable(text)}", err=True)


def warn(text: object) -> None:
    """Tell something that may make the result wrong."""
    typer.echo(f"warning: {printable(text)}", err=True)


def fail(text: object) -> None:
    """Tell what went wrong and what to do."""
    typer.echo(f"error: {printable(text)}", err=True)


def counted(count: int, what: str) -> str:
    """ "1 frame", "2 frames"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def tell_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equal length with their columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def clear_errors(command: Callable) -> Callable:
    """A command that ends with one line and exit status 1 for what its user can mend, and 130 when interrupted."""

    @functools.wraps(command)
    def run(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except AngioSegError as error:
            fail(error)
        except BrokenPipeError:
            raise  # who reads the output has seen enough: nothing to tell
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}")
        except KeyboardInterrupt:
            typer.echo("interrupted: nothing half-written was left", err=True)
            raise typer.Exit(130) from None
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            fail("not enough memory: close other programs, ask for fewer frames, or use --device cpu")
        raise typer.Exit(1)

    return run
