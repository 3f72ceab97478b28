"""Networks."""

from .cenet import CENet3D2D, from_published, load_weights, read_state, save_weights, weights_arguments

__all__ = ["CENet3D2D", "from_published", "load_weights", "read_state", "save_weights", "weights_arguments"]
