"""Colour frames to grey, and whether the colour says that this is no angiogram."""

import numpy as np

__all__ = ["Colour"]

_LUMA = np.array([299, 587, 114], dtype=np.uint32)  # ITU-R BT.601, thousandths
_VISIBLE = 0.1  # of the full range: less is the noise of lossy compression
_COLOURFUL = 0.02  # of a frame's pixels: coloured markings on an angiogram cover less


class Colour:
    """Turns a cine's colour frames to grey one after another and remembers how coloured they were.

    Args:
        full: the largest value a channel can have.
    """

    def __init__(self, full: int = 255) -> None:
        self._full = full
        self._exact = True
        self._share = 0.0

    def from_rgb(self, rgb: np.ndarray, out: np.ndarray) -> None:
        """Grey of (H, W, 3): the channel itself where all three are the same, else luma (ITU-R BT.601)."""
        red, green, blue = (rgb[..., i] for i in range(3))
        if np.array_equal(red, green) and np.array_equal(green, blue):
            out[...] = red
            return
        self._exact = False
        spread = rgb.max(axis=-1).astype(np.int32) - rgb.min(axis=-1)
        self._note(spread > _VISIBLE * self._full)
        out[...] = (rgb.astype(np.uint32) @ _LUMA + 500) // 1000

    def note_chroma(self, *planes: np.ndarray) -> None:
        """Note the chroma of a frame whose luma needs no conversion (YBR DICOM, YUV video)."""
        middle = (self._full + 1) // 2
        for plane in planes:
            self._note(np.abs(plane.astype(np.int32) - middle) > _VISIBLE / 2 * self._full)

    def _note(self, coloured: np.ndarray) -> None:
        self._share = max(self._share, float(coloured.mean()))

    def warnings(self) -> tuple[str, ...]:
        """What the user must know of the colour found."""
        if self._share > _COLOURFUL:
            return ("in colour, turned to grey: this is probably not an X-ray angiogram",)
        if not self._exact:
            return ("has a little colour: its luma is used as grey",)
        return ()
