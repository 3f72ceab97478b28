"""Any file or folder to a cine."""

import warnings
from os import PathLike, fspath
from pathlib import Path

from angioseg.cine.cine import Cine, CineError
from angioseg.cine.suffixes import CINE_SUFFIXES, DICOM, ITK, NRRD, PICTURE, VIDEO

__all__ = ["is_cine", "read_cine"]

_NOT_A_CINE = (".seg.nrrd",)
_FRAME_FOLDERS = ("images", "frames")


def read_cine(path: str | PathLike) -> Cine:
    """Read an X-ray angiography cine, losslessly: what the file holds is what comes out.

    DICOM (XA, RF; classic or enhanced), video, NRRD, Slicer's ``.seq.nrrd``, NIfTI, MetaImage, a picture, a folder of
    numbered frames (or one with an ``images`` subfolder), or a folder of single-frame DICOM files of one series. DICOM
    is told by its content, everything else by its ending.

    Raises:
        CineError: with one line that says what is wrong with the file.
    """
    if not fspath(path):  # pathlib takes it for the working folder
        raise CineError("no file or folder is named")
    path = Path(path)
    try:
        # What libraries warn of quotes values of the file, and values may be names.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read_folder(path) if path.is_dir() else _read_file(path)
    except OSError as error:
        raise CineError(f"{path}: cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise CineError(f"{path}: does not fit into memory: close other programs or cut the cine") from error


def is_cine(path: str | PathLike) -> bool:
    """Whether `read_cine` is worth trying: a cheap look at the name and the first bytes, nothing is decoded.

    A folder counts when it or its ``images`` subfolder holds pictures.
    """
    path = Path(path)
    name = path.name.lower()
    try:
        if path.is_dir():
            return any(
                file.suffix.lower() in PICTURE and not file.name.startswith(".")
                for folder in (path, path / "images")
                if folder.is_dir()
                for file in folder.iterdir()
            )
        if not path.is_file() or name.startswith(".") or name.endswith(_NOT_A_CINE):
            return False
        if name.endswith(CINE_SUFFIXES):
            return True
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _read_file(path: Path) -> Cine:
    if not path.exists():
        raise CineError(f"{path}: no such file or folder")
    if path.stat().st_size == 0:
        raise CineError(f"{path}: is empty")
    lower = path.name.lower()
    suffix = max((s for s in CINE_SUFFIXES if lower.endswith(s)), key=len, default="")
    name = path.name[: len(path.name) - len(suffix)]
    from angioseg.cine import dicom

    if suffix in DICOM or dicom.is_dicom(path):
        return dicom.read_dicom(path, name)
    if suffix in VIDEO:
        from angioseg.cine.video import read_video

        return read_video(path, name)
    if suffix in NRRD:
        from angioseg.cine.volumes import read_nrrd_cine

        return read_nrrd_cine(path, name)
    if suffix in ITK:
        from angioseg.cine.volumes import read_itk_cine

        return read_itk_cine(path, name)
    if suffix in PICTURE:
        from angioseg.cine.pictures import read_picture

        return read_picture(path, name)
    if dicom.looks_like_dataset(path):
        return dicom.read_dicom(path, name)
    raise CineError(f"{path}: is of no known kind; cines are DICOM or end in {', '.join(CINE_SUFFIXES)}")


def _read_folder(path: Path) -> Cine:
    from angioseg.cine import dicom, pictures

    inner = path / "images"
    folder = inner if inner.is_dir() and not pictures.frame_files(path) else path
    # The folder that says which cine it is: clip_0001/images is clip_0001.
    named = folder.resolve()
    name = named.parent.name if named.name.lower() in _FRAME_FOLDERS else named.name
    frames = pictures.frame_files(folder)
    if frames:
        return pictures.read_pictures(folder, frames, name)
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    files = [file for file in files if dicom.is_dicom(file)]
    if len(files) == 1:
        return _read_file(files[0])
    if files:
        return dicom.read_dicom_folder(files, folder, name)
    raise CineError(f"{path}: is a folder without frames ({', '.join(PICTURE)})")
