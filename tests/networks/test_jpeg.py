"""Headers of JPEG streams that GDCM does not live through."""

import io

import numpy as np
import pytest
from angioseg.cine.jpeg import JpegFrame, read_jpeg_frame
from PIL import Image


def stream(mode: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 16) if mode == "L" else (8, 16, 3), np.uint8), mode).save(buffer, "JPEG")
    return buffer.getvalue()


def changed(content: bytes, mark: bytes, offset: int, value: int) -> bytes:
    place = content.index(mark) + offset
    return content[:place] + bytes([value]) + content[place + 1 :]


def with_adobe(content: bytes, transform: int) -> bytes:
    return content[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64" + bytes(4) + bytes([transform]) + content[2:]


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (stream("L"), True),
        (changed(stream("L"), b"JFIF\0", 5, 0), False),
        (changed(stream("L"), b"JFIF\0", 5, 2), False),
        (changed(stream("L"), b"JFIF\0", 6, 9), True),  # the minor version
        (changed(stream("L"), b"JFIF\0", 0, ord("X")), True),  # some other application's
        *((with_adobe(stream("RGB"), transform), transform < 3) for transform in range(5)),
    ],
)
def test_what_libjpeg_only_warns_of_ends_gdcm(content, read):
    if read:
        frame = read_jpeg_frame(content)
        assert (frame.rows, frame.columns, frame.precision) == (8, 16, 8)
        assert isinstance(frame, JpegFrame)
    else:
        with pytest.raises(ValueError, match="unknown"):
            read_jpeg_frame(content)
