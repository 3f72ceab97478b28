"""Cines in video files, by PyAV (FFmpeg)."""

import re
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError

from angioseg.cine.cine import Cine, CineError
from angioseg.cine.grey import Colour
from angioseg.cine.limits import check_size
from angioseg.cine.times import assumed_times, from_zero

__all__ = ["read_video"]

_ONLY_VIDEO_FILES = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,avi,asf,asf_o,matroska,webm,mpeg,mpegts,mpegvideo,h264,hevc,mjpeg",
    "protocol_whitelist": "file",
}
# PyAV 19 takes metadata that is no text as it comes; those before must be told to.
_ANY_TEXT = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
_LUMA_FIRST = re.compile(r"gray(\d+le)?|yuv[aj]?\d+p(\d+le)?|nv\d+")  # FFmpeg's formats whose first plane is the luma


def read_video(path: Path, name: str) -> Cine:
    """A cine from a video: every frame at its presentation time, grey as the luma at full range.

    Grey and full-range video keeps its numbers (uint8, or uint16 for more than 8 bits); limited-range luma (16..235) is
    stretched to the full range. Where the file's tail is broken the frames before it are kept.

    Raises:
        CineError: when it is no video or no frame can be decoded.
    """
    try:
        # "file:" keeps FFmpeg from taking a name for an address; a playlist named like a video is not followed.
        container = av.open(f"file:{path}", options=_ONLY_VIDEO_FILES, **_ANY_TEXT)
    except FFmpegError as error:
        raise CineError(f"{path}: cannot be opened as a video: it is cut short, damaged or of another kind") from error
    with container:
        if not container.streams.video:
            raise CineError(f"{path}: holds no video")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise CineError(f"{path}: is a video of an unknown codec: save it as H.264 or MJPEG")
        frames = _Growing(path, stream.frames or _estimate(container, stream))
        pts: list[int | None] = []
        whole = True
        for frame in _decoded(container, stream):
            if frame is None:
                whole = False
                break
            frames.append(frame)
            pts.append(frame.pts)
        if not pts:
            raise CineError(f"{path}: no frame of this video can be decoded: it is damaged")
        times_ms, times_source, notes = _times(pts, stream)
        if whole and _ends_early(container, stream, times_ms):
            whole = False
            # The file stops in the middle of its last picture, and not every decoder says so.
            times_ms = times_ms[:-1]
        count = len(times_ms)
        meta = {"codec": stream.codec_context.name, "pixel_format": stream.codec_context.pix_fmt, "frames": count}
    if not whole:
        notes = (f"the video is broken: its first {count} frames are used, the rest could not be read", *notes)
    warnings = frames.colour.warnings() + notes
    return Cine(frames.done(count), times_ms, times_source, name=name, warnings=warnings, meta=meta)


def _estimate(container, stream) -> int:
    seconds = (container.duration or 0) / av.time_base
    return round(seconds * float(stream.average_rate or 0))


def _ends_early(container, stream, times_ms: np.ndarray) -> bool:
    """Whether frames are missing between the last one read and the end that the header names."""
    if stream.duration and stream.time_base:
        end_ms = float(stream.duration * stream.time_base * 1000)
    elif container.duration and len(container.streams) == 1:
        end_ms = 1000 * container.duration / av.time_base
    else:
        return False
    return len(times_ms) > 1 and end_ms - times_ms[-1] > 1.5 * np.diff(times_ms).max()


def _decoded(container, stream):
    """The frames; a None where the stream breaks, after the frames that the decoder still held."""
    # Frame threads would swallow good frames before a broken one; told to explode, the decoder does not hide damage.
    stream.thread_type = "SLICE"
    stream.codec_context.options = {"err_detect": "explode"}
    packet = None
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise InvalidDataError(0, "the packet is cut short")
            yield from packet.decode()
    except FFmpegError:
        with suppress(FFmpegError):
            for frame in stream.codec_context.decode(None):
                # The damaged frame itself may come too.
                if None in (frame.pts, packet.pts) or frame.pts < packet.pts:
                    yield frame
        yield None


def _times(pts: list[int | None], stream) -> tuple[np.ndarray, str, tuple[str, ...]]:
    if None not in pts and stream.time_base is not None:
        times = from_zero([float(p * stream.time_base * 1000) for p in pts], len(pts))
        if times is not None and len(np.unique(times)) == len(times):
            return times, "container", ()
    if stream.average_rate:
        return np.arange(len(pts)) * (1000 / float(stream.average_rate)), "container", ()
    return assumed_times(len(pts))


class _Growing:
    """Frames of a video, whose number is only known at its end, without a second copy of them."""

    def __init__(self, path: Path, expected: int) -> None:
        self._path = path
        self._expected = max(expected, 1)
        self._frames: np.ndarray | None = None
        self._count = 0
        self._lookup: np.ndarray | None = None
        self.colour = Colour()

    def append(self, frame: "av.VideoFrame") -> None:
        if frame.format.name.endswith("be"):
            frame = frame.reformat(format=frame.format.name[:-2] + "le")
        luma_first = _LUMA_FIRST.fullmatch(frame.format.name) is not None
        bits = frame.format.components[0].bits if luma_first else 8
        dtype = np.dtype(np.uint8 if bits <= 8 else np.uint16)
        if self._frames is None:
            check_size(self._path, self._expected, frame.height, frame.width, dtype.itemsize)
            self._frames = np.empty((self._expected, frame.height, frame.width), dtype)
            self.colour = Colour(2**bits - 1)
        if self._frames.shape[1:] != (frame.height, frame.width) or self._frames.dtype != dtype:
            rows, columns = self._frames.shape[1:]
            raise CineError(
                f"{self._path}: changes from {columns} x {rows} to {frame.width} x {frame.height} pixels at frame "
                f"{self._count}: all frames of a cine have one size"
            )
        if self._count == len(self._frames):
            count = self._count + max(16, self._count // 4)
            check_size(self._path, count, frame.height, frame.width, dtype.itemsize)
            self._resize(count)
        out = self._frames[self._count]
        if luma_first:
            self._from_luma(frame, bits, out)
        else:
            self.colour.from_rgb(frame.to_ndarray(format="rgb24"), out)
        self._count += 1

    def done(self, count: int) -> np.ndarray:
        self._resize(count)
        return self._frames

    def _resize(self, count: int) -> None:
        # In place: the system moves the pages, nothing is copied.
        self._frames.resize((count, *self._frames.shape[1:]), refcheck=False)

    def _from_luma(self, frame: "av.VideoFrame", bits: int, out: np.ndarray) -> None:
        luma = _plane(frame, 0, out.dtype)
        if _is_limited(frame):
            if self._lookup is None:
                self._lookup = _to_full_range(bits, out.dtype)
            np.take(self._lookup, luma, out=out, mode="clip")
        else:
            out[...] = luma
        if len(frame.planes) > 2:
            self.colour.note_chroma(_plane(frame, 1, out.dtype), _plane(frame, 2, out.dtype))
        elif len(frame.planes) == 2:
            self.colour.note_chroma(_plane(frame, 1, out.dtype))


def _plane(frame: "av.VideoFrame", index: int, dtype: np.dtype) -> np.ndarray:
    plane = frame.planes[index]
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return rows[: plane.height, : plane.width]


def _is_limited(frame: "av.VideoFrame") -> bool:
    name = frame.format.name
    if name.startswith(("gray", "yuvj")):
        return False
    return int(frame.color_range) != 2  # AVCOL_RANGE_JPEG; unmarked YUV is limited


def _to_full_range(bits: int, dtype: np.dtype) -> np.ndarray:
    step = 2 ** (bits - 8)
    luma = (np.arange(2**bits) - 16 * step) * ((2**bits - 1) / (219 * step))
    return np.clip(np.rint(luma), 0, 2**bits - 1).astype(dtype)
