"""Half the bits in the forward pass."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["use_bfloat16"]


def use_bfloat16(network: nn.Module, device_type: str) -> None:
    """From now on compute a network's forward pass in bfloat16; weights, gradients and loss stay float32.

    On a CPU the fusion of :class:`CENet3D2D` stays float32: with AMX instructions the backward pass of a 3-D
    convolution in bfloat16 ends the process (seen with torch 2.15 on a Xeon that has them).

    Args:
        network: a :class:`CENet3D2D`, or that inside ``DistributedDataParallel``.
        device_type: where it runs, "cpu" or "cuda".
    """
    fusion = getattr(network, "module", network).fusion
    fusion.forward = torch.autocast("cpu", enabled=False)(fusion.forward)
    network.forward = torch.autocast(device_type, torch.bfloat16)(network.forward)
