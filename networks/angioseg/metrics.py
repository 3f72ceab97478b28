"""Metrics of vessels in cines: what MONAI does not have, and MONAI's with an answer for frames without vessel.

What a frame without vessel in the truth gives:

=================  ==========================================================================================
overlap            nothing of its own: counts of pixels are summed over all frames first, so that what is wrongly
                   found there lowers Dice, both IoUs and the specificity of the whole
AUC, HD95, clDice  NaN, not counted (clDice on request: 1 for an empty prediction, 0 for any other)
Betti-0 error      the number of pieces wrongly found
temporal change    0 between two empty masks, 1 between an empty and a filled one
=================  ==========================================================================================
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from monai.metrics import compute_confusion_matrix_metric, compute_hausdorff_distance, get_confusion_matrix
from monai.metrics.metric import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction

__all__ = [
    "OVERLAPS",
    "AUCMetric",
    "Betti0ErrorMetric",
    "ClDiceMetric",
    "HD95Metric",
    "OverlapMetric",
    "TemporalErrorMetric",
    "compute_auc",
    "compute_betti0_error",
    "compute_cldice",
    "compute_hd95",
    "compute_overlap",
    "compute_temporal_change",
    "dice",
]

_MONAI_NAMES = {
    "dice": "f1 score",
    "iou": "threat score",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
OVERLAPS = (*_MONAI_NAMES, "mean_iou")
"""Names of what :func:`compute_overlap` gives."""


def compute_overlap(confusion: torch.Tensor) -> dict[str, float]:
    """Overlap of prediction and truth, from counts of pixels.

    ``mean_iou`` is the mean of the vessel's and the background's IoU. What the paper calls IoU must be this one: an IoU
    of the vessel alone never exceeds the sensitivity, and the paper's does.

    Args:
        confusion: (..., 4), counts of true positive, false positive, true negative and false negative pixels, as
            :func:`monai.metrics.get_confusion_matrix` gives them; summed over all but the last axis.

    Returns:
        A value for each of :data:`OVERLAPS`; NaN where nothing can be said: sensitivity without a vessel, Dice and IoU
        where neither side has one, specificity without background.
    """
    total = confusion.double().reshape(-1, 4).sum(0)
    values = {name: compute_confusion_matrix_metric(known, total).item() for name, known in _MONAI_NAMES.items()}
    background = compute_confusion_matrix_metric("threat score", total[[2, 3, 0, 1]]).item()
    return {**values, "mean_iou": (values["iou"] + background) / 2}


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of all pixels given, frames without vessel included.

    Args:
        prediction: 0 or 1, any shape.
        truth: 0 or 1, the same shape.

    Returns:
        2 |X and Y| / (|X| + |Y|); 1 when both are empty.
    """
    both = int(np.count_nonzero(prediction)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(np.logical_and(prediction, truth))) / both if both else 1.0


def compute_auc(y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Area under the ROC curve of each frame: how often a vessel pixel scores above another one (ties count half).

    MONAI's ``compute_roc_auc`` is made for cases, not for pixels: it walks over all of them in Python.

    Args:
        y_pred: (B, C, H, W), any score that grows with the vessel: logits or probabilities.
        y: the truth, of the same shape, 0 or 1.

    Returns:
        (B, C) float32; NaN where the truth is empty or full.

    Raises:
        ValueError: when the shapes differ or are not (B, C, H, W).
    """
    return _each_frame(_auc, y_pred.float(), y)


def _auc(scores: np.ndarray, truth: np.ndarray) -> float:
    from scipy.stats import rankdata

    truth = truth > 0
    vessel, other = int(truth.sum()), int((~truth).sum())
    if vessel == 0 or other == 0:
        return math.nan
    above = rankdata(scores)[truth.ravel()].sum() - vessel * (vessel + 1) / 2
    return float(above / (vessel * other))


def compute_cldice(y_pred: torch.Tensor, y: torch.Tensor, ignore_empty: bool = True) -> torch.Tensor:
    """Centreline Dice of thin, tubular structures in 2-D masks.

    The harmonic mean of the share of the prediction's skeleton that lies in the truth, and of the truth's skeleton that
    lies in the prediction. Where both truth and prediction are not empty and share nothing, it is 0.

    Args:
        y_pred: (B, C, H, W), 0 or 1.
        y: the truth, of the same shape.
        ignore_empty: where the truth is empty the result is NaN; otherwise 1 for an empty prediction, and 0 for any
            other. The same convention as :func:`monai.metrics.compute_dice`.

    Returns:
        (B, C) float32.

    Raises:
        ValueError: when the shapes differ or are not (B, C, H, W).

    Source:
        Shit et al., "clDice: a Novel Topology-Preserving Loss Function for Tubular Structure Segmentation", CVPR 2021,
        https://arxiv.org/abs/2003.07311. Skeletons by scikit-image (Zhang and Suen).
    """
    return _each_frame(lambda pred, truth: _cldice(pred > 0, truth > 0, ignore_empty), y_pred, y)


def _cldice(pred: np.ndarray, truth: np.ndarray, ignore_empty: bool) -> float:
    from skimage.morphology import skeletonize

    if not truth.any():
        return math.nan if ignore_empty else float(not pred.any())
    if not pred.any():
        return 0.0
    precision, sensitivity = truth[skeletonize(pred)].mean(), pred[skeletonize(truth)].mean()
    total = precision + sensitivity
    return float(2 * precision * sensitivity / total) if total else 0.0


def compute_hd95(y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """MONAI's 95th percentile of the Hausdorff distance, in pixels, with an answer for empty masks.

    Args:
        y_pred: (B, C, H, W), 0 or 1.
        y: the truth, of the same shape.

    Returns:
        (B, C) float32. NaN where the truth is empty; the frame's diagonal, the longest distance there is, where only
        the prediction is.

    Raises:
        ValueError: when the shapes differ or are not (B, C, H, W).
    """
    _check_frames(y_pred, y)
    pred, truth = y_pred > 0, y > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of empty masks, which are answered here
        distance = compute_hausdorff_distance(pred.float(), truth.float(), include_background=True, percentile=95)
    missed = ~pred.flatten(2).any(2)
    distance[missed] = math.hypot(*y.shape[2:])
    distance[~truth.flatten(2).any(2)] = math.nan
    return distance


def compute_betti0_error(y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How many connected pieces (8-connected) the prediction has too many or too few.

    Args:
        y_pred: (B, C, H, W), 0 or 1.
        y: the truth, of the same shape.

    Returns:
        (B, C) float32, whole numbers.

    Raises:
        ValueError: when the shapes differ or are not (B, C, H, W).
    """
    return _each_frame(lambda pred, truth: abs(_pieces(pred) - _pieces(truth)), y_pred, y)


def _pieces(mask: np.ndarray) -> int:
    from scipy.ndimage import label

    return label(mask > 0, structure=np.ones((3, 3)))[1]


def compute_temporal_change(masks: torch.Tensor) -> torch.Tensor:
    """How much each frame's mask differs from the one before: 1 - Dice of the two.

    On its own it says little: empty masks never change. It is held against the truth's change
    (:class:`TemporalErrorMetric`).

    Args:
        masks: (B, C, T, H, W), 0 or 1, frames in time order.

    Returns:
        (B, C, T-1) float32; 0 where both masks are empty.

    Raises:
        ValueError: when the shape is not (B, C, T, H, W).
    """
    if masks.ndim != 5:
        raise ValueError(f"expected masks of shape (B, C, T, H, W), got {list(masks.shape)}.")
    filled = (masks > 0).flatten(3)
    before, after = filled[:, :, :-1], filled[:, :, 1:]
    differ, both = (before ^ after).sum(-1), before.sum(-1) + after.sum(-1)
    return torch.where(both > 0, differ / both.clamp(min=1), torch.zeros((), device=masks.device)).float()


def _check_frames(y_pred: torch.Tensor, y: torch.Tensor) -> None:
    if y_pred.shape != y.shape or y.ndim != 4:
        raise ValueError(f"expected two masks of one shape (B, C, H, W), got {list(y_pred.shape)} and {list(y.shape)}.")


def _each_frame(
    measure: Callable[[np.ndarray, np.ndarray], float], y_pred: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    _check_frames(y_pred, y)
    pairs = zip(y_pred.flatten(0, 1).cpu().numpy(), y.flatten(0, 1).cpu().numpy())
    values = [measure(pred, truth) for pred, truth in pairs]
    return torch.tensor(values, dtype=torch.float32, device=y_pred.device).reshape(y.shape[:2])


class _MeanMetric(CumulativeIterationMetric):
    """A value a frame, averaged over any number of batches and processes.

    Args:
        reduction: as in MONAI; NaN is not counted.
        get_not_nans: whether `aggregate` returns the number of values too.
    """

    def __init__(self, reduction: MetricReduction | str = MetricReduction.MEAN, get_not_nans: bool = False) -> None:
        super().__init__()
        self.reduction = reduction
        self.get_not_nans = get_not_nans

    def aggregate(
        self, reduction: MetricReduction | str | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Reduce what the calls so far have given.

        Args:
            reduction: instead of the one given at the start.

        Returns:
            The metric, or (metric, number of values).
        """
        data = self.get_buffer()
        if not isinstance(data, torch.Tensor):
            raise ValueError("call the metric before `aggregate`.")
        metric, not_nans = do_metric_reduction(data, reduction or self.reduction)
        return (metric, not_nans) if self.get_not_nans else metric


class ClDiceMetric(_MeanMetric):
    """:func:`compute_cldice` as a MONAI metric.

    Args:
        reduction: as in MONAI.
        get_not_nans: whether `aggregate` returns the number of values too.
        ignore_empty: see :func:`compute_cldice`.
    """

    def __init__(
        self,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
        ignore_empty: bool = True,
    ) -> None:
        super().__init__(reduction, get_not_nans)
        self.ignore_empty = ignore_empty

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return compute_cldice(y_pred, y, self.ignore_empty)


class AUCMetric(_MeanMetric):
    """:func:`compute_auc` as a MONAI metric."""

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return compute_auc(y_pred, y)


class HD95Metric(_MeanMetric):
    """:func:`compute_hd95` as a MONAI metric."""

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return compute_hd95(y_pred, y)


class Betti0ErrorMetric(_MeanMetric):
    """:func:`compute_betti0_error` as a MONAI metric."""

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return compute_betti0_error(y_pred, y)


class TemporalErrorMetric(_MeanMetric):
    """How far the change between neighbouring frames is from the truth's: the mean of |change - truth's change|.

    It takes whole clips (B, C, T, H, W). A prediction that flickers has too much change, one that is always empty too
    little.
    """

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        error = (compute_temporal_change(y_pred) - compute_temporal_change(y)).abs()
        return error.movedim(-1, 0).flatten(0, 1)  # a value for each pair of frames: long clips count by their length


class OverlapMetric(CumulativeIterationMetric):
    """One of :func:`compute_overlap`'s values, of all pixels of all frames together, over any number of batches.

    Args:
        name: one of :data:`OVERLAPS`.

    Raises:
        ValueError: for another name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in OVERLAPS:
            raise ValueError(f"{name!r}: give one of {', '.join(OVERLAPS)}.")
        self.name = name

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # Sums of many frames do not fit into float32's digits.
        return get_confusion_matrix((y_pred > 0).float(), (y > 0).float()).double()

    def aggregate(self) -> torch.Tensor:
        """The value of what the calls so far have counted, a tensor without axes."""
        data = self.get_buffer()
        if not isinstance(data, torch.Tensor):
            raise ValueError("call the metric before `aggregate`.")
        return torch.tensor(compute_overlap(data)[self.name], dtype=torch.float64)
