"""Where the parts that are not Python modules of this package lie, installed or in a checkout."""

from pathlib import Path

__all__ = ["app_dir", "bundle_dir", "slicer_dir"]

_PACKAGE = Path(__file__).resolve().parent


def bundle_dir() -> Path:
    """The MONAI bundle (``configs``, ``models``, ``docs``)."""
    return _PACKAGE / "bundle"


def app_dir() -> Path:
    """The MONAI Label app folder (``main.py``, ``lib``)."""
    return _installed_or_checkout("_server_app", "monai_app")


def slicer_dir() -> Path:
    """The 3D Slicer extension folder: put it on ``sys.path`` to import ``AngioSegLib``."""
    return _installed_or_checkout("_slicer_extension", "AngioSeg")


def _installed_or_checkout(installed: str, checkout: str) -> Path:
    path = _PACKAGE / installed
    return path if path.is_dir() else _PACKAGE.parents[1] / checkout
