"""``angioseg simulate``: angiograms with exact truth."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from angioseg.errors import AngioSegError

from .output import output_folder
from .progress import show_progress
from .sizes import rows_columns
from .speaking import clear_errors, counted

__all__ = ["add_to"]


class _Format(str, Enum):
    """How clips are written."""

    setv = "setv"
    dicom = "dicom"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(clear_errors(_simulate))


def _simulate(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where the clips are written.")],
    clips: Annotated[int | None, typer.Option(metavar="K", min=1, help="How many; 1 when left out.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the first; the next has S + 1.")] = 0,
    frames: Annotated[int | None, typer.Option(metavar="T", help="A clip; 3 to 10 s when left out.")] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Rows x columns; 512x512 when left out.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames a second; 7.5 to 30 by chance when left out.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="A described data set, as setv: 170 clips, 8,835 frames as the paper's.")
    ] = None,
    form: Annotated[
        _Format, typer.Option("--format", help="setv: folders of images and labels; dicom: multi-frame XA files.")
    ] = _Format.setv,
    device: Annotated[str, typer.Option(help="cpu, cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="Processes that help with the folders.")] = 0,
) -> None:
    """Simulate angiograms with their exact vessels.

    A moving tree, contrast that flows in and out, a background of ribs, spine and catheter. Seeds from 100000 on are
    for training, those below for tests. A preset says by itself how many clips there are, how long and how large.
    """
    if preset is not None:
        for name, value in (("clips", clips), ("frames", frames), ("size", size), ("fps", fps)):
            if value is not None:
                raise typer.BadParameter("the preset says it by itself.", param_hint=f"'--{name}'")
    shape = rows_columns(size or "512x512")
    with output_folder(out), show_progress("simulating") as progress:
        if any(out.glob("clip_[0-9]*")):
            raise AngioSegError(f"{out}: holds simulated clips already; give another folder.")
        from angioseg.simulation import clip_seed, plan_dataset, simulate_clip, write_dataset, write_xa_dicom

        if preset is None:
            options = {"frames": frames, "size": shape, "fps": fps}
            plan = [{"seed": clip_seed(seed, index), **options} for index in range(clips or 1)]
        else:
            plan = plan_dataset(preset, seed)
        plan = [{**clip, "device": device} for clip in plan]
        if form is _Format.setv:
            write_dataset(out, plan, workers=workers, progress=progress)
        else:
            for index, clip in enumerate(plan):
                write_xa_dicom(out / f"clip_{index:04d}.dcm", simulate_clip(**clip))
                progress(index + 1, len(plan))
    typer.echo(f"{out}: {counted(len(plan), 'clip')}")
