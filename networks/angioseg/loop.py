"""The active-learning loop on simulated cines, with the truth as annotator: what a strategy is worth."""

from __future__ import annotations

import csv
import gc
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .atomic import replacing
from .cine import Cine, write_cine, write_label
from .data import count_frames, split_by_patient
from .errors import AngioSegError
from .intervals import Interval, mean_interval
from .metrics import dice
from .nets import CENet3D2D, load_weights, save_weights
from .paths import bundle_dir, weights_of
from .segmentation import Segmenter
from .selection import Clip, candidate_frames, choose, needs_scores, score_frame
from .simulation import SimulatedClip, simulate_clip
from .versions import Versions

__all__ = [
    "EVERYTHING",
    "Point",
    "compare",
    "draw_curves",
    "frames_needed",
    "read_points",
    "simulate_loop",
    "untrained_weights",
    "write_points",
]

EVERYTHING = "all"
"""Not a strategy but what all of them are held against: every frame is labelled."""

_ENOUGH = 0.95
_COLOURS = ((27, 96, 170), (200, 70, 30), (40, 140, 70), (130, 70, 160), (110, 110, 110))


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        strategy: that chose the frames.
        seed: of the clips and of all that is left to chance.
        frames: labelled so far.
        dice: of the model in use, over all frames of the held-out clips of this seed.
        version: of the model; it stays when a training brought none that validated better.
    """

    strategy: str
    seed: int
    frames: int
    dice: float
    version: int


def untrained_weights(path: str | Path, seed: int = 0) -> None:
    """Write weights to start a loop with: the encoder that ships, everything after it drawn by chance.

    The shipped weights know simulated vessels: with all of them there would be nothing left to learn.

    Args:
        path: the file.
        seed: of the chance.
    """
    trained = load_weights(CENet3D2D(num_neighbors=1), weights_of(bundle_dir()))
    torch.manual_seed(seed)
    network = CENet3D2D(num_neighbors=1)
    network.fusion.load_state_dict(trained.fusion.state_dict())
    network.encoder.load_state_dict(trained.encoder.state_dict())
    save_weights(network, path)


def simulate_loop(
    strategy: str,
    seed: int,
    weights: str | Path,
    *,
    clips: int,
    held_out: int,
    frames: int,
    size: tuple[int, int],
    rounds: int,
    per_round: int,
    noise: float = 0.0,
    grid: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    device: str | None = None,
    **training: Any,
) -> list[Point]:
    """Ask, label with the truth, train, measure; and again.

    Choosing, training and the rule that a worse model does not replace a better one are the server's own code. Clips of
    one seed are the same for every strategy.

    Args:
        strategy: one of `angioseg.selection.STRATEGIES`, or ``EVERYTHING``: all frames are labelled before the first
            training.
        seed: see :class:`Point`.
        weights: to start with.
        clips: how many to choose from.
        held_out: how many to measure on.
        frames: a clip.
        size: of the frames, rows and columns.
        rounds: trainings.
        per_round: frames labelled before each.
        noise: standard deviation, in grey levels, of noise added to every clip: a domain that the shipped weights do
            not know.
        grid: the network's, rows and columns; the bundle's when None.
        progress: called with (rounds done, rounds).
        device: "cpu", "cuda"; a GPU where there is one when None.
        training: see :func:`angioseg.training.train`.

    Returns:
        A point before the first label, and one after each training.

    Raises:
        AngioSegError: when weights, device or sizes cannot be used.
    """
    simulated = _simulate(200_000 + 1_000 * seed, clips + held_out, frames, size, noise)
    pool, unseen = {f"clip{n:03}": clip for n, clip in enumerate(simulated[:clips])}, simulated[clips:]
    labelled: dict[str, set[int]] = {id: set() for id in pool}
    rng = random.Random(seed)
    if grid is not None:
        training["grid"] = list(grid)
    with tempfile.TemporaryDirectory(prefix="angioseg-loop-") as folder:
        versions = Versions(Path(folder, "models"), weights)

        def model() -> Segmenter:
            current = versions.current()
            return Segmenter(current.weights, device, bundle=current.bundle, grid=grid)

        def measure() -> Point:
            segmenter = model()
            masks = np.concatenate([segmenter(_cine(clip)).mask.ravel() for clip in unseen])
            truth = np.concatenate([clip.vessels.ravel() for clip in unseen])
            count = sum(map(len, labelled.values()))
            return Point(strategy, seed, count, dice(masks, truth), versions.current().number)

        files = {
            id: {
                "image": str(Path(folder, f"{id}.nrrd")),
                "label": str(Path(folder, f"{id}_label.nrrd")),
                "patient": id,
            }
            for id in pool
        }
        for id, clip in pool.items():
            write_cine(files[id]["image"], _cine(clip))
        points = [measure()]
        for round in range(rounds):
            for id, frame in _ask(strategy, pool, labelled, model, per_round, rng):
                labelled[id].add(frame)
            for id, clip in pool.items():
                write_label(files[id]["label"], clip.vessels, _cine(clip), labelled[id])
            known = [count_frames(files[id], clip.vessels, labelled[id]) for id, clip in pool.items()]
            try:
                sides = split_by_patient(known, 0.2)
            except AngioSegError:
                pass  # what was labelled does not do for a training yet, such as frames without a vessel
            else:
                versions.train(*sides, device=device, seed=seed, **training)
            points.append(measure())
            gc.collect()  # networks and trainers hang in circles: left to themselves they took gigabytes
            if progress is not None:
                progress(round + 1, rounds)
    return points


@lru_cache(maxsize=1)  # every strategy of a seed sees the same clips
def _simulate(first: int, count: int, frames: int, size: tuple[int, int], noise: float) -> tuple[SimulatedClip, ...]:
    return tuple(
        _noisy(simulate_clip(seed, frames=frames, size=size), seed, noise) for seed in range(first, first + count)
    )


def _noisy(clip: SimulatedClip, seed: int, noise: float) -> SimulatedClip:
    if not noise:
        return clip
    noisy = clip.frames + np.random.default_rng(seed).normal(0, noise, clip.frames.shape)
    return replace(clip, frames=noisy.clip(0, 255).round().astype(np.uint8))


def _ask(
    strategy: str,
    pool: dict[str, SimulatedClip],
    labelled: dict[str, set[int]],
    model: Callable[[], Segmenter],
    count: int,
    rng: random.Random,
) -> list[tuple[str, int]]:
    if strategy == EVERYTHING:
        return [(id, frame) for id, clip in pool.items() for frame in range(len(clip.frames))]
    scores: dict[str, list] = {id: [] for id in pool}
    if needs_scores(strategy):
        segmenter = model()
        for id, clip in pool.items():
            scores[id] = [score_frame(segmenter, _cine(clip), n) for n in candidate_frames(len(clip.frames))]
    clips = {id: Clip(lambda c=clip: c.times_ms, set(labelled[id]), scores[id]) for id, clip in pool.items()}
    chosen = []
    for _ in range(count):
        choice = choose(strategy, clips, rng)
        if choice is None:
            break
        clips[choice.id].taken.add(choice.frame)
        chosen.append((choice.id, choice.frame))
    return chosen


def _cine(clip: SimulatedClip) -> Cine:
    return Cine(frames=clip.frames, times_ms=clip.times_ms)


def write_points(path: str | Path, points: Sequence[Point]) -> None:
    """Write one row a point: strategy, seed, frames, dice, version.

    Raises:
        WriteError: when the file cannot be written.
    """
    with replacing(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["strategy", "seed", "frames", "dice", "version"])
        writer.writerows([p.strategy, p.seed, p.frames, f"{p.dice:.4f}", p.version] for p in points)


def read_points(path: str | Path) -> list[Point]:
    """Read what :func:`write_points` wrote; nothing where there is no such file.

    Raises:
        AngioSegError: when the file is another.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return [
                Point(row["strategy"], int(row["seed"]), int(row["frames"]), float(row["dice"]), int(row["version"]))
                for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AngioSegError(f"{path}: was not written by simulate-loop; give another folder.") from error


def frames_needed(points: Sequence[Point]) -> dict[str, dict[int, float | None]]:
    """How many labelled frames bring a strategy to 95 % of the Dice that all labels together bring.

    Args:
        points: of strategies and of ``EVERYTHING``, whose last Dice is the measure.

    Returns:
        strategy -> seed -> frames, on straight lines between the points; None where the share was not reached. Seeds
        without ``EVERYTHING`` are left out.
    """
    curves = _curves(points)
    goals = {seed: _ENOUGH * curve[-1].dice for (strategy, seed), curve in curves.items() if strategy == EVERYTHING}
    needed: dict[str, dict[int, float | None]] = {}
    for (strategy, seed), curve in curves.items():
        if strategy != EVERYTHING and seed in goals:
            needed.setdefault(strategy, {})[seed] = _crossing(curve, goals[seed])
    return needed


def _crossing(curve: Sequence[Point], goal: float) -> float | None:
    if curve[0].dice >= goal:
        return float(curve[0].frames)
    for before, after in pairwise(curve):
        if after.dice >= goal:
            part = (goal - before.dice) / (after.dice - before.dice)
            return before.frames + part * (after.frames - before.frames)
    return None


def compare(points: Sequence[Point], strategy: str, other: str) -> Interval:
    """How much better a strategy is than another, seed by seed.

    Returns:
        The mean over the seeds of the difference of the two curves' mean Dice, the point before the first label left
        out, with its interval.
    """
    curves = _curves(points)
    means = {key: statistics.mean(point.dice for point in curve[1:]) for key, curve in curves.items() if curve[1:]}
    both = [seed for name, seed in means if name == strategy and (other, seed) in means]
    differences = [means[strategy, seed] - means[other, seed] for seed in both]
    return mean_interval(differences)


def _curves(points: Sequence[Point]) -> dict[tuple[str, int], list[Point]]:
    curves: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        curves.setdefault((point.strategy, point.seed), []).append(point)
    return curves


def draw_curves(path: str | Path, points: Sequence[Point], size: tuple[int, int] = (960, 600)) -> None:
    """Draw Dice against labelled frames: the mean of the seeds, with its 95 % interval (Student's t) from 2 seeds on.

    What ``EVERYTHING`` comes to is a level line.

    Args:
        path: a PNG file.
        points: of all strategies and seeds.
        size: width and height in pixels.

    Raises:
        WriteError: when the file cannot be written.
    """
    width, height = size
    left, right, top, bottom = 70, width - 20, 20, height - 60
    curves = _curves(points)
    full = [curve[-1] for (strategy, _), curve in curves.items() if strategy == EVERYTHING]
    points = [point for point in points if point.strategy != EVERYTHING]
    most = max([1, *(point.frames for point in points)])
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture, "RGBA"), ImageFont.load_default(15)

    def place(frames: float, value: float) -> tuple[float, float]:
        return left + frames / most * (right - left), bottom - min(max(value, 0.0), 1.0) * (bottom - top)

    for tenth in range(0, 11, 2):
        _, y = place(0, tenth / 10)
        draw.line([(left, y), (right, y)], (225, 225, 225))
        draw.text((left - 8, y), f"{tenth / 10:.1f}", "black", font, anchor="rm")
    for frames in sorted({point.frames for point in points}):
        x, _ = place(frames, 0)
        draw.text((x, bottom + 8), str(frames), "black", font, anchor="mt")
    seeds = len({seed for _, seed in curves})
    draw.text(((left + right) / 2, height - 12), "labelled frames", "black", font, anchor="mb")
    draw.text((left + 8, top), f"Dice on held-out clips, {seeds} {'seeds' if seeds > 1 else 'seed'}", "black", font)
    if full:
        _, y = place(0, statistics.mean(point.dice for point in full))
        draw.line([(left, y), (right, y)], (90, 90, 90), 1)
        draw.text((left + 8, y - 4), f"all {full[0].frames} frames labelled", (90, 90, 90), font, anchor="lb")
    for row, strategy in enumerate(dict.fromkeys(point.strategy for point in points)):
        colour = _COLOURS[row % len(_COLOURS)]
        groups: dict[int, list[float]] = {}
        for point in points:
            if point.strategy == strategy:
                groups.setdefault(point.frames, []).append(point.dice)
        curve = [(frames, mean_interval(values)) for frames, values in sorted(groups.items())]
        if len(curve) > 1:
            if all(found.units > 1 for _, found in curve):
                band = [place(f, found.high) for f, found in curve] + [place(f, found.low) for f, found in curve[::-1]]
                draw.polygon(band, (*colour, 35))
            draw.line([place(f, found.mean) for f, found in curve], colour, 3)
        y = bottom - 20 * (row + 1)
        draw.line([(right - 200, y), (right - 170, y)], colour, 3)
        draw.text((right - 160, y), strategy, "black", font, anchor="lm")
    with replacing(Path(path)) as temporary:
        picture.save(temporary, "PNG")
