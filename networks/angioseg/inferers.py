"""Whole-clip inference in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from .transforms import neighbor_indices

__all__ = ["ClipInferer"]


class ClipInferer(Inferer):
    """Segment every frame of a clip, each with its N neighbours, a few frames at a time.

    For each batch of frames: the frames and their neighbours (the clip's end frames repeated N times, as in the paper)
    go through ``preprocessing``, through the network as windows, and through ``postprocessing``; only the result is
    kept. So the memory beside clip and result is that of one batch, however long the clip, and a range of frames is
    treated just as it is in the whole clip.

    Args:
        num_neighbors: N of the network.
        preprocessing: dictionary transform of ``image``, MetaTensor (frames, H, W) as in the file -> (frames, h, w)
            float32 on the network's grid; must treat each frame on its own.
        postprocessing: dictionary transform of ``pred``, logits (frames, h, w) on the network's grid (``image`` is
            there for inversion) -> (frames, H, W) on the cine's grid.
        batch_size: windows at a time. On a CPU a batch is no faster than single frames, and with 1 every range of
            frames gives the whole clip's result to the last bit.
        out_dtype: dtype of the result.
        device: where the network is; that of its parameters when None (a TensorRT engine has none).
    """

    def __init__(
        self,
        num_neighbors: int,
        preprocessing: Callable,
        postprocessing: Callable,
        batch_size: int = 1,
        out_dtype: torch.dtype = torch.uint8,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.num_neighbors = num_neighbors
        self.preprocessing = preprocessing
        self.postprocessing = postprocessing
        self.batch_size = batch_size
        self.out_dtype = out_dtype
        self.device = device

    def __call__(
        self,
        inputs: torch.Tensor,
        network: torch.nn.Module,
        frames: Sequence[int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> torch.Tensor:
        """Segment a clip.

        Args:
            inputs: clip (1, T, H, W), or a batch (1, 1, T, H, W) of one clip, any dtype.
            network: maps windows (B, 1, 2N+1, h, w) to logits (B, 1, h, w); run without gradients.
            frames: consecutive frame numbers to segment; all when None. The others stay 0.
            progress: called with (frames done, frames to do) after each batch. An exception raised there ends the work.

        Returns:
            Tensor of ``inputs``' shape and of ``out_dtype``, on the CPU.

        Raises:
            ValueError: when ``inputs`` is not one clip, or the frames do not lie in it or do not follow each other.
        """
        clip = inputs[0] if inputs.ndim == 5 and inputs.shape[0] == 1 else inputs
        if clip.ndim != 4 or clip.shape[0] != 1:
            raise ValueError(f"expected one clip of shape (1, T, H, W), got {list(inputs.shape)}.")
        clip = clip.as_tensor()[0] if isinstance(clip, MetaTensor) else clip[0]
        num_frames = len(clip)
        frames = range(num_frames) if frames is None else list(frames)
        if any(after != before + 1 for before, after in pairwise(frames)):
            raise ValueError(f"frames {frames} do not follow each other.")
        result = torch.zeros(clip.shape, dtype=self.out_dtype)
        device = next(network.parameters()).device if self.device is None else self.device
        for start in range(0, len(frames), self.batch_size):
            batch = frames[start : start + self.batch_size]
            first, last = batch[0], batch[-1]
            indices = torch.as_tensor(neighbor_indices(first, last, self.num_neighbors, num_frames))
            data = self.preprocessing({"image": MetaTensor(clip[indices].to(device))})
            windows = data["image"].as_tensor().unfold(0, 2 * self.num_neighbors + 1, 1).permute(0, 3, 1, 2)
            with torch.inference_mode():
                logits = network(windows.unsqueeze(1))[:, 0]
            data["pred"] = MetaTensor(logits.float(), applied_operations=data["image"].applied_operations)
            result[first : last + 1] = torch.as_tensor(self.postprocessing(data)["pred"]).to(self.out_dtype).cpu()
            if progress is not None:
                progress(start + len(batch), len(frames))
        return result.reshape(inputs.shape)
