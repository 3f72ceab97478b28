"""Endings of the files that are read as cines, and of their labels."""

from angioseg.paths import RESULTS

__all__ = [
    "CINE_SUFFIXES",
    "DICOM",
    "ITK",
    "LABEL_ENDINGS",
    "NRRD",
    "PICTURE",
    "RESULT_ENDINGS",
    "VIDEO",
    "cine_suffix",
]

DICOM = (".dcm", ".dicom", ".ima")
VIDEO = (".mp4", ".m4v", ".avi", ".wmv", ".mov", ".mkv")
NRRD = (".seq.nrrd", ".nrrd")
ITK = (".nii", ".nii.gz", ".mha", ".mhd")
PICTURE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

CINE_SUFFIXES = DICOM + VIDEO + NRRD + ITK + PICTURE
"""All of them; DICOM files may have any ending or none."""

LABEL_ENDINGS = ("_label.nrrd", RESULTS["seg"], ".seg.nrrd")
"""What follows a cine's name in the name of its label: of training data, of ``angioseg segment``, of 3D Slicer."""

RESULT_ENDINGS = (*LABEL_ENDINGS, RESULTS["overlay"], RESULTS["keyframe"])
"""Of all that ``angioseg segment`` writes and that could be taken for a cine; these files are none."""


def cine_suffix(name: str) -> str:
    """The ending of a cine's name or path, as it is written there; "" where it is none of :data:`CINE_SUFFIXES`."""
    endings = [suffix for suffix in CINE_SUFFIXES if name.lower().endswith(suffix)]
    return name[-len(max(endings, key=len)) :] if endings else ""
