"""Simulated cines straight into training: nothing touches the disk, and no clip is seen twice."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from .clip import simulate_clip
from .dataset import clip_seed

__all__ = ["SimulatedWindows"]


class SimulatedWindows(IterableDataset):
    """An endless stream of training items, each with the clip that its window is taken from.

    The items are those of :class:`angioseg.data.FrameDataset`, so the same transform serves both. Each clip gives a few
    frames, drawn among its frames; each worker process and each rank makes clips of its own.

    Args:
        transform: applied to ``{"image": (T, H, W) uint8, "label": (T, H, W) uint8 0 or 1, "frame": i}``.
        seed: of the first clip; 100,000 and above, see :func:`angioseg.simulation.write_dataset`.
        frames: T.
        size: rows and columns.
        frames_per_clip: items from each clip.
        empty_share: at most this share of a clip's items are frames without vessel, as far as it has others.
        device: where to simulate.
        rank, world_size: of this process in distributed training.

    Raises:
        SimulationError: while iterating, for parameters that no clip can be made from.
    """

    def __init__(
        self,
        transform: Callable,
        seed: int = 100_000,
        frames: int = 24,
        size: tuple[int, int] = (512, 512),
        frames_per_clip: int = 8,
        empty_share: float = 0.15,
        device: str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.transform = transform
        self.seed = seed
        self.options = {"frames": frames, "size": tuple(size), "device": device}
        self.frames_per_clip = frames_per_clip
        self.empty_share = empty_share
        self.rank, self.world_size = rank, world_size
        self._given = 0  # clips, so that the next epoch goes on where this one ends

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        lane, lanes = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            index = self.rank * lanes + lane + self._given * lanes * self.world_size
            self._given += 1
            clip = simulate_clip(clip_seed(self.seed, index), **self.options)
            rng = np.random.default_rng([self.seed, index])
            item = {"image": torch.from_numpy(clip.frames), "label": torch.from_numpy(clip.vessels)}
            for frame in self._draw(clip.vessels.any(axis=(1, 2)), rng):
                yield self.transform({**item, "frame": int(frame)})

    def _draw(self, filled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        full, empty = rng.permutation(np.flatnonzero(filled)), rng.permutation(np.flatnonzero(~filled))
        few = empty[: round(self.frames_per_clip * self.empty_share)]
        return rng.permutation(np.concatenate([few, full[: self.frames_per_clip - len(few)]]))
