"""Names that come from outside (image ids, label tags): checked before they may become part of a path."""

from fastapi import HTTPException

__all__ = ["check_id", "is_id"]

_MAX_LENGTH = 200


def is_id(text: object) -> bool:
    """Whether ``text`` can be the name of one file in a folder: printable, no folders, not hidden."""
    if not isinstance(text, str):
        return False
    return 0 < len(text) <= _MAX_LENGTH and text[0] != "." and text.isprintable() and not set(text) & set("/\\")


def check_id(text: str, what: str) -> str:
    """Return ``text``.

    Raises:
        HTTPException: 400, when it is not a plain name.
    """
    if not is_id(text):
        raise HTTPException(400, f"{str(text)[:60]!r} is not a valid {what}: use a plain name without folders.")
    return text
