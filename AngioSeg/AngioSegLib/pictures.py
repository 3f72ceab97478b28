"""One frame with its vessels as a picture."""

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

__all__ = ["VESSEL", "framePicture", "greyWindow", "outline", "pngBytes", "ppmBytes", "thumbnail"]

VESSEL = (230, 159, 0)
"""Orange of Okabe and Ito's palette, which people with any colour vision tell from greys."""
_OPACITY = 0.35


def greyWindow(frames: np.ndarray) -> tuple[float, float]:
    """The grey levels to show as black and white: all but 1 % of the pixels lie between them.

    Args:
        frames: (T, H, W) or (H, W), any integer dtype; every fourth pixel of a large frame is looked at.
    """
    step = max(1, max(frames.shape[-2:]) // 128)
    low, high = np.percentile(frames[..., ::step, ::step], (0.5, 99.5))
    return float(low), float(max(high, low + 1))


def framePicture(
    frame: np.ndarray, mask: np.ndarray | None, window: tuple[float, float], opacity: float = _OPACITY
) -> np.ndarray:
    """Draw a frame, its vessels tinted and outlined.

    Args:
        frame: (H, W), any integer dtype.
        mask: (H, W), not 0 is vessel; None draws the frame alone.
        window: see :func:`greyWindow`.
        opacity: of the tint, 0 to 1; the outline is always opaque.

    Returns:
        (H, W, 3) uint8.
    """
    low, high = window
    grey = np.clip((frame.astype(np.float64) - low) / (high - low), 0, 1) * 255
    picture = np.repeat(grey[..., None], 3, axis=2)
    if mask is not None:
        vessel = mask != 0
        picture[vessel] = (1 - opacity) * picture[vessel] + opacity * np.array(VESSEL)
        picture[outline(vessel)] = VESSEL
    return np.rint(picture).astype(np.uint8)


def outline(vessel: np.ndarray) -> np.ndarray:
    """The pixels of a mask (H, W) that touch what is not vessel, or the frame's border."""
    padded = np.pad(vessel != 0, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return (vessel != 0) & ~inside


def thumbnail(frame: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """A small picture of a frame with its vessels, thin ones too.

    Args:
        frame: (H, W), any integer dtype.
        mask: (H, W), not 0 is vessel.
        size: the longer side has at least this many pixels and less than twice as many, or the frame's own.

    Returns:
        (H / n, W / n, 3) uint8, for a whole n.
    """
    step = max(1, max(frame.shape) // size)
    rows, columns = (length // step for length in frame.shape)
    blocks = (slice(rows * step), slice(columns * step))
    small = frame[blocks].reshape(rows, step, columns, step).mean(axis=(1, 3))
    vessel = (mask[blocks] != 0).reshape(rows, step, columns, step).any(axis=(1, 3))
    return framePicture(small, vessel, greyWindow(small))


def ppmBytes(picture: np.ndarray) -> bytes:
    """A PPM file of a picture, (H, W, 3) uint8: to be read at once, for it is made and read without packing."""
    rows, columns, _ = picture.shape
    return b"P6 %d %d 255\n" % (columns, rows) + picture.tobytes()


def pngBytes(picture: np.ndarray) -> bytes:
    """A PNG file of a picture: (H, W, 3) uint8."""
    rows, columns, _ = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    # VTK counts rows from the bottom of a picture.
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(picture[::-1]).reshape(-1, 3), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetInputData(image)
    writer.WriteToMemoryOn()
    writer.Write()
    return vtk_to_numpy(writer.GetResult()).tobytes()
