"""One frame as VTK holds it, and back."""

import numpy as np
from vtk import vtkImageData
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

__all__ = ["arrayFromImage", "fillImage"]


def fillImage(image: vtkImageData, frame: np.ndarray) -> None:
    """Make ``image`` a one-slice image of ``frame`` (H, W), with its own copy of the pixels."""
    rows, columns = frame.shape
    image.SetDimensions(columns, rows, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(frame).ravel(), deep=True))


def arrayFromImage(image: vtkImageData) -> np.ndarray:
    """The pixels of a one-slice image: (H, W), or (H, W, components) for colour. Not a copy."""
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars())
    return pixels.reshape((rows, columns, *pixels.shape[1:]))
