"""One simulated clip with its truth."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from .anatomy import STEP_MM, grow_tree
from .background import Background
from .catheter import random_catheter
from .codec import through_video
from .contrast import arrival_times, random_bolus
from .detector import random_detector
from .disease import Lesion
from .errors import SimulationError
from .motion import random_motion
from .projection import cover, random_view, splat
from .truth import Centrelines, drop_specks, frame_phases

__all__ = ["VISIBLE_GREY", "SimulatedClip", "random_timing", "simulate_clip"]

VISIBLE_GREY = 6.0
"""The truth holds a vessel where its axis stands out by this many of the 256 grey levels, and above the noise.

Experts leave fainter twigs out as well."""

_TIP_MM = 9.0
_STRETCH_MM = 6.0
_LONGEST_PATH = 3.5  # times its width: no vessel runs straight along the beam for longer
_REACH = 4  # samples


@dataclass(frozen=True)
class SimulatedClip:
    """A cine with exact truth.

    Attributes:
        frames: (T, H, W) uint8, vessels dark.
        vessels: (T, H, W) uint8 0/1, the visible lumen.
        catheter: (T, H, W) uint8 0/1; never overlaps ``vessels``.
        times_ms: (T,) float64, from 0.
        best_frame: the frame that shows the most vessel.
        centrelines: every vessel's middle line, by name, with its diameter.
        meta: how it was made: seed, side, primary_angle and secondary_angle (degrees, LAO and cranial positive),
            sid_mm, sod_mm, imager_spacing_mm, magnification, fps, bpm, french, linear (tone), burnt_in_text,
            jpeg_quality (0 = none), video_codec ("" = none), compression_ratio (bytes before over bytes as JPEG or
            video, 0 = none), contrast_ms (when the first contrast enters), phases (a word a frame: "pre-contrast",
            "filling", "full", "washing out"), lesions.
    """

    frames: np.ndarray
    vessels: np.ndarray
    catheter: np.ndarray
    times_ms: np.ndarray
    best_frame: int
    centrelines: Centrelines
    meta: dict = field(default_factory=dict)


def simulate_clip(
    seed: int,
    *,
    frames: int | None = None,
    size: tuple[int, int] = (512, 512),
    fps: float | None = None,
    side: str | None = None,
    lesions: Sequence[Lesion] | None = None,
    noise: bool = True,
    device: str | torch.device = "cpu",
) -> SimulatedClip:
    """Simulate one coronary angiogram: a new patient, view, injection and X-ray system for every seed.

    The same seed and arguments give the same clip, bit for bit on the CPU; on a GPU the noise differs, and geometry,
    truth and the noise-free image agree up to rounding. A clip of few frames still shows empty, filling and full
    vessels: contrast then flows faster than in life.

    Args:
        seed: 0 or more.
        frames: how many; None draws a run of 3 to 10 s.
        size: rows and columns, 32 to 4096 each.
        fps: frames a second; None draws 7.5 to 15, now and then 30.
        side: "left" or "right" coronary tree; None draws it.
        lesions: the disease; None draws it, () is healthy.
        noise: False leaves out quantum noise and the artefacts of compression.
        device: where to compute, "cpu" or "cuda".

    Returns:
        The clip, on the CPU.

    Raises:
        SimulationError: a parameter no clip can be made from, or a device that is not there.
    """
    size = _check(seed, frames, size, fps, side)
    device = _device(device)
    # Each part draws from a stream of its own: a change in one leaves the others as they were.
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, 0xA0610]).spawn(8)]
    timing, anatomy, stand, moving, injecting, tube, scenery, system = streams
    drawn_frames, drawn_fps = random_timing(timing)
    fps = fps or drawn_fps
    frames = frames or round(drawn_frames / drawn_fps * fps)
    duration = frames / fps
    times = np.arange(frames) / fps

    tree = grow_tree(anatomy, side, lesions)
    view = random_view(stand, tree.side, size)
    motion = random_motion(moving, tree, view, duration)
    bolus = random_bolus(injecting, duration, frames, motion.bpm, motion.shift)
    iodine_per_mm = injecting.uniform(0.10, 0.22)
    streams_into_root = injecting.random() < 0.5
    detector = random_detector(system, size)
    pan = motion.pan(times) * view.px_per_mm
    breath_px = -motion.breath(times) * view.px_per_mm
    reach_px = np.abs([pan[:, 0], pan[:, 1], pan[:, 1] + breath_px]).max()
    background = Background(scenery, view, tree.heart, device, reach_px)

    points = tree.gather([v.points for v in tree.vessels])
    radius = tree.gather([v.radius for v in tree.vessels])
    number = tree.gather([np.full(len(v.arc), index) for index, v in enumerate(tree.vessels)])
    arc = tree.gather([v.arc for v in tree.vessels])
    filling = bolus.filling(tree.gather(arrival_times(tree, bolus)), times)

    def seen(what: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heart coordinates (n, 3) as pixels (T, n, 2) and pixels a mm (T, n)."""
        places, scale = view.project(motion.beat(what, tree.heart, at))
        return places + pan[:, None], scale

    places, scale = seen(points, times)
    step = _steps(points, number)
    longer = _lengthening(places / scale[..., None], arc, number)
    radius_px = radius * scale
    # A disc of path in pixels: back to millimetres by the scale.
    weight = filling * iodine_per_mm * step * np.minimum(1.0, _LONGEST_PATH / longer)
    axis_dark = (
        filling * iodine_per_mm * 2 * radius * np.minimum(longer, _LONGEST_PATH) * _kept(radius_px, detector.blur_px)
    )
    # Judged over a stretch, as an eye does: a thin vessel is not chopped into specks where it turns along the beam.
    # Never across an occlusion: nothing flows behind it.
    flows = tree.gather([np.arange(len(v.arc)) < v.open_to for v in tree.vessels])
    for stretch in np.split(np.arange(len(number)), np.flatnonzero(np.diff(2 * number + flows)) + 1):
        axis_dark[:, stretch] = uniform_filter1d(
            axis_dark[:, stretch], round(_STRETCH_MM / STEP_MM), axis=1, mode="nearest"
        )
    threshold = max(VISIBLE_GREY, 1.3 * detector.noise_shown) / detector.contrast
    # The lumen as the system spreads it: what an expert can outline of a vessel thinner than the blur.
    outline = np.maximum(np.sqrt(radius_px**2 + (1.2 * detector.blur_px) ** 2), 0.9)
    shown = np.where(axis_dark > threshold, outline, 0.0)

    tube_at = _Tube(tube, tree, motion, times, view, pan, bolus, iodine_per_mm)
    # Where the catheter sits in the ostium its rim is no vessel either.
    shown[:, (number == 0) & (arc < tube_at.inside_mm)] = 0.0
    puff = _Puff(tube, tube_at.ostium_px, view.px_per_mm, bolus, times, iodine_per_mm) if streams_into_root else None
    # The X-ray pulse lasts: two moments of it stand for all, as far apart as a uniform exposure spreads.
    apart = detector.pulse_s / math.sqrt(12)
    blurred = [seen(points, times + sign * apart)[0] for sign in (-1.0, 1.0)]
    implants = _Implants(tree.implants, seen, times)

    generator = torch.Generator(device=device).manual_seed(int(system.integers(2**62))) if noise else None
    state: dict = {}
    out = np.empty((frames, *size), np.uint8)
    vessels, catheter = np.empty_like(out), np.empty_like(out)
    chunk = 1 if device.type == "cpu" else 16

    def onto(values, part):
        return torch.as_tensor(values[part], dtype=torch.float32, device=device)

    for first in range(0, frames, chunk):
        part = slice(first, first + chunk)
        dark = sum(splat(onto(moved, part), onto(radius_px, part), onto(weight / 2, part), size) for moved in blurred)
        lumen = cover(onto(places, part), onto(shown, part), size)
        shaft_at = onto(tube_at.places, part)
        shaft = cover(shaft_at, onto(tube_at.shown, part), size)
        tip = cover(shaft_at, onto(tube_at.tip, part), size)
        dark += splat(shaft_at, onto(tube_at.radius_px, part), onto(tube_at.weight, part), size)
        if implants.places is not None:
            dark += splat(
                onto(implants.places, part), onto(implants.radius_px, part), onto(implants.weight, part), size
            )
        if puff is not None:
            dark += puff.frames(part, size, device)
        attenuation = background.frames(pan[part], breath_px[part], motion, times[part]) + detector.harden(dark)
        out[part] = detector.expose(attenuation, generator, state).numpy()
        vessels[part] = (lumen & ~tip & 1).cpu().numpy()
        catheter[part] = (shaft & (1 - (lumen & ~tip & 1))).cpu().numpy()
    hidden = detector.screen < 0.5
    vessels[:, hidden] = 0
    catheter[:, hidden] = 0
    for frame in vessels:
        drop_specks(frame)
    if noise and detector.codec:
        out, state["bytes"] = through_video(out, detector.codec, detector.bits_per_pixel)
    area = vessels.reshape(frames, -1).sum(1, dtype=np.int64)
    return SimulatedClip(
        frames=out,
        vessels=vessels,
        catheter=catheter,
        times_ms=times * 1000.0,
        best_frame=int(area.argmax()),
        centrelines=_centrelines(tree, number, radius, places, radius_px, shown, vessels),
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
            "jpeg_quality": detector.jpeg if noise else 0,
            "video_codec": detector.codec if noise else "",
            "compression_ratio": round(out.size / state["bytes"], 2) if "bytes" in state else 0.0,
            "contrast_ms": round(bolus.start_s / bolus.hurry * 1000, 1),
            "phases": frame_phases(area),
            "lesions": [asdict(lesion) for lesion in tree.lesions],
        },
    )


def random_timing(rng: np.random.Generator) -> tuple[int, float]:
    """Frames and frames a second of a run of 3 to 10 s, as the paper's: about 52 frames on average."""
    fps = float(rng.choice([7.5, 10.0, 12.5, 15.0, 30.0], p=[0.12, 0.23, 0.23, 0.4, 0.02]))
    return round((3.0 + min(rng.exponential(0.9), 7.0)) * fps), fps


def _steps(points: np.ndarray, number: np.ndarray) -> np.ndarray:
    """(n,) mm of vessel that each sample stands for, 0 where a vessel begins."""
    step = np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=1)
    step[np.flatnonzero(np.diff(number, prepend=-1))] = 0.0
    return step


def _lengthening(flat_mm: np.ndarray, arc: np.ndarray, number: np.ndarray) -> np.ndarray:
    """(T, n) how much longer the way through a tube is than its width, for foreshortening: 1 or more.

    Its length in space over its length in the image, over a few millimetres: a vessel that winds along the beam is
    foreshortened as a whole.
    """
    last = np.flatnonzero(np.diff(number, append=-1))
    index = np.arange(len(number))
    front = np.minimum(index + _REACH, last[np.searchsorted(last, index)])
    first = np.concatenate([[0], last[:-1] + 1])
    back = np.maximum(index - _REACH, first[np.searchsorted(last, index)])
    flat = np.linalg.norm(flat_mm[:, front] - flat_mm[:, back], axis=2)
    return np.maximum(1.0, (arc[front] - arc[back]) / np.maximum(flat, 1e-3))


def _centrelines(tree, number, radius, places, radius_px, shown, vessels) -> Centrelines:
    some = slice(None, None, 2)
    places = places[:, some].astype(np.float32)
    frames, height, width = vessels.shape
    column, row = (np.rint(places[..., axis]).astype(int) for axis in (0, 1))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    marked = vessels[np.arange(frames)[:, None], row.clip(0, height - 1), column.clip(0, width - 1)] > 0
    return Centrelines(
        names=tuple(vessel.name for vessel in tree.vessels),
        vessel=number[some].astype(np.int32),
        along_mm=tree.gather([v.arc - v.arc[0] for v in tree.vessels])[some].astype(np.float32),
        diameter_mm=(2 * radius[some]).astype(np.float32),
        places=places,
        diameter_px=(2 * radius_px[:, some]).astype(np.float32),
        visible=inside & marked & (shown[:, some] > 0),
    )


class _Implants:
    """Samples of what calcium and stents add, in every frame."""

    def __init__(self, implants, seen, times):
        self.places = None
        if not implants:
            return
        self.places, scale = seen(np.concatenate([implant.points for implant in implants]), times)
        self.radius_px = np.concatenate([implant.radius for implant in implants]) * scale
        self.weight = np.tile(np.concatenate([implant.dark for implant in implants]), (len(scale), 1))


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
        strength = rng.uniform(0.2, 1.6)
        # Each second a blob sets out anew, at a moment of its own, and is seen neither then nor when it ends.
        age = (times[:, None] + rng.random(count)) % 1.0
        self._dark = come * beat * np.sin(np.pi * age) ** 2 * iodine_per_mm * strength
        self._at = ostium_px[:, None] + away + drift * age[..., None]

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


def _device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise SimulationError(f"There is no device {str(device)!r}: say cpu or cuda.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise SimulationError(f"This machine has no CUDA device {found.index or 0}: simulate on the cpu.")
    return found


def _kept(radius_px: np.ndarray, blur_px: float) -> np.ndarray:
    """Share of a tube's contrast at its axis that a Gaussian blur leaves."""
    return radius_px / np.sqrt(radius_px**2 + 2.0 * blur_px**2)


def _check(seed, frames, size, fps, side) -> tuple[int, int]:
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise SimulationError(f"A seed is a whole number from 0 on, not {seed!r}.")
    if frames is not None and (not isinstance(frames, numbers.Integral) or not 3 <= frames <= 10000):
        raise SimulationError(f"A clip has 3 to 10000 frames, not {frames!r}.")
    try:
        height, width = (int(n) for n in size)
        whole = (height, width) == tuple(size)
    except (TypeError, ValueError):
        whole = False
    if not whole or not (32 <= height <= 4096 and 32 <= width <= 4096):
        raise SimulationError(f"An image has 32 to 4096 rows and columns, given as (rows, columns), not {size!r}.")
    if side not in (None, "left", "right"):
        raise SimulationError(f"A coronary tree is left or right, not {side!r}.")
    if fps is not None and (not isinstance(fps, numbers.Real) or not (math.isfinite(fps) and 1.0 <= fps <= 120.0)):
        raise SimulationError(f"A frame rate is 1 to 120 frames a second, not {fps!r}.")
    return height, width
