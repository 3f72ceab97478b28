"""``angioseg segment``: cines go in, segmented cines come out."""

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angioseg.errors import AngioSegError
from angioseg.paths import RESULTS, free_name

from .output import check_free, output_folder, staging_folder
from .progress import show_progress
from .speaking import clear_errors, counted, printable, warn

if TYPE_CHECKING:
    from angioseg.cine import Cine
    from angioseg.segmentation import Segmentation

__all__ = ["add_to"]

_FILES = {
    "seg": "the vessels, frame by frame",
    "overlay": "the cine with its vessels",
    "keyframe": "the clearest and most complete frame",
    "frames": "every frame in numbers",
}

_REASON = {False: "no vessel was found", True: "only specks were found"}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("segment")(clear_errors(_segment))


def _parse_range(text: str) -> object:
    """ "12" is a frame, "10:20" the frames from 10 to 20."""
    if text == "all":
        return text
    if not (match := re.fullmatch(r"(\d{1,9})(?::(\d{1,9}))?", text)):
        raise typer.BadParameter(f"{text!r}: give FIRST:LAST or one number, counting from 0.")
    first, last = match.groups()
    return int(first) if last is None else [int(first), int(last)]


def _check_threshold(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter("give a probability between 0 and 1.")
    return value


def _segment(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="CINE...", help="DICOM, videos, NRRD, folders of frames, or a folder with such in it."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where the results are written.")],
    frames: Annotated[
        str, typer.Option(metavar="A:B", help="Frames to segment: the first and the last, or one number; from 0.")
    ] = "all",
    model: Annotated[Path | None, typer.Option(help="File of weights, instead of those that come along.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU where there is one.")] = None,
    threshold: Annotated[
        float | None, typer.Option(callback=_check_threshold, help="Probability from which a pixel is vessel.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of this name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, a line a cine.")] = False,
) -> None:
    """Segment the vessels of cines and find their key frames.

    Writes NAME_seg.nrrd, NAME_overlay.mp4, NAME_keyframe.png and NAME_frames.csv of each, all of them or none. Of
    several, those that cannot be segmented are told and left out, and the exit status is 1.
    """
    try:
        wanted = _parse_range(frames)
    except typer.BadParameter as error:
        raise typer.BadParameter(error.message, param_hint="'--frames'") from None
    with output_folder(out):
        cines, problems = _named(paths)
        total, segmenter = len(cines) + len(problems), None
        for problem in problems:
            warn(f"left out: {problem}")
        for number, (name, path) in enumerate(cines.items(), start=1):
            start = time.perf_counter()
            targets = {kind: out / f"{name}{ending}" for kind, ending in RESULTS.items()}
            try:
                # Another cine's, as often as not: exports call many of them IM0001.
                check_free(targets.values(), overwrite)
                cine = _read(path, wanted)
            except AngioSegError as error:
                if total == 1:
                    raise
                problems.append(error)
                warn(f"left out: {error}")
                continue
            read = time.perf_counter() - start

            if segmenter is None:
                from angioseg.segmentation import Segmenter

                segmenter = Segmenter(model=model, device=device, threshold=threshold)
            which = f"cine {number} of {len(cines)}: " if total > 1 else ""
            with show_progress(f"{which}segmenting") as progress:
                segmentation = segmenter(cine, wanted, progress)
            start = time.perf_counter()
            _write(segmentation, targets, out)
            latencies = {**segmentation.latencies, "read": read, "write": time.perf_counter() - start}
            if as_json:
                _tell_as_json(path, segmentation, latencies, targets)
            else:
                _tell(name, segmentation, latencies, targets)
        if problems:
            raise AngioSegError(f"{len(problems)} of {total} cines were left out.")


def _named(paths: list[Path]) -> tuple[dict[str, Path], list[AngioSegError]]:
    """The cines that are given, and those in folders that are: name of the results -> path; and what is none.

    Raises:
        AngioSegError: when the only path holds no cine.
    """
    from angioseg.cine.find import name_below

    named: dict[str, Path] = {}
    taken, seen, problems = set(), set(), []
    for path in paths:
        try:
            found = _cines(path)
        except AngioSegError as error:
            if len(paths) == 1:
                raise
            problems.append(error)
            continue
        for cine in found:
            if cine.absolute() not in seen:
                seen.add(cine.absolute())
                name = free_name(name_below(cine, path), taken)
                taken.add(name.lower())
                named[name] = cine
    return named, problems


def _cines(path: Path) -> list[Path]:
    from angioseg.cine import cines_in, is_cine
    from angioseg.cine.dicom import is_single_frame

    if not path.is_dir() or is_cine(path):
        return [path]
    found = cines_in(path)
    if len(found) > 1 and all(cine.parent == path and is_single_frame(cine) for cine in found):
        return [path]  # it was meant as one, and reading it says why it is none
    return found


def _read(path: Path, wanted: object) -> "Cine":
    from angioseg.cine import read_cine

    cine = read_cine(path)
    for warning in cine.warnings:
        warn(f"{path}: {warning}")

    from angioseg.segmentation import parse_frames

    parse_frames(wanted, cine.num_frames)  # before the model is loaded
    return cine


def _write(segmentation: "Segmentation", targets: dict[str, Path], out: Path) -> None:
    from angioseg.cine import write_label
    from angioseg.pictures import save_frames_csv, save_key_frame, save_overlay_video

    cine, mask, keys = segmentation.cine, segmentation.mask, segmentation.key_frames
    names = {kind: file.name for kind, file in targets.items()}
    with staging_folder(out) as stage:
        write_label(stage / names["seg"], mask, cine, segmentation.frames)
        save_frames_csv(stage / names["frames"], segmentation.measures, keys, cine)
        save_key_frame(stage / names["keyframe"], cine, mask, keys, segmentation.measures)
        with show_progress("writing the video") as progress:
            save_overlay_video(stage / names["overlay"], cine, mask, keys, segmentation.frames, progress)


def _tell_as_json(
    path: Path, segmentation: "Segmentation", latencies: dict[str, float], files: dict[str, Path]
) -> None:
    summary = {"cine": str(path), **segmentation.summary()}
    summary["latencies"] = {step: round(seconds, 4) for step, seconds in latencies.items()}
    summary["files"] = {kind: str(file) for kind, file in files.items()}
    typer.echo(json.dumps(summary))


def _tell(name: str, segmentation: "Segmentation", latencies: dict[str, float], files: dict[str, Path]) -> None:
    cine, done = segmentation.cine, len(segmentation.frames)
    with_vessels = sum(measure.area_px > 0 for measure in segmentation.measures)
    count, height, width = cine.shape
    typer.echo(
        f"{printable(name)}: {counted(count, 'frame')} of {width} x {height}; "
        f"{done} segmented in {latencies['infer']:.1f} s ({latencies['infer'] / done:.2f} s each); "
        f"vessels in {with_vessels}"
    )
    typer.echo("Key frames:" if segmentation.key_frames else f"Key frames: none, {_REASON[with_vessels > 0]}")
    for rank, key in enumerate(segmentation.key_frames, start=1):
        seconds = cine.times_ms[key.frame] / 1000
        typer.echo(f"  {rank}. frame {key.frame} at {seconds:.2f} s, score {key.score:.2f}. {key.why}")
    typer.echo("Written:")
    for kind, file in files.items():
        typer.echo(f"  {printable(file)}  {_FILES[kind]}")
