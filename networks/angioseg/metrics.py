"""Metrics that MONAI does not have."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics.metric import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction

__all__ = ["ClDiceMetric", "compute_cldice"]


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
    if y_pred.shape != y.shape or y.ndim != 4:
        raise ValueError(f"expected two masks of one shape (B, C, H, W), got {list(y_pred.shape)} and {list(y.shape)}.")
    pairs = zip(y_pred.flatten(0, 1).cpu().numpy() > 0, y.flatten(0, 1).cpu().numpy() > 0)
    values = [_cldice(pred, truth, ignore_empty) for pred, truth in pairs]
    return torch.tensor(values, dtype=torch.float32, device=y_pred.device).reshape(y.shape[:2])


def _cldice(pred: np.ndarray, truth: np.ndarray, ignore_empty: bool) -> float:
    from skimage.morphology import skeletonize

    if not truth.any():
        return float("nan") if ignore_empty else float(not pred.any())
    if not pred.any():
        return 0.0
    precision, sensitivity = truth[skeletonize(pred)].mean(), pred[skeletonize(truth)].mean()
    total = precision + sensitivity
    return float(2 * precision * sensitivity / total) if total else 0.0


class ClDiceMetric(CumulativeIterationMetric):
    """:func:`compute_cldice` as a MONAI metric, over any number of batches.

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
        super().__init__()
        self.reduction = reduction
        self.get_not_nans = get_not_nans
        self.ignore_empty = ignore_empty

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return compute_cldice(y_pred, y, self.ignore_empty)

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
