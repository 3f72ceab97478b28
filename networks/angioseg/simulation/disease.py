"""What can be wrong with an artery: narrowed, closed, widened, calcified, or held open by a stent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import SimulationError

__all__ = ["KINDS", "Implant", "Lesion", "apply_lesions", "random_lesions"]

KINDS = ("stenosis", "occlusion", "ectasia", "calcification", "stent")
_WIRE_MM = 0.09
_WIRE_SAMPLES = 12  # a point of the vessel


@dataclass(frozen=True)
class Lesion:
    """One diseased place.

    Attributes:
        kind: "stenosis", "occlusion", "ectasia", "calcification" or "stent".
        vessel: name of the vessel it lies in, such as "LAD".
        at_mm: its middle, mm along the vessel from where it begins.
        length_mm: its length.
        severity: share of the diameter that is lost (stenosis, 0 to 1) or gained (ectasia, 0 to 2); attenuation through
            the middle (calcification, and stent: of its wires, 0 to 2). Without meaning for an occlusion.
    """

    kind: str
    vessel: str
    at_mm: float
    length_mm: float
    severity: float = 1.0


@dataclass(frozen=True)
class Implant:
    """What shows without contrast and moves with the artery: calcium, or a stent's wires.

    Attributes:
        points: (n, 3) heart coordinates, mm.
        radius: (n,) mm.
        dark: (n,) attenuation that each sample adds over the area of its disc.
    """

    points: np.ndarray
    radius: np.ndarray
    dark: np.ndarray


def apply_lesions(vessels: Sequence, lesions: Sequence[Lesion], rng: np.random.Generator) -> list[Implant]:
    """Change the radii of ``vessels`` as the lesions have it, and mark where an occlusion ends the flow.

    Args:
        vessels: ``anatomy.Vessel``; their ``radius`` and ``open_to`` change.
        lesions: what to apply.
        rng: for the shape of calcium.

    Returns:
        What the lesions add.

    Raises:
        SimulationError: a lesion that these vessels cannot have.
    """
    named = {vessel.name: vessel for vessel in vessels}
    implants = []
    for lesion in lesions:
        _check(lesion, named)
        vessel = named[lesion.vessel]
        along = vessel.arc - vessel.arc[0]
        away = np.abs(along - lesion.at_mm) / (lesion.length_mm / 2)
        swell = np.where(away < 1, 0.5 + 0.5 * np.cos(np.pi * away), 0.0)
        if lesion.kind == "stenosis":
            vessel.radius[:] = vessel.radius * (1.0 - lesion.severity * swell)
        elif lesion.kind == "ectasia":
            # Wide over its whole length, not only in the middle.
            vessel.radius[:] = vessel.radius * (1.0 + lesion.severity * np.minimum(1.0, 2.0 * swell))
        elif lesion.kind == "occlusion":
            vessel.open_to = min(vessel.open_to, int(np.searchsorted(along, lesion.at_mm)))
        elif lesion.kind == "calcification":
            implants.append(_calcium(vessel, np.flatnonzero(away < 1), lesion.severity, rng))
        else:
            implants.append(_wires(vessel, np.flatnonzero(away < 1), lesion.severity))
    return implants


def random_lesions(vessels: Sequence, rng: np.random.Generator) -> list[Lesion]:
    """The disease of one patient in a catheter laboratory."""
    wide = [v for v in vessels if v.radius.max() > 0.6 and v.arc[-1] - v.arc[0] > 25 and v.name != "LM"]

    def place(kind, low, high, shortest, longest) -> Lesion:
        vessel = wide[int(rng.integers(len(wide)))]
        length = rng.uniform(shortest, longest)
        at = rng.uniform(0.1, 0.7) * (vessel.arc[-1] - vessel.arc[0])
        return Lesion(kind, vessel.name, float(at), float(length), float(rng.uniform(low, high)))

    lesions = []
    if rng.random() < 0.45:
        lesions += [place("stenosis", 0.3, 0.85, 5, 18) for _ in range(int(rng.integers(1, 3)))]
    for kind, chance, low, high, shortest, longest in (
        ("occlusion", 0.05, 1.0, 1.0, 2, 5),
        ("ectasia", 0.06, 0.3, 0.9, 8, 30),
        ("calcification", 0.15, 0.05, 0.3, 4, 25),
        ("stent", 0.12, 0.1, 0.35, 12, 30),
    ):
        if rng.random() < chance:
            lesions.append(place(kind, low, high, shortest, longest))
    return lesions


def _calcium(vessel, inside: np.ndarray, dark: float, rng: np.random.Generator) -> Implant:
    """Flakes in the wall, on one side more than on the other."""
    first, second = _across(vessel.points[inside])
    side = rng.uniform(0, 2 * np.pi) + rng.normal(0.0, 0.9, len(inside))
    radius = rng.uniform(0.15, 0.5, len(inside))
    out = (vessel.radius[inside] + 0.2)[:, None]
    points = vessel.points[inside] + out * (np.cos(side)[:, None] * first + np.sin(side)[:, None] * second)
    return Implant(points, radius, dark * (rng.random(len(inside)) < 0.5) * rng.uniform(0.3, 1.0, len(inside)))


def _wires(vessel, inside: np.ndarray, dark: float) -> Implant:
    """Two wires wound against each other round the lumen, as a mesh shows that is finer than the picture."""
    middle, out = vessel.points[inside], vessel.radius[inside, None]
    first, second = (out * way for way in _across(middle))
    # Between the points too: a turn takes six of them.
    last = len(inside) - 1
    fine = np.linspace(0.0, last, last * _WIRE_SAMPLES, endpoint=False)
    below = fine.astype(int)
    share = (fine - below)[:, None]
    middle, first, second = (way[below] + share * (way[below + 1] - way[below]) for way in (middle, first, second))
    turn = 2 * np.pi * fine[:, None] / 6
    wires = [middle + np.cos(turn) * first + sign * np.sin(turn) * second for sign in (1.0, -1.0)]
    # A sample stands for its step of wire: the way through the middle of a wire is then its diameter.
    step = [np.linalg.norm(np.diff(wire, axis=0, append=wire[-1:]), axis=1) for wire in wires]
    points = np.concatenate(wires)
    return Implant(points, np.full(len(points), _WIRE_MM), dark * np.concatenate(step) / (2 * _WIRE_MM))


def _across(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors (n, 3) across a course (n, 3)."""
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    first = np.cross(along, [0.31, 0.59, 0.74])
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-9
    return first, np.cross(along, first)


def _check(lesion: Lesion, named: dict) -> None:
    if lesion.kind not in KINDS:
        raise SimulationError(f"There is no lesion {lesion.kind!r}: say {', '.join(KINDS)}.")
    if lesion.vessel not in named:
        known = ", ".join(name for name in named if "." not in name)
        raise SimulationError(f"This tree has no vessel {lesion.vessel!r} for a {lesion.kind}: it has {known}.")
    vessel = named[lesion.vessel]
    whole = float(vessel.arc[-1] - vessel.arc[0])
    numbers = (lesion.at_mm, lesion.length_mm, lesion.severity)
    if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise SimulationError(f"Place, length and severity of a {lesion.kind} are numbers, not {numbers}.")
    if not 0 <= lesion.at_mm <= whole:
        raise SimulationError(f"{lesion.vessel} is {whole:.0f} mm long: no {lesion.kind} lies at {lesion.at_mm:g} mm.")
    if not lesion.length_mm > 0:
        raise SimulationError(f"A {lesion.kind} has a length above 0 mm, not {lesion.length_mm:g}.")
    most = 1.0 if lesion.kind in ("stenosis", "occlusion") else 2.0
    if not 0 <= lesion.severity <= most:
        raise SimulationError(
            f"A severity of {lesion.severity:g} gives a {lesion.kind} no diameter that exists: it is 0 to {most:g}."
        )
    if len(vessel.points[np.abs(vessel.arc - vessel.arc[0] - lesion.at_mm) < lesion.length_mm / 2]) < 3:
        raise SimulationError(
            f"Too little of a {lesion.kind} of {lesion.length_mm:g} mm at {lesion.at_mm:g} mm lies in {lesion.vessel}: "
            "make it longer, or move it inwards."
        )
