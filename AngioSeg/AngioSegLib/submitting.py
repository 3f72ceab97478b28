"""Accepted masks on their way to the server."""

import threading
from collections import defaultdict
from itertools import count

from AngioSegLib.client import Client
from AngioSegLib.errors import RequestRefused
from AngioSegLib.loading import anonymousName, imageIdOn
from AngioSegLib.reading import Reading

__all__ = ["Submission"]

_numbers = count()
# A server keeps what comes last: nothing overtakes what hangs, in another thread after a new connection to it.
_inTurn: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

_ANOTHER_CINE = 409


class Submission:
    """A copy of what is to be sent, so that :meth:`send` needs no scene.

    Args:
        reading: its accepted frames are sent.
        server: the address of the server that it is meant for; "" when none was connected so far.

    Attributes:
        server: as given.
        frames: the numbers of the frames sent.
        digests: of their masks, by index value: numbers may be others when they are sent.
        number: counts up: the server keeps what comes last.
    """

    def __init__(self, reading: Reading, server: str):
        # First, so that a cine that lost an image is told as that.
        self._pixels = reading.uploaded.take()
        self._mask, self.frames, self.digests = reading.toSend()
        self.number = next(_numbers)
        self.server = server
        self._imageId = imageIdOn(reading.cine, server)

    def send(self, client: Client) -> None:
        """Send it; on a worker's thread.

        The pixels go first: the server says which of its cines they are, whatever was known of its folder before. Where
        they are none, they are put there under a name that is made of them.

        Raises:
            ServerError: one of its kinds.
        """
        imageId = self._imageId if client.url == self.server else ""
        anonymous = anonymousName(self._pixels[0])
        with _inTurn[client.url]:
            try:
                imageId = client.saveImage(imageId or anonymous, *self._pixels)
            except RequestRefused as refused:
                if not imageId or refused.status != _ANOTHER_CINE:
                    raise
                imageId = client.saveImage(anonymous, *self._pixels)
            client.saveLabel(imageId, self._mask, self.frames)
