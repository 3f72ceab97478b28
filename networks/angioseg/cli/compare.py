"""``angioseg compare``: the paper's Table 1 and Figure 2 again."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import output_folder
from .progress import show_progress
from .sizes import rows_columns
from .speaking import clear_errors, note, printable, tell_table

__all__ = ["add_to"]

_SEED = 100_000


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(clear_errors(_compare))


def _compare(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where all goes; begun ones go on there.")],
    data: Annotated[
        Path | None, typer.Option(help="Labelled clips; simulated as large as the paper's set when left out.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each network.")] = 3,
    recipe: Annotated[str, typer.Option(help="paper or modern.")] = "paper",
    partition: Annotated[
        str, typer.Option(help="time (the paper's), patients, or all: test everything, with --weights only.")
    ] = "time",
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="N=FILE", help="Weights instead of a training; again for each N and each seed."),
    ] = None,
    clips: Annotated[int | None, typer.Option(min=2, help="How many.")] = None,
    frames: Annotated[int | None, typer.Option(min=6, help="A simulated clip.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Of simulated clips, with --clips; 512x512 when left out.")
    ] = None,
    crop: Annotated[int | None, typer.Option(min=64, help="Side of the training windows.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of each training.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Steps an epoch.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows a step.")] = None,
    encoder: Annotated[
        str, typer.Option(help="imagenet (downloaded), none, or a file of a torchvision ResNet-34.")
    ] = "imagenet",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU where there is one.")] = None,
) -> None:
    """Train 2-D, N = 1 and N = 2 under one protocol, several seeds each, and write the paper's table and figure.

    Writes table1.md, table1.csv, runs.csv and figure2.png. Every training that is done is kept in DIR and not repeated.
    """
    from angioseg.comparison import RECIPES, Protocol, check_inputs, compare, simulate_data
    from angioseg.data import PARTITIONS

    if recipe not in RECIPES:
        raise typer.BadParameter(f"{recipe!r}: give {' or '.join(RECIPES)}.", param_hint="'--recipe'")
    if partition not in (*PARTITIONS, "all"):
        raise typer.BadParameter(f"{partition!r}: give time, patients or all.", param_hint="'--partition'")
    if crop is not None and recipe == "paper":
        raise typer.BadParameter("the paper's recipe crops nothing: give --recipe modern.", param_hint="'--crop'")
    for name, value in (("--frames", frames), ("--size", size)):
        if value is not None and data is not None:
            raise typer.BadParameter("clips of --data are taken as they are.", param_hint=f"'{name}'")
    if size is not None and clips is None:
        raise typer.BadParameter(
            "a set as large as the paper's has its own sizes: give --clips.", param_hint="'--size'"
        )
    given = _weights(weights or [])
    plan = None if data is not None else _plan(clips, frames, size)
    training: dict[str, Any] = {"pretrained": {"imagenet": True, "none": False}.get(encoder, encoder)}
    training |= {} if crop is None else {"crop": [crop, crop]}
    training |= {} if epochs is None else {"max_epochs": epochs}
    training |= {} if batch_size is None else {"batch_size": batch_size}
    if iterations is not None:
        training |= {"iterations_per_epoch": iterations}
        training |= {"train#sampler#num_samples": "$@iterations_per_epoch * @batch_size * @world_size"}
    protocol = Protocol(
        str(data or out / "data"),
        clips,
        partition,
        recipe=recipe,
        simulated=tuple(plan or ()),
        training=tuple(training.items()),
    )
    with output_folder(out):
        if plan is not None:
            check_inputs(protocol, seeds, given, device)  # before what takes long
            with show_progress("simulating") as progress:
                simulate_data(protocol, out, progress)
        table = compare(protocol, out, seeds, given, device, progress=note)
    tell_table([row[:6] for row in table])
    typer.echo("Written:")
    for name in ("table1.md", "table1.csv", "runs.csv", "figure2.png"):
        typer.echo(f"  {printable(out / name)}")


def _weights(texts: list[str]) -> dict[int, list[Path]]:
    given: dict[int, list[Path]] = {}
    for text in texts:
        if not (match := re.fullmatch(r"([012])=(.+)", text)):
            raise typer.BadParameter(f"{text!r}: give N=FILE, N 0, 1 or 2.", param_hint="'--weights'")
        given.setdefault(int(match[1]), []).append(Path(match[2]))
    return given


def _plan(clips: int | None, frames: int | None, size: str | None) -> list[dict[str, Any]]:
    from angioseg.simulation import clip_seed, plan_dataset

    if clips is None:
        plan = plan_dataset("setv", _SEED)
        return plan if frames is None else [{**clip, "frames": frames} for clip in plan]
    options = {"frames": frames, "size": rows_columns(size or "512x512")}
    return [{"seed": clip_seed(_SEED, index), **options} for index in range(clips)]
