"""``angioseg simulate-loop``: what each strategy of active learning is worth, on simulated cines."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .output import output_folder
from .progress import show_progress
from .speaking import clear_errors

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate-loop")(clear_errors(_simulate_loop))


def _simulate_loop(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where loop.csv, loop.png and start.pt go.")],
    strategies: Annotated[str, typer.Option(help="Names with commas between.")] = "cine,random",
    seeds: Annotated[int, typer.Option(min=1, help="How often, each time with other clips.")] = 5,
    clips: Annotated[int, typer.Option(min=2, help="To choose from.")] = 8,
    held_out: Annotated[int, typer.Option(min=1, help="Clips to measure on.")] = 4,
    frames: Annotated[int, typer.Option(min=3, help="A clip.")] = 12,
    size: Annotated[str, typer.Option(metavar="HxW", help="Rows x columns.")] = "192x192",
    rounds: Annotated[int, typer.Option(min=1, help="Trainings.")] = 4,
    per_round: Annotated[int, typer.Option(min=2, help="Frames labelled before each.")] = 4,
    epochs: Annotated[int, typer.Option(min=1, help="Of each training.")] = 4,
    iterations: Annotated[int, typer.Option(min=1, help="Steps an epoch.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 4,
    crop: Annotated[int, typer.Option(min=64, help="Side of the windows.")] = 192,
    learning_rate: Annotated[float, typer.Option(help="The highest of each training.")] = 1e-3,
    start: Annotated[
        Path | None,
        typer.Option(help="Weights to start with; the shipped encoder and the rest by chance when left out."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU where there is one.")] = None,
) -> None:
    """Replay active learning on simulated cines with the truth as annotator, and draw Dice against labelled frames.

    Every strategy gets the same clips, the same number of frames and the same training, which is the server's own.
    """
    from angioseg.loop import draw_curves, simulate_loop, untrained_weights, write_points
    from angioseg.selection import STRATEGIES

    names = strategies.split(",")
    for name in names:
        if name not in STRATEGIES:
            raise typer.BadParameter(f"{name!r}: give {', '.join(STRATEGIES)}.", param_hint="'--strategies'")
    if not (match := re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)):
        raise typer.BadParameter(f"{size!r}: give rows x columns, as 192x192.", param_hint="'--size'")
    with output_folder(out), _quiet(), show_progress("looping") as progress:
        weights = start
        if weights is None:
            weights = out / "start.pt"
            untrained_weights(weights)
        points = []
        for number, (seed, name) in enumerate((seed, name) for seed in range(seeds) for name in names):
            points += simulate_loop(
                name,
                seed,
                weights,
                clips=clips,
                held_out=held_out,
                frames=frames,
                size=(int(match[1]), int(match[2])),
                rounds=rounds,
                per_round=per_round,
                progress=lambda done, _, number=number: progress(number * rounds + done, seeds * len(names) * rounds),
                device=device,
                max_epochs=epochs,
                iterations_per_epoch=iterations,
                batch_size=batch_size,
                crop=[crop, crop],
                learning_rate=learning_rate,
            )
            # After each, so that an interrupted run has drawn what it has.
            write_points(out / "loop.csv", points)
            draw_curves(out / "loop.png", points)
    typer.echo(f"{out}: {len(points)} points in loop.csv, drawn in loop.png")


@contextmanager
def _quiet() -> Iterator[None]:
    """MONAI has a line for every epoch; here it would hide how far the loop is."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
