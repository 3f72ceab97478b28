"""Names of options in requests."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from fastapi import HTTPException

__all__ = ["check_options"]

_ALIKE = 0.85


def check_options(given: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is nearly one of ours: it would be passed over, and the default taken.

    Any other name may be there: the platform and its clients send options of their own.

    Raises:
        HTTPException: 400, for the first such name.
    """
    for name in given:
        if name not in known and (meant := get_close_matches(str(name)[:60], known, 1, _ALIKE)):
            raise HTTPException(400, f"`{str(name)[:60]}` is no option; did you mean `{meant[0]}`?")
