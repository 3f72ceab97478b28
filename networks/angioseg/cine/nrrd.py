"""NRRD files, frame by frame: no second copy of the pixels, and Slicer's sequences without a detour.

The format: https://teem.sourceforge.net/nrrd/format.html. Slicer's ``.seq.nrrd`` is a 4-D NRRD with one axis of kind
``list`` (Slicer developer guide, "Sequences").
"""

import gzip
import sys
import zlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from angioseg.atomic import replacing
from angioseg.cine.cine import CineError
from angioseg.cine.limits import MAX_BYTES

__all__ = ["Nrrd", "read_nrrd", "write_nrrd"]

_MAX_HEADER = 2**24
_TYPES = {
    "int8": "signed char|int8|int8_t",
    "uint8": "uchar|unsigned char|uint8|uint8_t",
    "int16": "short|short int|signed short|signed short int|int16|int16_t",
    "uint16": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "int32": "int|signed int|int32|int32_t",
    "uint32": "uint|unsigned int|uint32|uint32_t",
    "int64": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "uint64": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "float32": "float",
    "float64": "double",
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names.split("|")}


@dataclass(frozen=True)
class Nrrd:
    """An NRRD file in memory.

    Args:
        array: the pixels, axes in numpy's order: the file's last (slowest) axis first.
        fields: the standard fields (``"kinds"``, ``"space directions"`` ...), names in lower case, as text.
        values: the ``key:=value`` pairs.
    """

    array: np.ndarray
    fields: Mapping[str, str]
    values: Mapping[str, str]


def read_nrrd(path: Path) -> Nrrd:
    """Read an NRRD file that holds its own pixels, raw or gzipped.

    Raises:
        CineError: when it is not NRRD, damaged, cut short, too large or written in a way that is not read here.
        OSError: when the file cannot be opened.
    """
    with path.open("rb") as file:
        fields, values = _read_header(file, path)
        array = _empty(fields, path)
        encoding = fields.get("encoding", "").lower()
        if encoding not in ("raw", "gzip", "gz") or "data file" in fields or "datafile" in fields:
            raise CineError(
                f"{path}: is NRRD with {encoding} pixels or a data file of its own; save it as one gzip NRRD"
            )
        if any(fields.get(skip, "0").strip() != "0" for skip in ("line skip", "lineskip", "byte skip", "byteskip")):
            raise CineError(f"{path}: is NRRD with skipped bytes, which is not read here; save it as gzip NRRD")
        try:
            with closing(file if encoding == "raw" else gzip.GzipFile(fileobj=file)) as pixels:
                got = _fill(array, pixels)
                # Reading on to the end of a gzip stream is what compares its checksum.
                pixels.read(1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise CineError(f"{path}: is cut short or damaged: its pixels do not unpack") from error
    if got < array.nbytes:
        raise CineError(f"{path}: is cut short: holds {got} of the {array.nbytes} bytes of pixels that it promises")
    if array.itemsize > 1 and fields.get("endian", sys.byteorder).lower() != sys.byteorder:
        array.byteswap(inplace=True)
    return Nrrd(array, fields, values)


def write_nrrd(
    path: Path, frames: np.ndarray, spacing: tuple[float, float], values: Mapping[str, str], level: int
) -> None:
    """Write frames (T, H, W) as a gzip NRRD with axes (x, y, t); the file is there whole or not at all.

    Args:
        path: the file.
        frames: (T, H, W), uint8, uint16 or int16.
        spacing: (row spacing, column spacing); the spacing along t is 1, for time is no spacing.
        values: ``key:=value`` pairs; no line breaks.
        level: gzip's, 1 (fast) to 9 (small).

    Raises:
        CineError: when the file system refuses.
    """
    count, rows, columns = frames.shape
    lines = [
        "NRRD0005",
        f"type: {frames.dtype.name}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {columns} {rows} {count}",
        f"space directions: ({spacing[1]!r},0,0) (0,{spacing[0]!r},0) (0,0,1)",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: (0,0,0)",
        *(f"{key}:={value}" for key, value in values.items()),
    ]
    little = frames.dtype.newbyteorder("<")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode())
        # Without a time stamp and a name: the same cine always makes the same bytes.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=level, mtime=0) as pixels:
            for frame in frames:
                pixels.write(np.ascontiguousarray(frame, dtype=little))


def _read_header(file, path: Path) -> tuple[dict[str, str], dict[str, str]]:
    fields: dict[str, str] = {}
    values: dict[str, str] = {}
    if not file.readline(64).startswith(b"NRRD00"):
        raise CineError(f"{path}: is not an NRRD file, though it is named like one")
    while file.tell() < _MAX_HEADER:
        line = file.readline(_MAX_HEADER)
        if not line:
            break
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return fields, values
        if text.startswith("#"):
            continue
        key, assigns, value = text.partition(":=")
        if assigns:
            values[key] = value
            continue
        name, _, value = text.partition(":")
        fields[name.strip().lower()] = value.strip()
    raise CineError(f"{path}: is an NRRD file whose header does not end: it is cut short or damaged")


def _empty(fields: Mapping[str, str], path: Path) -> np.ndarray:
    try:
        dtype = np.dtype(_DTYPES[fields["type"].lower()])
        sizes = [int(size) for size in fields["sizes"].split()]
        if len(sizes) != int(fields["dimension"]) or min(sizes) < 1:
            raise ValueError(sizes)
    except (KeyError, ValueError) as error:
        raise CineError(f"{path}: is an NRRD file with a damaged header, or of a type that no cine has") from error
    if np.prod(sizes, dtype=np.float64) * dtype.itemsize > MAX_BYTES:
        raise CineError(f"{path}: claims {' x '.join(map(str, sizes))} pixels, more than any cine has: it is damaged")
    return np.empty(sizes[::-1], dtype)


def _fill(array: np.ndarray, file) -> int:
    buffer = memoryview(array).cast("B")
    got = 0
    while got < len(buffer):
        read = file.readinto(buffer[got : got + 2**22])
        if not read:
            break
        got += read
    return got
