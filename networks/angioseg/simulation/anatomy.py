"""A new coronary tree for every random generator: courses on the heart's surface, diameters, branching.

Heart coordinates: the origin lies in the middle of the base (the valve plane), the third axis runs to the apex, the
first towards the anterior interventricular groove (where the LAD runs), the second towards the left lateral wall. A
place on the surface is ``(theta, phi, rho)``: the angle round the long axis (0 = LAD, 90 = lateral, 180 = inferior
groove, -90 = right margin), the elevation from the base (90 = apex; negative over the atria) and the depth (1 =
epicardium).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from .disease import Implant, Lesion, apply_lesions, random_lesions

__all__ = ["STEP_MM", "Heart", "Tree", "Vessel", "grow_tree"]

STEP_MM = 0.35
"""From one centreline sample to the next."""

_WALK_MM = 2.0
_THINNEST_MM = 0.16


@dataclass(frozen=True)
class Heart:
    """Semi-axes in mm: towards the LAD, towards the lateral wall, from base to apex."""

    anterior: float
    lateral: float
    length: float

    def place(self, surface: np.ndarray) -> np.ndarray:
        """Surface places (n, 3) in degrees, degrees and depth, as heart coordinates (n, 3) in mm."""
        theta, phi = np.radians(surface[:, 0]), np.radians(surface[:, 1])
        unit = np.stack(
            [
                np.cos(phi) * np.cos(theta) * self.anterior,
                np.cos(phi) * np.sin(theta) * self.lateral,
                np.sin(phi) * self.length,
            ],
            axis=1,
        )
        return unit * surface[:, 2:3]


@dataclass
class Vessel:
    """One artery from its origin to its end.

    Attributes:
        name: the field's short name ("LAD", "D1"), or the parent's with a dot and a number for a twig.
        surface: (n, 3) surface places (degrees, degrees, depth).
        points: (n, 3) centreline in heart coordinates, mm.
        radius: (n,) lumen radius, mm.
        arc: (n,) way from the ostium along the vessels, mm.
        parent: index of the vessel it leaves, -1 for the first.
        joined: index of the point where it leaves its parent.
        open_to: index of the point where an occlusion ends its flow; its number of points when none does.
    """

    name: str
    surface: np.ndarray
    points: np.ndarray
    radius: np.ndarray
    arc: np.ndarray
    parent: int
    joined: int
    open_to: int


@dataclass(frozen=True)
class Tree:
    """A left or a right coronary tree: ``side`` is "left" or "right". The first vessel starts at the ostium."""

    side: str
    heart: Heart
    vessels: tuple[Vessel, ...]
    lesions: tuple[Lesion, ...] = ()
    implants: tuple[Implant, ...] = ()

    @property
    def ostium(self) -> np.ndarray:
        """(3,) heart coordinates, mm."""
        return self.vessels[0].points[0]

    def gather(self, values: list[np.ndarray]) -> np.ndarray:
        """One array of ``values`` (n, ...) given for each vessel, of every centreline sample that adds lumen.

        The first stretch of a branch lies inside its parent and is left out, so that its contrast is not counted twice.
        """
        kept = []
        for vessel, value in zip(self.vessels, values):
            inside = self.vessels[vessel.parent].radius[vessel.joined] if vessel.parent >= 0 else 0.0
            kept.append(value[vessel.arc - vessel.arc[0] >= 0.8 * inside])
        return np.concatenate(kept)


class _Grower:
    def __init__(self, rng: np.random.Generator, heart: Heart):
        self.rng, self.heart, self.vessels = rng, heart, []
        kind = rng.random()
        # Wave height as a share of the wave length: straight, wavy, and the corkscrews of hypertension and old age.
        self.waviness = rng.uniform(0.015, 0.035) if kind < 0.45 else rng.uniform(0.035, 0.075)
        self.corkscrew = rng.uniform(0.05, 0.12) if kind > 0.75 else 0.0

    def along(
        self, name: str, places: list, radius: float, parent: int = -1, joined: int = 0, taper: float = 0.0025
    ) -> int:
        """A vessel through surface places (degrees, degrees, depth). Returns its number."""
        places = np.asarray(places, float)
        rough = self.heart.place(places)
        knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(rough, axis=0), axis=1))])
        fine = np.linspace(0.0, knots[-1], max(8, int(knots[-1] / STEP_MM) + 1))
        surface = CubicSpline(knots, places)(fine) if len(places) > 2 else _straight(knots, places, fine)
        points = self.heart.place(surface)
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        points = points + self._waves(points, length, radius)
        if parent >= 0:
            # The parent winds off its course: the branch sets out from where it really is.
            apart = self.vessels[parent].points[joined] - points[0]
            points = points + np.exp(-length / 15.0)[:, None] * apart
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        start = self.vessels[parent].arc[joined] if parent >= 0 else 0.0
        profile = (
            radius * np.exp(-taper * length) * (0.35 + 0.65 * np.minimum(1.0, (length[-1] - length) / 25.0 + 0.15))
        )
        if parent < 0:
            profile = radius * np.exp(-taper * length)
        self.vessels.append(Vessel(name, surface, points, profile, start + length, parent, joined, len(points)))
        if parent >= 0:
            self._share(parent, joined, profile[0])
        return len(self.vessels) - 1

    def branch(
        self,
        name: str,
        parent: int,
        share: float,
        radius: float,
        length: float,
        heading: tuple[float, float],
        sink: float = 0.0,
    ) -> int:
        """A vessel that leaves ``parent`` at ``share`` of its length and wanders over the surface.

        ``heading`` is the angle on leaving and the angle it settles to, degrees on the surface: 0 = growing theta,
        90 = towards the apex. ``sink`` is the depth it loses over its length (septal branches dive into the wall).
        """
        mother = self.vessels[parent]
        joined = int(np.clip(share * len(mother.points), 1, len(mother.points) - 2))
        radius = min(radius, 0.85 * mother.radius[joined])
        if radius < _THINNEST_MM:
            return -1
        theta, phi, rho = mother.surface[joined]
        steps = max(4, int(length / _WALK_MM))
        wander = np.cumsum(self.rng.normal(0.0, 10.0, steps))
        wander -= np.linspace(0.0, 1.0, steps) * wander[-1] * 0.5
        places = [(theta, phi, rho)]
        for step in range(steps):
            settled = 1.0 - math.exp(-step * _WALK_MM / 12.0)
            angle = math.radians(heading[0] + (heading[1] - heading[0]) * settled + wander[step])
            along, round_ = math.radians(phi), math.radians(theta)
            girth = math.hypot(self.heart.anterior * math.cos(round_), self.heart.lateral * math.sin(round_))
            # Near the apex the meridians meet: the floor keeps a step from spinning round it.
            theta += math.degrees(math.cos(angle) * _WALK_MM / (girth * max(abs(math.cos(along)), 0.3)))
            phi += math.degrees(
                math.sin(angle) * _WALK_MM / math.hypot(girth * math.sin(along), self.heart.length * math.cos(along))
            )
            rho -= sink / steps
            places.append((theta, phi, rho))
        return self.along(name, places, radius, parent, joined)

    def twigs(self, parent: int, count: int, depth: int = 1) -> None:
        """Small side branches and, while ``depth`` lasts, theirs; none where ``parent`` did not grow."""
        if parent < 0:
            return
        mother = self.vessels[parent]
        for number in range(count):
            share = self.rng.uniform(0.15, 0.92)
            at = int(np.clip(share * len(mother.points), 1, len(mother.points) - 2))
            ahead = self._heading(mother, at)
            side = self.rng.choice([-1.0, 1.0])
            leaving = ahead + side * self.rng.uniform(30, 75)
            settles = ahead + side * self.rng.uniform(5, 45)
            radius = mother.radius[at] * self.rng.uniform(0.35, 0.7)
            grown = self.branch(
                f"{mother.name}.{number + 1}", parent, share, radius, self.rng.uniform(10, 38), (leaving, settles)
            )
            if depth > 1:
                self.twigs(grown, int(self.rng.integers(0, 3)), depth - 1)

    def _heading(self, vessel: Vessel, at: int) -> float:
        back, front = vessel.surface[max(at - 4, 0)], vessel.surface[min(at + 4, len(vessel.surface) - 1)]
        girth = (self.heart.anterior + self.heart.lateral) / 2 * max(math.cos(math.radians(vessel.surface[at, 1])), 0.3)
        return math.degrees(math.atan2((front[1] - back[1]) * self.heart.length, (front[0] - back[0]) * girth))

    def _share(self, parent: int, joined: int, radius: float) -> None:
        """Murray's law: what is left of the parent after a branch has the cube of its radius less the branch's."""
        mother = self.vessels[parent]
        before = mother.radius[joined]
        left = max(before**3 - radius**3, (0.6 * before) ** 3) ** (1 / 3) / before
        reach = max(1, int(2.0 / STEP_MM))
        fade = np.clip(np.arange(len(mother.radius) - joined) / reach, 0.0, 1.0)
        mother.radius[joined:] *= 1.0 + (left - 1.0) * fade

    def _waves(self, points: np.ndarray, length: np.ndarray, radius: float) -> np.ndarray:
        tangent = np.gradient(points, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        outward = points / np.array([self.heart.anterior, self.heart.lateral, self.heart.length]) ** 2
        outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9
        sideways = np.cross(outward, tangent)
        height = np.zeros(len(points))
        for _ in range(4):
            wave = self.rng.uniform(7 + 8 * min(radius, 1.5), 42)
            height += (
                self.waviness
                * wave
                * (0.6 if radius > 0.8 else 0.9)
                * np.sin(2 * np.pi * (length / wave + self.rng.random()))
            )
        if self.corkscrew and radius < 1.3:
            wave = self.rng.uniform(7, 13)
            # The pitch drifts along the vessel, or the screw looks turned on a lathe.
            drift = np.cumsum(self.rng.normal(0.0, 0.02, len(points)))
            height += self.corkscrew * wave * np.sin(2 * np.pi * (length / wave + drift + self.rng.random()))
        deep = 0.12 * np.roll(height, 7)
        loose = (1.0 - np.exp(-length / 6.0))[:, None]
        return loose * (height[:, None] * sideways + deep[:, None] * outward)


def grow_tree(rng: np.random.Generator, side: str | None = None, lesions: Sequence[Lesion] | None = None) -> Tree:
    """A random left or right coronary tree.

    Proximal diameters follow Dodge et al. (Circulation 1992), branching Murray's law (PNAS 1926).

    Args:
        rng: where the randomness comes from; the same state gives the same tree.
        side: "left", "right", or None to draw it.
        lesions: the disease; None to draw it, () for none.

    Returns:
        The tree, in heart coordinates in mm.

    Raises:
        SimulationError: a lesion that this tree cannot have.
    """
    side = side or ("left" if rng.random() < 0.6 else "right")
    size = rng.uniform(0.9, 1.12)
    heart = Heart(rng.uniform(38, 45) * size, rng.uniform(43, 51) * size, rng.uniform(80, 94) * size)
    grower = _Grower(rng, heart)
    calibre = rng.normal(0.93, 0.11)
    calibre = float(np.clip(calibre, 0.75, 1.3)) / 2.0
    # Right dominance in about five of six people; else the circumflex feeds the inferior wall.
    right_dominant = rng.random() < 0.85
    if side == "left":
        _left(grower, rng, calibre, right_dominant)
    else:
        _right(grower, rng, calibre, right_dominant)
    if lesions is None:
        lesions = random_lesions(grower.vessels, rng)
    implants = apply_lesions(grower.vessels, lesions, rng)
    return Tree(side, heart, tuple(grower.vessels), tuple(lesions), tuple(implants))


def _left(grower: _Grower, rng: np.random.Generator, calibre: float, right_dominant: bool) -> None:
    def jitter(sd):
        return rng.normal(0.0, sd)

    fork = (28 + jitter(5), 2 + jitter(2), 1.0)
    main = grower.along(
        "LM",
        [(38 + jitter(8), -10 + jitter(3), rng.uniform(0.6, 0.8)), (33 + jitter(3), -5 + jitter(2), 0.9), fork],
        4.5 * calibre,
        taper=0.0,
    )
    end = len(grower.vessels[main].points) - 1
    around = rng.random() < 0.5
    lad_places = [
        fork,
        (12 + jitter(4), 10 + jitter(2), 1.0),
        (2 + jitter(4), 26 + jitter(3), 1.0),
        (jitter(5), 48, 1.0),
    ]
    lad_places += [(-2 + jitter(6), 70 + jitter(3), 1.0), (-2 + jitter(6), 100 if around else 84, 1.0)]
    lad = grower.along("LAD", lad_places, 3.7 * calibre, main, end)
    reach = 150 if right_dominant else 178
    lcx_places = [fork, (48 + jitter(3), -3 + jitter(2), 1.0), (72 + jitter(4), -5 + jitter(3), 1.0)]
    lcx_places += [(100 + jitter(4), -3 + jitter(3), 1.0), (rng.uniform(118, 138), 1 + jitter(3), 1.0)]
    if not right_dominant or rng.random() < 0.4:
        lcx_places.append((reach + jitter(5), 3 + jitter(2), 1.0))
    lcx = grower.along("LCx", lcx_places, (3.4 if right_dominant else 4.2) * calibre, main, end, taper=0.006)
    if rng.random() < 0.3:
        middle = grower.branch("RI", main, 0.97, 2.2 * calibre, rng.uniform(45, 80), (60 + jitter(8), 82))
        grower.twigs(middle, int(rng.integers(1, 3)))
    for number, share in enumerate(np.sort(rng.uniform(0.15, 0.65, int(rng.integers(2, 5))))):
        grown = grower.branch(
            f"D{number + 1}",
            lad,
            share,
            rng.uniform(1.5, 2.4) * calibre,
            rng.uniform(40, 75),
            (38 + jitter(8), 72 + jitter(6)),
        )
        grower.twigs(grown, int(rng.integers(1, 4)), 2)
    for number, share in enumerate(np.sort(rng.uniform(0.12, 0.8, int(rng.integers(4, 10))))):
        grower.branch(
            f"S{number + 1}",
            lad,
            share,
            rng.uniform(0.8, 1.4) * calibre,
            rng.uniform(8, 25),
            (180 + jitter(30), 110 + jitter(15)),
            sink=rng.uniform(0.35, 0.75),
        )
    for number, share in enumerate(np.sort(rng.uniform(0.15, 0.85, int(rng.integers(2, 5))))):
        grown = grower.branch(
            f"OM{number + 1}",
            lcx,
            share,
            rng.uniform(1.6, 2.6) * calibre,
            rng.uniform(40, 80),
            (55 + jitter(8), 86 + jitter(8)),
        )
        grower.twigs(grown, int(rng.integers(1, 4)), 2)
    grower.twigs(lad, int(rng.integers(5, 10)), 2)
    grower.twigs(lcx, int(rng.integers(3, 8)), 2)
    if not right_dominant:
        grower.branch("PDA", lcx, 0.97, 1.9 * calibre, rng.uniform(40, 65), (70, 90 + jitter(4)))


def _right(grower: _Grower, rng: np.random.Generator, calibre: float, right_dominant: bool) -> None:
    def jitter(sd):
        return rng.normal(0.0, sd)

    places = [(-42 + jitter(6), -9 + jitter(3), rng.uniform(0.5, 0.68)), (-52 + jitter(4), -5 + jitter(2), 0.9)]
    places += [(-68 + jitter(4), 0 + jitter(3), 1.02), (-92 + jitter(4), 4 + jitter(3), 1.04)]
    places += [(-118 + jitter(4), 5 + jitter(3), 1.03)]
    if right_dominant:
        places += [(-145 + jitter(4), 4 + jitter(3), 1.0), (-168 + jitter(3), 2 + jitter(2), 0.97)]
        places += [(-184 + jitter(3), 0 + jitter(2), 0.95)]
    rca = grower.along("RCA", places, (3.9 if right_dominant else 2.8) * calibre, taper=0.002)
    if right_dominant:
        down = rng.uniform(45, 75)
        pda = grower.branch("PDA", rca, 0.93, 2.2 * calibre, down, (120 + jitter(10), 90 + jitter(4)))
        grower.twigs(pda, int(rng.integers(1, 5)), 2)
        last = len(grower.vessels[rca].points) - 2
        spot = grower.vessels[rca].surface[last]
        beyond = [spot, (spot[0] - 12, spot[1] - 3 + jitter(1.5), 0.97)]
        beyond += [
            (spot[0] - 28 + jitter(4), spot[1] + 1 + jitter(3), 1.0),
            (spot[0] - 42 + jitter(5), spot[1] + 16 + jitter(5), 1.0),
        ]
        posterior = grower.along("PL", beyond, 2.1 * calibre, rca, last, taper=0.004)
        for number, share in enumerate(np.sort(rng.uniform(0.2, 0.8, int(rng.integers(1, 4))))):
            grown = grower.branch(
                f"PL{number + 1}",
                posterior,
                share,
                rng.uniform(1.2, 1.8) * calibre,
                rng.uniform(20, 50),
                (115, 92 + jitter(8)),
            )
            grower.twigs(grown, int(rng.integers(0, 3)))
    if rng.random() < 0.8:
        conus = grower.branch(
            "CB", rca, rng.uniform(0.05, 0.14), 1.3 * calibre, rng.uniform(20, 45), (40 + jitter(15), 55 + jitter(15))
        )
        grower.twigs(conus, int(rng.integers(0, 3)))
    if rng.random() < 0.7:
        node = grower.branch(
            "SN", rca, rng.uniform(0.08, 0.2), 1.1 * calibre, rng.uniform(20, 45), (240 + jitter(15), 280 + jitter(15))
        )
        grower.twigs(node, int(rng.integers(0, 2)))
    for number, share in enumerate(np.sort(rng.uniform(0.15, 0.8, int(rng.integers(2, 6))))):
        grown = grower.branch(
            f"AM{number + 1}",
            rca,
            share,
            rng.uniform(0.9, 2.0) * calibre,
            rng.uniform(25, 65),
            (125 + jitter(10), 92 + jitter(10)),
        )
        grower.twigs(grown, int(rng.integers(0, 3)), 2)
    grower.twigs(rca, int(rng.integers(3, 8)), 2)


def _straight(knots: np.ndarray, places: np.ndarray, fine: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(fine, knots, places[:, axis]) for axis in range(3)], axis=1)
