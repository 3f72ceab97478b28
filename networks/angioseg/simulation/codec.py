"""Through a video codec and back: the artefacts of cines that were archived as wmv or mp4."""

import io
from itertools import chain

import av
import numpy as np

__all__ = ["CODECS", "through_video"]

CODECS = {"libx264": "mp4", "mpeg4": "mp4", "wmv2": "asf"}
"""Codecs and the containers that carry them."""


def through_video(frames: np.ndarray, codec: str, bits_per_pixel: float) -> tuple[np.ndarray, int]:
    """Encode and decode a clip.

    Args:
        frames: (T, H, W) uint8.
        codec: one of :data:`CODECS`.
        bits_per_pixel: how much the codec may spend; 0.05 is poor, 0.5 hardly visible.

    Returns:
        (T, H, W) uint8, the same for the same input, however many cores there are, and the bytes the video's
        pictures took.
    """
    count, height, width = frames.shape
    # Colour is halved in 4:2:0: sides must be even.
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format=CODECS[codec]) as container:
        stream = container.add_stream(codec, rate=15)
        stream.height, stream.width = even.shape[1:]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = int(bits_per_pixel * even[0].size * 15)
        stream.thread_count = 1
        stream.max_b_frames = 0
        size = 0
        pictures = (av.VideoFrame.from_ndarray(frame, format="gray") for frame in even)
        for picture in chain(pictures, [None]):  # None: what the codec still holds back
            packets = stream.encode(picture)
            size += sum(packet.size for packet in packets)
            container.mux(packets)
    file.seek(0)
    with av.open(file) as container:
        container.streams.video[0].thread_count = 1
        decoded = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    # A codec may swallow the last frame or two of a stream without B-frames to order: the clip keeps its length.
    decoded += decoded[-1:] * (count - len(decoded))
    return np.stack(decoded[:count])[:, :height, :width], size
