"""Where the labels of a studies folder lie: ``labels/TAG/ID.nrrd``, and earlier ones beside them."""

from pathlib import Path

__all__ = ["LABEL_SUFFIXES", "VERSIONS", "label_files", "label_suffix", "labelled_id", "version_files"]

LABEL_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")
VERSIONS = "versions"
"""Folder beside the current labels of a tag: earlier ones, as ``ID.NUMBER.nrrd``."""


def label_suffix(name: str) -> str | None:
    """The ending of a label's file, or None where it is no label."""
    return next((suffix for suffix in LABEL_SUFFIXES if name.lower().endswith(suffix)), None)


def label_files(folder: Path) -> list[Path]:
    """The labels of one tag; of two of a cine the first counts."""
    return [file for file in sorted(folder.iterdir()) if label_suffix(file.name) and file.is_file()]


def labelled_id(file: Path) -> str:
    """The id of the cine that a label is of, by its name."""
    return file.name[: -len(label_suffix(file.name) or "")]


def version_files(folder: Path) -> dict[str, dict[int, str]]:
    """Earlier labels of one tag: id -> number -> name of the file."""
    found: dict[str, dict[int, str]] = {}
    for path in (folder / VERSIONS).glob("*"):
        suffix = label_suffix(path.name)
        image_id, _, number = path.name[: -len(suffix)].rpartition(".") if suffix else ("", "", "")
        if image_id and number.isdecimal():
            found.setdefault(image_id, {})[int(number)] = path.name
    return found
