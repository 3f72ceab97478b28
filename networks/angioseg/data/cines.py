"""Cines one after the other, as they come from a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from os import PathLike

from torch.utils.data import IterableDataset, get_worker_info

from ..errors import AngioSegError, unwrapped

__all__ = ["CineDataset"]

logger = logging.getLogger(__name__)


class CineDataset(IterableDataset):
    """Cines, each by a transform; one that cannot be read does not keep the others from coming.

    Args:
        paths: of the cines.
        transform: applied to ``{"image": path}``.

    Raises:
        AngioSegError: after the last one, where some could not be read; each was told as a warning.
    """

    def __init__(self, paths: Sequence[str | PathLike], transform: Callable) -> None:
        self.paths = [str(path) for path in paths]
        self.transform = transform

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        errors = []
        for path in self.paths[worker.id :: worker.num_workers] if worker else self.paths:
            try:
                with unwrapped():
                    item = self.transform({"image": path})
            except AngioSegError as error:
                errors.append(error)
                if len(self.paths) > 1:
                    logger.warning(f"left out: {error}")
                continue
            yield item
        if errors:
            several = f"{len(errors)} of {len(self.paths)} cines could not be read and were left out: "
            raise AngioSegError((several if len(self.paths) > 1 else "") + str(errors[0]))
