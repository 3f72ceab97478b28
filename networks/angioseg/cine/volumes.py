"""Cines in 3-D image files: NRRD (Slicer's sequences too), NIfTI, MetaImage."""

import gzip
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from angioseg.cine import header
from angioseg.cine.cine import Cine, CineError
from angioseg.cine.grey import Colour
from angioseg.cine.integers import as_cine_integers
from angioseg.cine.limits import check_size
from angioseg.cine.nrrd import read_nrrd

__all__ = ["read_itk_cine", "read_nrrd_cine"]

_AIR_HU = -900  # CT numbers go down to -1000 in air, most files to -1024


def read_nrrd_cine(path: Path, name: str) -> Cine:
    """A cine from an NRRD file: (x, y), (x, y, t), or a Slicer volume sequence (x, y, 1, t).

    Raises:
        CineError: when it is no cine, damaged or cut short.
    """
    nrrd = read_nrrd(path)
    # Fields list the axes fastest first, numpy slowest first.
    kinds = _per_axis(nrrd.fields.get("kinds", ""), nrrd.array.ndim, r"\S+")
    directions = _per_axis(nrrd.fields.get("space directions", ""), nrrd.array.ndim, r"none|\([^)]*\)")
    if "space directions" in nrrd.fields:
        sizes = [float(np.linalg.norm(_numbers(text))) if text.startswith("(") else 0.0 for text in directions]
    else:
        sizes = [abs(_numbers(s)[0]) for s in _per_axis(nrrd.fields.get("spacings", ""), nrrd.array.ndim, r"\S+", "1")]
    pixels, kinds, sizes, index_axis = nrrd.array, kinds[::-1], sizes[::-1], None
    if "list" in kinds or "time" in kinds:
        at = kinds.index("list" if "list" in kinds else "time")
        index_axis = pixels.ndim - 1 - at
        pixels = np.moveaxis(pixels, at, 0)
        sizes.insert(0, sizes.pop(at))
        kinds.insert(0, kinds.pop(at))
    colour = next((i for i, kind in enumerate(kinds) if kind.endswith(("-color", "vector"))), None)
    if colour is not None:
        pixels = np.moveaxis(pixels, colour, -1)
        sizes.pop(colour)
    units = _per_axis(nrrd.fields.get("units", ""), nrrd.array.ndim, r'"[^"]*"')
    return _cine(
        pixels,
        colour is not None,
        sizes,
        nrrd.values,
        path,
        name,
        index_values=nrrd.values.get(f"axis {index_axis} index values"),
        index_unit=units[index_axis].strip('"') if index_axis is not None else "",
    )


def read_itk_cine(path: Path, name: str) -> Cine:
    """A cine from a NIfTI or MetaImage file as (x, y), (x, y, t) or (x, y, 1, t), by SimpleITK.

    Raises:
        CineError: when it is no cine, damaged or cut short.
    """
    import SimpleITK as sitk

    unpacked = path.with_suffix("")
    if path.suffix.lower() == ".gz" and unpacked.exists():
        # So does the NIfTI library, without a word.
        raise CineError(f"{path}: {unpacked.name} lies beside it and would be read in its place: move one of them")
    _check_pixels_are_near(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO" if ".nii" in path.suffixes[-2:] else "MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size, channels = reader.GetSize(), reader.GetNumberOfComponents()
        check_size(path, int(np.prod(size[2:], dtype=np.float64)) * channels, size[1], size[0], 1)
        _check_nifti_is_whole(reader, path)
        image = reader.Execute()
    except (RuntimeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CineError(f"{path}: cannot be read as an image: it is cut short, damaged or of another kind") from error
    keys = (header.TIMES, header.TIMES_SOURCE, header.SPACING_SOURCE, header.ANNOTATED, header.PIXELS)
    values = {key: image.GetMetaData(key) for key in keys if image.HasMetaDataKey(key)}
    return _cine(_Held(image).array(), channels > 1, image.GetSpacing()[::-1], values, path, name)


def _check_pixels_are_near(path: Path) -> None:
    """A MetaImage can name any file of this machine as its pixels, and who sent it must not get that file to see."""
    if path.suffix.lower() not in (".mha", ".mhd"):
        return
    # MetaIO reads headers in ways of its own, so that of two names nobody can tell which one it takes.
    found = re.findall(rb"ElementDataFile(?:[ \t]*[=:][ \t]*([^\r\n]*))?", path.read_bytes())
    if not found:
        raise CineError(f"{path}: cannot be read as an image: its header does not say where the pixels are")
    if len(found) > 1 or not re.fullmatch(rb"(?!LIST)[\w.-][\w .-]*", found[0]):
        raise CineError(f"{path}: takes its pixels from a list or from another folder: save it as one .mha file")


def _check_nifti_is_whole(reader, path: Path) -> None:
    """ITK fills what a NIfTI file cut short lacks with zeros, and says nothing."""
    if not reader.HasMetaDataKey("vox_offset"):
        return
    voxels = int(np.prod(reader.GetSize(), dtype=np.float64))
    last = int(float(reader.GetMetaData("vox_offset"))) + voxels * int(reader.GetMetaData("bitpix")) // 8 - 1
    with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
        file.seek(last)
        if not file.read(1):
            raise EOFError


def _cine(
    pixels: np.ndarray,
    coloured: bool,
    sizes,
    values: Mapping[str, str],
    path: Path,
    name: str,
    index_values: str | None = None,
    index_unit: str = "",
) -> Cine:
    spatial = pixels.shape[:-1] if coloured else pixels.shape
    if len(spatial) < 2 or sum(size > 1 for size in spatial[:-2]) > 1:
        text = " x ".join(map(str, spatial[::-1]))
        raise CineError(f"{path}: is an image of {text}; a cine has two axes and time (x, y, t)")
    count, rows, columns = int(np.prod(spatial[:-2], dtype=np.int64)), *spatial[-2:]
    check_size(path, count, rows, columns, pixels.itemsize)
    pixels = pixels.reshape(count, rows, columns, *pixels.shape[len(spatial) :])
    warnings: tuple[str, ...] = ()
    if coloured:
        pixels, warnings = _grey(pixels, path)
    frames = as_cine_integers(np.ascontiguousarray(pixels), path)
    ours = header.TIMES in values or index_values is not None
    # A subtracted cine may reach such values too; its frames lie 1 apart, as time has no millimetres.
    air = 0.2 if len(sizes) < 3 or sizes[0] == 1 else 0.0
    if not ours and frames.dtype == np.int16 and (frames[count // 2] <= _AIR_HU).mean() > air:
        raise CineError(f"{path}: looks like a CT volume (it has CT numbers of air), not a cine")
    times_ms, times_source, times_warnings = header.frame_times(values, count, index_values, index_unit)
    listed = header.annotated_frames(values, count)
    if listed is None and header.ANNOTATED in values:
        raise CineError(f"{path}: its {header.ANNOTATED} must be a list of its frames, 0 to {count - 1}")
    try:
        vessel = header.vessel_value(values)
    except ValueError as error:
        raise CineError(f"{path}: holds the segments {error}: give the name 'vessel' to that of the vessels") from None
    meta = {header.ANNOTATED: listed, header.PIXELS: header.made_on(values), header.VESSEL: vessel}
    spacing = tuple(float(s) for s in sizes[-2:])
    return Cine(
        frames,
        times_ms,
        times_source,
        spacing if np.isfinite(spacing).all() and min(spacing) > 0 else (1.0, 1.0),
        header.spacing_source(values),
        name,
        warnings + times_warnings,
        {key: value for key, value in meta.items() if value is not None},
    )


def _grey(pixels: np.ndarray, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    if pixels.shape[-1] not in (3, 4) or pixels.dtype not in (np.uint8, np.uint16):
        raise CineError(f"{path}: has {pixels.shape[-1]} values a pixel; a cine has one (grey) or three (RGB)")
    colour = Colour(int(np.iinfo(pixels.dtype).max))
    frames = np.empty(pixels.shape[:3], pixels.dtype)
    for rgb, grey in zip(pixels, frames):
        colour.from_rgb(rgb[..., :3], grey)
    return frames, colour.warnings()


def _per_axis(text: str, count: int, pattern: str, missing: str = "") -> list[str]:
    found = re.findall(pattern, text)
    return found if len(found) == count else [missing] * count


def _numbers(vector: str) -> list[float]:
    try:
        return [float(number) for number in vector.strip("()").split(",")]
    except ValueError:
        return [float("nan")]


class _Held:
    """Shows numpy an image's own buffer and keeps the image alive, where SimpleITK would copy it."""

    def __init__(self, image) -> None:
        import SimpleITK as sitk

        self._image = image
        self.__array_interface__ = dict(sitk.GetArrayViewFromImage(image).__array_interface__)
        pointer, _ = self.__array_interface__["data"]
        self.__array_interface__["data"] = (pointer, False)

    def array(self) -> np.ndarray:
        return np.asarray(self)
