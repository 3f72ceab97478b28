"""Labelled clips on the disk: which cine goes with which label, and whose it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..cine import is_cine
from ..cine.dicom import is_dicom, looks_like_dataset
from ..cine.find import cine_path
from ..cine.suffixes import LABEL_ENDINGS, cine_suffix
from ..errors import AngioSegError
from ..paths import DATASTORE

__all__ = ["clip_name", "clip_pairs", "clip_title", "digest_clips", "label_beside", "patient_key"]


def clip_pairs(folder: str | Path) -> list[dict[str, str]]:
    """List the labelled clips of a folder.

    It may be

    - a folder of MONAI Label (it holds ``datastore_v2.json``): the cines with a final label;
    - the paper's layout: one folder a clip, each with ``images`` and ``labels``, frames in time order and of equal
      names;
    - cines (files, or folders of frames), each with its label beside it: ``NAME_label.nrrd``, or as other programs
      write it ``NAME_seg.nrrd`` (``angioseg segment``) or ``NAME.seg.nrrd``. Those in the paper's layout may lie among
      them.

    Args:
        folder: the folder.

    Returns:
        For each clip, in the order of the names, ``{"image": path, "label": path, "name": path below the folder}``.

    Raises:
        AngioSegError: when there is no such clip, two cines have one label, or the list of MONAI Label cannot be read.
    """
    folder = Path(folder)
    if not folder.exists():
        raise AngioSegError(f"{folder}: no such folder.")
    found = _from_datastore if (folder / DATASTORE).is_file() else _from_folder
    pairs = [
        {"image": str(image), "label": str(label), "name": image.relative_to(folder).as_posix()}
        for image, label in (found(folder) if folder.is_dir() else ())
    ]
    if not pairs:
        raise AngioSegError(
            f"{folder}: no labelled clips here; expected folders that each hold images/ and labels/, cines with a "
            "label NAME_label.nrrd (3D Slicer: NAME.seg.nrrd) beside them, or a MONAI Label folder with final labels."
        )
    return pairs


def _from_folder(folder: Path) -> Iterator[tuple[Path, Path]]:
    owners: dict[Path, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if (path / "images").is_dir() and (path / "labels").is_dir():
            yield path / "images", path / "labels"
        elif (label := label_beside(path)) is not None and (is_cine(path) or _first_dicom(path) is not None):
            if label in owners:
                raise AngioSegError(
                    f"{label}: is the label of both {owners[label].name} and {path.name}; move one of them away."
                )
            owners[label] = path
            yield path, label


def clip_name(clip: dict[str, Any]) -> str:
    """What tells a clip from the others of its data set wherever that lies: its path there; its own where not given."""
    return clip.get("name", clip["image"])


def clip_title(clip: dict[str, Any]) -> str:
    """What a clip is called in tables: its path in its data set; the last part of its own where that is not given."""
    image = cine_path(Path(clip["image"])).name
    return cine_path(PurePosixPath(clip["name"])).as_posix() if "name" in clip else image


def digest_clips(*parts: Iterable[dict[str, Any]]) -> str:
    """Names clips, their frames and their labels to the last bit, wherever they lie: 16 hex digits of a SHA-256.

    Of an image only the names and sizes of its files count.

    Args:
        parts: clips, such as those to train on and those to validate on.
    """
    digest = hashlib.sha256()
    for number, clips in enumerate(parts):
        for clip in clips:
            digest.update(f"{number} {clip.get('frames')} {clip.get('part')} ".encode())
            for kind in ("image", "label"):
                path = Path(clip[kind])
                for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                    if file.is_file() and not file.name.startswith("."):
                        digest.update(f"{kind} {path.name}/{file.name} {file.stat().st_size} ".encode())
                        digest.update(file.read_bytes() if kind == "label" else b"")
    return digest.hexdigest()[:16]


def label_beside(cine: str | Path) -> Path | None:
    """The label that lies beside a cine under its name; None where there is none."""
    cine = Path(cine)
    name = cine.name.removesuffix(cine_suffix(cine.name)) if cine.is_file() else cine.name
    labels = (cine.with_name(name + label) for label in LABEL_ENDINGS)
    return next((label for label in labels if label.is_file()), None)


def _from_datastore(folder: Path) -> Iterator[tuple[Path, Path]]:
    listing = folder / DATASTORE
    try:
        store = json.loads(listing.read_text(encoding="utf-8"))
        labels = folder / _inside(store.get("labels_dir", "labels"), listing) / "final"
        for name, entry in sorted(store["objects"].items()):
            final = entry.get("labels", {}).get("final")
            if final is None:
                continue
            image = entry["image"]
            # This project's server keeps the path of a cine as its name, MONAI Label's own store names files by id.
            known = folder / _inside(image.get("info", {}).get("name") or name, listing)
            paths = [known, folder / _inside(name + image["ext"], listing)]
            path = next((path for path in paths if path.exists()), None)
            label = labels / _inside(name + final["ext"], listing)
            if path is not None:
                yield path, label
            elif label.exists():
                raise AngioSegError(f"{known}: is labelled and not there; put it back, or move {label} away.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AngioSegError(f"{listing}: is no list of MONAI Label ({type(error).__name__}).") from error


def _inside(name: Any, listing: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise AngioSegError(f"{listing}: names a file outside of its folder.")
    return path


def patient_key(path: str | Path) -> str | None:
    """What tells the cines of one patient from those of another, and does not tell who that is.

    Args:
        path: a cine: a file, or a folder of frames.

    Returns:
        12 hex digits of the SHA-256 of the DICOM PatientID; None where there is none.
    """
    import pydicom

    try:
        file = _first_dicom(Path(path))
        if file is None:
            return None
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["PatientID"], force=True)
        patient = str(header.get("PatientID") or "").strip()
    except Exception:  # no DICOM, or damaged: pydicom raises whatever the bytes lead it to
        return None
    return hashlib.sha256(patient.encode()).hexdigest()[:12] if patient else None


def _first_dicom(path: Path) -> Path | None:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if file.is_file() and not file.name.startswith(".")]
    return next((file for file in files if is_dicom(file) or looks_like_dataset(file)), None)
