"""``angioseg demo``: everything once, on a simulated cine."""

from pathlib import Path
from typing import Annotated

import typer

from .output import output_folder
from .speaking import clear_errors

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(clear_errors(_demo))


def _demo(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where everything is written.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated cine.")] = 3,
    model: Annotated[Path | None, typer.Option(help="File of weights, instead of those that come along.")] = None,
) -> None:
    """Show everything once, on a simulated cine.

    Simulates a cine, segments it through the server into a Slicer scene, and writes the pictures.
    """
    with output_folder(out):
        from angioseg.demo import run_demo

        run_demo(out, seed=seed, model=model)
