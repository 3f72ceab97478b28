"""Which labelled frames are trained on and which are tested on.

Two ways. The paper's parts every clip in time: both sides then know every patient, and neighbouring frames look alike,
which flatters any model. By patients nobody is on both sides. A result says which of them it rests on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import AngioSegError
from .clips import clip_name, patient_key
from .frames import labelled_frames

__all__ = ["PARTITIONS", "count_frames", "part_clips", "split_by_patient", "split_in_time", "time_parts"]

PARTITIONS = ("patients", "time")
"""Ways to part a data set."""


def part_clips(
    clips: Sequence[dict[str, Any]], partition: str, seed: int = 0, share: float = 0.05
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Part labelled clips for training and testing.

    Args:
        clips: ``{"image": path, "label": path}``; ``frames`` and ``patient`` are read where they are not given.
        partition: "patients" (:func:`split_by_patient`) or "time" (:func:`split_in_time`, the paper's).
        seed: of the draw in time.
        share: of the patients' frames that are not trained on.

    Returns:
        (training, testing), for :class:`angioseg.data.FrameDataset`.

    Raises:
        AngioSegError: for another partition, or when the clips cannot be parted.
    """
    if partition == "time":
        return split_in_time(clips, seed)
    if partition != "patients":
        raise AngioSegError(f"partition {partition!r}: give {' or '.join(PARTITIONS)}.")
    known = []
    for clip in clips:
        patient = clip["patient"] if "patient" in clip else patient_key(clip["image"])
        known.append(count_frames({**clip, "patient": patient}, *labelled_frames(clip)))
    return split_by_patient(known, share)


def count_frames(clip: dict[str, Any], mask: np.ndarray, frames: Iterable[int]) -> dict[str, Any]:
    """A clip with its labelled ``frames`` and how many of them show a vessel (``vessel_frames``).

    Args:
        clip: ``{"image": path, "label": path, "patient": key or None}``, and ``name``, which tells it from the others
            wherever they lie; the image's path where there is none.
        mask: (T, H, W), not 0 = vessel.
        frames: numbers of the labelled frames.
    """
    frames = sorted(frames)
    return {**clip, "frames": frames, "vessel_frames": sum(bool(mask[frame].any()) for frame in frames)}


def time_parts(num_frames: int, test_first: bool) -> tuple[range, range]:
    """Part one clip in time as the paper does: a sixth of its frames tests, at one end; the others train.

    Args:
        num_frames: T. The sixth is rounded, and at least 1 frame; a clip of one frame only trains.
        test_first: whether the first frames test, or the last.

    Returns:
        (training, testing), consecutive frame numbers from 0.
    """
    test = min(max(1, round(num_frames / 6)), num_frames - 1)
    if test_first:
        return range(test, num_frames), range(test)
    return range(num_frames - test), range(num_frames - test, num_frames)


def split_in_time(clips: Sequence[dict[str, Any]], seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Part every clip in time (:func:`time_parts`); for each, which end tests is drawn at the start.

    A clip is cut to its part before windows are taken from it (:func:`angioseg.data.read_clip`), so the part's own end
    frames are repeated beyond its ends, and no window of one side holds a frame of the other.

    Args:
        clips: ``{"image": path, "label": path}``.
        seed: of the draw.

    Returns:
        (training, testing): every clip on both sides, each with its ``part``; a clip of one frame only trains.

    Raises:
        AngioSegError: when a label cannot be read.
    """
    ends = np.random.default_rng(seed).integers(2, size=len(clips)).astype(bool)
    sides = [], []
    for clip, end in zip(clips, ends):
        mask, _ = labelled_frames(clip)
        for side, part in zip(sides, time_parts(len(mask), bool(end))):
            if part:
                side.append({**clip, "part": [part[0], part[-1]]})
    return sides


def split_by_patient(clips: Sequence[dict[str, Any]], share: float) -> tuple[list[dict], list[dict]]:
    """Split labelled clips into those to train on and those to validate on, whole patients at a time.

    A patient keeps its side as long as the others leave room for it: the order is that of the keys' hashes, not of
    time. With one patient only, or none named, whole cines are split. Nobody is validated on who shows no vessel.

    Args:
        clips: of :func:`count_frames`.
        share: of the labelled frames with a vessel to validate on, 0 to 0.5; at least one clip goes to each side.

    Returns:
        (training, validation), each in the order of ``clips``.

    Raises:
        AngioSegError: for another share, or when fewer than two clips have labelled frames with a vessel.
    """
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 0.5:
        raise AngioSegError(f"{share!r} of the frames to validate on: give a share from 0 to 0.5.")
    clips = [clip for clip in clips if clip["frames"]]
    showing = [clip for clip in clips if clip["vessel_frames"]]
    if len(showing) < 2:
        raise AngioSegError(
            "Training needs labelled frames with vessels in two cines or more, one of them to validate on; "
            f"{len(showing)} has any."
        )
    names = [clip_name(clip) for clip in clips]
    keys = [clip["patient"] or name for clip, name in zip(clips, names)]
    if len({key for clip, key in zip(clips, keys) if clip["vessel_frames"]}) < 2:
        keys = names
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
