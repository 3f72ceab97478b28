"""What a user can mend about a simulation."""

from angioseg.errors import AngioSegError

__all__ = ["SimulationError"]


class SimulationError(AngioSegError):
    """Parameters that no angiogram can be made from, or a place that cannot be written."""
