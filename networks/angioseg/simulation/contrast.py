"""The contrast agent: when the bolus is where along a vessel."""

from dataclasses import dataclass

import numpy as np

from .anatomy import Tree

__all__ = ["Bolus", "arrival_times", "random_bolus"]

_NEVER_S = 1e5


@dataclass(frozen=True)
class Bolus:
    """One injection.

    Attributes:
        start_s: when contrast first reaches the ostium. inject_s: how long it is injected.
        speed_mm_s: how fast its front travels in a vessel of 1.5 mm radius; slower in smaller ones.
        front_s, tail_s: how sharp its front is and how slowly it washes out.
        strength: iodine at full filling, 1 = blood replaced by the agent.
        streaming: share of the filling that comes and goes with the beat, where the heart sends blood between the
            agent. beat_s: seconds of film a beat; beat_shift: where in it the run starts, 0..1.
        hurry: how many seconds of flow pass in a second of film (1 in life; more where few frames show all phases).
    """

    start_s: float
    inject_s: float
    speed_mm_s: float
    front_s: float
    tail_s: float
    strength: float
    streaming: float
    beat_s: float
    beat_shift: float
    hurry: float

    def filling(self, arrival_s: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """Share of full contrast (T, n) at points the front reaches ``arrival_s`` (n,) after it entered the ostium."""
        late = np.asarray(seconds)[:, None] * self.hurry - self.start_s - arrival_s[None]
        # The bolus spreads as it travels: its front and its tail soften with the way.
        front = self.front_s * (1.0 + 0.5 * arrival_s[None])
        tail = self.tail_s * (1.0 + 0.4 * arrival_s[None])
        come = np.clip(late / front, 0.0, 1.0)
        come = come * come * (3.0 - 2.0 * come)
        gone = np.exp(-np.maximum(late - self.inject_s, 0.0) / tail)
        # The heart beats in the time of the film, however fast contrast flows.
        beat = (np.asarray(seconds)[:, None] - arrival_s[None] / self.hurry) / self.beat_s + self.beat_shift
        mixed = 1.0 - self.streaming * (0.5 + 0.5 * np.sin(2 * np.pi * beat))
        return self.strength * come * gone * mixed


def arrival_times(tree: Tree, bolus: Bolus) -> list[np.ndarray]:
    """Seconds from the ostium to each point of each vessel, one (n,) array a vessel; hours behind an occlusion."""
    times: list[np.ndarray] = []
    for vessel in tree.vessels:
        begin = times[vessel.parent][vessel.joined] if vessel.parent >= 0 else 0.0
        speed = bolus.speed_mm_s * np.clip(vessel.radius / 1.5, 0.25, 1.3) ** 0.5
        way = np.diff(vessel.arc, prepend=vessel.arc[0])
        late = begin + np.cumsum(way / speed)
        late[vessel.open_to :] += _NEVER_S
        times.append(late)
    return times


def random_bolus(rng: np.random.Generator, duration_s: float, frames: int, bpm: float, shift: float) -> Bolus:
    """An injection that shows every phase within ``frames`` frames of a run of ``duration_s`` seconds.

    One in eight is incomplete; one in four streams. ``bpm`` and ``shift`` are those of the heart's
    :class:`~angioseg.simulation.motion.Motion`.
    """
    # A run shorter than this cannot show empty, filling and full vessels at the speed of life.
    hurry = max(1.0, 2.6 / duration_s)
    flow_s = duration_s * hurry
    # At least one frame lies before the contrast.
    start = max(rng.uniform(0.08, 0.22) * min(flow_s, 5.0), 1.01 * flow_s / frames)
    bolus = Bolus(
        start_s=float(start),
        inject_s=float(rng.uniform(1.8, 3.4) + 0.15 * max(flow_s - 3.0, 0.0)),
        speed_mm_s=float(rng.uniform(90, 210)),
        front_s=float(rng.uniform(0.3, 0.9)),
        tail_s=float(rng.uniform(0.4, 1.2)),
        strength=float(rng.uniform(0.4, 0.75) if rng.random() < 0.12 else rng.uniform(0.75, 1.0)),
        streaming=float(rng.uniform(0.15, 0.5) if rng.random() < 0.25 else 0.0),
        beat_s=60.0 / bpm,
        beat_shift=float(shift),
        hurry=float(hurry),
    )
    # Once a beat of its own began here: what others draw after this stays the same for a seed.
    rng.random()
    return bolus
