"""JPEG streams inside DICOM, looked over before GDCM gets them: on some damaged headers it ends the whole process.

The headers: ISO/IEC 10918-1 annex B (JPEG), ISO/IEC 14495-1 (JPEG-LS), ISO/IEC 15444-1 annex A (JPEG 2000).
"""

import struct
from dataclasses import dataclass

__all__ = ["JpegFrame", "read_jpeg2000_frame", "read_jpeg_frame"]

_JPEG_LS = 0xF7
_STARTS_OF_FRAME = (0xC0, 0xC1, 0xC2, 0xC3, _JPEG_LS)  # baseline, extended, progressive, lossless
_START_OF_SCAN = 0xDA
_HUFFMAN_TABLES = 0xC4
_APPLICATION_0, _APPLICATION_14 = 0xE0, 0xEE
# Tables, restart interval, applications, JPEG-LS parameters, comment: all else has no place before a scan.
_OTHERS = (0xDB, 0xDD, *range(0xE0, 0xF0), 0xF8, 0xFE)


@dataclass(frozen=True)
class JpegFrame:
    """What the stream itself says of its pixels."""

    precision: int
    rows: int
    columns: int
    samples: int


def read_jpeg_frame(stream: bytes) -> JpegFrame:
    """Walk the marker segments of a JPEG or JPEG-LS stream up to its first scan.

    Raises:
        ValueError: when a segment is not where it should be, or is damaged, or one that decoding needs is missing.
    """
    if stream[:2] != b"\xff\xd8":
        raise ValueError("does not start as JPEG")
    frames: list[JpegFrame] = []
    needs_tables = True
    position, kind = 2, None
    while kind != _START_OF_SCAN:
        if len(stream) < position + 4:
            raise ValueError("ends in its header")
        mark, kind, length = struct.unpack_from(">BBH", stream, position)
        segment = stream[position + 4 : position + 2 + length]
        if mark != 0xFF or length < 2 or len(segment) != length - 2:
            raise ValueError(f"has no segment at {position}")
        if kind in _STARTS_OF_FRAME:
            frames.append(_frame(segment))
            needs_tables &= kind != _JPEG_LS
        elif kind == _HUFFMAN_TABLES:
            _check_huffman_tables(segment)
            needs_tables = False
        elif kind == _START_OF_SCAN:
            _check_scan(segment)
        elif kind not in _OTHERS:
            raise ValueError(f"has an unknown segment at {position}")
        else:
            _check_application(kind, segment)
        position += 2 + length
    if len(frames) != 1 or needs_tables:
        raise ValueError("has not one frame with its tables")
    return frames[0]


def read_jpeg2000_frame(stream: bytes) -> JpegFrame:
    """Read the image size segment of a JPEG 2000 codestream.

    Raises:
        ValueError: when there is none, or it is damaged, or a channel is coarser than the image.
    """
    start = stream.find(b"\xff\x4f\xff\x51")  # not at 0 where the codestream is wrapped as a file
    if start < 0 or len(stream) < start + 42:
        raise ValueError("has no image size")
    right, bottom, left, top = struct.unpack_from(">4L", stream, start + 8)
    (samples,) = struct.unpack_from(">H", stream, start + 40)
    channels = stream[start + 42 : start + 42 + 3 * samples]
    if len(channels) < 3 * samples or not samples or set(channels[1::3]) | set(channels[2::3]) != {1}:
        raise ValueError("has damaged channels")
    precision = max(depth & 0x7F for depth in channels[::3]) + 1
    return JpegFrame(precision, bottom - top, right - left, samples)


def _frame(segment: bytes) -> JpegFrame:
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise ValueError("has a damaged frame header")
    return JpegFrame(*struct.unpack_from(">BHHB", segment))


def _check_application(kind: int, segment: bytes) -> None:
    """What libjpeg warns of, and GDCM does not live through: a JFIF of no known version, an unknown Adobe colour."""
    if kind == _APPLICATION_0 and segment[:5] == b"JFIF\0" and segment[5:6] != b"\1":
        raise ValueError("is JFIF of an unknown version")
    if kind == _APPLICATION_14 and segment[:5] == b"Adobe" and segment[11:12] not in (b"\0", b"\1", b"\2"):
        raise ValueError("has unknown colours")


def _check_huffman_tables(segment: bytes) -> None:
    position = 0
    while position < len(segment):
        counts = segment[position + 1 : position + 17]
        codes = sum(count << (16 - length) for length, count in enumerate(counts, 1))
        if segment[position] & 0xEC or codes > 2**16:
            raise ValueError("has damaged Huffman tables")
        position += 17 + sum(counts)
    if position != len(segment):
        raise ValueError("has damaged Huffman tables")


def _check_scan(segment: bytes) -> None:
    if not segment or len(segment) != 4 + 2 * segment[0]:
        raise ValueError("has a damaged scan header")
