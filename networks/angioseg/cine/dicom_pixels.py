"""Pixels of DICOM files, decoded frame by frame into the cine's own array (PS3.5 8, A.4; PS3.3 C.7.6.3)."""

import os
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessP14,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from angioseg.cine.cine import CineError
from angioseg.cine.dicom_values import number, text
from angioseg.cine.grey import Colour
from angioseg.cine.jpeg import JpegFrame, read_jpeg2000_frame, read_jpeg_frame
from angioseg.cine.limits import check_size

__all__ = ["read_pixels"]

_UNDEFINED = 0xFFFFFFFF
_STREAM_STARTS = (b"\xff\xd8", b"\xff\x4f")  # JPEG (and JPEG-LS), JPEG 2000
_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessP14, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_RGB = ("RGB", "YBR_RCT", "YBR_ICT")  # the last two are RGB once JPEG 2000 is decoded
_YBR = ("YBR_FULL", "YBR_FULL_422")


@dataclass(frozen=True)
class _Format:
    """How the header says that the pixels are stored."""

    count: int
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str
    planar: bool

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.allocated // 8


def read_pixels(file: BinaryIO, dataset: Dataset, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The frames as stored, MONOCHROME1 inverted, colour as grey.

    Args:
        file: the open file, standing at the pixel data element.
        dataset: its header.
        path: for messages.

    Returns:
        frames: (T, H, W), uint8, uint16 or int16.
        warnings: one line each.

    Raises:
        CineError: when there are no pixels, or they are cut short or cannot be decoded.
    """
    if number(dataset, "Rows") is None or number(dataset, "Columns") is None:
        raise CineError(f"{path}: is DICOM without pixels")
    form = _format(dataset, path)
    check_size(path, form.count, form.rows, form.columns, form.allocated // 8)
    vr, length = _pixel_element(file, dataset, form, path)
    colour = Colour(2**form.stored - 1)
    if length == _UNDEFINED:
        frames = _encapsulated(file, dataset, form, path, colour)
    else:
        frames = _native(file, dataset, form, path, colour, vr, length)
    _to_stored_values(frames, form, shift=form.high + 1 - form.stored if length != _UNDEFINED else 0)
    if form.photometric == "MONOCHROME1":
        # The largest and the smallest stored value change places: no value is lost.
        np.subtract(-1 if form.signed else 2**form.stored - 1, frames, out=frames, casting="unsafe")
    if frames.dtype == np.int8:
        frames = frames.astype(np.int16)
    return frames, colour.warnings()


def _format(dataset: Dataset, path: Path) -> _Format:
    allocated = number(dataset, "BitsAllocated") or 0
    stored = number(dataset, "BitsStored") or allocated
    high = number(dataset, "HighBit")
    form = _Format(
        count=number(dataset, "NumberOfFrames") or 1,
        rows=number(dataset, "Rows"),
        columns=number(dataset, "Columns"),
        samples=number(dataset, "SamplesPerPixel") or 1,
        allocated=allocated,
        stored=stored,
        high=stored - 1 if high is None else high,
        signed=number(dataset, "PixelRepresentation") == 1,
        photometric=(text(dataset, "PhotometricInterpretation") or "MONOCHROME2").upper(),
        planar=number(dataset, "PlanarConfiguration") == 1,
    )
    if allocated not in (8, 16) or not stored <= form.high + 1 <= allocated:
        raise CineError(f"{path}: stores {stored} bits in {allocated}; cines of 8 to 16 bits are read")
    if (form.samples, form.photometric in _GREY) not in ((1, True), (3, False)) or (
        form.samples == 3 and (form.photometric not in _RGB + _YBR or form.signed)
    ):
        raise CineError(f"{path}: has {form.photometric} pixels, which are not read: save it as MONOCHROME2 or RGB")
    return form


def _pixel_element(file: BinaryIO, dataset: Dataset, form: _Format, path: Path) -> tuple[bytes, int]:
    order = "<" if dataset.is_little_endian else ">"
    head = file.read(8)
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        raise CineError(
            f"{path}: has no pixels, though it promises {form.count} frames of {form.columns} x {form.rows}: "
            "it is cut short or was stripped"
        )
    if dataset.is_implicit_VR:
        return b"OW", struct.unpack(order + "L", head[4:])[0]
    long_form = file.read(4)
    if len(long_form) < 4:
        raise CineError(f"{path}: is cut short: it ends where its pixels begin")
    return head[4:6], struct.unpack(order + "L", long_form)[0]


def _remaining(file: BinaryIO) -> int:
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end - here


def _native(
    file: BinaryIO, dataset: Dataset, form: _Format, path: Path, colour: Colour, vr: bytes, length: int
) -> np.ndarray:
    if form.photometric == "YBR_FULL_422" and form.columns % 2:
        raise CineError(f"{path}: has {form.photometric} pixels in {form.columns} columns, where two share a colour")
    there = min(length, _remaining(file))
    if there < form.count * form.frame_bytes:
        raise CineError(
            f"{path}: is cut short: holds {there // form.frame_bytes} of the {form.count} frames that it promises"
        )
    frames = np.empty((form.count, form.rows, form.columns), form.dtype)
    swapped = not dataset.is_little_endian and (form.allocated == 16 or vr == b"OW")
    if form.samples == 1:
        file.readinto(memoryview(frames).cast("B"))
        if swapped:
            words = frames.reshape(-1)
            if form.allocated == 8:
                words = words[: words.size // 2 * 2].view(np.uint16)
            words.byteswap(inplace=True)
        return frames
    for frame in frames:
        raw = np.frombuffer(file.read(form.frame_bytes), np.uint16 if swapped else form.dtype)
        raw = (raw.byteswap() if swapped else raw).view(form.dtype)
        if form.photometric == "YBR_FULL_422":
            quads = raw.reshape(form.rows, form.columns // 2, 4)
            frame[...] = quads[..., :2].reshape(frame.shape)
            colour.note_chroma(quads[..., 2], quads[..., 3])
        elif form.planar:
            _to_grey(np.moveaxis(raw.reshape(3, *frame.shape), 0, -1), form.photometric, frame, colour)
        else:
            _to_grey(raw.reshape(*frame.shape, 3), form.photometric, frame, colour)
    return frames


def _encapsulated(file: BinaryIO, dataset: Dataset, form: _Format, path: Path, colour: Colour) -> np.ndarray:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise CineError(f"{path}: does not say how its pixels are compressed: save it again with its file header")
    parts = _frame_fragments(file, form, path)
    frames = None
    for index, fragments in enumerate(parts):
        stream = b"".join(_at(file, *fragment) for fragment in fragments)
        try:
            decoded, photometric = _decode(stream, syntax, form)
        except NotImplementedError as error:
            raise CineError(
                f"{path}: is compressed as {UID(syntax).name}, which is not read: "
                "save it as JPEG lossless or uncompressed"
            ) from error
        except Exception as error:  # each decoder has errors of its own
            raise CineError(f"{path}: frame {index} of {form.count} is damaged: it cannot be decoded") from error
        if frames is None:
            frames = np.empty((form.count, form.rows, form.columns), decoded.dtype)
        if form.samples == 1:
            frames[index] = decoded
        else:
            _to_grey(decoded, photometric, frames[index], colour)
    return frames


def _frame_fragments(file: BinaryIO, form: _Format, path: Path) -> list[list[tuple[int, int]]]:
    """(offset, length) of each frame's fragments.

    Raises:
        CineError: when there are fewer frames than promised.
    """
    size = file.tell() + _remaining(file)
    items: list[tuple[int, int]] = []
    ended = cut = False
    while len(head := file.read(8)) == 8:
        group, element, length = struct.unpack("<HHL", head)
        ended = (group, element) == (0xFFFE, 0xE0DD)
        cut = not ended and ((group, element) != (0xFFFE, 0xE000) or file.tell() + length > size)
        if ended or cut:
            break
        items.append((file.tell(), length))
        file.seek(length, os.SEEK_CUR)
    table, fragments = items[:1], items[1:]
    offsets = np.frombuffer(_at(file, *table[0]), "<u4") if table and table[0][1] % 4 == 0 else np.empty(0, np.uint32)
    # Offsets count from the first fragment's item, whose head has 8 bytes.
    places = {offset - fragments[0][0]: i for i, (offset, _) in enumerate(fragments)}
    guesses = (
        [0] if form.count == 1 and fragments else [],
        list(range(len(fragments))),
        [places[int(offset)] for offset in offsets if int(offset) in places],
        [i for i, (offset, _) in enumerate(fragments) if _at(file, offset, 2) in _STREAM_STARTS],
    )
    starts = next((guess for guess in guesses if len(guess) == form.count), max(guesses[2:], key=len) or guesses[1])
    # What is missing at the end of a file may be missing from the last frame that has begun.
    if len(starts) < form.count or cut or not (ended or len(fragments) == form.count):
        there = min(len(starts), form.count - 1)
        raise CineError(f"{path}: is cut short: holds {there} of the {form.count} frames that it promises")
    ends = [*starts[1:], len(fragments)]
    return [fragments[start:end] for start, end in zip(starts, ends)][: form.count]


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    here = file.tell()
    file.seek(offset)
    content = file.read(length)
    file.seek(here)
    return content


def _decode(stream: bytes, syntax: UID, form: _Format) -> tuple[np.ndarray, str]:
    """One frame (H, W) or (H, W, 3), and the photometric interpretation that it has now."""
    found = _frame_in(stream, syntax)
    if found is not None:
        sizes_fit = (found.rows, found.columns, found.samples) == (form.rows, form.columns, form.samples)
        if not sizes_fit or not 2 <= found.precision <= form.allocated:
            raise ValueError(f"the stream holds {found}")
        if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit) and found.precision == form.allocated == 8:
            return _decode_by_pillow(stream, form), "RGB"
    return _decode_by_gdcm(stream, syntax, form)


def _frame_in(stream: bytes, syntax: UID) -> JpegFrame | None:
    if syntax in (JPEG2000, JPEG2000Lossless):
        return read_jpeg2000_frame(stream)
    return read_jpeg_frame(stream) if syntax in _JPEG else None


def _decode_by_gdcm(stream: bytes, syntax: UID, form: _Format) -> tuple[np.ndarray, str]:
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    one.is_little_endian, one.is_implicit_VR = True, False
    one.Rows, one.Columns, one.SamplesPerPixel = form.rows, form.columns, form.samples
    one.BitsAllocated, one.BitsStored, one.HighBit = form.allocated, form.stored, form.high
    one.PixelRepresentation, one.PhotometricInterpretation = int(form.signed), form.photometric
    if form.samples == 3:
        one.PlanarConfiguration = int(form.planar)
    one.PixelData = encapsulate([stream])
    one["PixelData"].is_undefined_length = True
    return one.pixel_array, one.PhotometricInterpretation


def _decode_by_pillow(stream: bytes, form: _Format) -> np.ndarray:
    from PIL import Image

    with Image.open(BytesIO(stream)) as image:
        if form.samples == 1:
            return np.asarray(image).astype(form.dtype, copy=False)
        if form.photometric == "RGB" and not {"adobe", "jfif"} & set(image.info):
            # A JPEG without a mark of its own counts as YCbCr; here the header knows better.
            image.draft("YCbCr", image.size)
            return np.asarray(image)
        return np.asarray(image.convert("RGB"))


def _to_grey(pixels: np.ndarray, photometric: str, out: np.ndarray, colour: Colour) -> None:
    if photometric in _YBR:
        out[...] = pixels[..., 0]
        colour.note_chroma(pixels[..., 1], pixels[..., 2])
    else:
        colour.from_rgb(pixels, out)


def _to_stored_values(frames: np.ndarray, form: _Format, shift: int) -> None:
    """Drop what lies in the unused bits (old overlays, sign bits not extended), in place."""
    if form.stored == form.allocated or form.samples == 3:
        return
    if form.signed:
        unused = form.allocated - form.stored
        np.left_shift(frames, unused - shift, out=frames)
        np.right_shift(frames, unused, out=frames)
        return
    if shift:
        np.right_shift(frames, shift, out=frames)
    np.bitwise_and(frames, 2**form.stored - 1, out=frames)
