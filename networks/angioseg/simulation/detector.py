"""From attenuation to grey levels: scatter, blur, noise, lag, processing, 8 bits, collimator, burnt-in text, JPEG."""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from .codec import CODECS

__all__ = ["Detector", "random_detector"]


@dataclass(frozen=True)
class Detector:
    """One system's detector and image processing.

    Attributes:
        scatter: scattered over primary signal. blur_px: spread of focal spot and scintillator (Gaussian sigma).
        noise_grey: quantum noise at mean signal, grey levels, before lag and edge enhancement. grain: its spread
            (Gaussian sigma, pixels).
        hardening: how much slower than its path the attenuation of iodine and metal grows: a becomes a / (1 + h a).
        lag: share of a frame left over from the one before.
        centre, gain: grey level of mean attenuation; grey levels per unit of attenuation.
        linear: the tone is linear in the signal, not in its logarithm.
        flatten: share of the coarse attenuation taken out. enhance, enhance_px: unsharp masking.
        jpeg: quality, 0 = none. codec, bits_per_pixel: of the video the clip was kept as, "" = none.
        pulse_s: how long an exposure takes.
        screen: (H, W) share of the picture that the collimator lets through; outside: grey level behind it.
        text: (H, W) grey level of burnt-in text, or None.
    """

    scatter: float
    blur_px: float
    noise_grey: float
    grain: float
    hardening: float
    lag: float
    centre: float
    gain: float
    linear: bool
    flatten: float
    enhance: float
    enhance_px: float
    jpeg: int
    codec: str
    bits_per_pixel: float
    pulse_s: float
    screen: np.ndarray
    outside: float
    text: np.ndarray | None

    def harden(self, attenuation: torch.Tensor) -> torch.Tensor:
        """What the polychromatic beam makes of the attenuation of iodine and metal (T, H, W)."""
        return attenuation / (1.0 + self.hardening * attenuation.clamp_min(0.0))

    @property
    def noise_shown(self) -> float:
        """Quantum noise at mean signal as the picture has it, grey levels: after lag and edge enhancement."""
        grain = _line(self.grain)
        soft = np.convolve(grain, _line(self.enhance_px))
        same = np.pad(grain, (len(soft) - len(grain)) // 2)
        # White noise gets the variance of its filter's squares: for one alike both ways, that of one way squared.
        alone, both, blurred = (float(a @ b) ** 2 for a, b in ((same, same), (same, soft), (soft, soft)))
        more = 1.0 + self.enhance
        raised = more**2 - 2 * more * self.enhance * both / alone + self.enhance**2 * blurred / alone
        return self.noise_grey * math.sqrt(raised * (1 - self.lag) / (1 + self.lag))

    @property
    def contrast(self) -> float:
        """Grey levels that a small object of unit attenuation stands out by, before blur."""
        return self.gain / (1.0 + self.scatter) * (1.0 + 0.5 * self.enhance)

    def expose(self, attenuation: torch.Tensor, generator: torch.Generator | None, state: dict) -> torch.Tensor:
        """Grey frames (T, H, W) uint8 on the CPU from attenuation (T, H, W).

        Without ``generator`` there is no noise and no JPEG. ``state`` carries what one call leaves to the next one of
        the same clip: mean level and lag; and how many ``bytes`` the JPEG pictures took so far.
        """
        signal = torch.exp(-_blur(attenuation, self.blur_px))
        cells = max(4, min(signal.shape[-2:]) // 32)
        signal = (signal + self.scatter * _coarse(signal, cells)) / (1.0 + self.scatter)
        if "mean" not in state:
            # In double: a sum shared among threads would else depend on how many there are.
            state["mean"] = signal[0].double().mean().float()
        if self.lag and "last" not in state:
            # As if the scene had been seen before; without noise, so that the first frame is as noisy as the others.
            state["last"] = signal[0].clone()
        if generator is not None:
            noise = torch.randn(signal.shape, generator=generator, device=signal.device)
            middle, *others = _kernel(self.grain)
            # Blur takes that much from white noise in each of two directions.
            noise = _blur(noise, self.grain) / (middle**2 + 2 * sum(step**2 for step in others))
            signal = signal + noise * (self.noise_grey / self.gain) * (signal * state["mean"]).sqrt()
        if self.lag:
            last = state["last"]
            for frame in signal:
                last = frame.mul_(1 - self.lag).add_(last, alpha=self.lag)
            state["last"] = last.clone()
        dark = -torch.log(signal.clamp_min(1e-3) / state["mean"])
        if self.flatten:
            dark = dark - self.flatten * _coarse(dark, cells)
        if self.enhance:
            dark = dark + self.enhance * (dark - _blur(dark, self.enhance_px))
        if self.linear:
            grey = self.centre * torch.exp(dark * (-self.gain / self.centre))
        else:
            grey = self.centre - self.gain * dark
        # Bright lung bends towards white instead of being cut off.
        grey = torch.where(grey > 190, 190 + 60 * torch.tanh((grey - 190) / 60), grey)
        screen = torch.as_tensor(self.screen, device=grey.device)
        grey = (grey - self.outside) * screen + self.outside
        if self.text is not None:
            text = torch.as_tensor(self.text, device=grey.device)
            grey = torch.where(text > 0, text, grey)
        frames = grey.clamp_(0, 255).round_().to(torch.uint8).cpu()
        if self.jpeg and generator is not None:
            kept = [_through_jpeg(frame.numpy(), self.jpeg) for frame in frames]
            frames = torch.stack([torch.from_numpy(frame) for frame, _ in kept])
            state["bytes"] = state.get("bytes", 0) + sum(size for _, size in kept)
        return frames


def random_detector(rng: np.random.Generator, size: tuple[int, int]) -> Detector:
    """A system drawn among old and new ones."""
    scale = max(size) / 512
    linear = rng.random() < 0.25
    enhanced = rng.random() < 0.55
    kept_as = rng.choice(["raw", "jpeg", "video"], p=[0.5, 0.3, 0.2])
    return Detector(
        scatter=float(rng.uniform(0.15, 0.7)),
        blur_px=float(rng.uniform(0.65, 1.6) * scale),
        noise_grey=float(np.exp(np.clip(rng.normal(0.15, 0.6), -0.9, 1.6))),
        grain=float(rng.uniform(0.4, 1.1) * scale),
        hardening=float(rng.uniform(0.4, 1.6)),
        lag=float(rng.choice([0.0, rng.uniform(0.02, 0.2)])),
        centre=float(rng.normal(134, 11)),
        gain=float(rng.uniform(85, 150)),
        linear=bool(linear),
        flatten=float(rng.choice([0.0, rng.uniform(0.2, 0.6)], p=[0.45, 0.55])),
        enhance=float(rng.uniform(0.3, 1.0)) if enhanced else 0.0,
        enhance_px=float(rng.uniform(1.2, 3.0) * scale),
        jpeg=int(rng.integers(60, 96)) if kept_as == "jpeg" else 0,
        codec=str(rng.choice(list(CODECS))) if kept_as == "video" else "",
        bits_per_pixel=float(rng.uniform(0.08, 0.5)),
        pulse_s=float(rng.uniform(0.003, 0.010)),
        screen=_collimator(rng, size),
        outside=float(rng.choice([0.0, rng.uniform(5, 30), rng.uniform(45, 65)], p=[0.15, 0.25, 0.6])),
        text=_text(rng, size) if rng.random() < 0.07 else None,
    )


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of (T, H, W), edges repeated."""
    kernel = _kernel(sigma)
    reach = len(kernel) - 1
    padded = F.pad(image[:, None], (reach, reach, reach, reach), mode="replicate")[:, 0]
    for axis in (1, 2):
        length = image.shape[axis]
        out = padded.narrow(axis, reach, length) * kernel[0]
        for step in range(1, reach + 1):
            pair = padded.narrow(axis, reach - step, length) + padded.narrow(axis, reach + step, length)
            out.add_(pair, alpha=kernel[step])
        padded = out
    return padded


def _kernel(sigma: float) -> list[float]:
    """A Gaussian from its middle outwards; with its other half it adds up to 1."""
    steps = np.arange(max(1, math.ceil(2.5 * sigma)) + 1)
    kernel = np.exp(-0.5 * (steps / max(sigma, 0.05)) ** 2)
    return (kernel / (2 * kernel.sum() - kernel[0])).tolist()


def _line(sigma: float) -> np.ndarray:
    """The whole Gaussian, from one end to the other."""
    kernel = _kernel(sigma)
    return np.array(kernel[:0:-1] + kernel)


def _coarse(image: torch.Tensor, cells: int) -> torch.Tensor:
    small = F.avg_pool2d(image[:, None], cells, ceil_mode=True, count_include_pad=False)[:, 0]
    return F.interpolate(_blur(small, 1.5)[:, None], size=image.shape[-2:], mode="bilinear")[:, 0]


def _collimator(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    span = max(size)
    x, y = np.arange(width, dtype=np.float32)[None] + 0.5, np.arange(height, dtype=np.float32)[:, None] + 0.5
    kind = rng.random()
    if kind < 0.35:
        return np.ones(size, np.float32)
    if kind < 0.42:
        # The round field of an image intensifier.
        radius = rng.uniform(0.46, 0.66) * span
        middle = np.array([width, height]) / 2 + rng.normal(0, 0.03 * span, 2)
        inside = radius - np.hypot(x - middle[0], y - middle[1])
        return (1.0 / (1.0 + np.exp(-np.clip(inside / (0.003 * span), -30, 30)))).astype(np.float32)
    margins = np.where(rng.random(4) < 0.6, rng.uniform(0.0, 0.05 if kind < 0.8 else 0.12, 4), -0.2) * span
    soft = rng.uniform(0.003, 0.025) * span
    inside = [x - margins[0], width - margins[1] - x, y - margins[2], height - margins[3] - y]
    screen = np.ones(size, np.float32)
    for edge in inside:
        screen = screen / (1.0 + np.exp(-np.clip(edge / soft, -30, 30)))
    return screen.astype(np.float32)


def _text(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    canvas = Image.new("L", (256, 256))
    draw = ImageDraw.Draw(canvas)
    for left, top in ((3, 3), (190, 3), (3, 240), (190, 240)):
        if rng.random() < 0.5:
            letters = "".join(rng.choice(list("0123456789./:-LRAOCUkVm "), int(rng.integers(3, 10))))
            draw.text((left, top), letters, fill=int(rng.integers(150, 256)))
    return np.asarray(canvas.resize((size[1], size[0]), Image.NEAREST), dtype=np.float32)


def _through_jpeg(frame: np.ndarray, quality: int) -> tuple[np.ndarray, int]:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer)), len(buffer.getvalue())
