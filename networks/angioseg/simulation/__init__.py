"""Simulated coronary angiograms with exact truth."""

from .clip import VISIBLE_GREY, SimulatedClip, simulate_clip
from .dataset import clip_seed, write_clip, write_dataset
from .dicom import write_xa_dicom
from .errors import SimulationError

__all__ = [
    "VISIBLE_GREY",
    "SimulatedClip",
    "SimulationError",
    "clip_seed",
    "simulate_clip",
    "write_clip",
    "write_dataset",
    "write_xa_dicom",
]
