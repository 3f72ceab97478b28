"""Predicted vessels against labelled ones, cine by cine, on the cine's own grid.

Overlaps count the pixels of all labelled frames of a cine together; clDice, HD95 and Betti-0 error are means over its
frames; what a frame without vessel gives stands in :mod:`angioseg.metrics`. A data set's figure is the mean over cines.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.metrics import get_confusion_matrix
from PIL import Image

from .cine import Cine
from .cine.times import assumed_times
from .data import clip_title, patient_key, read_clip
from .errors import AngioSegError
from .frangi import frangi_mask
from .key_frame_score import KeyFrameScore, score_key_frame, true_lengths
from .metrics import (
    compute_betti0_error,
    compute_cldice,
    compute_hd95,
    compute_overlap,
    compute_temporal_change,
)
from .pictures import draw_frame, grey_window
from .segmentation import Segmenter

__all__ = [
    "FIGURES",
    "TEMPORAL",
    "CineResult",
    "Evaluation",
    "FrameScore",
    "Predictor",
    "evaluate_clips",
    "figures_of",
    "network_predictor",
    "predict_frangi",
    "score_clip",
]

TEMPORAL = ("change", "truth_change", "temporal_error")
FIGURES = {
    "dice": ("vessel Dice", True),
    "iou": ("vessel IoU", True),
    "mean_iou": ("mean IoU", True),
    "sensitivity": ("sensitivity", True),
    "specificity": ("specificity", True),
    "cldice": ("clDice", True),
    "hd95": ("HD95 (px)", False),
    "betti0_error": ("Betti-0 error", False),
    "false_share": ("false share of empty frames", False),
    "change": ("change a frame", False),
    "truth_change": ("truth's change", False),
    "temporal_error": ("temporal error", False),
}
"""What is measured of a cine: key -> (name, whether more is better)."""

Predictor = Callable[[np.ndarray, Sequence[int]], np.ndarray]
"""Frames (T, H, W) and the numbers of those that are asked for, to masks (T, H, W) uint8, 1 = vessel."""


@dataclass(frozen=True)
class FrameScore:
    """One frame's prediction against its label.

    Attributes:
        frame: its number, from 0.
        confusion: pixels truly vessel and found, wrongly found, truly background, missed.
        cldice, hd95: NaN where the label shows no vessel.
        betti0_error: pieces too many or too few.
        change, truth_change: from the frame before to this one; NaN where that one is not labelled.
    """

    frame: int
    confusion: tuple[int, int, int, int]
    cldice: float
    hd95: float
    betti0_error: float
    change: float
    truth_change: float

    @property
    def dice(self) -> float:
        """Dice of this frame alone; NaN where neither side shows a vessel."""
        return compute_overlap(torch.tensor(self.confusion))["dice"]


def score_clip(pred: np.ndarray, truth: np.ndarray, frames: Sequence[int]) -> list[FrameScore]:
    """Score the labelled frames of a clip.

    Args:
        pred: (T, H, W), 0 or 1.
        truth: the same.
        frames: numbers of the labelled frames; the others are unknown and not looked at.

    Returns:
        A score for each, in that order.
    """
    scores = []
    labelled = set(frames)
    for frame in frames:
        one, other = (torch.from_numpy(np.ascontiguousarray(mask[frame][None, None] > 0)) for mask in (pred, truth))
        change, truth_change = math.nan, math.nan
        if frame - 1 in labelled:
            pairs = (torch.from_numpy(mask[frame - 1 : frame + 1][None, None] > 0) for mask in (pred, truth))
            change, truth_change = (compute_temporal_change(pair).item() for pair in pairs)
        scores.append(
            FrameScore(
                frame,
                tuple(int(count) for count in get_confusion_matrix(one.float(), other.float())[0, 0]),
                compute_cldice(one, other).item(),
                compute_hd95(one, other).item(),
                compute_betti0_error(one, other).item(),
                change,
                truth_change,
            )
        )
    return scores


def figures_of(scores: Sequence[FrameScore]) -> dict[str, float]:
    """The figures of the frames given, one for each of :data:`FIGURES`; NaN where there is nothing to say."""
    empty = [score.confusion for score in scores if score.confusion[0] + score.confusion[3] == 0]
    return {
        **compute_overlap(torch.tensor([score.confusion for score in scores])),
        **{name: _mean(getattr(score, name) for score in scores) for name in ("cldice", "hd95", "betti0_error")},
        "false_share": sum(c[1] for c in empty) / sum(map(sum, empty)) if empty else math.nan,
        "change": _mean(score.change for score in scores),
        "truth_change": _mean(score.truth_change for score in scores),
        "temporal_error": _mean(abs(score.change - score.truth_change) for score in scores),
    }


def _mean(values: Iterator[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def network_predictor(segmenter: Segmenter) -> Predictor:
    """A segmenter's masks, just as ``angioseg segment`` makes them."""

    def predict(image: np.ndarray, frames: Sequence[int]) -> np.ndarray:
        cine = Cine(frames=np.ascontiguousarray(image), times_ms=assumed_times(len(image))[0])
        mask = np.zeros(image.shape, np.uint8)
        for first, last in _runs(frames):
            mask[first : last + 1] = segmenter(cine, [first, last]).mask[first : last + 1]
        return mask

    return predict


def predict_frangi(image: np.ndarray, frames: Sequence[int]) -> np.ndarray:
    """The masks of Frangi's filter (a :data:`Predictor`)."""
    mask = np.zeros(image.shape, np.uint8)
    for frame in frames:
        mask[frame] = frangi_mask(image[frame])
    return mask


def _runs(frames: Sequence[int]) -> list[list[int]]:
    """Consecutive numbers as (first, last)."""
    runs: list[list[int]] = []
    for frame in sorted(frames):
        if runs and runs[-1][1] == frame - 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return runs


@dataclass(frozen=True)
class CineResult:
    """One cine by one model.

    Attributes:
        cine: its name.
        unit: what is independent of others: its patient's key, or the cine itself.
        scores: of its labelled frames.
        figures: see :func:`figures_of`.
        key_frame: on simulated clips that are labelled throughout.
    """

    cine: str
    unit: str
    scores: list[FrameScore]
    figures: dict[str, float]
    key_frame: KeyFrameScore | None


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate_clips` gives.

    Attributes:
        results: model -> a result for each clip.
        worst: (caption, pictures: the frame, the label, then each model), the worst first.
    """

    results: dict[str, list[CineResult]]
    worst: list[tuple[str, list[Image.Image]]]


def evaluate_clips(
    clips: Sequence[dict[str, Any]],
    predictors: dict[str, Predictor],
    worst: int = 12,
    progress: Callable[[int, int], None] | None = None,
    left_out: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score models on labelled clips.

    Args:
        clips: see :func:`angioseg.data.read_clip`.
        predictors: name -> model.
        worst: how many frames to draw: those with the lowest Dice by the last model.
        progress: called with (clips done, clips) after each clip.
        left_out: called with a line for each clip that cannot be used, and the others are; when None it is an error.

    Returns:
        The results.

    Raises:
        AngioSegError: when a clip cannot be read or its label does not fit (of several: when none can be used), or no
            clip has a labelled frame.
    """
    results: dict[str, list[CineResult]] = {name: [] for name in predictors}
    drawn: list[tuple[float, int, str, list[Image.Image]]] = []  # a heap: the best of the worst is first to go
    unusable: list[AngioSegError] = []
    for number, clip in enumerate(clips):
        try:
            image, truth, frames = read_clip(clip)
        except AngioSegError as error:
            unusable.append(error)
            if left_out is None or len(unusable) == len(clips):
                raise
            left_out(str(error))
            continue
        if not frames:
            continue
        lengths = _lengths(clip, image, frames)
        masks, name = {}, clip_title(clip)
        unit = clip.get("patient") or patient_key(clip["image"]) or clip["image"]
        for model, predict in predictors.items():
            masks[model] = predict(image, frames)
            scores = score_clip(masks[model], truth, frames)
            key_frame = None
            if lengths is not None:
                key_frame = score_key_frame(image, masks[model], lengths)
            results[model].append(CineResult(name, unit, scores, figures_of(scores), key_frame))
        window = grey_window(image)
        for score in scores:
            place = (-score.dice, number * 100_000 + score.frame)
            if not worst or math.isnan(score.dice) or (len(drawn) == worst and place <= drawn[0][:2]):
                continue
            frame = score.frame
            pictures = [draw_frame(image[frame], mask, window) for mask in _beside(frame, truth, masks.values())]
            item = (*place, f"{name}, frame {frame}: Dice {score.dice:.2f}", pictures)
            (heapq.heappush if len(drawn) < worst else heapq.heapreplace)(drawn, item)
        if progress is not None:
            progress(number + 1, len(clips))
    if not any(results.values()):
        others = "of the cines that can be read " if unusable else ""
        raise AngioSegError(
            f"no label {others}lists a labelled frame: there is nothing to evaluate; label at least one."
        )
    return Evaluation(results, [(caption, pictures) for *_, caption, pictures in sorted(drawn, reverse=True)])


def _beside(frame: int, truth: np.ndarray, masks: Iterator[np.ndarray]) -> list[np.ndarray | None]:
    return [None, truth[frame], *(mask[frame] for mask in masks)]


def _lengths(clip: dict[str, Any], image: np.ndarray, frames: Sequence[int]) -> np.ndarray | None:
    """The true vessel lengths of a simulated clip that is labelled and looked at as a whole."""
    if "part" in clip or len(frames) < len(image):
        return None
    lengths = true_lengths(Path(clip["image"]).parent)
    return lengths if lengths is not None and len(lengths) == len(image) and lengths.any() else None
