"""A cine on servers: uploaded once to each, and again when that server forgot it or the cine has changed."""

import contextlib
from collections.abc import Callable
from typing import Any

from AngioSegLib.cine import CineSequence
from AngioSegLib.client import Client
from AngioSegLib.errors import ServerError, SessionLost

__all__ = ["UploadedCine"]


class UploadedCine:
    """Holds a copy of the cine's pixels, because the thread that uploads them must not touch the scene.

    Args:
        cine: the cine.
    """

    def __init__(self, cine: CineSequence):
        self._cine = cine
        self._stamp: tuple = ()
        self._pixels: tuple | None = None
        # By server's address, the pixels that it has and its name for them.
        self._sessions: dict[str, tuple[tuple, str]] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W) of what :meth:`take` took."""
        return self._pixels[0].shape

    def take(self) -> tuple:
        """Copy the cine as it is now, where it has changed since the last time. Main thread only.

        Returns:
            What :meth:`~AngioSegLib.client.Client.upload` takes: frames (T, H, W), their times, spacing and its source.
            Not to be changed.

        Raises:
            CineUnusable: when its pixels cannot be sent.
        """
        stamp = self._cine.stamp()
        if stamp != self._stamp:
            cine = self._cine
            self._pixels = (cine.frames(), cine.timesMs(), cine.spacing, cine.pixelSizeSource)
            self._stamp = stamp
        return self._pixels

    def ask(self, client: Client, ask: Callable[[str], Any]) -> Any:
        """What ``ask`` returns for the id of the cine's session; uploads the cine when the server has it not.

        Raises:
            SessionLost: when the server forgot it again at once.
            ServerError: another of its kinds.
        """
        pixels = self._pixels
        known, sessionId = self._sessions.get(client.url, (None, ""))
        if known is pixels:
            try:
                return ask(sessionId)
            except SessionLost:
                pass
        elif sessionId:
            with contextlib.suppress(ServerError):
                self.forget(client)
        sessionId = client.upload(*pixels)
        self._sessions[client.url] = (pixels, sessionId)
        return ask(sessionId)

    def forget(self, client: Client) -> None:
        """Let a server forget it.

        Raises:
            ServerError: one of its kinds.
        """
        _pixels, sessionId = self._sessions.pop(client.url, (None, ""))
        if sessionId:
            client.deleteSession(sessionId)
