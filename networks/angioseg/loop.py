"""The active-learning loop on simulated cines, with the truth as annotator: what a strategy is worth."""

from __future__ import annotations

import csv
import math
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import stats

from .cine import Cine, write_cine, write_label
from .cine.atomic import replacing
from .data import split_by_patient
from .demo import dice
from .errors import AngioSegError
from .nets import CENet3D2D, load_weights, save_weights
from .paths import bundle_dir
from .segmentation import Segmenter
from .selection import Clip, candidate_frames, choose, needs_scores, score_frame
from .simulation import SimulatedClip, simulate_clip
from .versions import Versions

__all__ = ["Point", "draw_curves", "simulate_loop", "untrained_weights", "write_points"]

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
    trained = load_weights(CENet3D2D(num_neighbors=1), bundle_dir() / "models" / "model.pt")
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
    progress: Callable[[int, int], None] | None = None,
    device: str | None = None,
    **training: Any,
) -> list[Point]:
    """Ask, label with the truth, train, measure; and again.

    Choosing, training and the rule that a worse model does not replace a better one are the server's own code. Clips of
    one seed are the same for every strategy.

    Args:
        strategy: one of `angioseg.selection.STRATEGIES`.
        seed: see :class:`Point`.
        weights: to start with.
        clips: how many to choose from.
        held_out: how many to measure on.
        frames: a clip.
        size: of the frames, rows and columns.
        rounds: trainings.
        per_round: frames labelled before each.
        progress: called with (rounds done, rounds).
        device: "cpu", "cuda"; a GPU where there is one when None.
        training: see :func:`angioseg.training.train`.

    Returns:
        A point before the first label, and one after each training.

    Raises:
        AngioSegError: when weights, device or sizes cannot be used.
    """
    first = 200_000 + 1_000 * seed
    pool = {f"clip{n:03}": simulate_clip(first + n, frames=frames, size=size) for n in range(clips)}
    unseen = [simulate_clip(first + clips + n, frames=frames, size=size) for n in range(held_out)]
    labelled: dict[str, set[int]] = {id: set() for id in pool}
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="angioseg-loop-") as folder:
        versions = Versions(Path(folder, "models"), weights)
        for id, clip in pool.items():
            write_cine(Path(folder, f"{id}.nrrd"), _cine(clip))
        points = [_measure(strategy, seed, versions, labelled, unseen, device)]
        for round in range(rounds):
            for id, frame in _ask(strategy, pool, labelled, versions, per_round, rng, device):
                labelled[id].add(frame)
                write_label(Path(folder, f"{id}_label.nrrd"), pool[id].vessels, _cine(pool[id]), labelled[id])
            known = [
                {
                    "image": str(Path(folder, f"{id}.nrrd")),
                    "label": str(Path(folder, f"{id}_label.nrrd")),
                    "frames": sorted(labelled[id]),
                    "vessel_frames": sum(bool(pool[id].vessels[frame].any()) for frame in labelled[id]),
                    "patient": id,
                }
                for id in pool
            ]
            # What was labelled may not do for a training yet, such as frames without a vessel: then the model stays.
            with suppress(AngioSegError):
                versions.train(*split_by_patient(known, 0.2), device=device, seed=seed, **training)
            points.append(_measure(strategy, seed, versions, labelled, unseen, device))
            if progress is not None:
                progress(round + 1, rounds)
    return points


def _ask(
    strategy: str,
    pool: dict[str, SimulatedClip],
    labelled: dict[str, set[int]],
    versions: Versions,
    count: int,
    rng: random.Random,
    device: str | None,
) -> list[tuple[str, int]]:
    scores: dict[str, list] = {id: [] for id in pool}
    if needs_scores(strategy):
        current = versions.current()
        segmenter = Segmenter(current.weights, device, bundle=current.bundle)
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


def _measure(strategy, seed, versions, labelled, unseen, device) -> Point:
    current = versions.current()
    segmenter = Segmenter(current.weights, device, bundle=current.bundle)
    masks = np.concatenate([segmenter(_cine(clip)).mask.ravel() for clip in unseen])
    truth = np.concatenate([clip.vessels.ravel() for clip in unseen])
    return Point(strategy, seed, sum(map(len, labelled.values())), dice(masks, truth), current.number)


def _cine(clip: SimulatedClip) -> Cine:
    return Cine(frames=clip.frames, times_ms=clip.times_ms)


def write_points(path: str | Path, points: Sequence[Point]) -> None:
    """Write one row a point: strategy, seed, frames, dice, version.

    Raises:
        CineError: when the file cannot be written.
    """
    with replacing(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["strategy", "seed", "frames", "dice", "version"])
        writer.writerows([p.strategy, p.seed, p.frames, f"{p.dice:.4f}", p.version] for p in points)


def draw_curves(path: str | Path, points: Sequence[Point], size: tuple[int, int] = (960, 600)) -> None:
    """Draw Dice against labelled frames: the mean of the seeds, with its 95 % interval (Student's t) from 2 seeds on.

    Args:
        path: a PNG file.
        points: of all strategies and seeds.
        size: width and height in pixels.

    Raises:
        CineError: when the file cannot be written.
    """
    width, height = size
    left, right, top, bottom = 70, width - 20, 20, height - 60
    most = max(1, max(point.frames for point in points))
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
    seeds = len({point.seed for point in points})
    draw.text(((left + right) / 2, height - 12), "labelled frames", "black", font, anchor="mb")
    draw.text((left + 8, top), f"Dice on held-out clips, {seeds} {'seeds' if seeds > 1 else 'seed'}", "black", font)
    for row, strategy in enumerate(dict.fromkeys(point.strategy for point in points)):
        colour = _COLOURS[row % len(_COLOURS)]
        groups: dict[int, list[float]] = {}
        for point in points:
            if point.strategy == strategy:
                groups.setdefault(point.frames, []).append(point.dice)
        curve = [(frames, statistics.mean(values), _half_interval(values)) for frames, values in sorted(groups.items())]
        band = [place(f, m + h) for f, m, h in curve] + [place(f, m - h) for f, m, h in reversed(curve)]
        if len(curve) > 1:
            draw.polygon(band, (*colour, 35))
            draw.line([place(f, m) for f, m, _ in curve], colour, 3)
        draw.line([(right - 200, top + 20 * row + 10), (right - 170, top + 20 * row + 10)], colour, 3)
        draw.text((right - 160, top + 20 * row + 10), strategy, "black", font, anchor="lm")
    with replacing(Path(path)) as temporary:
        picture.save(temporary, "PNG")


def _half_interval(values: Sequence[float]) -> float:
    count = len(values)
    return float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(values) / math.sqrt(count) if count > 1 else 0.0
