"""Cines in DICOM files: X-Ray Angiographic and Radiofluoroscopic, classic and enhanced (PS3.3 A.14, A.16, A.47)."""

import os
import re
import zlib
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from angioseg.cine.cine import Cine, CineError
from angioseg.cine.dicom_geometry import pixel_size
from angioseg.cine.dicom_pixels import read_pixels
from angioseg.cine.dicom_timing import frame_times
from angioseg.cine.dicom_values import number, text
from angioseg.cine.limits import check_size

__all__ = ["are_frames", "is_dicom", "is_single_frame", "looks_like_dataset", "read_dicom", "read_dicom_folder"]

_XRAY = ("XA", "RF", "DX")
_CAPTURED = ("OT", "SC")
_NAMES = {"CT": "a CT", "MR": "an MR", "US": "an ultrasound", "IVUS": "an intravascular ultrasound", "OCT": "an OCT"}
_3D_XRAY = ("1.2.840.10008.5.1.4.1.1.13.1.1", "1.2.840.10008.5.1.4.1.1.13.1.2", "1.2.840.10008.5.1.4.1.1.13.1.3")
_ONE_CINE = ("SeriesInstanceUID", "Rows", "Columns")
_MOST_HEADER = 2**26
_DICOMDIR = "1.2.840.10008.1.3.10"


def is_dicom(path: Path) -> bool:
    """Whether the file carries DICOM's mark."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def looks_like_dataset(path: Path) -> bool:
    """Whether the file begins as DICOM does that was saved without preamble: with group 2 or 8."""
    with path.open("rb") as file:
        start = file.read(8)
    return re.match(rb"[\x02\x08]\x00..([A-Z][A-Z]|[^\x00]\x00\x00\x00|\x00{4})", start, re.DOTALL) is not None


def are_frames(paths: list[Path]) -> bool:
    """Whether these are two or more single-frame DICOM files of one series and size: frames of one cine.

    Their headers are read, up to the first that says no.
    """
    seen = set()
    for path in paths:
        seen.add(_series_of_frame(path))
        if len(seen) > 1 or not all(next(iter(seen))):
            return False
    return len(paths) > 1


def is_single_frame(path: Path) -> bool:
    """Whether a file is DICOM of one frame."""
    return any(_series_of_frame(path))


def _series_of_frame(path: Path) -> tuple:
    """Series, rows and columns of a single-frame DICOM file; of any other file nothing."""
    try:
        header = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=[*_ONE_CINE, "NumberOfFrames"], force=True
        )
        if (number(header, "NumberOfFrames") or 1) > 1:
            return (None,)
        return tuple(header.get(name) for name in _ONE_CINE)
    except Exception:  # no DICOM, or damaged: pydicom raises whatever the bytes lead it to
        return (None,)


def read_dicom(path: Path, name: str) -> Cine:
    """A cine from one DICOM file, multi-frame or single-frame.

    The numbers are the stored ones: no window, no lookup table. MONOCHROME1 is inverted, colour turned to grey.

    Raises:
        CineError: when it is not DICOM, no X-ray cine, has no pixels, or is damaged or cut short.
    """
    file, dataset = _open(path)
    with file:
        kind_notes = _check_kind(dataset, path)
        frames, pixel_notes = read_pixels(file, dataset, path)
    times_ms, times_source, times_notes = frame_times(dataset, len(frames))
    spacing, spacing_source, spacing_notes = pixel_size(dataset)
    notes = kind_notes + pixel_notes + times_notes + spacing_notes
    return Cine(frames, times_ms, times_source, spacing, spacing_source, name, notes, _meta(dataset, len(frames)))


def read_dicom_folder(paths: list[Path], folder: Path, name: str) -> Cine:
    """A cine from a folder of single-frame DICOM files of one series, in the order of their InstanceNumber.

    Files without one come last, and those that share one stay in the order of ``paths``; a warning says so.

    Raises:
        CineError: when they are several cines, differ in size, or one of them cannot be read.
    """
    order: dict[Path, float | None] = {}
    series = set()
    for path in paths:
        file, dataset = _open(path)
        file.close()
        if (number(dataset, "NumberOfFrames") or 1) > 1:
            raise CineError(f"{folder}: holds DICOM cines of their own: give one of its {len(paths)} files")
        order[path] = number(dataset, "InstanceNumber")
        series.add(text(dataset, "SeriesInstanceUID"))
    if len(series) > 1:
        raise CineError(f"{folder}: holds images of {len(series)} series: give a folder with one")
    given = Counter(order.values())
    unsure = sum(count for value, count in given.items() if value is None or count > 1)
    unordered = (f"{unsure} of {len(paths)} files have no InstanceNumber of their own: these go by their names",)
    paths = sorted(paths, key=lambda path: (order[path] is None, order[path] or 0))
    first = read_dicom(paths[0], name)
    frames = np.empty((len(paths), *first.shape[1:]), first.frames.dtype)
    notes = dict.fromkeys(first.warnings)
    for i, path in enumerate(paths):
        cine = first if i == 0 else read_dicom(path, name)
        if cine.shape != first.shape or cine.frames.dtype != frames.dtype:
            raise CineError(
                f"{folder}: {paths[0].name} is {_size(first)} but {path.name} is {_size(cine)}: "
                "all frames of a cine have one size and depth"
            )
        frames[i] = cine.frames[0]
        notes.update(dict.fromkeys(cine.warnings))
    file, dataset = _open(paths[0])
    file.close()
    times_ms, times_source, times_notes = frame_times(dataset, len(frames))
    return replace(
        first,
        frames=frames,
        times_ms=times_ms,
        times_source=times_source,
        warnings=(*(unordered if unsure else ()), *notes, *times_notes),
        meta=first.meta | {"frames": len(frames)},
    )


def _size(cine: Cine) -> str:
    return f"{cine.shape[2]} x {cine.shape[1]} pixels of {cine.frames.dtype.itemsize * 8} bits"


def _open(path: Path) -> tuple[BinaryIO, pydicom.Dataset]:
    """The header, and the file standing at the pixels."""
    if not (is_dicom(path) or looks_like_dataset(path)):
        raise CineError(f"{path}: is not DICOM, though it is named like it")
    file = path.open("rb")
    try:
        inflated = _inflated(file, path)
        if inflated is None:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        else:
            file.close()
            file, dataset = inflated
    except CineError:
        file.close()
        raise
    except Exception as error:  # pydicom raises whatever a damaged byte leads it to
        file.close()
        raise CineError(f"{path}: is DICOM whose header cannot be read: it is cut short or damaged") from error
    return file, dataset


def _inflated(file: BinaryIO, path: Path) -> tuple[BinaryIO, pydicom.Dataset] | None:
    """A deflated file, inflated no further than its header says; None for every other file."""
    if file.read(132)[128:] != b"DICM":
        file.seek(0)
        return None
    file.seek(0)
    head = pydicom.filereader.read_file_meta_info(path)
    if head.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    file.seek(132 + 12 + head.FileMetaInformationGroupLength)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    buffer = BytesIO(inflater.decompress(file.read(), _MOST_HEADER))
    dataset = read_dataset(buffer, False, True, stop_when=lambda tag, vr, length: tag >= 0x7FE00008)
    pixels = buffer.tell()
    names = ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    count, rows, columns, samples, bits = (int(number(dataset, name) or 1) for name in names)
    itemsize = samples * max(1, bits // 8)
    check_size(path, count, rows, columns, itemsize)
    buffer.seek(0, os.SEEK_END)
    more = pixels + count * rows * columns * itemsize + _MOST_HEADER - buffer.tell()
    buffer.write(inflater.decompress(inflater.unconsumed_tail, max(1, more)))
    if inflater.unconsumed_tail or not inflater.eof:
        raise CineError(f"{path}: is a deflated DICOM file that is cut short, damaged or larger than it says")
    buffer.seek(pixels)
    dataset.file_meta = head
    dataset.is_implicit_VR, dataset.is_little_endian = False, True
    return buffer, dataset


def _check_kind(dataset: pydicom.Dataset, path: Path) -> tuple[str, ...]:
    """Warnings about what kind of image this is.

    Raises:
        CineError: when it is none that shows an X-ray cine.
    """
    kind = text(dataset, "SOPClassUID") or text(getattr(dataset, "file_meta", {}), "MediaStorageSOPClassUID")
    modality = (text(dataset, "Modality") or "").upper()
    if kind == _DICOMDIR:
        raise CineError(f"{path}: is a DICOMDIR, a list of files: give one of the files that it lists")
    if kind in _3D_XRAY:
        raise CineError(f"{path}: is a 3-D reconstruction, not an X-ray angiography cine")
    if modality in _XRAY:
        return ()
    if modality in _CAPTURED:
        return (f"is a secondary capture ({modality}), not an original X-ray image",)
    if not modality:
        return ("does not say its modality: X-ray angiography assumed",)
    spelled = modality if re.fullmatch(r"[A-Z]{2,16}", modality) else "unknown"
    what = _NAMES.get(modality, f"an image of modality {spelled}")
    raise CineError(f"{path}: is {what}, not an X-ray angiography cine")


def _meta(dataset: pydicom.Dataset, count: int) -> dict:
    """What is known and identifies nobody."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    found = {
        "modality": text(dataset, "Modality"),
        "manufacturer": text(dataset, "Manufacturer"),
        "model": text(dataset, "ManufacturerModelName"),
        "primary_angle": number(dataset, "PositionerPrimaryAngle"),
        "secondary_angle": number(dataset, "PositionerSecondaryAngle"),
        "sid_mm": number(dataset, "DistanceSourceToDetector"),
        "sod_mm": number(dataset, "DistanceSourceToPatient", "DistanceSourceToIsocenter"),
        "bits_stored": number(dataset, "BitsStored"),
        "transfer_syntax": None if syntax is None else syntax.name,
        "photometric": text(dataset, "PhotometricInterpretation"),
        "frames": count,
    }
    return {key: value for key, value in found.items() if value is not None}
