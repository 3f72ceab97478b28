"""Any file or folder to a cine."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path

from angioseg.cine.cine import Cine, CineError
from angioseg.cine.order import natural_order
from angioseg.cine.suffixes import CINE_SUFFIXES, DICOM, ITK, LABEL_ENDINGS, NRRD, PICTURE, VIDEO, cine_suffix
from angioseg.paths import DATASTORE, MODELS

__all__ = ["cines_in", "folder_name", "is_cine", "read_cine"]

_FRAME_FOLDERS = ("images", "frames")
_NO_CINES = ("labels", MODELS)


def read_cine(path: str | PathLike) -> Cine:
    """Read an X-ray angiography cine, losslessly: what the file holds is what comes out.

    DICOM (XA, RF; classic or enhanced), video, NRRD, Slicer's ``.seq.nrrd``, NIfTI, MetaImage, a picture, a folder of
    numbered frames (or one with an ``images`` subfolder), or a folder of single-frame DICOM files of one series, whose
    pictures are then left out. DICOM is told by its content, everything else by its ending.

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

    A folder counts when it or its ``images`` subfolder holds pictures; a file that is named as a label does not, though
    `read_cine` reads it.
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
        if not path.is_file() or name.startswith(".") or name.endswith(LABEL_ENDINGS):
            return False
        if name.endswith(CINE_SUFFIXES):
            return True
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def folder_name(path: Path) -> str:
    """The name of a cine by its path: ``clip_0001/images`` is clip_0001."""
    return path.parent.name if path.name.lower() in _FRAME_FOLDERS else path.name


def cines_in(folder: str | PathLike, frames_of_one: bool = True) -> list[Path]:
    """The cines in a folder and below it, in the order of their names; the path itself where it is one.

    A folder of pictures is one cine of frames, but where other cines lie in it pictures are none. Where frames lie in
    ``frames``, what lies beside that folder is not looked at; nor are labels beside ``images`` or in a server's folder.
    Links to folders are followed where these are cines.

    Args:
        folder: a folder, or a cine.
        frames_of_one: whether pictures that lie in ``folder`` itself are the frames of one cine; else each is one.

    Raises:
        CineError: when there is none.
    """

    def below(path: Path, one: bool) -> Iterator[Path]:
        inside = sorted(inner for inner in path.iterdir() if not inner.name.startswith("."))
        files = [inner for inner in inside if inner.is_file() and is_cine(inner)]
        cines = [file for file in files if file.suffix.lower() not in PICTURE]
        if one and not cines and is_cine(path):
            yield path
        elif is_cine(path / "frames"):
            yield path / "frames"
        else:
            known = {inner.name for inner in inside}
            passed = _NO_CINES if known & {"images", DATASTORE} else ()
            for inner in inside:
                if inner in (cines or files):
                    yield inner
                elif inner.is_dir() and inner.name not in passed and (is_cine(inner) or not inner.is_symlink()):
                    yield from below(inner, True)

    folder = Path(folder)
    if not folder.exists():
        raise CineError(f"{folder}: no such file or folder")
    try:
        found = list(below(folder, frames_of_one)) if folder.is_dir() else [folder] * is_cine(folder)
    except OSError as error:
        raise CineError(f"{error.filename or folder}: cannot be read: {error.strerror or error}") from error
    if not found:
        raise CineError(f"{folder}: holds no cines; give a folder of DICOM files, videos or folders of frames")
    return found


def _read_file(path: Path) -> Cine:
    if not path.exists():
        raise CineError(f"{path}: no such file or folder")
    if path.stat().st_size == 0:
        raise CineError(f"{path}: is empty")
    suffix = cine_suffix(path.name)
    name, suffix = path.name.removesuffix(suffix), suffix.lower()
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
    name = folder_name(folder.resolve())
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    files = sorted(filter(dicom.is_dicom, files), key=natural_order)
    frames = pictures.frame_files(folder)
    if files:
        cine = _read_file(files[0]) if len(files) == 1 else dicom.read_dicom_folder(files, folder, name)
        beside = [file.name for file in frames if file not in files]
        left_out = (f"{len(beside)} pictures beside its DICOM files were left out",) if beside else ()
        return replace(cine, warnings=(*cine.warnings, *left_out))
    if frames:
        return pictures.read_pictures(folder, frames, name)
    raise CineError(f"{path}: is a folder without frames ({', '.join(PICTURE)})")
