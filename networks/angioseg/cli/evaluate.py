"""``angioseg evaluate``: one or two models on somebody's own labelled cines."""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angioseg.errors import AngioSegError

from .output import check_free, output_folder, staging_folder
from .progress import show_progress
from .speaking import clear_errors, note, printable, warn

if TYPE_CHECKING:
    from angioseg.evaluation import CineResult, Evaluation
    from angioseg.intervals import Interval

__all__ = ["add_to"]

_FILES = ("evaluation.md", "evaluation.csv", "frames.csv", "worst.png")

_HOW = (
    "On the cine's own grid, labelled frames only. Overlaps count all pixels of a cine together; clDice, HD95 and "
    "Betti-0 error are means over its frames; a frame without vessel in the label has no clDice and no HD95."
)
_INTERVALS = (
    "Means over cines with 95 % intervals, by Student's t over patients (over cines where no patient is named)."
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(clear_errors(_evaluate))


def _evaluate(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Labelled cines; NAME_label.nrrd beside each will do.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Where tables and pictures are written.")],
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="File of weights: A; given again, B. The weights that come along when left out."),
    ] = None,
    frangi: Annotated[bool, typer.Option("--frangi", help="Frangi's filter beside them.")] = False,
    temporal: Annotated[bool, typer.Option("--temporal", help="How masks change from frame to frame, too.")] = False,
    worst: Annotated[int, typer.Option(metavar="K", min=1, help="Frames on the contact sheet.")] = 12,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU where there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an evaluation that is there.")] = False,
) -> None:
    """Hold one or two models against labels: figures a cine, their means, the worst frames, and which is better.

    Writes evaluation.md, evaluation.csv (a row a cine), frames.csv (a row a frame) and worst.png, all or none. Cines
    that cannot be used are told and left out, and the exit status is 1.
    """
    if model is not None and len(model) > 2:
        raise typer.BadParameter("give one model or two.", param_hint="'--model'")
    with output_folder(out):
        check_free((out / name for name in _FILES), overwrite)
        from angioseg.data import clip_pairs
        from angioseg.evaluation import evaluate_clips, network_predictor, predict_frangi
        from angioseg.segmentation import Segmenter

        clips = clip_pairs(data)
        predictors = {"Frangi": predict_frangi} if frangi else {}
        who, left_out = [], []
        for name, weights in zip("AB", model or [None]):
            segmenter = Segmenter(model=weights, device=device)
            predictors[name] = network_predictor(segmenter)
            who.append(f"{name}: {weights or 'the weights that come along'} (SHA-256 {segmenter.model['weights']}...)")

        def leave(line: str) -> None:
            left_out.append(line)
            warn(f"left out: {line}")

        with show_progress("evaluating") as progress:
            evaluation = evaluate_clips(clips, predictors, worst, progress, leave)
        used = len(clips) - len(left_out)
        if unlabelled := used - len(next(iter(evaluation.results.values()))):
            note(f"{unlabelled} of {used} cines have a label without a labelled frame and are not counted")
        tables = _tables(evaluation, temporal)
        _write(out, evaluation, tables, [f"Data: {data}", *who, *(f"Left out: {line}" for line in left_out)], temporal)
    for line in tables[-1]:
        typer.echo(printable(line))
    typer.echo("Written:")
    for name in _FILES:
        typer.echo(f"  {printable(out / name)}")
    if not temporal:
        note("--temporal adds how the masks change from frame to frame")
    if left_out:
        raise AngioSegError(f"{len(left_out)} of {len(clips)} cines could not be used and are not in these figures.")


def _keys(temporal: bool) -> list[str]:
    from angioseg.evaluation import FIGURES, TEMPORAL

    return [key for key in FIGURES if temporal or key not in TEMPORAL]


def _tables(evaluation: "Evaluation", temporal: bool) -> tuple[list, list, list[str]]:
    """The table of means, the table of cines, and the sentences."""
    from angioseg.evaluation import FIGURES
    from angioseg.intervals import verdict

    keys, models = _keys(temporal), list(evaluation.results.items())
    heading = [FIGURES[key][0] for key in keys]
    means = [["model", "cines", *heading]]
    cines = [["cine", "model", "frames", *heading]]
    for name, results in evaluation.results.items():
        means.append([name, str(len(results)), *(str(_interval(results, key)) for key in keys)])
    for together in zip(*evaluation.results.values()):
        for name, result in zip(evaluation.results, together):
            figures = [_number(result.figures[key]) for key in keys]
            cines.append([result.cine, name, str(len(result.scores)), *figures])
    lines = [f"{name}: vessel Dice {_interval(r, 'dice')}, clDice {_interval(r, 'cldice')}" for name, r in models]
    lines += [line for name, results in models for line in _key_frames(name, results)]
    if "B" in evaluation.results:
        for key in ("dice", "cldice"):
            lines.append(verdict(FIGURES[key][0], _difference(evaluation, key), FIGURES[key][1]))
    return means, cines, lines


def _interval(results: list["CineResult"], key: str) -> "Interval":
    from angioseg.intervals import mean_interval

    return mean_interval([result.figures[key] for result in results], [result.unit for result in results])


def _difference(evaluation: "Evaluation", key: str) -> "Interval":
    from angioseg.intervals import mean_interval

    pairs = list(zip(evaluation.results["A"], evaluation.results["B"]))
    return mean_interval([b.figures[key] - a.figures[key] for a, b in pairs], [a.unit for a, _ in pairs])


def _key_frames(name: str, results: list["CineResult"]) -> list[str]:
    scores = [result.key_frame for result in results if result.key_frame is not None]
    if not scores:
        return []
    shares = [score.share for score in scores]
    early = sum(score.before_contrast for score in scores)
    return [
        f"{name}: the key frame shows {sum(shares) / len(shares):.1%} of the vessel length that the best frame shows "
        f"({min(shares):.1%} to {max(shares):.1%} of {len(shares)} simulated cines); before contrast in {early}"
    ]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}"


def _write(out: Path, evaluation: "Evaluation", tables: tuple, about: list[str], temporal: bool) -> None:
    from angioseg.panels import draw_panels
    from angioseg.tables import markdown_table

    means, cines, lines = tables
    keys = _keys(temporal)
    with staging_folder(out) as stage:
        text = "\n\n".join(
            [*map(printable, about), markdown_table(means), *lines, markdown_table(cines), _HOW, _INTERVALS]
        )
        (stage / "evaluation.md").write_text(text + "\n", encoding="utf-8")
        with (stage / "evaluation.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["cine", "model", "frames", *keys, "key_frame", "key_frame_share"])
            for name, results in evaluation.results.items():
                for r in results:
                    key = [r.key_frame.frame, _number(r.key_frame.share)] if r.key_frame is not None else ["", ""]
                    writer.writerow([r.cine, name, len(r.scores), *(_number(r.figures[k]) for k in keys), *key])
        with (stage / "frames.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            measured = ["dice", "cldice", "hd95", "betti0_error", *(["change", "truth_change"] if temporal else [])]
            writer.writerow(["cine", "model", "frame", "tp", "fp", "tn", "fn", *measured])
            for name, results in evaluation.results.items():
                for r in results:
                    for score in r.scores:
                        values = [_number(getattr(score, what)) for what in measured]
                        writer.writerow([r.cine, name, score.frame, *score.confusion, *values])
        headings = ["frame", "label", *evaluation.results]
        draw_panels(headings, evaluation.worst).save(stage / "worst.png", optimize=True)
