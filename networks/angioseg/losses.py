"""The loss that the bundle trains with."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss, SoftclDiceLoss
from torch import nn

__all__ = ["VesselLoss"]


class VesselLoss(nn.Module):
    """Dice and cross entropy for the lumen's area, clDice for its course.

    Dice is counted over the whole batch, so that a frame without vessel has a gradient too. clDice weighs a thin branch
    as much as a wide trunk of its length.

    Args:
        cldice: weight of the clDice term; 0 leaves it out and saves its time.
        iterations: how often the soft skeleton is thinned: about half the widest vessel in pixels.

    Raises:
        ValueError: when the weight is negative.

    Source:
        Shit et al., "clDice: a novel topology-preserving loss function for tubular structure segmentation",
        CVPR 2021, https://arxiv.org/abs/2003.07311, as MONAI's ``SoftclDiceLoss``.
    """

    def __init__(self, cldice: float = 0.3, iterations: int = 6) -> None:
        super().__init__()
        if cldice < 0:
            raise ValueError(f"the weight of clDice must not be negative, got {cldice}.")
        self.area = DiceCELoss(sigmoid=True, batch=True)
        self.course = SoftclDiceLoss(iter_=iterations, sigmoid=True)
        self.weight = cldice

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Loss of a batch.

        Args:
            input: logits (B, 1, H, W), float.
            target: (B, 1, H, W), 0 or 1.

        Returns:
            A scalar.
        """
        loss = self.area(input, target)
        if self.weight:
            loss = loss + self.weight * self.course(input, target)
        return loss
