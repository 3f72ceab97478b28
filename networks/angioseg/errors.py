"""The errors a user can mend: one line that says what is wrong, where, and what to do."""

__all__ = ["AngioSegError"]


class AngioSegError(Exception):
    """Wrong input or set-up. ``str(error)`` is one line for the user, printed without a traceback."""
