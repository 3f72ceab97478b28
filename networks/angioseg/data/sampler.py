"""Which frames an epoch trains on, in which order and how each is changed: all of it from the seed and the epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler

__all__ = ["FrameSampler"]


class FrameSampler(Sampler):
    """Draws frames, and with each a seed for what its transforms leave to chance.

    An epoch depends on seed and number alone, so a training that was killed goes on just as it would have, whatever the
    number of worker processes. In distributed training the ranks share out the same draw.

    Args:
        dataset: the frames (:class:`angioseg.data.FrameDataset`).
        num_samples: drawn with replacement for an epoch, on all ranks together; every frame once when None.
        seed: of everything.
        rank, world_size: of this process in distributed training.
    """

    def __init__(
        self, dataset: Sized, num_samples: int | None = None, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self.dataset = dataset
        self.num_samples = num_samples
        self.seed = seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is drawn next; its number is all that tells it from another."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil((self.num_samples or len(self.dataset)) / self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        count = len(self) * self.world_size
        if self.num_samples is None:
            # Ranks must take as many steps each: the first frames of the order come again where they do not share out.
            order = np.resize(rng.permutation(len(self.dataset)), count)
        else:
            order = rng.integers(len(self.dataset), size=count)
        chances = rng.integers(2**32, size=count)
        for place in range(self.rank, count, self.world_size):
            yield int(order[place]), int(chances[place])
