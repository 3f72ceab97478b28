"""Labelled cines as training windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from .cine import read_cine
from .errors import AngioSegError

__all__ = ["FrameDataset", "clip_pairs"]


def clip_pairs(folder: str | Path) -> list[dict[str, str]]:
    """List the clips of a data set in the paper's layout.

    Args:
        folder: one folder a clip, each with ``images`` and ``labels``: frames in time order, of equal names.

    Returns:
        For each clip, in the order of the names, ``{"image": images folder, "label": labels folder}``.

    Raises:
        AngioSegError: when there is no such clip.
    """
    folder = Path(folder)
    pairs = [
        {"image": str(clip / "images"), "label": str(clip / "labels")}
        for clip in (sorted(folder.iterdir()) if folder.is_dir() else [])
        if (clip / "images").is_dir() and (clip / "labels").is_dir()
    ]
    if not pairs:
        raise AngioSegError(f"{folder}: no clips here; expected folders that each hold images/ and labels/.")
    return pairs


class FrameDataset(Dataset):
    """Every labelled frame of some clips, each given with its whole clip for the transforms to take the window from.

    The clips are decoded once and stay in memory as stored (8 bit: 0.25 MB a 512x512 frame).

    Args:
        clips: ``{"image": cine, "label": cine of labels}``, anything :func:`angioseg.cine.read_cine` reads; label
            1 is vessel, and in pictures (values beyond 3) 128 and above, so that a catheter marked 2 or 64 is not.
        transform: applied to ``{"image": (T, H, W), "label": (T, H, W) uint8 0 or 1, "frame": i}``, arrays shared
            between items: the transform must not write into them.
        empty_share: at most this share of the items are frames without vessel, evenly spread; 1 keeps all.
        progress: called with (clips read, clips) while reading.

    Raises:
        AngioSegError: when images and labels of a clip differ in shape, or no frame is left.
    """

    def __init__(
        self,
        clips: Sequence[dict[str, str]],
        transform: Callable,
        empty_share: float = 1.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.transform = transform
        self.clips = []
        full, empty = [], []
        for number, clip in enumerate(clips):
            image = read_cine(clip["image"]).frames
            label = read_cine(clip["label"]).frames
            if image.shape != label.shape:
                raise AngioSegError(
                    f"{clip['label']}: labels of shape {label.shape} do not fit images of shape {image.shape}."
                )
            label = (label >= 128 if label.max() > 3 else label == 1).view(np.uint8)
            self.clips.append((torch.from_numpy(image), torch.from_numpy(label)))
            for frame in range(len(label)):
                (full if label[frame].any() else empty).append((number, frame))
            if progress is not None:
                progress(number + 1, len(clips))
        keep = len(empty)
        if empty_share < 1:
            keep = min(keep, int(len(full) * empty_share / (1 - empty_share)))
        chosen = np.linspace(0, len(empty) - 1, keep).round().astype(int) if keep else []
        self.items = sorted(full + [empty[i] for i in chosen])
        if not self.items:
            raise AngioSegError("the data set has no usable frame; label at least one.")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        number, frame = self.items[index]
        image, label = self.clips[number]
        return self.transform({"image": image, "label": label, "frame": frame})
