"""Accepted masks on their way to the server."""

import numpy as np

from AngioSegLib.cine import CineSequence
from AngioSegLib.client import Client
from AngioSegLib.loading import IMAGE_ID, anonymousName
from AngioSegLib.reading import Reading

__all__ = ["Submission"]


class Submission:
    """A copy of what is to be sent, so that :meth:`send` needs no scene.

    Args:
        reading: its accepted frames are sent. A cine that is not from the server's folder is put there too, under a
            name made of its pixels.

    Attributes:
        imageId: the cine's id on the server.
        frames: the numbers of the frames sent.
        digests: of their masks.
    """

    def __init__(self, reading: Reading):
        cine = reading.cine
        self._mask, self.frames, self.digests = reading.toSend()
        known = cine.sequence.GetAttribute(IMAGE_ID)
        self.imageId = known or anonymousName(cine)
        self._pixels = None if known else _pixels(cine)

    def send(self, client: Client) -> None:
        """Send it; on a worker's thread.

        Raises:
            ServerError: one of its kinds.
        """
        if self._pixels is not None:
            client.saveImage(self.imageId, *self._pixels)
        client.saveLabel(self.imageId, self._mask, self.frames)


def _pixels(cine: CineSequence) -> tuple[np.ndarray, np.ndarray, tuple[float, float], str]:
    return cine.frames(), cine.timesMs(), cine.spacing, cine.pixelSizeSource
