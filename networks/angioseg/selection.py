"""Which frame of which cine to label next."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from monai.data import MetaTensor

from .cine import Cine
from .segmentation import Segmenter
from .transforms import neighbor_indices

__all__ = ["STRATEGIES", "Choice", "Clip", "FrameScore", "candidate_frames", "choose", "needs_scores", "score_frame"]

_CANDIDATES = 12
_NEAR_VESSEL = 0.05  # of probability: what lies below is background to every view of the frame
_CELLS = 8
_APART_MS = 500.0


@dataclass(frozen=True)
class FrameScore:
    """What the model says of a frame that may be labelled.

    Attributes:
        frame: frame number, from 0.
        uncertainty: mean entropy, in bits, of the pixels that may be vessel: 0 (sure) to 1; of the mean probability of
            the frame and its mirror image, so that what the two disagree on counts.
        filled: expected share of vessel pixels.
        layout: where the vessels are: their share in each cell of an 8 x 8 grid, as one vector of length 1 (of
            zeros where no vessel is seen).
    """

    frame: int
    uncertainty: float
    filled: float
    layout: tuple[float, ...]


@dataclass
class Clip:
    """A cine to choose from.

    Attributes:
        read_times: gives its frame times in ms, (T,); called once, and only when they matter.
        taken: frames that are labelled, or are being labelled by somebody.
        scores: of some frames; empty when nothing is known yet.
    """

    read_times: Callable[[], np.ndarray]
    taken: set[int] = field(default_factory=set)
    scores: Sequence[FrameScore] = ()

    @cached_property
    def times_ms(self) -> np.ndarray:
        """(T,) frame times."""
        return self.read_times()


@dataclass(frozen=True)
class Choice:
    """The frame to label next.

    Attributes:
        id: of the cine.
        frame: frame number, from 0.
        score: the higher the more is expected of it; comparable within one strategy only.
        why: one sentence.
    """

    id: str
    frame: int
    score: float
    why: str


def candidate_frames(num_frames: int) -> list[int]:
    """Frames worth scoring: neighbours are nearly copies, so twelve of them, evenly spread, stand for all."""
    return sorted({int(frame) for frame in np.linspace(0, num_frames - 1, min(_CANDIDATES, num_frames)).round()})


def score_frame(segmenter: Segmenter, cine: Cine, frame: int) -> FrameScore:
    """Look at a frame as it is and in the mirror.

    Args:
        segmenter: the model.
        cine: the frame's cine.
        frame: frame number, from 0.

    Returns:
        The scores, taken on the network's grid, so that they compare between detectors.

    Raises:
        ValueError: when the cine has no such frame.
    """
    indices = neighbor_indices(frame, frame, segmenter.num_neighbors, cine.num_frames)
    device = next(segmenter.network.parameters()).device
    window = MetaTensor(torch.from_numpy(cine.frames[indices]).to(device))
    window = segmenter.preprocessing({"image": window})["image"].as_tensor()
    with torch.inference_mode():
        logits = segmenter.network(torch.stack([window, window.flip(-1)])[:, None])[:, 0].float()
    views = torch.sigmoid(logits)
    mean = (views[0] + views[1].flip(-1)) / 2
    inside = mean.clamp(1e-6, 1 - 1e-6)
    entropy = -(inside * inside.log2() + (1 - inside) * (1 - inside).log2())
    near = mean > _NEAR_VESSEL
    cells = torch.nn.functional.adaptive_avg_pool2d(mean[None], _CELLS).flatten()
    length = float(cells.norm())
    layout = cells / length if near.any() else torch.zeros_like(cells)
    return FrameScore(
        frame,
        round(float(entropy[near].mean()) if near.any() else 0.0, 4),
        round(float(mean.mean()), 5),
        tuple(round(float(cell), 3) for cell in layout),
    )


def choose(strategy: str, clips: Mapping[str, Clip], rng: random.Random) -> Choice | None:
    """Choose by a strategy.

    Args:
        strategy: one of ``STRATEGIES``.
        clips: by id.
        rng: for what is left to chance.

    Returns:
        The choice; None when no frame is left (for a strategy that needs scores: none that has a score).
    """
    return STRATEGIES[strategy](clips, rng)


def needs_scores(strategy: str) -> bool:
    """Whether a strategy chooses among scored frames only."""
    return STRATEGIES[strategy] not in (_random, _first)


def _random(clips: Mapping[str, Clip], rng: random.Random) -> Choice | None:
    for id in rng.sample(sorted(clips), len(clips)):
        left = list(_left(clips[id]))
        if left:
            return Choice(id, rng.choice(left), 0.0, "Drawn by chance: a cine, then an unlabelled frame of it.")
    return None


def _first(clips: Mapping[str, Clip], rng: random.Random) -> Choice | None:
    for id in sorted(clips):
        for frame in _left(clips[id]):
            return Choice(id, frame, 0.0, "The first frame that is not labelled, in the order of the cines' names.")
    return None


def _uncertainty(clips: Mapping[str, Clip], rng: random.Random) -> Choice | None:
    best = max(_scored(clips), key=lambda item: item[1].uncertainty, default=None)
    if best is None:
        return None
    id, score = best
    why = f"The model is least sure here: {score.uncertainty:.2f} bits a pixel near vessels, the frame mirrored or not."
    return Choice(id, score.frame, score.uncertainty, why)


def _temporal_diversity(clips: Mapping[str, Clip], rng: random.Random) -> Choice | None:
    """The clip with the fewest labelled frames; there, the frame farthest from those in time and in filling."""
    scored = list(_scored(clips))
    if not scored:
        return None
    fewest = min(len(clips[id].taken) for id, _ in scored)
    options = [(id, score) for id, score in scored if len(clips[id].taken) == fewest]

    def apart(item: tuple[str, FrameScore]) -> float:
        id, score = item
        clip = clips[id]
        fullest = max(other.filled for other in clip.scores) or 1.0
        if not clip.taken:
            return score.filled / fullest
        duration = float(np.ptp(clip.times_ms)) or 1.0
        filled = {other.frame: other.filled / fullest for other in clip.scores}
        return min(
            abs(clip.times_ms[score.frame] - clip.times_ms[frame]) / duration
            + abs(score.filled / fullest - _nearest(filled, frame))
            for frame in clip.taken
        )

    id, score = max(options, key=apart)
    value = apart((id, score))
    if fewest:
        why = f"No cine has fewer labelled frames ({fewest}); this one is farthest from them in time and in filling."
    else:
        why = "Nothing of this cine is labelled; here it shows as much vessel as anywhere."
    return Choice(id, score.frame, value, why)


def _cine(clips: Mapping[str, Clip], rng: random.Random) -> Choice | None:
    """Uncertainty x unlikeness to what is labelled x distance in time to it; the least asked clips come first."""
    scored = list(_scored(clips))
    if not scored:
        return None
    fewest = min(len(clips[id].taken) for id, _ in scored)
    options = [(id, score) for id, score in scored if len(clips[id].taken) == fewest]
    known = [score.layout for clip in clips.values() for score in _scores_of_taken(clip)]
    known_layouts = np.array(known) if known else np.zeros((0, _CELLS**2))

    def parts(item: tuple[str, FrameScore]) -> tuple[float, float, float]:
        id, score = item
        clip = clips[id]
        fullest = max(other.filled for other in clip.scores) or 1.0
        alike = float((known_layouts @ np.array(score.layout)).max()) if len(known_layouts) else 0.0
        # A frame that shows little of the tree teaches little about it, however unsure the model is.
        return score.uncertainty * score.filled / fullest, 1.05 - min(alike, 1.0), min(1.0, gap(item) / _APART_MS)

    def gap(item: tuple[str, FrameScore]) -> float:
        times = clips[item[0]].times_ms
        return min((abs(times[item[1].frame] - times[frame]) for frame in clips[item[0]].taken), default=math.inf)

    best = max(options, key=lambda item: math.prod(parts(item)))
    id, score = best
    why = f"The model is unsure near vessels here ({score.uncertainty:.2f} bits a pixel), "
    why += f"{min(parts(best)[1], 1):.0%} of where they lie is new, and "
    why += f"the nearest labelled frame is {gap(best):.0f} ms away." if fewest else "nothing of this cine is labelled."
    return Choice(id, score.frame, math.prod(parts(best)), why)


STRATEGIES: dict[str, Callable[[Mapping[str, Clip], random.Random], Choice | None]] = {
    "cine": _cine,
    "uncertainty": _uncertainty,
    "temporal_diversity": _temporal_diversity,
    "random": _random,
    "first": _first,
}
"""By name; the first is the default."""


def _left(clip: Clip) -> Iterable[int]:
    return (frame for frame in range(len(clip.times_ms)) if frame not in clip.taken)


def _scored(clips: Mapping[str, Clip]) -> Iterable[tuple[str, FrameScore]]:
    for id in sorted(clips):
        yield from ((id, score) for score in clips[id].scores if score.frame not in clips[id].taken)


def _scores_of_taken(clip: Clip) -> Iterable[FrameScore]:
    """For each taken frame the scores of the scored frame nearest to it."""
    by_frame = {score.frame: score for score in clip.scores}
    return (_nearest(by_frame, frame) for frame in clip.taken) if by_frame else ()


def _nearest(by_frame: Mapping[int, object], frame: int):
    return by_frame[min(by_frame, key=lambda other: (abs(other - frame), other))]
