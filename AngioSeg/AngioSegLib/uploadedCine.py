"""A cine on the server: uploaded once, and again when the server forgot it."""

from collections.abc import Callable
from typing import Any

from AngioSegLib.cine import CineSequence
from AngioSegLib.client import Client
from AngioSegLib.errors import SessionLost

__all__ = ["UploadedCine"]


class UploadedCine:
    """Holds a copy of the cine's pixels, because the thread that uploads them must not touch the scene.

    Args:
        cine: the cine.
    """

    def __init__(self, cine: CineSequence):
        self._cine = cine
        self._pixels: tuple | None = None
        self._sessionId: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W) of what :meth:`take` took."""
        return self._pixels[0].shape

    def take(self) -> None:
        """Copy the cine as it is now. Main thread only.

        Raises:
            CineUnusable: when its pixels cannot be sent.
        """
        cine = self._cine
        self._pixels = (cine.frames(), cine.timesMs(), cine.spacing, cine.pixelSizeSource)

    def ask(self, client: Client, ask: Callable[[str], Any]) -> Any:
        """What ``ask`` returns for the id of the cine's session; uploads the cine when the server has it not.

        Raises:
            SessionLost: when the server forgot it again at once.
            ServerError: another of its kinds.
        """
        if self._sessionId is not None:
            try:
                return ask(self._sessionId)
            except SessionLost:
                pass
        self._sessionId = client.upload(*self._pixels)
        return ask(self._sessionId)

    def forget(self, client: Client) -> None:
        """Let the server forget it.

        Raises:
            ServerError: one of its kinds.
        """
        sessionId, self._sessionId = self._sessionId, None
        if sessionId is not None:
            client.deleteSession(sessionId)
