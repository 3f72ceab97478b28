"""Labelled cines: where they lie, how they are parted, and the frames of them that a network learns from."""

from .cines import CineDataset
from .clips import clip_name, clip_pairs, clip_title, digest_clips, label_beside, patient_key
from .frames import FrameDataset, labelled_frames, read_clip
from .partition import PARTITIONS, count_frames, part_clips, split_by_patient, split_in_time, time_parts
from .sampler import FrameSampler

__all__ = [
    "PARTITIONS",
    "CineDataset",
    "FrameDataset",
    "FrameSampler",
    "clip_name",
    "clip_pairs",
    "clip_title",
    "count_frames",
    "digest_clips",
    "label_beside",
    "labelled_frames",
    "part_clips",
    "patient_key",
    "read_clip",
    "split_by_patient",
    "split_in_time",
    "time_parts",
]
