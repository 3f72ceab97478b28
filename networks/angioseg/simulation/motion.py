"""How the heart moves: beat (contraction and twist), breathing, the table's panning."""

import math
from dataclasses import dataclass

import numpy as np

from .anatomy import Heart, Tree
from .projection import View

__all__ = ["HEART_AXES", "Motion", "random_motion"]


def _axes() -> np.ndarray:
    apex = np.array([0.62, -0.52, -0.56])
    apex /= np.linalg.norm(apex)
    lateral = np.array([0.72, 0.66, 0.20])
    lateral -= apex * (lateral @ apex)
    lateral /= np.linalg.norm(lateral)
    # Forward and up, where the LAD runs: the three axes are left-handed.
    return np.stack([np.cross(apex, lateral), lateral, apex], axis=1)


HEART_AXES = _axes()
"""(3, 3) columns: the heart's anterior, lateral and apex axes in the patient (x left, y back, z head)."""


@dataclass(frozen=True)
class Motion:
    """One patient's motion during one run.

    Attributes:
        bpm: beats a minute. shift: where in the beat the run starts, 0..1. systole: its share of the beat.
        shorten, squeeze: how much length and girth are lost at end-systole (shares). twist: degrees at the apex.
        swing: (3,) mm the heart moves at end-systole; less where the great vessels hold it, at the middle of its base.
        breath_mm: half the way up and down; breath_s: seconds a breath; breath_shift: start, 0..1.
        pan_mm: (2,) table movement in the image plane (right, down), pan_from_s, pan_for_s: when and how long.
        tilt: (3, 3) this patient's heart axes.
        centre: (3,) middle of the base from the isocentre, mm.
    """

    bpm: float
    shift: float
    systole: float
    shorten: float
    squeeze: float
    twist: float
    swing: np.ndarray
    breath_mm: float
    breath_s: float
    breath_shift: float
    pan_mm: np.ndarray
    pan_from_s: float
    pan_for_s: float
    tilt: np.ndarray
    centre: np.ndarray

    def contraction(self, seconds: np.ndarray) -> np.ndarray:
        """(T,) 0 at end-diastole, 1 at end-systole; after systole filling is quick, then comes rest."""
        phase = (np.asarray(seconds) * self.bpm / 60.0 + self.shift) % 1.0
        rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(phase / self.systole, 0.0, 1.0))
        filling = np.clip((phase - self.systole) / 0.28, 0.0, 1.0)
        fall = 0.85 * (0.5 - 0.5 * np.cos(np.pi * filling))
        kick = 0.15 * np.clip((phase - 0.85) / 0.15, 0.0, 1.0)
        return np.where(phase <= self.systole, rise, 1.0 - fall - kick)

    def breath(self, seconds: np.ndarray) -> np.ndarray:
        """(T,) mm towards the head."""
        return self.breath_mm * np.sin(2 * np.pi * (np.asarray(seconds) / self.breath_s + self.breath_shift))

    def pan(self, seconds: np.ndarray) -> np.ndarray:
        """(T, 2) mm at the isocentre, to the right and down in the image."""
        share = np.clip((np.asarray(seconds) - self.pan_from_s) / self.pan_for_s, 0.0, 1.0)
        return (0.5 - 0.5 * np.cos(math.pi * share))[:, None] * self.pan_mm

    def beat(self, points: np.ndarray, heart: Heart, seconds: np.ndarray) -> np.ndarray:
        """Where points of the heart are in the patient.

        Args:
            points: (n, 3) float, heart coordinates at rest, mm.
            heart: the heart they belong to.
            seconds: (T,) float, times from the start of the run.

        Returns:
            (T, n, 3) float64, mm from the isocentre.
        """
        strength = self.contraction(seconds)[:, None]
        height = points[None, :, 2]
        turn = np.radians(self.twist) * strength * np.clip(height / heart.length, -0.3, 1.1)
        girth = 1.0 - self.squeeze * strength
        cos, sin = np.cos(turn) * girth, np.sin(turn) * girth
        moved = np.stack(
            [
                points[None, :, 0] * cos - points[None, :, 1] * sin,
                points[None, :, 0] * sin + points[None, :, 1] * cos,
                # The apex stays, the base comes down to it.
                heart.length - (heart.length - height) * (1.0 - self.shorten * strength),
            ],
            axis=-1,
        )
        # The great vessels hold the middle of the base back: the ostia move half to four fifths as much as the grooves.
        away = np.linalg.norm(points / [heart.anterior, heart.lateral, heart.length], axis=1)
        freedom = np.clip((away - 0.4) / 0.6, 0.0, 1.0)[None, :, None] * 0.6 + 0.4
        moved = points[None] + (moved - points[None]) * freedom
        world = moved @ self.tilt.T + self.centre + strength[..., None] * self.swing * freedom
        world[..., 2] += self.breath(seconds)[:, None]
        return world


def random_motion(rng: np.random.Generator, tree: Tree, view: View, duration_s: float) -> Motion:
    """A patient's motion, drawn; the operator has put the tree about the middle of ``view``.

    ``duration_s`` is how long the run takes.
    """
    yaw, pitch, roll = np.radians(rng.normal(0.0, [9.0, 7.0, 7.0]))
    tilt = _turn(2, yaw) @ _turn(0, pitch) @ _turn(1, roll) @ HEART_AXES
    pans = rng.random() < 0.3
    holds = rng.random() < 0.6
    seen = np.concatenate([v.points for v in tree.vessels]) @ tilt.T @ view.axes.T
    # A little low: the catheter is wanted in the picture too.
    aim = np.array([0.0, 4.0, 0.0]) - (seen.min(axis=0) + seen.max(axis=0)) / 2
    aim[:2] += rng.normal(0.0, 7.0, 2)
    aim[2] += rng.normal(0.0, 12.0)
    return Motion(
        bpm=float(np.clip(rng.normal(72, 13), 50, 110)),
        shift=float(rng.random()),
        systole=float(rng.uniform(0.30, 0.40)),
        shorten=float(rng.uniform(0.10, 0.20)),
        squeeze=float(rng.uniform(0.08, 0.18)),
        twist=float(rng.uniform(4.0, 14.0)),
        swing=rng.normal(0.0, 3.5, 3),
        breath_mm=float(rng.uniform(0.0, 1.2) if holds else rng.uniform(2.0, 7.0)),
        breath_s=float(rng.uniform(3.0, 6.0)),
        breath_shift=float(rng.random()),
        pan_mm=rng.normal(0.0, 9.0, 2).clip(-18, 18) if pans else np.zeros(2),
        pan_from_s=float(rng.uniform(0.3, 0.7) * duration_s),
        pan_for_s=float(rng.uniform(0.5, 1.5)),
        tilt=tilt,
        centre=aim @ view.axes,
    )


def _turn(axis: int, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    first, second = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix
