"""Simulated cines beside real ones: the measures of both sides in one table."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..tables import markdown_table
from .realism import histogram_distance

__all__ = ["MEASURES", "Row", "compare", "save_csv", "save_markdown", "table_of"]

MEASURES = {
    "grey_mean": ("mean grey level", "of 255"),
    "grey_sd": ("standard deviation of the grey levels in a frame", "of 255"),
    "histogram_nearest": ("distance to the nearest real cine's histogram", "sd"),
    "histogram_mean": ("mean distance to the real cines' histograms", "sd"),
    "noise_sd": ("noise", "of 255"),
    "noise_half_power": ("half of the noise's power lies below", "cycles/px"),
    "contrast": ("vessel contrast to noise, best frame", ""),
    "sharpness": ("sharpness of the vessels' edges, best frame", "of a step/px"),
    "width_10": ("vessel width, 10th percentile", "px at 512"),
    "width_50": ("vessel width, median", "px at 512"),
    "width_90": ("vessel width, 90th percentile", "px at 512"),
    "share_best": ("vessel share of the pixels, best frame", "%"),
    "share_mean": ("vessel share of the pixels, whole clip", "%"),
    "time_to_peak": ("time from first contrast to peak", "s"),
    "displacement": ("displacement of the vessels from frame to frame", "px at 512"),
    "speed": ("speed of the vessels", "px at 512 a second"),
}
"""What is measured: key -> (name, unit)."""

_HISTOGRAMS = ("histogram_nearest", "histogram_mean")
_SIDES = ("simulated", "truth", "real")


@dataclass(frozen=True)
class Row:
    """One measure of both sides.

    Attributes:
        key: of :data:`MEASURES`.
        simulated: (median, smallest, largest) over the simulated cines, masks by the network; NaN where not measured.
        truth: the same with the exact masks; None where a measure needs no mask.
        real: the same over the real cines, masks by the network; None without real cines.
        real_cines: how many of those have it; one has no range.
    """

    key: str
    simulated: tuple[float, float, float]
    truth: tuple[float, float, float] | None
    real: tuple[float, float, float] | None
    real_cines: int

    @property
    def inside(self) -> bool | None:
        """Whether the simulated median lies in the real range; None where one of them is not known."""
        if self.real_cines < 2 or not math.isfinite(self.simulated[0]) or not math.isfinite(self.real[0]):
            return None
        return self.real[1] <= self.simulated[0] <= self.real[2]


def compare(
    simulated: Sequence[Mapping[str, float]],
    truth: Sequence[Mapping[str, float]],
    real: Sequence[Mapping[str, float]],
    histograms: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
) -> list[Row]:
    """Put the measures of the simulated and the real cines beside each other.

    A real cine's distance to the real histograms is that to the others, so a simulated cine inside that range differs
    from the real ones no more than they do from each other.

    Args:
        simulated: the measures of each simulated cine.
        truth: the same with exact masks.
        real: the measures of each real cine; may be empty.
        histograms: of the simulated and of the real cines (see :func:`grey_histogram`).

    Returns:
        A row for each of :data:`MEASURES`; those of the histograms only with two real cines or more.
    """
    distances = _distances(*histograms)
    rows = []
    for key in MEASURES:
        if key in _HISTOGRAMS:
            if distances:
                rows.append(Row(key, _range(distances[key][0]), None, _range(distances[key][1]), len(real)))
            continue
        exact = _range([m[key] for m in truth]) if all(key in m for m in truth) else None
        known = [m[key] for m in real]
        count = sum(map(math.isfinite, known))
        rows.append(Row(key, _range([m[key] for m in simulated]), exact, _range(known) if real else None, count))
    return rows


def _distances(
    simulated: Sequence[np.ndarray], real: Sequence[np.ndarray]
) -> dict[str, tuple[list[float], list[float]]]:
    if len(real) < 2:
        return {}
    ours = [[histogram_distance(one, other) for other in real] for one in simulated]
    theirs = [[histogram_distance(one, other) for j, other in enumerate(real) if j != i] for i, one in enumerate(real)]
    return {
        "histogram_nearest": ([min(d) for d in ours], [min(d) for d in theirs]),
        "histogram_mean": ([float(np.mean(d)) for d in ours], [float(np.mean(d)) for d in theirs]),
    }


def _range(values: Sequence[float]) -> tuple[float, float, float]:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return math.nan, math.nan, math.nan
    return float(np.median(known)), min(known), max(known)


def save_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write the comparison with a column for every number; what is not known is empty."""
    header = ["measure", "unit"] + [f"{side}_{what}" for side in _SIDES for what in ("median", "min", "max")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*header, "inside"])
        for row in rows:
            numbers = [value for side in _SIDES for value in (getattr(row, side) or [math.nan] * 3)]
            texts = ["" if math.isnan(value) else f"{value:.6g}" for value in numbers]
            inside = {None: "", False: "no", True: "yes"}[row.inside]
            writer.writerow([row.key, MEASURES[row.key][1], *texts, inside])


def save_markdown(path: Path, table: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """Write the comparison for people: a table (see :func:`table_of`), and a paragraph for each of ``notes``."""
    path.write_text(markdown_table(table) + "\n" + "".join(f"\n{note}\n" for note in notes), encoding="utf-8")


def table_of(rows: Sequence[Row]) -> list[list[str]]:
    """The comparison in words: a heading and a line for each row, with as many columns as are known."""
    real = any(row.real for row in rows)
    table = [["measure", "unit", "simulated", "simulated, exact masks", *(["real", "inside"] if real else [])]]
    for row in rows:
        name, unit = MEASURES[row.key]
        line = [name, unit, _words(row.simulated), _words(row.truth)]
        table.append(line + ([_words(row.real), {None: "", False: "no", True: "yes"}[row.inside]] if real else []))
    return table


def _words(numbers: tuple[float, float, float] | None) -> str:
    if numbers is None or math.isnan(numbers[0]):
        return ""
    middle, low, high = (f"{value:.3g}" for value in numbers)
    return f"{middle} ({low} to {high})"
