"""Cines in pictures: one picture, a TIFF of several pages, a folder of numbered frames."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from angioseg.cine.cine import Cine, CineError
from angioseg.cine.grey import Colour
from angioseg.cine.integers import as_cine_integers
from angioseg.cine.limits import check_size
from angioseg.cine.order import natural_order
from angioseg.cine.suffixes import PICTURE, RESULT_ENDINGS
from angioseg.cine.times import assumed_times

__all__ = ["frame_files", "read_picture", "read_pictures"]

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order: frame_2 before frame_10."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in PICTURE and path.is_file())
    return sorted(
        (path for path in files if not (path.name.startswith(".") or path.name.lower().endswith(RESULT_ENDINGS))),
        key=natural_order,
    )


def read_picture(path: Path, name: str) -> Cine:
    """A cine from one picture file: one frame, or as many as it has pages.

    Raises:
        CineError: when it is no picture, or damaged.
    """
    image, pages = _open(path)
    image.close()
    return _stack(path, _pages(path), pages, name)


def read_pictures(folder: Path, paths: list[Path], name: str) -> Cine:
    """A cine from pictures in the given order.

    Raises:
        CineError: when they differ in size or depth, or one cannot be read.
    """
    return _stack(folder, (_single(path) for path in paths), len(paths), name)


def _stack(where: Path, pictures: Iterable[tuple[str, np.ndarray]], count: int, name: str) -> Cine:
    frames, first, colour = None, "", None
    for i, (label, picture) in enumerate(pictures):
        if frames is None:
            first = label
            check_size(where, count, *picture.shape[:2], picture.itemsize)
            frames = np.empty((count, *picture.shape[:2]), picture.dtype)
            colour = Colour(int(np.iinfo(picture.dtype).max))
        if picture.shape[:2] != frames.shape[1:] or picture.dtype != frames.dtype:
            one, other = [
                f"{c} x {r} pixels of {8 * d.itemsize} bits"
                for (r, c), d in ((frames.shape[1:], frames.dtype), (picture.shape[:2], picture.dtype))
            ]
            raise CineError(
                f"{where}: {first} is {one} but {label} is {other}: all frames of a cine have one size and depth"
            )
        if picture.ndim == 3:
            colour.from_rgb(picture, frames[i])
        else:
            frames[i] = picture
    times_ms, times_source, notes = assumed_times(count)
    return Cine(frames, times_ms, times_source, name=name, warnings=colour.warnings() + notes, meta={"frames": count})


def _open(path: Path) -> tuple[Image.Image, int]:
    try:
        image = Image.open(path, formats=_FORMATS)
        return image, getattr(image, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise CineError(f"{path}: is a picture far larger than any frame of a cine") from error
    except Exception as error:  # Pillow raises whatever a damaged byte leads it to
        raise CineError(f"{path}: cannot be read as a picture: it is cut short, damaged or of another kind") from error


def _single(path: Path) -> tuple[str, np.ndarray]:
    image, pages = _open(path)
    with image:
        if pages > 1:
            raise CineError(f"{path}: holds {pages} pictures, but a folder's frames are one picture a file")
        return path.name, _pixels(image, 0, path)


def _pages(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    image, pages = _open(path)
    with image:
        for page in range(pages):
            yield f"page {page}", _pixels(image, page, path)


def _pixels(image: Image.Image, page: int, path: Path) -> np.ndarray:
    """(H, W) or (H, W, 3)."""
    try:
        image.seek(page)
        pixels = _grey_or_rgb(image)
    except Exception as error:  # Pillow raises whatever a damaged byte leads it to
        raise CineError(f"{path}: is a picture that cannot be decoded: it is cut short or damaged") from error
    return pixels if pixels.ndim == 3 else as_cine_integers(pixels, path)


def _grey_or_rgb(image: Image.Image) -> np.ndarray:
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode in ("LA", "La"):
        return np.asarray(image.getchannel(0))
    if image.mode in ("L", "I", "F", "RGB") or image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return np.asarray(image.convert("RGB"))
