"""Files in the order that people number them in."""

import re
from pathlib import Path

__all__ = ["natural_order"]


def natural_order(path: Path) -> list:
    """A key to sort by: frame_2 before frame_10, whatever the case."""
    # Pieces alternate between text and number, so like is compared with like.
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"([0-9]+)", path.name.lower())]
