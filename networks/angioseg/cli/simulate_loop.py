"""``angioseg simulate-loop``: what each strategy of active learning is worth, on simulated cines."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angioseg.errors import AngioSegError

from .output import output_folder
from .progress import show_progress
from .sizes import rows_columns
from .speaking import clear_errors

if TYPE_CHECKING:
    from angioseg.loop import Point

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate-loop")(clear_errors(_simulate_loop))


def _simulate_loop(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Where the results go; what is there already is kept.")
    ],
    strategies: Annotated[
        str, typer.Option(help="Names with commas between; all labels every frame at once, for comparison.")
    ] = "cine,random,all",
    seeds: Annotated[int, typer.Option(min=1, help="How often, each time with other clips.")] = 5,
    clips: Annotated[int, typer.Option(min=2, help="To choose from.")] = 12,
    held_out: Annotated[int, typer.Option(min=1, help="Clips to measure on.")] = 6,
    frames: Annotated[int, typer.Option(min=3, help="A clip.")] = 6,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Rows x columns of the clips and of the network.")
    ] = "192x192",
    noise: Annotated[
        float, typer.Option(min=0, help="Added to the clips, in grey levels: a domain that the shipped weights miss.")
    ] = 30.0,
    rounds: Annotated[int, typer.Option(min=1, help="Trainings.")] = 4,
    per_round: Annotated[int, typer.Option(min=2, help="Frames labelled before each.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Of each training.")] = 2,
    iterations: Annotated[int, typer.Option(min=1, help="Steps an epoch.")] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 4,
    crop: Annotated[int, typer.Option(min=64, help="Side of the windows.")] = 192,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="The highest of each training.")] = 3e-4,
    start: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Weights to start with; shipped, or untrained: all by chance but the encoder."
        ),
    ] = "shipped",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU where there is one.")] = None,
) -> None:
    """Replay active learning on simulated cines with the truth as annotator, and draw Dice against labelled frames.

    Every strategy gets the same clips, the same number of frames and the same training, which is the server's own.
    A run that was interrupted goes on where it was when it is started again.
    """
    from angioseg.loop import EVERYTHING, draw_curves, read_points, simulate_loop, untrained_weights, write_points
    from angioseg.paths import bundle_dir, weights_of
    from angioseg.selection import STRATEGIES

    names = list(dict.fromkeys(strategies.split(",")))
    for name in names:
        if name not in (*STRATEGIES, EVERYTHING):
            known = ", ".join((*STRATEGIES, EVERYTHING))
            raise typer.BadParameter(f"{name!r}: give {known}.", param_hint="'--strategies'")
    shape = rows_columns(size)
    loop = {"clips": clips, "held_out": held_out, "frames": frames, "noise": noise}
    loop |= {"rounds": rounds, "per_round": per_round, "batch_size": batch_size, "learning_rate": learning_rate}
    loop |= {"max_epochs": epochs, "iterations_per_epoch": iterations, "crop": [crop, crop]}
    with output_folder(out), _quiet(), show_progress("looping") as progress:
        points = read_points(out / "loop.csv")
        _same_settings(out / "loop.json", {**loop, "size": size, "start": start}, begun=bool(points))
        weights = weights_of(bundle_dir()) if start == "shipped" else Path(start)
        if start == "untrained":
            weights = out / "start.pt"
            untrained_weights(weights)
        done = {(point.strategy, point.seed) for point in points}
        runs = [(seed, name) for seed in range(seeds) for name in names if (name, seed) not in done]
        for number, (seed, name) in enumerate(runs):
            points += simulate_loop(
                name,
                seed,
                weights,
                size=shape,
                grid=shape,
                progress=lambda done, _, number=number: progress(number * rounds + done, len(runs) * rounds),
                device=device,
                **loop,
            )
            # After each, so that an interrupted run has written and drawn what it has.
            write_points(out / "loop.csv", points)
            draw_curves(out / "loop.png", points)
        if not runs:
            draw_curves(out / "loop.png", points)
    typer.echo(f"{out}: {len(points)} points in loop.csv, drawn in loop.png")
    _tell(points)


def _same_settings(path: Path, settings: dict, begun: bool) -> None:
    """Keep the settings beside the points: those of two settings must not come into one curve."""
    from angioseg.atomic import replacing

    if not (begun and path.exists()):
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        before = {}
    for name, value in settings.items():
        if before.get(name) != value:
            raise AngioSegError(
                f"{path.parent}: was begun with {name} {before.get(name)}, not {value}; give another folder."
            )


def _tell(points: "list[Point]") -> None:
    from angioseg.loop import EVERYTHING, compare, frames_needed

    for strategy, needed in frames_needed(points).items():
        reached = [f"{frames:.1f}" for frames in needed.values() if frames is not None]
        typer.echo(
            f"{strategy}: 95 % of the Dice of all labels in {len(reached)} of {len(needed)} seeds"
            + (f", with {', '.join(reached)} frames" if reached else "")
        )
    names = {point.strategy for point in points}
    for other in sorted(names - {"cine", EVERYTHING}) if "cine" in names else []:
        found = compare(points, "cine", other)
        if not found.units:
            continue  # no seed of both yet
        sure = (
            f"95 % interval {found.low:+.4f} to {found.high:+.4f}" if found.units > 1 else "no interval from one seed"
        )
        typer.echo(f"cine - {other}: {found.mean:+.4f} Dice over the curve, {sure}")


@contextmanager
def _quiet() -> Iterator[None]:
    """MONAI has a line for every epoch; here it would hide how far the loop is."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
