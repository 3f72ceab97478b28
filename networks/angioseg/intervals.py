"""How sure a mean is, and whether one model is better than another."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["FEWEST", "Interval", "bootstrap_interval", "seed_interval", "verdict"]

FEWEST = 6
"""Patients (or cines) that a verdict needs: five that all agree still happen by chance in more than 5 % of cases."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies with 95 % confidence.

    Attributes:
        mean: NaN without values.
        low, high: NaN with fewer than two units.
        units: how many independent ones it rests on: patients, cines or seeds.
    """

    mean: float
    low: float
    high: float
    units: int

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return ""
        if math.isnan(self.low):
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} ({self.low:.4g} to {self.high:.4g})"


def bootstrap_interval(
    values: Sequence[float], units: Sequence[Hashable], draws: int = 10_000, seed: int = 0
) -> Interval:
    """The mean over cines, and its interval by drawing whole patients again and again.

    Cines of one patient are not independent, so they are drawn together.

    Args:
        values: of each cine; NaN is not counted.
        units: of each cine, what is drawn: its patient, or itself.
        draws: how often.
        seed: of the draws.

    Returns:
        The interval between the 2.5th and 97.5th percentile.
    """
    groups: dict[Hashable, list[float]] = {}
    for value, unit in zip(values, units):
        if not math.isnan(value):
            groups.setdefault(unit, []).append(value)
    known = [value for group in groups.values() for value in group]
    if not known:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = sum(known) / len(known)
    if len(groups) < 2:
        return Interval(mean, math.nan, math.nan, len(groups))
    sums = np.array([sum(group) for group in groups.values()])
    counts = np.array([len(group) for group in groups.values()])
    drawn = np.random.default_rng(seed).integers(len(groups), size=(draws, len(groups)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), (2.5, 97.5))
    return Interval(mean, float(low), float(high), len(groups))


def seed_interval(values: Sequence[float]) -> Interval:
    """The mean over seeds with its interval by Student's t: seeds are few, and a bootstrap of few is too narrow."""
    from scipy import stats

    known = [value for value in values if not math.isnan(value)]
    mean = sum(known) / len(known) if known else math.nan
    if len(known) < 2:
        return Interval(mean, math.nan, math.nan, len(known))
    half = float(stats.t.ppf(0.975, len(known) - 1)) * float(np.std(known, ddof=1)) / math.sqrt(len(known))
    return Interval(mean, mean - half, mean + half, len(known))


def verdict(name: str, difference: Interval, more_is_better: bool = True) -> str:
    """Whether B is better than A, in a sentence.

    Args:
        name: of the figure.
        difference: of B minus A, cine by cine.
        more_is_better: of the figure.
    """
    if math.isnan(difference.mean):
        return f"{name}: nothing to compare."
    numbers = f"{name}: B - A = {difference.mean:+.4f}"
    if difference.units < FEWEST:
        return f"{numbers}; no verdict from {difference.units} independent cines or patients, {FEWEST} are needed."
    numbers += f" (95 % interval {difference.low:+.4f} to {difference.high:+.4f}, n = {difference.units})"
    if difference.low <= 0 <= difference.high:
        return f"{numbers}: no difference is shown."
    return f"{numbers}: B is {'better' if (difference.mean > 0) == more_is_better else 'worse'} than A."
