"""Networks."""

from .cenet import (
    CENet3D2D,
    from_published,
    load_weights,
    neighbors_of,
    read_state,
    save_weights,
    weights_arguments,
)
from .precision import use_bfloat16

__all__ = [
    "CENet3D2D",
    "from_published",
    "load_weights",
    "neighbors_of",
    "read_state",
    "save_weights",
    "use_bfloat16",
    "weights_arguments",
]
