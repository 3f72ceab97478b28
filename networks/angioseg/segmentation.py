"""Segment a cine with the bundle: the same way for the command line, the server and the demo."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser

from .cine import Cine, read_cine
from .errors import AngioSegError, unwrapped
from .inferers import ClipInferer
from .keyframes import FrameMeasure, KeyFrame, measure_frames, rank_key_frames
from .nets import neighbors_of
from .paths import bundle_dir, weights_of

__all__ = ["Segmentation", "Segmenter", "check_device", "parse_frames", "weights_overrides"]


def parse_frames(value: object, num_frames: int) -> range:
    """Read which frames are asked for.

    Args:
        value: "all", one frame number, or [first, last] inclusive; from 0.
        num_frames: T, the number of frames of the cine.

    Returns:
        The consecutive frame numbers.

    Raises:
        AngioSegError: when the value has another form or leaves the cine.
    """
    if isinstance(value, str) and value == "all":
        return range(num_frames)
    ends = [value, value] if _is_number(value) else value
    if not isinstance(ends, Sequence) or isinstance(ends, str) or len(ends) != 2 or not all(map(_is_number, ends)):
        raise AngioSegError(f'frames {value!r}: give "all", one frame number, or [first, last].')
    first, last = ends
    if not 0 <= first <= last < num_frames:
        raise AngioSegError(f"frames {first} to {last}: the cine has frames 0 to {num_frames - 1}.")
    return range(first, last + 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Segmentation:
    """What came out of one cine.

    Attributes:
        cine: the cine.
        mask: uint8 (T, H, W) on the cine's grid, 1 = vessel; 0 in frames that were not asked for.
        frames: numbers of the frames that were segmented.
        measures: one for each of those.
        key_frames: the clearest and most complete of those, best first.
        model: "name", "version" and "weights" (first 12 hex digits of the file's SHA-256).
        latencies: seconds by step: "read", "infer", "measure".
        warnings: one line each, for the user.
    """

    cine: Cine
    mask: np.ndarray
    frames: list[int]
    measures: list[FrameMeasure]
    key_frames: list[KeyFrame]
    model: dict[str, str]
    latencies: dict[str, float]
    warnings: list[str]

    def summary(self) -> dict:
        """Everything but the pixels, as JSON can hold it: the ``params`` of the server's reply."""
        row, column = self.cine.spacing
        return {
            "frames": self.frames,
            "num_frames": self.cine.num_frames,
            "frame_times_ms": [round(float(t), 3) for t in self.cine.times_ms],
            "pixel_size": {"row": row, "column": column, "source": self.cine.spacing_source},
            "measures": [asdict(measure) for measure in self.measures],
            "key_frames": [asdict(key_frame) for key_frame in self.key_frames],
            "model": self.model,
            "latencies": {step: round(seconds, 4) for step, seconds in self.latencies.items()},
            "label_names": {"vessel": 1},
            "warnings": self.warnings,
        }


class Segmenter:
    """The bundle's inference config, made ready once and applied to any number of cines.

    Args:
        model: file of weights; the bundle's own when None. N is read from the file.
        device: "cpu", "cuda", "cuda:1"; a GPU when there is one when None.
        threshold: probability from which a pixel is vessel; the bundle's when None.
        bundle: bundle folder; the one that ships when None.
        grid: rows and columns that frames are resized to for the network; the bundle's when None.

    Attributes:
        network: windows (B, 1, 2N+1, h, w) to logits (B, 1, h, w).
        num_neighbors: N.
        preprocessing: dictionary transform of ``image``, frames as in the file to frames on the network's grid.

    Raises:
        AngioSegError: when the weights, the device or the threshold cannot be used.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        device: str | None = None,
        threshold: float | None = None,
        bundle: str | Path | None = None,
        grid: Sequence[int] | None = None,
    ) -> None:
        bundle = Path(bundle or bundle_dir())
        model = Path(model or weights_of(bundle))
        self._config = ConfigParser()
        self._config.read_config(bundle / "configs" / "inference.json")
        self._config.update({"bundle_root": str(bundle), "model": str(model), **weights_overrides(model, device)})
        if grid is not None:
            self._config.update({"grid": list(grid)})
        self._threshold = self._config["threshold"] if threshold is None else threshold
        self._inferer(self._threshold)  # a wrong threshold is told at once
        with unwrapped():
            self.network = self._config.get_parsed_content("network")
        self.num_neighbors = self._config.get_parsed_content("num_neighbors")
        self.preprocessing = self._config.get_parsed_content("frame_preprocessing")
        metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        self.model = {"name": "angioseg", "version": metadata["version"], "weights": digest[:12]}

    def _inferer(self, threshold: float) -> ClipInferer:
        self._config.update({"threshold": float(threshold)})
        self._config.parse()
        with unwrapped():
            return self._config.get_parsed_content("inferer")

    def __call__(
        self,
        cine: Cine | str | Path,
        frames: object = "all",
        progress: Callable[[int, int], None] | None = None,
        threshold: float | None = None,
    ) -> Segmentation:
        """Segment a cine.

        Args:
            cine: a cine, or the path of one.
            frames: see :func:`parse_frames`.
            progress: called with (frames done, frames to do); an exception raised there ends the work.
            threshold: for this cine only, instead of the one given at the start.

        Returns:
            The segmentation; :class:`Segmentation` says what is in it.

        Raises:
            AngioSegError: when the cine cannot be read or the frames are not in it.
        """
        start = time.perf_counter()
        if not isinstance(cine, Cine):
            cine = read_cine(cine)
        wanted = parse_frames(frames, cine.num_frames)
        read = time.perf_counter()
        clip = torch.from_numpy(np.ascontiguousarray(cine.frames))[None]
        inferer = self._inferer(self._threshold if threshold is None else threshold)
        mask = inferer(clip, self.network, frames=wanted, progress=progress)[0].numpy()
        inferred = time.perf_counter()
        measures = measure_frames(cine.frames, mask, cine.times_ms, wanted)
        key_frames = rank_key_frames(measures)
        measured = time.perf_counter()
        return Segmentation(
            cine=cine,
            mask=mask,
            frames=list(wanted),
            measures=measures,
            key_frames=key_frames,
            model=self.model,
            latencies={"read": read - start, "infer": inferred - read, "measure": measured - inferred},
            warnings=list(cine.warnings),
        )


def weights_overrides(model: Path, device: str | None) -> dict:
    """What a file of weights and a device change in the bundle's configs.

    Args:
        model: file of weights.
        device: "cpu", "cuda", "cuda:1"; the config's own choice when None.

    Returns:
        ``num_neighbors``, and ``device`` when one is given.

    Raises:
        AngioSegError: when one of them cannot be used.
    """
    overrides: dict[str, object] = {"num_neighbors": neighbors_of(model)}
    if device is not None:
        check_device(device)
        overrides["device"] = f"$torch.device({device!r})"
    return overrides


def check_device(device: str | torch.device) -> None:
    """Use a device once.

    Args:
        device: "cpu", "cuda", "cuda:1".

    Raises:
        AngioSegError: when it cannot be used.
    """
    try:
        torch.zeros(1, device=torch.device(device))
    except Exception:
        raise AngioSegError(f"device {str(device)!r} cannot be used here; try cpu.") from None
