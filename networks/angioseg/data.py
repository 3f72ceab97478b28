"""Labelled cines as training windows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from .cine import Cine, read_cine
from .errors import AngioSegError

__all__ = ["FrameDataset", "clip_pairs", "patient_key", "split_by_patient"]


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


def patient_key(path: str | Path) -> str | None:
    """What tells the cines of one patient from those of another, and does not tell who that is.

    Args:
        path: a cine: a file, or a folder of frames.

    Returns:
        12 hex digits of the SHA-256 of the DICOM PatientID; None where there is none.
    """
    import pydicom

    path = Path(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    try:
        header = pydicom.dcmread(files[0], stop_before_pixels=True, specific_tags=["PatientID"])
        patient = str(header.get("PatientID") or "").strip()
    except Exception:  # no DICOM, or damaged: pydicom raises whatever the bytes lead it to
        return None
    return hashlib.sha256(patient.encode()).hexdigest()[:12] if patient else None


def split_by_patient(clips: Sequence[dict[str, Any]], share: float) -> tuple[list[dict], list[dict]]:
    """Split labelled clips into those to train on and those to validate on, whole patients at a time.

    A patient keeps its side as long as the others leave room for it: the order is that of the keys' hashes, not of
    time. With one patient only, or none named, whole cines are split. Nobody is validated on who shows no vessel.

    Args:
        clips: each with ``image`` (path), ``frames`` (numbers of its labelled frames), ``vessel_frames`` (how many of
            those show a vessel) and ``patient`` (a key, or None).
        share: of the labelled frames with a vessel to validate on, 0 to 0.5; at least one clip goes to each side.

    Returns:
        (training, validation), each in the order of ``clips``.

    Raises:
        AngioSegError: when fewer than two clips have labelled frames with a vessel.
    """
    clips = [clip for clip in clips if clip["frames"]]
    showing = [clip for clip in clips if clip["vessel_frames"]]
    if len(showing) < 2:
        raise AngioSegError(
            "Training needs labelled frames with vessels in two cines or more, one of them to validate on; "
            f"{len(showing)} has any."
        )
    keys = [clip["patient"] or clip["image"] for clip in clips]
    if len({key for clip, key in zip(clips, keys) if clip["vessel_frames"]}) < 2:
        keys = [clip["image"] for clip in clips]
    counts = dict.fromkeys(keys, 0)
    for clip, key in zip(clips, keys):
        counts[key] += clip["vessel_frames"]
    total, chosen, count = sum(counts.values()), set(), 0
    for key in sorted(counts, key=lambda key: hashlib.sha256(key.encode()).digest()):
        if count >= share * total and chosen:
            break
        if counts[key] and 2 * (count + counts[key]) <= total:
            chosen.add(key)
            count += counts[key]
    sides = [[clip for clip, key in zip(clips, keys) if (key in chosen) == validate] for validate in (False, True)]
    return sides[0], sides[1]


class FrameDataset(Dataset):
    """Every labelled frame of some clips, each given with its whole clip for the transforms to take the window from.

    The clips are decoded once and stay in memory as stored (8 bit: 0.25 MB a 512x512 frame).

    Args:
        clips: ``{"image": cine, "label": cine of labels}``, anything :func:`angioseg.cine.read_cine` reads; label
            1 is vessel, and in pictures (values beyond 3) 128 and above, so that a catheter marked 2 or 64 is not. The
            labelled frames are ``"frames"`` where that is given; else the label's ``annotated_frames``; else all frames
            of a folder, and in a file those with a vessel pixel. Other frames are seen as neighbours only.
        transform: applied to ``{"image": (T, H, W), "label": (T, H, W) uint8 0 or 1, "frame": i}``, arrays shared
            between items: the transform must not write into them.
        empty_share: at most this share of the items are frames without vessel, evenly spread; 1 keeps all.
        progress: called with (clips read, clips) while reading.

    Attributes:
        vessel_frames: how many of the items show a vessel.

    Raises:
        AngioSegError: when images and labels of a clip differ in shape, a frame is named that the clip does not have,
            or no frame is left.
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
            labels = read_cine(clip["label"])
            label = labels.frames
            if image.shape != label.shape:
                raise AngioSegError(
                    f"{clip['label']}: labels of shape {label.shape} do not fit images of shape {image.shape}."
                )
            label = (label >= 128 if label.max() > 3 else label == 1).view(np.uint8)
            self.clips.append((torch.from_numpy(image), torch.from_numpy(label)))
            for frame in _labelled(clip, labels):
                (full if label[frame].any() else empty).append((number, frame))
            if progress is not None:
                progress(number + 1, len(clips))
        keep = len(empty)
        if empty_share < 1:
            keep = min(keep, int(len(full) * empty_share / (1 - empty_share)))
        chosen = np.linspace(0, len(empty) - 1, keep).round().astype(int) if keep else []
        self.vessel_frames = len(full)
        self.items = sorted(full + [empty[i] for i in chosen])
        if not self.items:
            raise AngioSegError("the data set has no usable frame; label at least one.")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        number, frame = self.items[index]
        image, label = self.clips[number]
        return self.transform({"image": image, "label": label, "frame": frame})


def _labelled(clip: dict[str, Any], labels: Cine) -> Sequence[int]:
    frames = clip.get("frames", labels.meta.get("annotated_frames"))
    if frames is None:
        every = range(labels.num_frames)
        frames = every if Path(clip["label"]).is_dir() else [frame for frame in every if labels.frames[frame].any()]
    for frame in frames:
        if not 0 <= frame < labels.num_frames:
            raise AngioSegError(f"{clip['label']}: frame {frame} is not in a cine of {labels.num_frames} frames.")
    return frames
