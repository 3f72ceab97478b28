"""The command line: ``angioseg``."""

import sys
import warnings
from typing import Annotated

import typer

from angioseg import __version__
from angioseg.ending import on_end

from . import compare, demo, evaluate, extract, info, realism, segment, serve, simulate, simulate_loop

__all__ = ["app", "main"]

app = typer.Typer(
    name="angioseg",
    help="Coronary arteries in X-ray angiography cines. Research and education only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # usage errors in one line, not wrapped in a box
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (segment, info, extract, simulate, realism, evaluate, compare, serve, simulate_loop, demo):
    module.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"angioseg {__version__}")
        raise typer.Exit


@app.callback()
def _angioseg(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit: 0 done, 1 an error the user can mend, 2 wrong usage, 130 interrupted."""
    if not sys.warnoptions:
        # What libraries warn of can quote values of the file; this program has its own warnings.
        warnings.simplefilter("ignore")
    on_end(_stop)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def _stop(number: int, frame: object) -> None:
    # As an exception, so that what is half-written is removed.
    sys.exit(128 + number)
