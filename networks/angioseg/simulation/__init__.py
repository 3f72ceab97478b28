"""Simulated coronary angiograms with exact truth."""

from .clip import VISIBLE_GREY, SimulatedClip, simulate_clip
from .dataset import PRESETS, clip_seed, plan_dataset, write_clip, write_dataset
from .dicom import write_xa_dicom
from .disease import Lesion
from .errors import SimulationError
from .stream import SimulatedWindows
from .truth import Centrelines

__all__ = [
    "PRESETS",
    "VISIBLE_GREY",
    "Centrelines",
    "Lesion",
    "SimulatedClip",
    "SimulatedWindows",
    "SimulationError",
    "clip_seed",
    "plan_dataset",
    "simulate_clip",
    "write_clip",
    "write_dataset",
    "write_xa_dicom",
]
