"""Cone-beam projection: from the patient to the detector, and how much contrast lies along each ray."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["View", "cover", "random_view", "splat"]

_WINDOWS = (2, 3, 4, 6, 8, 11, 15, 20, 28, 40, 56, 80, 112, 160)


@dataclass(frozen=True)
class View:
    """Where the X-ray system stands. Angles and distances as in DICOM XA (PS3.3 C.8.7.5).

    Attributes:
        primary_deg: LAO positive, RAO negative. secondary_deg: cranial positive, caudal negative.
        sid_mm: source to detector. sod_mm: source to isocentre.
        pixel_mm: detector spacing of one image pixel.
        size: image rows and columns.
    """

    primary_deg: float
    secondary_deg: float
    sid_mm: float
    sod_mm: float
    pixel_mm: float
    size: tuple[int, int]

    @property
    def magnification(self) -> float:
        """Of what lies at the isocentre."""
        return self.sid_mm / self.sod_mm

    @property
    def px_per_mm(self) -> float:
        """Image pixels a millimetre at the isocentre."""
        return self.magnification / self.pixel_mm

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) rows: image right, image down and source-to-detector, in the patient (x left, y back, z head)."""
        a, b = math.radians(self.primary_deg), math.radians(self.secondary_deg)
        right = [math.cos(a), math.sin(a), 0.0]
        up = [-math.sin(a) * math.sin(b), math.cos(a) * math.sin(b), math.cos(b)]
        beam = [math.sin(a) * math.cos(b), -math.cos(a) * math.cos(b), math.sin(b)]
        return np.array([right, [-v for v in up], beam])

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) mm from the isocentre: image places (..., 2), column and row, and pixels a mm (...)."""
        seen = points @ self.axes.T
        scale = self.sid_mm / (self.sod_mm + seen[..., 2]) / self.pixel_mm
        middle = np.array([(self.size[1] - 1) / 2, (self.size[0] - 1) / 2])
        return seen[..., :2] * scale[..., None] + middle, scale


_VIEWS = {
    "left": [(-30, -20), (-10, 35), (45, 25), (45, -25), (0, 32), (0, -30), (-30, 20), (-35, 0), (5, -10)],
    "right": [(45, 0), (30, 22), (-30, 0), (0, 28), (40, -15), (-25, 20)],
}


def random_view(rng: np.random.Generator, side: str, size: tuple[int, int]) -> View:
    """A clinical working view of the left or right tree, with the operator's variation."""
    views = _VIEWS[side]
    primary, secondary = views[int(rng.integers(len(views)))]
    field_mm = rng.choice([115.0, 135.0, 160.0, 180.0, 200.0, 225.0], p=[0.15, 0.2, 0.25, 0.2, 0.15, 0.05])
    return View(
        primary_deg=float(primary + rng.normal(0.0, 6.0)),
        secondary_deg=float(secondary + rng.normal(0.0, 5.0)),
        sid_mm=float(rng.uniform(960, 1180)),
        sod_mm=float(rng.uniform(720, 790)),
        pixel_mm=float(field_mm / max(size)),
        size=size,
    )


def splat(places: torch.Tensor, radius: torch.Tensor, weight: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Line integrals through tubes given by samples of their centrelines.

    Each sample adds its ``weight`` inside a disc. Discs of one radius summed along a line give the chord of a tube,
    2 sqrt(r^2 - d^2), times weight per step: with the step's length in space as weight, foreshortened tubes get their
    longer path, and tubes that cross add up, both as Beer and Lambert have it.

    Args:
        places: (T, n, 2) column and row, pixels.
        radius: (T, n) pixels.
        weight: (T, n); a sample of weight 0 adds nothing.
        size: rows and columns.

    Returns:
        (T, H, W) float sums.
    """
    # Discs thinner than a pixel keep their area.
    drawn = radius.clamp(0.7, _WINDOWS[-1] - 1.0)
    weight = weight * (radius / drawn) ** 2
    canvas = _Canvas(drawn, size, torch.float32)
    for chosen, index, distance in canvas.discs(places, weight != 0):
        inside = ((drawn[chosen] + 0.5)[:, None, None] - distance).clamp_(0.0, 1.0) * weight[chosen][:, None, None]
        canvas.flat.index_add_(0, index.reshape(-1), inside.reshape(-1))
    return canvas.image()


def cover(places: torch.Tensor, radius: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The union of discs.

    Args:
        places: (T, n, 2) column and row, pixels.
        radius: (T, n) pixels; 0 where a sample covers nothing.
        size: rows and columns.

    Returns:
        (T, H, W) uint8, 0 or 1.
    """
    radius = radius.clamp_max(_WINDOWS[-1] - 1.0)
    canvas = _Canvas(radius, size, torch.uint8)
    for chosen, index, distance in canvas.discs(places, radius > 0):
        canvas.flat[index[distance < radius[chosen][:, None, None]]] = 1
    return canvas.image()


class _Canvas:
    """Frames with a rim wide enough that no disc of ``radius`` (T, n) has to be cut at the border."""

    def __init__(self, radius: torch.Tensor, size: tuple[int, int], dtype: torch.dtype):
        self._size, self._need = size, radius + 1.0
        widest = float(self._need.max()) if radius.numel() else 0.0
        self._rim = 2 * next(half for half in _WINDOWS if half >= widest) + 2
        self._shape = (len(radius), *(side + 2 * self._rim for side in size))
        self.flat = torch.zeros(math.prod(self._shape), dtype=dtype, device=radius.device)

    def discs(self, places: torch.Tensor, live: torch.Tensor) -> Iterator[tuple]:
        """For discs of like size together: which samples, their windows in ``flat``, distances to the middle."""
        (height, width), (_, tall, wide), need = self._size, self._shape, self._need
        x, y = places[..., 0], places[..., 1]
        live = live & (x > -need) & (x < width + need) & (y > -need) & (y < height + need)
        below = 0
        for half in _WINDOWS:
            chosen = (live & (need > below) & (need <= half)).nonzero(as_tuple=True)
            below = half
            if not len(chosen[0]):
                continue
            reach = torch.arange(-half, half + 1, device=places.device)
            column, row = x[chosen].round(), y[chosen].round()
            dx = (column - x[chosen])[:, None] + reach
            dy = (row - y[chosen])[:, None] + reach
            distance = (dy[:, :, None] ** 2 + dx[:, None, :] ** 2).sqrt_()
            start = (chosen[0] * tall + row.long() + self._rim) * wide + column.long() + self._rim
            yield chosen, start[:, None, None] + (reach[:, None] * wide + reach[None, :]), distance

    def image(self) -> torch.Tensor:
        """(T, H, W), the rim cut off."""
        inner = (slice(self._rim, self._rim + side) for side in self._size)
        return self.flat.view(self._shape)[(slice(None), *inner)]
