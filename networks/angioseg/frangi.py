"""Vessels without learning: the classical filter that networks are held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .transforms import RemoveSmallComponents

__all__ = ["frangi_mask"]

_FULL_SIZE = 512


def frangi_mask(
    frame: np.ndarray, sigmas: Sequence[float] = (5.0,), share: float = 0.1, fraction: float = 0.005
) -> np.ndarray:
    """Segment the vessels of one frame by Frangi's vesselness.

    The filter gives no probability, and its scale differs from frame to frame, so the threshold is a share of the
    pixels: the most tube-like ones. It knows no frame without vessels; what it finds in one are pieces that mostly are
    too small to stay.

    ``tests/benchmarks/stills.py`` tunes ``sigmas`` and ``share`` on stills with manual masks.

    Frangi et al., Multiscale vessel enhancement filtering, MICCAI 1998; scikit-image's ``frangi``.

    Args:
        frame: (H, W), any real dtype, vessels dark.
        sigmas: widths of the filter, Gaussian sigma in pixels of a frame whose longer side is 512.
        share: at most this share of the pixels, those with the highest vesselness, is taken before small components
            are removed.
        fraction: see :class:`angioseg.transforms.RemoveSmallComponents`.

    Returns:
        uint8 (H, W), 1 = vessel.
    """
    from skimage.filters import frangi

    scale = max(frame.shape) / _FULL_SIZE
    vesselness = frangi(frame.astype(np.float64), sigmas=[sigma * scale for sigma in sigmas], mode="reflect")
    mask = vesselness > np.quantile(vesselness, 1 - share)
    return RemoveSmallComponents(fraction)(mask[None].astype(np.uint8))[0]
