"""Endings of the files that are read as cines."""

__all__ = ["CINE_SUFFIXES", "DICOM", "ITK", "NRRD", "PICTURE", "VIDEO"]

DICOM = (".dcm", ".dicom", ".ima")
VIDEO = (".mp4", ".m4v", ".avi", ".wmv", ".mov", ".mkv")
NRRD = (".seq.nrrd", ".nrrd")
ITK = (".nii", ".nii.gz", ".mha", ".mhd")
PICTURE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

CINE_SUFFIXES = DICOM + VIDEO + NRRD + ITK + PICTURE
"""All of them; DICOM files may have any ending or none."""
