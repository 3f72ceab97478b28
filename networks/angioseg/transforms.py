"""Dictionary transforms for cines, used by the bundle's configs.

Frames travel as channels, (T, H, W): MONAI's own transforms then work frame by frame (``Resized`` per-frame and
invertible, ``NormalizeIntensityd(channel_wise=True)`` per-frame intensity, random transforms alike on all frames of a
window). Here is only what MONAI does not have.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform, RemoveSmallObjects, Transform
from monai.utils import TransformBackends

from .cine import Cine, write_label
from .cine.find import name_below
from .cine.integers import as_cine_integers
from .errors import AngioSegError
from .paths import RESULTS, free_name

__all__ = [
    "RandNeighborsd",
    "RemoveSmallComponents",
    "RemoveSmallComponentsd",
    "SaveLabeld",
    "StackNeighbors",
    "StackNeighborsd",
    "logit",
    "neighbor_indices",
]

logger = logging.getLogger(__name__)


def logit(threshold: float) -> float:
    """The logit of the probability from which a pixel is vessel.

    Raises:
        AngioSegError: when it is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise AngioSegError(f"threshold {threshold}: give a probability between 0 and 1.")
    return math.log(threshold / (1 - threshold))


def neighbor_indices(first: int, last: int, num_neighbors: int, num_frames: int) -> np.ndarray:
    """Frame numbers ``first - N .. last + N``, with the clip's first and last frame repeated beyond its ends.

    Args:
        first: first centre frame, from 0.
        last: last centre frame, inclusive.
        num_neighbors: N.
        num_frames: T, the number of frames of the clip.

    Returns:
        int64 array of length ``last - first + 1 + 2N``.

    Raises:
        ValueError: when the centre frames do not lie in the clip.
    """
    if not 0 <= first <= last < num_frames:
        raise ValueError(f"frames {first} to {last} do not lie in a clip of {num_frames} frames.")
    return np.clip(np.arange(first - num_neighbors, last + num_neighbors + 1), 0, num_frames - 1)


class StackNeighbors(Transform):
    """Take frame i and its N neighbours on each side out of a clip, end frames repeated.

    Args:
        num_neighbors: N; 0 takes the frame alone.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    def __init__(self, num_neighbors: int) -> None:
        if num_neighbors < 0:
            raise ValueError(f"num_neighbors must not be negative, got {num_neighbors}.")
        self.num_neighbors = num_neighbors

    def __call__(self, clip: NdarrayOrTensor, frame: int) -> NdarrayOrTensor:
        """Take the window of one frame.

        Args:
            clip: (T, H, W), any dtype.
            frame: centre frame, from 0.

        Returns:
            (2N+1, H, W) of the same type and dtype, a copy.
        """
        return clip[neighbor_indices(frame, frame, self.num_neighbors, len(clip))]


class StackNeighborsd(MapTransform):
    """Dictionary form of :class:`StackNeighbors`.

    Args:
        keys: clips (T, H, W), replaced by windows (2N+1, H, W).
        num_neighbors: N.
        frame_key: where the centre frame's number stands.
        allow_missing_keys: as in MONAI.
    """

    backend = StackNeighbors.backend

    def __init__(
        self, keys: KeysCollection, num_neighbors: int, frame_key: str = "frame", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.stack = StackNeighbors(num_neighbors)
        self.frame_key = frame_key

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.stack(d[key], int(d[self.frame_key]))
        return d


class RandNeighborsd(RandomizableTransform, MapTransform):
    """Change what a window's neighbours tell, and not its centre frame: augmentation in time.

    A window is either played backwards, so that a vessel empties where it filled, or stands still, as the window of a
    cine of one frame does, or stays as it is.

    Args:
        keys: windows (2N+1, H, W).
        reverse: probability of the first.
        still: probability of the second.
        allow_missing_keys: as in MONAI.

    Raises:
        ValueError: when the probabilities are none, or add up to more than 1.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    def __init__(
        self, keys: KeysCollection, reverse: float = 0.4, still: float = 0.1, allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if min(reverse, still) < 0 or reverse + still > 1:
            raise ValueError(f"probabilities {reverse} and {still} are not at least 0 and together at most 1.")
        self.reverse = reverse
        self.still = still

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        d = dict(data)
        drawn = self.R.random()
        for key in self.key_iterator(d):
            numbers = np.arange(len(d[key]))
            if drawn < self.reverse:
                d[key] = d[key][numbers[::-1].copy()]
            elif drawn < self.reverse + self.still:
                d[key] = d[key][np.full_like(numbers, len(numbers) // 2)]
        return d


class RemoveSmallComponents(Transform):
    """Remove connected components (8-connected) that are small for the frame, each frame on its own.

    MONAI's ``RemoveSmallObjects`` with the size given as a share of the frame, so that it means the same on every
    detector. The paper removes small components without giving a size.

    Args:
        fraction: smallest share of the frame's area that a component must cover to stay; 0 removes nothing.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, fraction: float = 0.0005) -> None:
        if not 0 <= fraction < 1:
            raise ValueError(f"fraction must be at least 0 and below 1, got {fraction}.")
        self.fraction = fraction

    def __call__(self, mask: NdarrayOrTensor) -> NdarrayOrTensor:
        """Clean a mask.

        Args:
            mask: (frames, H, W), 0 or 1.

        Returns:
            The same type, shape and dtype.
        """
        remove = RemoveSmallObjects(
            min_size=int(np.ceil(self.fraction * mask.shape[-2] * mask.shape[-1])), connectivity=2
        )
        # MONAI's transform joins components across the first axis: what touches in time would count as one.
        frames = [remove(frame[None])[0] for frame in mask]
        return torch.stack(frames) if isinstance(mask, torch.Tensor) else np.stack(frames)


class RemoveSmallComponentsd(MapTransform):
    """Dictionary form of :class:`RemoveSmallComponents`."""

    backend = RemoveSmallComponents.backend

    def __init__(self, keys: KeysCollection, fraction: float = 0.0005, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.remove = RemoveSmallComponents(fraction)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.remove(d[key])
        return d


class SaveLabeld(MapTransform):
    """Write masks (1, T, H, W) as label NRRDs ``NAME_seg.nrrd``, every frame annotated.

    NAME is that of the cine with the folders below ``data_root_dir`` before it (``day__run``). Should two be the same,
    the later gets ``NAME_2_seg.nrrd``.

    Args:
        keys: masks as the clip inferer gives them, uint8, on the cine's grid.
        output_dir: folder, made when missing.
        data_root_dir: where the cines come from, as for MONAI's ``SaveImaged``; no folder's name when None.
        overwrite: whether masks that are there already are replaced.
        image_key: the cine's MetaTensor, whose meta gives name, times and pixel size (see
            :class:`angioseg.cine.CineReader`).
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        data_root_dir: str | Path | None = None,
        overwrite: bool = False,
        image_key: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.overwrite = overwrite
        self.output_dir = Path(output_dir)
        self.data_root_dir = None if data_root_dir is None else Path(data_root_dir)
        self.image_key = image_key
        self._names: dict[tuple[Path, Hashable], str] = {}

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        image: MetaTensor = d[self.image_key]
        cine = Cine(
            # MONAI's loader widens 16 bits.
            frames=as_cine_integers(np.asarray(image.cpu())[0], Path(image.meta["name"])),
            times_ms=np.asarray(image.meta["frame_times_ms"], dtype=np.float64),
            times_source=image.meta["times_source"],
            spacing=tuple(float(side) for side in image.meta["spacing"]),
            spacing_source=image.meta["spacing_source"],
            name=image.meta["name"],
        )
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for key in self.key_iterator(d):
            mask = np.asarray(d[key].cpu(), dtype=np.uint8)[0]
            path = self._path(Path(image.meta["filename_or_obj"]), key)
            write_label(path, mask, cine, range(cine.num_frames))
            logger.info(f"{path}: written")
        return d

    def check_free(self, files: Iterable[str | Path]) -> None:
        """Look before the work whether the masks of some cines can be written.

        Raises:
            AngioSegError: when one is there already and is not to be replaced.
        """
        for file in files:
            for key in self.keys:
                self._path(Path(file), key)

    def _path(self, file: Path, key: Hashable) -> Path:
        """Where a cine's mask goes: always to the same place."""
        wanted = name_below(file, self.data_root_dir or file.parent)
        if (file, key) in self._names:
            return self.output_dir / f"{self._names[file, key]}{RESULTS['seg']}"
        name = free_name(wanted, {name.lower() for name in self._names.values()})
        path = self.output_dir / f"{name}{RESULTS['seg']}"
        if not self.overwrite and path.exists():
            raise AngioSegError(
                f"{path}: is there already; give another --output_dir, or --overwrite True to replace masks."
            )
        if name != wanted:
            logger.warning(f"{file}: its mask is {path.name}, for another cine has its name.")
        self._names[file, key] = name
        return path
