"""Any file or folder to a cine."""

import warnings
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path

from angioseg.cine.cine import Cine, CineError
from angioseg.cine.find import cine_name, frame_folders
from angioseg.cine.order import natural_order
from angioseg.cine.suffixes import CINE_SUFFIXES, DICOM, ITK, NRRD, PICTURE, VIDEO, cine_suffix

__all__ = ["read_cine"]


def read_cine(path: str | PathLike) -> Cine:
    """Read an X-ray angiography cine, losslessly: what the file holds is what comes out.

    DICOM (XA, RF; classic or enhanced), video, NRRD, Slicer's ``.seq.nrrd``, NIfTI, MetaImage, a picture, a folder of
    numbered frames or of single-frame DICOM files of one series, whose pictures are then left out; the frames may lie
    in ``images`` or ``frames`` in that folder. DICOM is told by its content, everything else by its ending.

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

    name = cine_name(path.resolve())
    for folder in frame_folders(path):
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
