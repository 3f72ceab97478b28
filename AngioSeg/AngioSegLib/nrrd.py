"""NRRD images of a cine or its mask, in memory: axes (x, y, t), as the server speaks it.

Slicer's own NRRD classes write files only, and drop fields of the user's. The format:
https://teem.sourceforge.net/nrrd/format.html
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from AngioSegLib.errors import NrrdError

__all__ = ["NrrdImage", "readNrrd", "writeNrrd"]

_NAMES = {
    "uint8": "uchar|unsigned char|uint8|uint8_t",
    "uint16": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "int16": "short|short int|signed short|signed short int|int16|int16_t",
}
_DTYPES = {name: np.dtype(dtype) for dtype, names in _NAMES.items() for name in names.split("|")}
# A reply is read whole into memory; one that claims more than this is not a cine.
_MAX_BYTES = 2**34


@dataclass(frozen=True)
class NrrdImage:
    """A 3-D image over (x, y, t).

    Args:
        array: (T, H, W), uint8, uint16 or int16.
        spacing: (row spacing, column spacing); the spacing along t is always 1, for time is no spacing.
        values: the ``key:=value`` pairs, as text of one line each.
    """

    array: np.ndarray
    spacing: tuple[float, float] = (1.0, 1.0)
    values: Mapping[str, str] = field(default_factory=dict)


def writeNrrd(image: NrrdImage, level: int = 1) -> bytes:
    """Make an NRRD file of an image.

    Args:
        image: see :class:`NrrdImage`.
        level: gzip's, 1 (fast) to 9 (small).

    Raises:
        NrrdError: when the array is not (T, H, W) of a type named above, or a value does not fit on a line.
    """
    array = np.asarray(image.array)
    if array.ndim != 3 or 0 in array.shape or array.dtype.name not in _NAMES:
        raise NrrdError(f"a cine is (T, H, W) of {', '.join(_NAMES)}; this is {array.dtype} of shape {array.shape}")
    for key, value in image.values.items():
        if not key or ":" in key or key.startswith("#") or len(f"{key}{value}".splitlines()) != 1:
            raise NrrdError(f"the NRRD field {key!r} and its value must fit on one line, with no colon in the name")
    count, rows, columns = array.shape
    lines = [
        "NRRD0005",
        f"type: {array.dtype.name}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {columns} {rows} {count}",
        f"space directions: ({float(image.spacing[1])!r},0,0) (0,{float(image.spacing[0])!r},0) (0,0,1)",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: (0,0,0)",
        *(f"{key}:={value}" for key, value in image.values.items()),
    ]
    pixels = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    # No time stamp: the same image always makes the same bytes.
    return ("\n".join(lines) + "\n\n").encode() + gzip.compress(pixels.data, level, mtime=0)


def readNrrd(data: bytes) -> NrrdImage:
    """Read an NRRD file that holds its own pixels, raw or gzipped.

    Raises:
        NrrdError: when it is not one, is damaged or cut short, is not 3-D, or is of another type of number.
    """
    fields, values, start = _readHeader(data)
    try:
        dtype = _DTYPES[fields["type"].lower()]
        sizes = [int(size) for size in fields["sizes"].split()]
        spacing = _spacing(fields)
    except (KeyError, ValueError, IndexError) as error:
        raise NrrdError("the NRRD image has a damaged header, or is of a type that no cine or mask has") from error
    if len(sizes) != 3 or min(sizes) < 1 or np.prod(sizes, dtype=float) * dtype.itemsize > _MAX_BYTES:
        raise NrrdError(f"the NRRD image has sizes {sizes}, which no cine has: three sizes, x, y and t, are needed")
    pixels = _unpack(fields.get("encoding", "").lower(), data[start:])
    expected = int(np.prod(sizes, dtype=np.int64)) * dtype.itemsize
    if len(pixels) != expected:
        raise NrrdError(f"the NRRD image holds {len(pixels)} bytes of pixels where its header promises {expected}")
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    array = np.frombuffer(pixels, dtype.newbyteorder(order)).astype(dtype).reshape(sizes[::-1])
    return NrrdImage(array, spacing, values)


def _readHeader(data: bytes) -> tuple[dict[str, str], dict[str, str], int]:
    if not data.startswith(b"NRRD00"):
        raise NrrdError("this is not an NRRD image")
    fields: dict[str, str] = {}
    values: dict[str, str] = {}
    start = 0
    while True:
        end = data.find(b"\n", start)
        if end < 0:
            raise NrrdError("the NRRD image is cut short: its header does not end")
        line = data[start:end].decode("utf-8", "replace").rstrip("\r")
        start = end + 1
        if not line:
            return fields, values, start
        if line.startswith("#"):
            continue
        name, assigns, value = line.partition(":=")
        if assigns:
            values[name] = value
            continue
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()


def _spacing(fields: Mapping[str, str]) -> tuple[float, float]:
    if "space directions" in fields:
        vectors = [part.strip("()") for part in fields["space directions"].replace(", ", ",").split()]
        x, y = (float(np.linalg.norm([float(number) for number in vector.split(",")])) for vector in vectors[:2])
    elif "spacings" in fields:
        x, y = (float(number) for number in fields["spacings"].split()[:2])
    else:
        x = y = 1.0
    return (y, x)


def _unpack(encoding: str, packed: bytes) -> bytes:
    if encoding == "raw":
        return packed
    if encoding not in ("gzip", "gz"):
        raise NrrdError(f"the NRRD image's pixels are packed as {encoding or 'nothing known'}; raw or gzip is needed")
    try:
        return gzip.decompress(packed)
    except (EOFError, OSError, zlib.error) as error:
        raise NrrdError("the NRRD image is damaged or cut short: its pixels do not unpack") from error
