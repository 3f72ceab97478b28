"""Labelled frames as training windows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..cine import Cine, read_cine, read_label
from ..cine.pictures import frame_files
from ..errors import AngioSegError

__all__ = ["FrameDataset", "labelled_frames", "read_clip"]


def labelled_frames(clip: dict[str, Any], cine: Cine | None = None) -> tuple[np.ndarray, list[int]]:
    """Read a clip's label.

    :func:`angioseg.cine.read_label` says what is vessel, and which frames are labelled where the clip's ``"frames"`` do
    not. A frame that is not labelled is unknown, not empty.

    Args:
        clip: ``{"label": cine of labels}``, anything :func:`angioseg.cine.read_cine` reads.
        cine: the clip's, where it is read already: the label must be of it.

    Returns:
        mask: (T, H, W) uint8, 1 = vessel.
        frames: numbers of the labelled frames.

    Raises:
        AngioSegError: when the label cannot be read, or a frame is named that it does not have.
    """
    mask, listed = read_label(clip["label"], cine=cine)
    frames = list(clip.get("frames", listed))
    for frame in frames:
        if not 0 <= frame < len(mask):
            raise AngioSegError(f"{clip['label']}: frame {frame} is not in a cine of {len(mask)} frames.")
    return mask, frames


def read_clip(clip: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Read a clip, or the part of it that is meant.

    Args:
        clip: ``{"image": cine, "label": cine of labels}``, anything :func:`angioseg.cine.read_cine` reads; see
            :func:`labelled_frames`. With ``"part": [first, last]`` the clip is cut to these frames: nothing beyond
            them is ever seen.

    Returns:
        image: (T, H, W) as stored.
        mask: (T, H, W) uint8, 1 = vessel.
        frames: numbers of the labelled frames, in what is returned.

    Raises:
        AngioSegError: when one of them cannot be read or they do not fit together: sizes, or numbers of their pictures.
    """
    _check_numbers(Path(clip["image"]), Path(clip["label"]))
    cine = read_cine(clip["image"])
    image = cine.frames
    mask, frames = labelled_frames(clip, cine)
    if image.shape != mask.shape:
        raise AngioSegError(f"{clip['label']}: labels of shape {mask.shape} do not fit images of shape {image.shape}.")
    if "part" in clip:
        first, last = clip["part"]
        image, mask = image[first : last + 1], mask[first : last + 1]
        frames = [frame - first for frame in frames if first <= frame <= last]
    return image, mask, frames


def _check_numbers(images: Path, labels: Path) -> None:
    """Pictures of frames and of labels are paired in their order: not frame 1 with the label of frame 2."""
    if not (images.is_dir() and labels.is_dir()):
        return
    there, labelled = (set(_frame_numbers(frame_files(side))) for side in (images, labels))
    if labelled and labelled < there:
        raise AngioSegError(
            f"{labels.parent}: its labels have no picture of frame {min(there - labelled)}; they must have one of "
            "every frame. For labels of some frames alone write NAME_label.nrrd."
        )
    pairs = list(zip(frame_files(images), frame_files(labels)))
    for (image, label), one, other in zip(pairs, *(_frame_numbers(side) for side in zip(*pairs))):
        if one != other:
            raise AngioSegError(
                f"{labels.parent}: {label.name} among its labels stands where {image.name} stands among its images; "
                "give both the same numbers."
            )


def _frame_numbers(files: Sequence[Path]) -> list[int]:
    """The number in each name that varies, for others are a clip's or a version's; nothing where that is not one."""
    numbers = [re.findall(r"[0-9]+", file.stem) for file in files]
    if len({len(found) for found in numbers}) != 1:
        return []
    varying = [column for column in zip(*numbers) if len(set(column)) > 1]
    return [int(digits) for digits in varying[0]] if len(varying) == 1 else []


class FrameDataset(Dataset):
    """Every labelled frame of some clips, each given with its whole clip for the transforms to take the window from.

    The clips are decoded once and stay in memory as stored (8 bit: 0.25 MB a 512x512 frame).

    Args:
        clips: see :func:`read_clip`. Frames that are not labelled are seen as neighbours only.
        transform: applied to ``{"image": (T, H, W), "label": (T, H, W) uint8 0 or 1, "frame": i}``, arrays shared
            between items: the transform must not write into them.
        empty_share: at most this share of the items are frames without vessel, evenly spread; 1 keeps all.
        needs_vessels: whether a data set without any vessel is refused.
        left_out: called with a line for each clip that cannot be used, and the others are; when None it is an error.

    An item is asked for by its number, or by (number, seed of the transform's chance) as
    :class:`angioseg.data.FrameSampler` does.

    Attributes:
        vessel_frames: how many of the items show a vessel.

    Raises:
        AngioSegError: when images and labels of a clip differ in shape, a frame is named that the clip does not have,
            no frame is left, or none shows a vessel though one must.
    """

    def __init__(
        self,
        clips: Sequence[dict[str, Any]],
        transform: Callable,
        empty_share: float = 1.0,
        needs_vessels: bool = False,
        left_out: Callable[[str], None] | None = None,
    ) -> None:
        self.transform = transform
        self.clips = []
        full, empty = [], []
        for clip in clips:
            try:
                image, label, frames = read_clip(clip)
            except AngioSegError as error:
                if left_out is None:
                    raise
                left_out(str(error))
                continue
            for frame in frames:
                (full if label[frame].any() else empty).append((len(self.clips), frame))
            self.clips.append((torch.from_numpy(image), torch.from_numpy(label)))
        keep = len(empty)
        if empty_share < 1:
            keep = min(keep, int(len(full) * empty_share / (1 - empty_share)))
        chosen = np.linspace(0, len(empty) - 1, keep).round().astype(int) if keep else []
        self.vessel_frames = len(full)
        self.items = sorted(full + [empty[i] for i in chosen])
        if not self.items:
            raise AngioSegError("the data set has no usable frame; label at least one.")
        if needs_vessels and not full:
            raise AngioSegError(
                "The frames to validate on show no vessel: label frames with vessels in another cine, or hold back "
                "other frames (another --seed or --partition)."
            )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int | tuple[int, int]) -> dict:
        if isinstance(index, tuple):
            index, chance = index
            self.transform.set_random_state(chance)
        number, frame = self.items[index]
        image, label = self.clips[number]
        return self.transform({"image": image, "label": label, "frame": frame})
