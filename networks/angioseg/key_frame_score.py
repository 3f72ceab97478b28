"""Chosen key frames against the truth of simulated clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cine.times import assumed_times
from .errors import AngioSegError
from .keyframes import measure_frames, rank_key_frames

__all__ = ["KeyFrameScore", "score_key_frame", "true_lengths"]


@dataclass(frozen=True)
class KeyFrameScore:
    """The first choice of a clip.

    Attributes:
        frame: the one chosen, from 0; None where none was.
        share: of the vessel length that the best frame shows, by the truth; 0 where none was chosen.
        before_contrast: whether the chosen frame shows no vessel.
    """

    frame: int | None
    share: float
    before_contrast: bool


def true_lengths(clip_folder: str | Path) -> np.ndarray | None:
    """The vessel length that each frame of a simulated clip shows.

    Args:
        clip_folder: as :func:`angioseg.simulation.write_clip` makes it.

    Returns:
        (T,) pixels: the visible parts of the projected centrelines; None where there are no centrelines.

    Raises:
        AngioSegError: when the file is not one of centrelines.
    """
    path = Path(clip_folder) / "centrelines.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as truth:
            places, visible, vessel = truth["places"], truth["visible"], truth["vessel"]
        steps = np.hypot(*np.moveaxis(np.diff(places, axis=1), -1, 0))
        both = visible[:, 1:] & visible[:, :-1] & (vessel[1:] == vessel[:-1])
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise AngioSegError(f"{path}: holds no centrelines; simulate the clip again.") from error
    return (steps * both).sum(1)


def score_key_frame(image: np.ndarray, mask: np.ndarray, lengths: np.ndarray) -> KeyFrameScore:
    """Choose the key frame of a predicted mask and look it up in the truth.

    Args:
        image: (T, H, W).
        mask: (T, H, W), predicted, 1 = vessel.
        lengths: (T,), see :func:`true_lengths`; some frame shows a vessel.

    Returns:
        The score.
    """
    times_ms = assumed_times(len(image))[0]  # the first choice does not depend on them
    chosen = rank_key_frames(measure_frames(image, mask, times_ms, range(len(image))), count=1)
    if not chosen:
        return KeyFrameScore(None, 0.0, False)
    shown = float(lengths[chosen[0].frame])
    return KeyFrameScore(chosen[0].frame, shown / float(lengths.max()), shown == 0)
