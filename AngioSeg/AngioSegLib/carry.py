"""A correction carried to a neighbouring frame, where the heart has moved on."""

import numpy as np

__all__ = ["carryCorrection", "shiftBetween"]

_MOST = 0.1
"""How far vessels may move between two frames, as a share of the frame's size."""


def shiftBetween(frame: np.ndarray, neighbour: np.ndarray, where: np.ndarray) -> tuple[int, int]:
    """How far what is seen around some pixels has moved, to a whole pixel.

    By phase correlation (Kuglin and Hines, 1975) of the neighbourhood of ``where``.

    Args:
        frame: (H, W) grey levels.
        neighbour: (H, W) grey levels of the frame to move to.
        where: (H, W), not 0 around what is to be followed.

    Returns:
        (rows, columns), each at most a tenth of the frame; (0, 0) where nothing stands out.
    """
    reach = [max(4, round(_MOST * size)) for size in frame.shape]
    if not where.any():
        return (0, 0)
    box = []
    for axis, margin in enumerate(reach):
        marked = np.flatnonzero(where.any(axis=1 - axis))
        box.append(slice(max(0, marked[0] - 2 * margin), marked[-1] + 2 * margin + 1))
    first, second = (_windowed(image[tuple(box)].astype(np.float64)) for image in (frame, neighbour))
    spectrum = np.conj(np.fft.rfft2(first)) * np.fft.rfft2(second)
    surface = np.fft.irfft2(spectrum / np.maximum(np.abs(spectrum), 1e-9), first.shape)
    rows, columns = (np.rint(np.fft.fftfreq(size, 1 / size)).astype(int) for size in surface.shape)
    allowed = (np.abs(rows) <= reach[0])[:, None] & (np.abs(columns) <= reach[1])[None, :]
    surface[~allowed] = -np.inf
    peak = np.unravel_index(np.argmax(surface), surface.shape)
    return int(rows[peak[0]]), int(columns[peak[1]])


def carryCorrection(
    corrected: np.ndarray, before: np.ndarray | None, neighbour: np.ndarray, shift: tuple[int, int]
) -> np.ndarray:
    """The neighbour's mask with the same correction made.

    Args:
        corrected: (H, W) mask of the corrected frame.
        before: (H, W) its mask before the correction; None carries the whole mask instead of the correction.
        neighbour: (H, W) mask of the neighbour.
        shift: see :func:`shiftBetween`.

    Returns:
        (H, W) uint8, 1 = vessel.
    """
    moved = _moved(corrected != 0, shift)
    if before is None:
        return moved.astype(np.uint8)
    changed = _moved((corrected != 0) != (before != 0), shift)
    return np.where(changed, moved, neighbour != 0).astype(np.uint8)


def _windowed(image: np.ndarray) -> np.ndarray:
    """Without the borders, which would say that nothing moves."""
    rows, columns = (np.hanning(size + 2)[1:-1] for size in image.shape)
    return (image - image.mean()) * rows[:, None] * columns[None, :]


def _moved(mask: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    moved = np.zeros_like(mask)
    source, target = zip(
        *(
            (slice(max(0, -step), size - max(0, step)), slice(max(0, step), size - max(0, -step)))
            for step, size in zip(shift, mask.shape, strict=True)
        ),
        strict=True,
    )
    moved[target] = mask[source]
    return moved
