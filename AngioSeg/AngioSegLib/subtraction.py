"""Digital subtraction as a view: the frames less the picture before the contrast came."""

import numpy as np

__all__ = ["maskFrames", "subtracted"]

_MOST = 5


def maskFrames(count: int, areas: dict[int, float]) -> list[int]:
    """Numbers of the frames to take for the picture before the contrast.

    Args:
        count: frames of the cine.
        areas: vessel pixels of the frames that were segmented.

    Returns:
        The frames, at most five, up to the first that shows more than a tenth of the most vessel; where no frame was
        segmented, the first one.
    """
    most = max(areas.values(), default=0)
    frames = []
    for frame in range(min(count, _MOST)):
        if frame not in areas or areas[frame] > most / 10:
            break
        frames.append(frame)
    return frames or [0]


def subtracted(frame: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The frame less the picture before the contrast: int16 (H, W), vessels dark, 0 where nothing changed.

    The grey levels of an X-ray system are taken as they are: most give the logarithm of the dose already.

    Args:
        frame: (H, W), any integer dtype.
        before: (H, W), the mean of the frames of :func:`maskFrames`.
    """
    return np.clip(np.rint(frame - before), -32768, 32767).astype(np.int16)
