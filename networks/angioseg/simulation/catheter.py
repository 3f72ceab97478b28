"""The catheter: down the aorta, its tip in the ostium, dragged a little by the heart."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

__all__ = ["Catheter", "random_catheter"]

_STEP_MM = 0.5
_FRENCH_MM = 1.0 / 3.0


@dataclass(frozen=True)
class Catheter:
    """A catheter at rest.

    Attributes:
        french: outer size; 1 F is a third of a millimetre.
        points: (n, 3) from the tip backwards, mm from the isocentre, the ostium at rest.
        arc: (n,) mm from the tip.
        inside_mm: how far its tip lies in the artery.
        wall: attenuation through its middle when it is empty.
    """

    french: float
    points: np.ndarray
    arc: np.ndarray
    inside_mm: float
    wall: float

    @property
    def radius_mm(self) -> float:
        """Outer radius."""
        return self.french * _FRENCH_MM / 2.0

    def follow(self, ostium: np.ndarray) -> np.ndarray:
        """(T, n, 3) mm: the tip goes with the ostium (T, 3), the shaft ever less."""
        drag = np.exp(-self.arc / 45.0)[None, :, None]
        return self.points[None] + (ostium - self.rest(ostium))[:, None, :] * drag

    def rest(self, ostium: np.ndarray) -> np.ndarray:
        """(3,) where the ostium lies when the catheter hangs freely: the middle of its way."""
        return ostium.mean(axis=0)


def random_catheter(rng: np.random.Generator, ostium: np.ndarray, inwards: np.ndarray) -> Catheter:
    """A 5-7 F catheter by way of the groin (over the arch, down behind) or the wrist.

    Args:
        rng: where the randomness comes from.
        ostium: (3,) its mean place, mm from the isocentre (x left, y back, z head).
        inwards: (3,) unit vector from the aorta into the artery.
    """

    def near(x, y, z, sd):
        return ostium + np.array([x, y, z]) + rng.normal(0.0, sd, 3)

    inside = rng.uniform(1.0, 6.0)
    back = -inwards
    across = back * rng.uniform(20, 32)
    way = [ostium + inwards * inside, ostium + back * 7, ostium + across * 0.75 + [0, 0, rng.uniform(4, 14)]]
    way += [ostium + across + np.array([-2, 0, rng.uniform(32, 45)]), near(-10, 0, 80, 5)]
    if rng.random() < 0.55:
        way += [
            near(6, 30, 112, 6),
            near(22, 62, 88, 6),
            near(24, 74, 20, 5),
            near(22, 76, -60, 5),
            near(20, 76, -160, 5),
        ]
    else:
        way += [near(-28, 8, 125, 8), near(-50, 14, 190, 10)]
    way = np.array(way)
    knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    points = CubicSpline(knots, way)(np.arange(0.0, knots[-1], _STEP_MM))
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return Catheter(
        float(rng.choice([5.0, 6.0, 7.0], p=[0.35, 0.5, 0.15])),
        points,
        arc,
        float(inside),
        float(rng.uniform(0.06, 0.26)),
    )
