"""Frame times in milliseconds, starting at 0."""

import numpy as np

__all__ = ["ASSUMED_FPS", "assumed_times", "from_zero"]

ASSUMED_FPS = 15.0


def assumed_times(count: int) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Times of ``count`` frames of which nothing is known: (times_ms, source, warnings)."""
    warnings = (f"no frame times in the file: {ASSUMED_FPS:g} frames/s assumed",) if count > 1 else ()
    return np.arange(count) * (1000 / ASSUMED_FPS), "assumed", warnings


def from_zero(times_ms, count: int) -> np.ndarray | None:
    """``times_ms`` shifted to start at 0, or None unless they are ``count`` finite numbers that never go back."""
    try:
        times = np.asarray(times_ms, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if times.shape != (count,) or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        return None
    return times - times[0]
