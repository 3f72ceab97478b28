"""Simulated cines straight into training: nothing touches the disk, and a pass through them sees no clip twice."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from .clip import simulate_clip
from .dataset import clip_seed

__all__ = ["SimulatedWindows"]


class SimulatedWindows(IterableDataset):
    """An endless stream of training items, each with the clip that its window is taken from.

    The items are those of :class:`angioseg.data.FrameDataset`, so the same transform serves both. Each clip gives a few
    frames, drawn among its frames, and a few clips are drawn from in turn, so that a batch is no run of neighbours;
    each worker process and each rank makes clips of its own.

    The next epoch goes on with new clips where the stream lives on: in this process, or in workers that a
    ``DataLoader`` keeps (``persistent_workers``). Workers that start anew and a training that is resumed begin again
    at ``seed``: give another one there.

    Args:
        transform: applied to ``{"image": (T, H, W) uint8, "label": (T, H, W) uint8 0 or 1, "frame": i}``.
        clip_transform: applied to ``{"image": ..., "label": ...}`` of a whole clip before any window is taken: what
            is the same for all its windows is done once.
        seed: of the first clip; 100,000 and above, see :func:`angioseg.simulation.write_dataset`.
        frames: T.
        size: rows and columns.
        frames_per_clip: items from each clip; where it has fewer frames, they come again.
        clips_at_once: how many clips a worker holds and mixes.
        empty_share: at most this share of a clip's items are frames without vessel, as far as it has others.
        beside: labelled frames of another source, such as :class:`angioseg.data.FrameDataset` gives, mixed in.
        beside_share: the share of the items that come from there, 0 to less than 1.
        device: where to simulate.
        rank, world_size: of this process in distributed training.

    Raises:
        SimulationError: while iterating, for parameters that no clip can be made from.
    """

    def __init__(
        self,
        transform: Callable,
        clip_transform: Callable | None = None,
        seed: int = 100_000,
        frames: int = 24,
        size: tuple[int, int] = (512, 512),
        frames_per_clip: int = 8,
        clips_at_once: int = 1,
        empty_share: float = 0.15,
        beside: Dataset | None = None,
        beside_share: float = 0.0,
        device: str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.transform = transform
        self.clip_transform = clip_transform
        self.seed = seed
        self.options = {"frames": frames, "size": tuple(size), "device": device}
        self.frames_per_clip = frames_per_clip
        self.clips_at_once = clips_at_once
        self.empty_share = empty_share
        self.beside = beside
        self.beside_share = beside_share
        self.rank, self.world_size = rank, world_size
        self._given = 0  # clips, so that the next epoch goes on where this one ends

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        lane, lanes = (worker.id, worker.num_workers) if worker else (0, 1)
        waiting: list[dict] = []
        while True:
            index = self.rank * lanes + lane + self._given * lanes * self.world_size
            self._given += 1
            clip = simulate_clip(clip_seed(self.seed, index), **self.options)
            rng = np.random.default_rng([self.seed, index])
            item = {"image": torch.from_numpy(clip.frames), "label": torch.from_numpy(clip.vessels)}
            if self.clip_transform is not None:
                item = self.clip_transform(item)
            waiting += [{**item, "frame": int(f)} for f in self._draw(clip.vessels.any(axis=(1, 2)), rng)]
            # Training need not wait for the mixture: it begins with one clip, and half of each new one stays behind.
            mixed = len(waiting) >= self.clips_at_once * self.frames_per_clip
            left = len(waiting) - (self.frames_per_clip if mixed else max(1, self.frames_per_clip // 2))
            while len(waiting) > max(0, left):
                if self.beside is not None and rng.random() < self.beside_share:
                    yield self.beside[int(rng.integers(len(self.beside)))]
                else:
                    yield self.transform(waiting.pop(int(rng.integers(len(waiting)))))

    def _draw(self, filled: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        full, empty = np.flatnonzero(filled), np.flatnonzero(~filled)
        few = min(len(empty), math.floor(self.frames_per_clip * self.empty_share))
        return np.concatenate([_some(empty, few, rng), _some(full, self.frames_per_clip - few, rng)])


def _some(frames: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of them, each as often as the others or once more."""
    rounds = [rng.permutation(frames) for _ in range(math.ceil(count / len(frames)))] if len(frames) else []
    return np.concatenate([*rounds, frames[:0]])[:count]
