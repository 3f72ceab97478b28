"""One simulated clip with its truth."""

import math
import numbers
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.ndimage import label, uniform_filter1d

from .anatomy import STEP_MM, grow_tree
from .background import Background
from .catheter import random_catheter
from .contrast import arrival_times, random_bolus
from .detector import random_detector
from .errors import SimulationError
from .motion import random_motion
from .projection import random_view, splat

__all__ = ["VISIBLE_GREY", "SimulatedClip", "simulate_clip"]

VISIBLE_GREY = 6.0
"""The truth holds a vessel where its axis stands out by this many of the 256 grey levels, and above the noise.

Experts leave fainter twigs out as well."""

_TIP_MM = 9.0
_STRETCH_MM = 6.0
_SPECK_SHARE = 8e-5


@dataclass(frozen=True)
class SimulatedClip:
    """A cine with exact truth.

    Attributes:
        frames: (T, H, W) uint8, vessels dark.
        vessels: (T, H, W) uint8 0/1, the visible lumen.
        catheter: (T, H, W) uint8 0/1; never overlaps ``vessels``.
        times_ms: (T,) float64, from 0.
        best_frame: the frame that shows the most vessel.
        meta: how it was made: seed, side, primary_angle and secondary_angle (degrees, LAO and cranial positive),
            sid_mm, sod_mm, imager_spacing_mm, magnification, fps, bpm, french, linear (tone), burnt_in_text,
            jpeg_quality (0 = none), phases (a word a frame: "pre-contrast", "filling", "full", "washing out"),
            stenoses.
    """

    frames: np.ndarray
    vessels: np.ndarray
    catheter: np.ndarray
    times_ms: np.ndarray
    best_frame: int
    meta: dict = field(default_factory=dict)


def simulate_clip(
    seed: int,
    *,
    frames: int | None = None,
    size: tuple[int, int] = (512, 512),
    fps: float = 15.0,
    device: str | torch.device = "cpu",
) -> SimulatedClip:
    """Simulate one coronary angiogram: a new patient, view, injection and X-ray system for every seed.

    The same seed and arguments give the same clip, bit for bit on the CPU; on a GPU the noise differs. A clip of few
    frames still shows empty, filling and full vessels: contrast then flows faster than in life.

    Args:
        seed: 0 or more.
        frames: how many; None draws 28 to 60.
        size: rows and columns, 32 to 4096 each.
        fps: frames a second.
        device: where to compute, "cpu" or "cuda".

    Returns:
        The clip, on the CPU.

    Raises:
        SimulationError: a parameter no clip can be made from.
    """
    size = _check(seed, frames, size, fps)
    device = _device(device)
    # Each part draws from a stream of its own: a change in one leaves the others as they were.
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, 0xA0610]).spawn(8)]
    timing, anatomy, stand, moving, injecting, tube, scenery, system = streams
    drawn = int(timing.integers(28, 61))
    frames = frames or drawn
    duration = frames / fps
    times = np.arange(frames) / fps

    tree = grow_tree(anatomy)
    view = random_view(stand, tree.side, size)
    motion = random_motion(moving, tree, view, duration)
    bolus = random_bolus(injecting, duration, frames)
    iodine_per_mm = injecting.uniform(0.11, 0.21)
    streams_into_root = injecting.random() < 0.5
    detector = random_detector(system, size)
    background = Background(scenery, view, tree.heart, device)

    points = tree.gather([v.points for v in tree.vessels])
    radius = tree.gather([v.radius for v in tree.vessels])
    number = tree.gather([np.full(len(v.arc), index) for index, v in enumerate(tree.vessels)])
    arrival = tree.gather(arrival_times(tree, bolus))
    filling = bolus.filling(arrival, times)
    world = motion.beat(points, tree.heart, times)
    pan = motion.pan(times) * view.px_per_mm
    places, scale = view.project(world)
    places = places + pan[:, None]
    step = np.linalg.norm(np.diff(world, axis=1, prepend=world[:, :1]), axis=2)
    step[:, np.flatnonzero(np.diff(number, prepend=-1))] = 0.0
    # Foreshortening lengthens the way through a tube: length in space over length in the image.
    flat = np.linalg.norm(np.diff(places, axis=1, prepend=places[:, :1]), axis=2) / scale
    longer = np.clip(step / np.maximum(flat, 1e-6), 1.0, 3.0)
    radius_px = radius * scale
    # A disc of path in pixels: back to millimetres by the scale.
    weight = filling * iodine_per_mm * step
    axis_dark = filling * iodine_per_mm * 2 * radius * longer * _kept(radius_px, detector.blur_px)
    # Judged over a stretch, as an eye does: a thin vessel is not chopped into specks where it turns along the beam.
    for vessel in np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1):
        axis_dark[:, vessel] = uniform_filter1d(
            axis_dark[:, vessel], round(_STRETCH_MM / STEP_MM), axis=1, mode="nearest"
        )
    threshold = max(VISIBLE_GREY, 1.3 * detector.noise_grey) / detector.contrast
    # The lumen as the system spreads it: what an expert can outline of a vessel thinner than the blur.
    outline = np.maximum(np.sqrt(radius_px**2 + (1.2 * detector.blur_px) ** 2), 0.9)
    shown = np.where(axis_dark > threshold, outline, 0.0)

    tube_at = _Tube(tube, tree, motion, times, view, pan, bolus, iodine_per_mm)
    # Where the catheter sits in the ostium its rim is no vessel either.
    shown[:, (number == 0) & (tree.gather([v.arc for v in tree.vessels]) < tube_at.inside_mm)] = 0.0
    puff = _Puff(tube, tube_at.ostium_px, view.px_per_mm, bolus, times, iodine_per_mm) if streams_into_root else None

    generator = torch.Generator(device=device).manual_seed(int(system.integers(2**62)))
    state: dict = {}
    out = np.empty((frames, *size), np.uint8)
    vessels, catheter = np.empty_like(out), np.empty_like(out)
    breath_px = -motion.breath(times) * view.px_per_mm
    chunk = 1 if device.type == "cpu" else 16

    def onto(values, part):
        return torch.as_tensor(values[part], dtype=torch.float32, device=device)

    for first in range(0, frames, chunk):
        part = slice(first, first + chunk)
        attenuation = background.frames(pan[part], breath_px[part], motion, times[part])
        lumen, seen = splat(onto(places, part), onto(radius_px, part), onto(weight, part), size, onto(shown, part))
        shaft, shaft_seen = splat(
            onto(tube_at.places, part),
            onto(tube_at.radius_px, part),
            onto(tube_at.weight, part),
            size,
            onto(tube_at.shown, part),
        )
        _, tip = splat(
            onto(tube_at.places, part),
            onto(tube_at.radius_px, part),
            onto(tube_at.weight, part),
            size,
            onto(tube_at.tip, part),
        )
        attenuation += lumen + shaft
        if puff is not None:
            attenuation += puff.frames(part, size, device)
        out[part] = detector.expose(attenuation, generator, state).numpy()
        vessels[part] = (seen & ~tip & 1).cpu().numpy()
        catheter[part] = (shaft_seen & (1 - (seen & ~tip & 1))).cpu().numpy()
    hidden = detector.screen < 0.5
    vessels[:, hidden] = 0
    catheter[:, hidden] = 0
    for frame in vessels:
        _drop_specks(frame)
    area = vessels.reshape(frames, -1).sum(1, dtype=np.int64)
    return SimulatedClip(
        frames=out,
        vessels=vessels,
        catheter=catheter,
        times_ms=times * 1000.0,
        best_frame=int(area.argmax()),
        meta={
            "seed": int(seed),
            "side": tree.side,
            "primary_angle": round(view.primary_deg, 2),
            "secondary_angle": round(view.secondary_deg, 2),
            "sid_mm": round(view.sid_mm, 1),
            "sod_mm": round(view.sod_mm, 1),
            "imager_spacing_mm": round(view.pixel_mm, 5),
            "magnification": round(view.magnification, 4),
            "fps": float(fps),
            "bpm": round(motion.bpm, 1),
            "french": tube_at.french,
            "linear": detector.linear,
            "burnt_in_text": detector.text is not None,
            "jpeg_quality": detector.jpeg,
            "phases": _phases(area, int(area.argmax())),
            "stenoses": [vars(s) for s in tree.stenoses],
        },
    )


class _Tube:
    """The catheter's samples in every frame: outer wall, hollow, and the contrast in it."""

    def __init__(self, rng, tree, motion, times, view, pan, bolus, iodine_per_mm):
        origin = motion.beat(tree.vessels[0].points[[0, 12]], tree.heart, times)
        ostium = origin[:, 0]
        inwards = (origin[:, 1] - origin[:, 0]).mean(axis=0)
        catheter = random_catheter(rng, ostium.mean(axis=0), inwards / np.linalg.norm(inwards))
        self.french, self.inside_mm = catheter.french, catheter.inside_mm
        places, scale = view.project(catheter.follow(ostium))
        places = places + pan[:, None]
        self.ostium_px = view.project(ostium)[0] + pan
        outer = catheter.radius_mm * scale
        step = np.linalg.norm(np.diff(places, axis=1, append=places[:, -1:]), axis=2)
        wall = catheter.wall / (2 * outer) * step
        # The syringe fills the catheter a little before contrast shows at the ostium.
        full = bolus.filling(np.zeros(1), times + 0.25 / bolus.hurry)
        primed = rng.choice([0.0, rng.uniform(0.3, 1.0)])
        content = np.maximum(full, primed) * iodine_per_mm * step / scale
        self.places = np.concatenate([places, places, places], axis=1)
        self.radius_px = np.concatenate([outer, 0.62 * outer, 0.62 * outer], axis=1)
        self.weight = np.concatenate([1.35 * wall, -0.6 * wall, content], axis=1)
        nothing = np.zeros_like(outer)
        self.shown = np.concatenate([np.maximum(outer, 0.9), nothing, nothing], axis=1)
        near = np.broadcast_to(catheter.arc < _TIP_MM, outer.shape)
        self.tip = np.concatenate([np.where(near, np.maximum(outer, 0.9), 0.0), nothing, nothing], axis=1)


class _Puff:
    """Contrast that spills into the aortic root and is carried off: smoke, not a vessel."""

    def __init__(self, rng, ostium_px, px_per_mm, bolus, times, iodine_per_mm):
        count = 5
        self._spread = rng.uniform(3, 9, count) * px_per_mm
        away = rng.normal(0, 7, (count, 2)) * px_per_mm
        drift = rng.normal(0, 6, (count, 2)) * px_per_mm + np.array([0.0, -8.0]) * px_per_mm
        come = bolus.filling(rng.uniform(0.1, 0.6, count), times)
        beat = 0.5 + 0.5 * np.sin(times[:, None] * rng.uniform(4, 9) + rng.uniform(0, 6, count))
        self._dark = come * beat * iodine_per_mm * rng.uniform(0.2, 1.6)
        self._at = ostium_px[:, None] + away + drift * (times[:, None, None] % 1.0)

    def frames(self, part, size, device):
        x = torch.arange(size[1], dtype=torch.float32, device=device)
        y = torch.arange(size[0], dtype=torch.float32, device=device)
        at = torch.as_tensor(self._at[part], dtype=torch.float32, device=device)
        spread = torch.as_tensor(self._spread, dtype=torch.float32, device=device)
        dark = torch.as_tensor(self._dark[part], dtype=torch.float32, device=device)
        across = torch.exp(-0.5 * ((x - at[..., :1]) / spread[:, None]) ** 2)
        down = torch.exp(-0.5 * ((y - at[..., 1:]) / spread[:, None]) ** 2) * dark[..., None]
        # A sum of products of a column and a row: one matrix product a frame.
        return torch.matmul(down.transpose(1, 2), across)


def _drop_specks(mask: np.ndarray) -> None:
    """Takes out pieces too small for an eye: twigs that show only where they run along the beam."""
    pieces, _ = label(mask, structure=np.ones((3, 3)))
    small = np.bincount(pieces.ravel()) < _SPECK_SHARE * mask.size
    mask[small[pieces]] = 0


def _device(device: str | torch.device) -> torch.device:
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise SimulationError(f"There is no device {device!r}: say cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SimulationError("This machine has no CUDA device: simulate on the cpu.")
    return device


def _kept(radius_px: np.ndarray, blur_px: float) -> np.ndarray:
    """Share of a tube's contrast at its axis that a Gaussian blur leaves."""
    return radius_px / np.sqrt(radius_px**2 + 2.0 * blur_px**2)


def _phases(area: np.ndarray, best: int) -> list[str]:
    full = area >= 0.85 * max(int(area.max()), 1)
    words = []
    for frame, (pixels, filled) in enumerate(zip(area, full)):
        if pixels == 0 and not area[: frame + 1].any():
            words.append("pre-contrast")
        elif filled:
            words.append("full")
        else:
            words.append("filling" if frame < best else "washing out")
    return words


def _check(seed, frames, size, fps) -> tuple[int, int]:
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise SimulationError(f"A seed is a whole number from 0 on, not {seed!r}.")
    if frames is not None and (not isinstance(frames, numbers.Integral) or not 3 <= frames <= 10000):
        raise SimulationError(
            f"A clip has 3 to 10000 frames, not {frames!r}: empty, filling and full vessels need three."
        )
    try:
        height, width = (int(n) for n in size)
        whole = (height, width) == tuple(size)
    except (TypeError, ValueError):
        whole = False
    if not whole or not (32 <= height <= 4096 and 32 <= width <= 4096):
        raise SimulationError(f"An image has 32 to 4096 rows and columns, given as (rows, columns), not {size!r}.")
    if not isinstance(fps, numbers.Real) or not (math.isfinite(fps) and 1.0 <= fps <= 120.0):
        raise SimulationError(f"A frame rate is 1 to 120 frames a second, not {fps!r}.")
    return height, width
