"""What an angiogram shows besides vessels: bones, lungs, diaphragm, heart shadow, wires, electrodes.

Much of it is dark, thin and curved on purpose: a network has to learn that such lines are not vessels.
Layers are drawn once a clip on a canvas larger than the image and moved frame by frame: the fixed one with the table,
the breathing one with the diaphragm too; the heart shadow is computed anew as the heart beats.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.interpolate import CubicSpline

from .anatomy import Heart
from .motion import Motion
from .projection import View, splat

__all__ = ["Background"]

_SHADOW_CELLS = 4


class Background:
    """Attenuation (natural logarithm) of everything but vessels and catheter, frame by frame.

    Args:
        rng: where the randomness comes from.
        view: the X-ray system's stand.
        heart: the heart whose shadow is cast.
        device: where the layers live.
        reach_px: how far at most table and breath move it, to either side.
    """

    def __init__(self, rng: np.random.Generator, view: View, heart: Heart, device: torch.device, reach_px: float):
        self._view, self._heart, self._device = view, heart, device
        height, width = view.size
        # Enough for most clips, so that a seed's background hangs on its motion as seldom as may be.
        self._pad = max(math.ceil(max(height, width) * 0.19), math.ceil(reach_px) + 1)
        self._shape = (height + 2 * self._pad, width + 2 * self._pad)
        self._mm = view.px_per_mm
        fixed, breathing, ribs = _Drawing(), _Drawing(), _Drawing()
        coarse = self._coarse(rng)
        self._ribs(rng, ribs)
        self._lung_lines(rng, breathing)
        self._hardware(rng, fixed)
        self._fixed = torch.from_numpy(coarse).to(device)
        self._fixed += ribs.on(self._shape, self._pad, 3, device) + fixed.on(self._shape, self._pad, 1, device)
        texture = torch.from_numpy(self._texture(rng) + self._diaphragm(rng)).to(device)
        self._breathing = texture + breathing.on(self._shape, self._pad, 1, device)
        self._muscle_per_mm = float(rng.uniform(0.0005, 0.0035))
        self._bulge = rng.uniform(0.9, 1.15, 3)
        self._rim = float(rng.uniform(0.8, 1.2))

    def frames(self, pan_px: np.ndarray, breath_px: np.ndarray, motion: Motion, seconds: np.ndarray) -> torch.Tensor:
        """(T, H, W) for table shifts (T, 2) (column, row) and breathing shifts (T,) (rows), in pixels."""
        out = self._shadow(pan_px, motion, seconds)
        for index, ((right, down), breath) in enumerate(zip(pan_px, breath_px)):
            out[index] += _shift(self._fixed, right, down, self._pad, self._view.size)
            out[index] += _shift(self._breathing, right, down + breath, self._pad, self._view.size)
        return out

    def _shadow(self, pan_px: np.ndarray, motion: Motion, seconds: np.ndarray) -> torch.Tensor:
        height, width = self._view.size
        rows, columns = math.ceil(height / _SHADOW_CELLS) + 1, math.ceil(width / _SHADOW_CELLS) + 1
        beat = torch.as_tensor(motion.contraction(seconds), dtype=torch.float32, device=self._device)
        breath = motion.breath(seconds)
        right, down, beam = (self._view.axes @ motion.tilt).astype(np.float32)
        # Muscle and blood: an ellipsoid about the middle of the ventricles and atria; its base comes and goes.
        semi = torch.tensor([self._heart.anterior, self._heart.lateral, self._heart.length * 0.72], device=self._device)
        squeeze = torch.stack(
            [1 - motion.squeeze * beat, 1 - motion.squeeze * beat, 1 - motion.shorten * beat * 0.6], 1
        )
        semi = semi * torch.as_tensor(self._bulge, dtype=torch.float32, device=self._device) * squeeze
        centre = motion.centre + 0.30 * self._heart.length * motion.tilt[:, 2]
        centre = np.repeat(centre[None], len(breath), axis=0)
        centre[:, 2] += breath
        seat = torch.as_tensor(self._view.project(centre)[0] + pan_px, dtype=torch.float32, device=self._device)
        x = (torch.arange(columns, device=self._device) * _SHADOW_CELLS - seat[:, :1]) / self._mm
        y = (torch.arange(rows, device=self._device) * _SHADOW_CELLS - seat[:, 1:]) / self._mm
        place = [x[:, None, :] * float(right[i]) + y[:, :, None] * float(down[i]) for i in range(3)]
        a = sum((float(beam[i]) / semi[:, i]) ** 2 for i in range(3))[:, None, None]
        b = sum(place[i] * float(beam[i]) / semi[:, i, None, None] ** 2 for i in range(3))
        c = sum(place[i] ** 2 / semi[:, i, None, None] ** 2 for i in range(3)) - 1.0
        # A rim a little softer than an ellipsoid's: fat and the great vessels round it off.
        chord = 2.0 * ((b * b - a * c) / a).clamp_min(0.0).pow(self._rim) / a.sqrt() * self._muscle_per_mm
        grown = F.interpolate(
            chord[:, None],
            size=((rows - 1) * _SHADOW_CELLS + 1, (columns - 1) * _SHADOW_CELLS + 1),
            mode="bilinear",
            align_corners=True,
        )
        return grown[:, 0, :height, :width].clone()

    def _grid(self, cells: int = 1):
        rows = np.arange(0, self._shape[0], cells, dtype=np.float32) - self._pad
        columns = np.arange(0, self._shape[1], cells, dtype=np.float32) - self._pad
        return np.meshgrid(columns, rows)

    def _grow(self, coarse: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(coarse, dtype=np.float32))[None, None]
        return F.interpolate(tensor, size=self._shape, mode="bilinear", align_corners=True)[0, 0].numpy()

    def _coarse(self, rng: np.random.Generator) -> np.ndarray:
        """Unevenness, spine, and the straight or bent edges of what lies in the way (mediastinum, aorta, arm)."""
        x, y = self._grid(2)
        span = max(self._view.size)
        out = _smooth_noise(rng, x.shape, 3) * rng.uniform(0.03, 0.16) + _smooth_noise(rng, x.shape, 8) * rng.uniform(
            0.01, 0.06
        )
        # The spine lies behind: oblique views push it aside.
        ends, _ = self._view.project(np.array([[0.0, 62.0, -120.0], [0.0, 62.0, 120.0]]))
        along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        far = (x - ends[0, 0]) * along[1] - (y - ends[0, 1]) * along[0]
        up = ((x - ends[0, 0]) * along[0] + (y - ends[0, 1]) * along[1]) / self._mm
        half = rng.uniform(15, 21) * self._mm
        side = half * (1 + 0.06 * np.cos(2 * np.pi * up / 27)) - np.abs(far)
        body = _step(side / (rng.uniform(1.2, 5.0) * self._mm))
        vertebra = 1.0 + rng.uniform(0.0, 0.2) * (np.cos(2 * np.pi * up / 27) + 0.6 * np.cos(4 * np.pi * up / 27 + 1.0))
        out += rng.uniform(0.02, 0.22) * body * vertebra
        for _ in range(int(rng.integers(1, 5))):
            angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
            across = (x - rng.uniform(0.0, 1.0) * span) * math.cos(angle) + (
                y - rng.uniform(0.0, 1.0) * span
            ) * math.sin(angle)
            run = -(x - span / 2) * math.sin(angle) + (y - span / 2) * math.cos(angle)
            edge = across + bend * run**2 / span + 0.01 * span * np.sin(run / span * rng.uniform(3, 12))
            out += rng.uniform(0.04, 0.32) * _step(edge / (rng.uniform(0.6, 12.0) * self._mm))
        return self._grow(out)

    def _diaphragm(self, rng: np.random.Generator) -> np.ndarray:
        x, y = self._grid()
        height, width = self._view.size
        out = np.zeros_like(x)
        for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.6, 0.15]))):
            top = rng.uniform(0.35, 1.05) * height
            middle, reach = rng.uniform(0.1, 0.9) * width, rng.uniform(0.5, 1.3) * width
            edge = (
                y
                - top
                - rng.uniform(0.25, 0.8) * (x - middle) ** 2 / reach
                - 0.01 * height * np.sin(x / width * rng.uniform(4, 12))
            )
            soft = rng.uniform(0.25, 1.5) * self._mm
            depth = rng.uniform(0.12, 0.5)
            # The dome is thin where a ray only grazes it: dark fast at first, then slowly.
            inside = np.maximum(edge, 0.0) / height
            out += depth * (0.6 * _step(edge / soft) + 0.4 * np.sqrt(np.minimum(inside * 2.0, 1.0)))
        return out.astype(np.float32)

    def _texture(self, rng: np.random.Generator) -> np.ndarray:
        """Lung and soft tissue: noise whose power falls with frequency, stronger in some places than in others."""
        rows, columns = (math.ceil(n / 2) for n in self._shape)
        frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
        # In millimetres, so that the texture keeps its grain when the image has other pixels.
        frequency = frequency * self._mm / 2 + 1e-6
        amplitude = 1.0 / (0.03**2 + frequency**2) ** rng.uniform(0.55, 0.9)
        amplitude *= np.exp(-((frequency / rng.uniform(0.25, 0.6)) ** 2))
        phase = rng.standard_normal((2, rows, columns // 2 + 1))
        noise = np.fft.irfft2(amplitude * (phase[0] + 1j * phase[1]), (rows, columns))
        noise /= noise.std() + 1e-9
        where = 0.35 + 0.65 * _step(2.0 * _smooth_noise(rng, noise.shape, 4))
        return self._grow(noise * where) * float(np.exp(rng.uniform(math.log(0.015), math.log(0.09))))

    def _lung_lines(self, rng: np.random.Generator, drawing: "_Drawing") -> None:
        """Pulmonary vessels: faint, soft, branching in the same manner as coronary ones."""
        height, width = self._view.size
        for _ in range(int(rng.integers(5, 70))):
            start = rng.uniform(-0.1, 1.1, 2) * [width, height]
            angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(15, 60) * self._mm
            bends = np.cumsum(rng.normal(0.0, 0.28, 6))
            way = start + np.cumsum(np.stack([np.cos(angle + bends), np.sin(angle + bends)], 1) * length / 6, axis=0)
            drawing.line(np.vstack([start, way]), rng.uniform(0.4, 1.8) * self._mm, rng.uniform(0.005, 0.05), fade=True)

    def _ribs(self, rng: np.random.Generator, drawing: "_Drawing") -> None:
        """Bands with denser rims, in one or two crossing sets (front and back)."""
        height, width = self._view.size
        for _ in range(int(rng.choice([0, 1, 2], p=[0.45, 0.35, 0.2]))):
            slope, bow = rng.uniform(-0.9, 0.9), rng.uniform(-0.3, 0.3)
            gap, wide = rng.uniform(24, 40) * self._mm, rng.uniform(4.0, 7.5) * self._mm
            strength = rng.uniform(0.015, 0.11)
            first = rng.uniform(-1.0, 0.0) * gap - abs(slope) * height / 2
            for number in range(int((height * (1 + abs(slope))) / gap) + 2):
                # Ribs fan out, differ, and leave the picture at different depths.
                tilt = slope + 0.03 * number * bow + rng.normal(0, 0.03)
                x = np.linspace(-0.15, rng.choice([1.15, rng.uniform(0.3, 0.9)]), 7) * width
                y = first + number * gap + tilt * (x - width * 0.5) + bow * (x - width * 0.5) ** 2 / width
                way = np.stack([x, y + rng.normal(0, 0.7 * self._mm, 7)], 1)
                dense, broad = strength * rng.uniform(0.5, 1.2), wide * rng.uniform(0.8, 1.15)
                drawing.line(way, broad, dense * 1.6)
                drawing.line(way, broad * rng.uniform(0.72, 0.85), -dense)

    def _hardware(self, rng: np.random.Generator, drawing: "_Drawing") -> None:
        """Sternal wires, electrodes with their leads, cables, pacing leads, clips, folds of skin and cloth."""
        height, width = self._view.size
        size = np.array([width, height])

        def curve(bends: float, radius: float, dark: float, count: int = 6) -> None:
            angle = rng.uniform(0, 2 * np.pi)
            start = size / 2 - 0.75 * size * [math.cos(angle), math.sin(angle)] + rng.normal(0, 0.25, 2) * size
            turn = angle + np.cumsum(rng.normal(0.0, bends, count))
            way = start + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1) * 1.7 * size.max() / count, axis=0)
            drawing.line(np.vstack([start, way]), radius * self._mm, dark)

        if rng.random() < 0.07:
            axis = rng.uniform(0.2, 0.8) * width
            lean = rng.normal(0, 0.15)
            for row in np.arange(rng.uniform(0, 0.15), 1.05, rng.uniform(0.15, 0.25)) * height:
                round_ = np.linspace(0, 2 * np.pi, 17)[:-2] + rng.uniform(0, 6)
                ring = np.stack([rng.uniform(3, 8) * np.cos(round_), rng.uniform(2, 5) * np.sin(round_)], 1) * self._mm
                ring += rng.normal(0, 0.2 * self._mm, ring.shape)
                middle = np.array([axis + lean * (row - height / 2), row])
                drawing.line(ring + middle, 0.45 * self._mm, rng.uniform(0.3, 0.9))
        if rng.random() < 0.25:
            for _ in range(int(rng.integers(1, 3))):
                self._electrode(rng, drawing, rng.uniform(0.05, 0.95, 2) * size)
        if rng.random() < 0.25:
            for _ in range(int(rng.integers(1, 3))):
                curve(0.12, rng.uniform(0.3, 1.0), rng.uniform(0.05, 0.35))
        if rng.random() < 0.2:
            curve(0.35, rng.uniform(0.5, 1.1), rng.uniform(0.15, 0.45))
        if rng.random() < 0.3:
            for _ in range(int(rng.integers(1, 6))):
                curve(0.1, rng.uniform(0.5, 2.0), rng.uniform(0.015, 0.07), 4)
        if rng.random() < 0.1:
            spot = rng.uniform(0.1, 0.9, 2) * size
            for _ in range(int(rng.integers(2, 7))):
                place, lean = spot + rng.normal(0, 8 * self._mm, 2), rng.uniform(0, np.pi)
                half = np.array([math.cos(lean), math.sin(lean)]) * 2.0 * self._mm
                drawing.line(np.stack([place - half, place + half]), 0.5 * self._mm, rng.uniform(0.4, 0.9))

    def _electrode(self, rng: np.random.Generator, drawing: "_Drawing", place: np.ndarray) -> None:
        lean, dark = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9)
        ahead, side = np.array([math.cos(lean), math.sin(lean)]), np.array([-math.sin(lean), math.cos(lean)])
        turn = np.linspace(0, 2 * np.pi, 12)
        ring = place + (np.cos(turn)[:, None] * ahead + np.sin(turn)[:, None] * side) * rng.uniform(1.5, 3.0) * self._mm
        drawing.line(ring, 0.6 * self._mm, dark)
        drawing.line(
            np.stack([place, place + 7 * self._mm * ahead + rng.normal(0, 2, 2) * self._mm]), 0.9 * self._mm, dark
        )
        turns = np.linspace(0, 14 * np.pi, 57)
        spring = (
            place + (turns[:, None] / 6 + 3) * ahead * self._mm * 0.6 + np.sin(turns)[:, None] * side * 1.8 * self._mm
        )
        drawing.line(spring + side * 6 * self._mm, 0.25 * self._mm, 0.6 * dark)
        far = place + ahead * rng.uniform(60, 200) * self._mm + side * rng.normal(0, 25) * self._mm
        middle = (place + far) / 2 + side * rng.normal(0, 8) * self._mm
        drawing.line(np.stack([place, middle, far]), 0.7 * self._mm, 0.45 * dark)


class _Drawing:
    """Lines gathered, then drawn in one go."""

    def __init__(self):
        self._parts: list[np.ndarray] = []

    def line(self, way: np.ndarray, radius: float, dark: float, fade: bool = False) -> None:
        """A tube through ``way`` (n, 2) pixels, ``radius`` pixels, ``dark`` attenuation through its middle."""
        knots = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
        step = max(0.6, radius / 4)
        at = np.arange(0.0, knots[-1], step)
        fine = (
            CubicSpline(knots, way)(at)
            if len(way) > 2
            else np.stack([np.interp(at, knots, way[:, i]) for i in (0, 1)], 1)
        )
        taper = 1.0 - 0.7 * at / knots[-1] if fade else np.ones(len(at))
        weight = np.full(len(at), dark * step / (2 * radius))
        self._parts.append(np.concatenate([fine, (radius * taper)[:, None], weight[:, None]], axis=1))

    def on(self, shape: tuple[int, int], pad: int, cells: int, device: torch.device) -> torch.Tensor:
        """(H, W) on a canvas of ``shape`` padded by ``pad``, drawn at every ``cells``-th pixel and enlarged."""
        if not self._parts:
            return torch.zeros(shape, device=device)
        height, width = (math.ceil(n / cells) for n in shape)
        samples = torch.as_tensor(np.concatenate(self._parts), dtype=torch.float32, device=device)
        places = (samples[:, :2] + pad) / cells
        radius = samples[:, 2] / cells
        drawn = splat(places[None], radius[None], samples[None, :, 3], (height, width))
        if cells == 1:
            return drawn[0]
        return F.interpolate(drawn[:, None], size=shape, mode="bilinear", align_corners=True)[0, 0]


def _shift(layer: torch.Tensor, right: float, down: float, pad: int, size: tuple[int, int]) -> torch.Tensor:
    """The (H, W) window of a padded layer, its content moved by less than ``pad - 1`` pixels, and by parts of one."""
    column, row = math.floor(pad - right), math.floor(pad - down)
    fx, fy = pad - right - column, pad - down - row
    height, width = size
    wide = layer[row : row + height + 1, column : column + width + 1]
    if fy:
        wide = torch.lerp(wide[:-1], wide[1:], fy)
    else:
        wide = wide[:-1]
    return torch.lerp(wide[:, :-1], wide[:, 1:], fx) if fx else wide[:, :-1]


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    coarse = torch.from_numpy(rng.standard_normal((1, 1, cells + 3, cells + 3)).astype(np.float32))
    return F.interpolate(coarse, size=shape, mode="bicubic")[0, 0].numpy()


def _step(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(x / 2)
