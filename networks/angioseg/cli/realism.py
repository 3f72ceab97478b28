"""``angioseg realism``: simulated angiograms beside real ones."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import output_folder, staging_folder
from .progress import show_progress
from .speaking import clear_errors, note, printable, tell_table, warn

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from angioseg.cine import Cine
    from angioseg.segmentation import Segmenter

__all__ = ["add_to"]

_HOW = (
    "Median (smallest to largest) over the cines. The network finds the vessels of both sides, in every third frame; "
    "beside it the simulated cines measured with their exact masks. Inside: whether the simulated median lies in the "
    "real range."
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("realism")(clear_errors(_realism))


def _realism(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where sheets and tables are written.")],
    real: Annotated[
        list[Path] | None,
        typer.Option("--real", metavar="DIR", help="A folder of real cines, or a cine; may be given again."),
    ] = None,
    clips: Annotated[int, typer.Option(metavar="K", min=1, help="How many cines to simulate.")] = 12,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Of the first; the next has S + 1.")] = 0,
    fps: Annotated[
        float | None,
        typer.Option(metavar="F", min=1, max=120, help="Frames a second of real cines whose files give no times."),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="T", min=3, help="A simulated cine; 3 to 10 s when left out.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="File of weights, instead of those that come along.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU where there is one.")] = None,
) -> None:
    """Show and measure how like real angiograms simulated ones are.

    Writes realism.csv, realism.md and sheet.png, which holds simulated cines only; with real ones also sheet_real.png
    and sheet_both.png. The network finds the vessels of both sides, so that both are measured by one rule.
    """
    with output_folder(out):
        from angioseg.cine import cines_in

        paths = [path for folder in real or [] for path in cines_in(folder)]
        from angioseg.segmentation import Segmenter
        from angioseg.simulation.comparison import compare, table_of

        segmenter = Segmenter(model=model, device=device)
        simulated, exact, actual = _Side(), _Side(), _Side()
        with show_progress("measuring") as progress:
            # The real ones first: what is wrong with a file is told before the long work.
            for done, (cine, truth, caption) in enumerate(
                chain(_read(paths, fps), _simulate(seed, clips, frames)), start=1
            ):
                _measure(cine, truth, caption, segmenter, simulated if truth is not None else actual, exact)
                progress(done, len(paths) + clips)
        rows = compare(simulated.measures, exact.measures, actual.measures, (simulated.histograms, actual.histograms))
        table = table_of(rows)
        files = _write(out, rows, table, simulated, actual)
    _tell(table, files)


@dataclass
class _Side:
    """What is kept of the cines of one side."""

    measures: list[dict[str, float]] = field(default_factory=list)
    histograms: list["np.ndarray"] = field(default_factory=list)
    tiles: list["Image.Image"] = field(default_factory=list)
    without_times: int = 0


def _read(paths: list[Path], fps: float | None) -> Iterator[tuple["Cine", None, str]]:
    import numpy as np

    from angioseg.cine import read_cine

    for path in paths:
        cine = read_cine(path)
        for warning in cine.warnings:
            warn(f"{path}: {warning}")
        if fps is not None and cine.times_source == "assumed":
            note(f"{path}: {fps:g} frames/s are taken, as --fps says")
            cine = replace(cine, times_ms=np.arange(cine.num_frames) * (1000 / fps))
        yield cine, None, printable(cine.name)


def _simulate(seed: int, clips: int, frames: int | None) -> Iterator[tuple["Cine", "np.ndarray", str]]:
    from angioseg.cine import Cine
    from angioseg.simulation import clip_seed, simulate_clip

    for index in range(clips):
        clip = simulate_clip(clip_seed(seed, index), frames=frames)
        yield (
            Cine(clip.frames, clip.times_ms, "simulation"),
            clip.vessels,
            f"seed {clip.meta['seed']}, {clip.meta['side']}",
        )


def _measure(
    cine: "Cine", truth: "np.ndarray | None", caption: str, segmenter: "Segmenter", side: _Side, exact: _Side
) -> None:
    import numpy as np

    from angioseg.simulation.realism import (
        grey_histogram,
        grey_levels,
        measure_grey,
        measure_vessels,
        measured_frames,
    )
    from angioseg.simulation.sheet import tile

    wanted = measured_frames(cine.num_frames)
    masks = np.zeros(cine.shape, np.uint8)
    for frame in wanted:
        masks[frame] = segmenter(cine, frame).mask[frame]
    vessels, best = measure_vessels(cine, masks, wanted)
    side.measures.append({**measure_grey(cine), **vessels})
    side.histograms.append(grey_histogram(grey_levels(cine.frames)))
    side.tiles.append(tile(cine.frames, best, f"{caption}, frame {best} of 0-{cine.num_frames - 1}"))
    side.without_times += cine.times_source == "assumed"
    if truth is not None:
        exact.measures.append(measure_vessels(cine, truth, wanted)[0])


def _write(out: Path, rows: list, table: list[list[str]], simulated: _Side, actual: _Side) -> list[tuple[Path, str]]:
    from angioseg.simulation.comparison import save_csv, save_markdown
    from angioseg.simulation.sheet import beside, contact_sheet

    sheet = contact_sheet(simulated.tiles)
    pictures = {"sheet.png": (sheet, "simulated cines only")}
    if actual.tiles:
        other = contact_sheet(actual.tiles)
        pictures["sheet_real.png"] = (other, "real cines")
        pictures["sheet_both.png"] = (beside([("simulated", sheet), ("real", other)]), "both")
    notes = [_HOW, f"{len(simulated.tiles)} simulated and {len(actual.tiles)} real cines."]
    if actual.without_times:
        notes.append(
            f"The files of {actual.without_times} real cines give no frame times: time and speed rest on --fps."
        )
    with staging_folder(out) as stage:
        save_csv(stage / "realism.csv", rows)
        save_markdown(stage / "realism.md", table, notes)
        for name, (picture, _) in pictures.items():
            picture.save(stage / name, optimize=True)
    files = [("realism.csv", "every number"), ("realism.md", "the table"), *((n, t) for n, (_, t) in pictures.items())]
    return [(out / name, what) for name, what in files]


def _tell(table: list[list[str]], files: list[tuple[Path, str]]) -> None:
    tell_table(table)
    typer.echo("Written:")
    for path, what in files:
        typer.echo(f"  {printable(path)}  {what}")
