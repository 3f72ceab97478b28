"""Where the parts that are not Python modules of this package lie, installed or in a checkout, and names of files."""

from collections.abc import Collection
from pathlib import Path

__all__ = ["DATASTORE", "MODELS", "RESULTS", "app_dir", "bundle_dir", "free_name", "slicer_dir", "weights_of"]

DATASTORE = "datastore_v2.json"
"""MONAI Label's list of a studies folder, in that folder."""
MODELS = "angioseg-models"
"""Where the models that a server trained lie, in its studies folder; no cine is looked for there."""

RESULTS = {"seg": "_seg.nrrd", "overlay": "_overlay.mp4", "keyframe": "_keyframe.png", "frames": "_frames.csv"}
"""What follows a cine's name in the names of its mask, its video, its key frame and its table."""

_PACKAGE = Path(__file__).resolve().parent


def bundle_dir() -> Path:
    """The MONAI bundle (``configs``, ``models``, ``docs``)."""
    return _PACKAGE / "bundle"


def weights_of(bundle: Path) -> Path:
    """The file of weights of a bundle: of :func:`bundle_dir` those that ship."""
    return bundle / "models" / "model.pt"


def app_dir() -> Path:
    """The MONAI Label app folder (``main.py``, ``lib``)."""
    return _installed_or_checkout("_server_app", "monai_app")


def slicer_dir() -> Path:
    """The 3D Slicer extension folder: put it on ``sys.path`` to import ``AngioSegLib``."""
    return _installed_or_checkout("_slicer_extension", "AngioSeg")


def free_name(name: str, taken: Collection[str]) -> str:
    """``name``, or ``name_2`` ... when that is taken: cines of several folders may have one name.

    Args:
        name: of a cine; "cine" where it has none.
        taken: names in small letters, for some file systems ignore case.
    """
    free, number = name or "cine", 1
    while free.lower() in taken:
        number += 1
        free = f"{name or 'cine'}_{number}"
    return free


def _installed_or_checkout(installed: str, checkout: str) -> Path:
    path = _PACKAGE / installed
    return path if path.is_dir() else _PACKAGE.parents[1] / checkout
