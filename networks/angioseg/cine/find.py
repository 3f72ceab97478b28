"""Which files and folders are cines."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path, PurePath

from angioseg.cine.cine import CineError
from angioseg.cine.suffixes import CINE_SUFFIXES, PICTURE, RESULT_ENDINGS, cine_suffix
from angioseg.paths import DATASTORE, MODELS

__all__ = ["cine_name", "cine_path", "cines_in", "frame_folders", "is_cine", "name_below"]

_FRAME_FOLDERS = ("images", "frames")
_NO_CINES = ("labels", MODELS)


def is_cine(path: str | PathLike) -> bool:
    """Whether `read_cine` is worth trying: a look at the name, the first bytes and, in folders of DICOM, the headers.

    A folder counts when the cines in it (or, where none are, those in its ``images`` or ``frames``) are the frames of
    one: single-frame DICOM files of one series, with pictures beside them or not, but no folder; or pictures alone. A
    file that is named as a label or as a picture of a segmentation does not, though `read_cine` reads it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _are_frames(next(filter(None, map(_cine_files, frame_folders(path))), []))
        return path.is_file() and _is_cine_file(path)
    except OSError:
        return False


def frame_folders(path: Path) -> list[Path]:
    """Where the frames of a cine may lie whose folder this is: there, or in its ``images`` or ``frames``."""
    return [path, *filter(Path.is_dir, (path / name for name in _FRAME_FOLDERS))]


def cine_path(path: PurePath) -> PurePath:
    """Where a cine lies whose frames lie at ``path``: of ``clip_0001/images`` clip_0001, of all others the path."""
    return path.parent if path.name.lower() in _FRAME_FOLDERS and path.parent.name else path


def cine_name(path: Path) -> str:
    """What a cine is called by its path: without ``images``, and a file without its ending."""
    place = cine_path(path if path.name else path.resolve())
    return place.name.removesuffix("" if path.is_dir() else cine_suffix(place.name))


def name_below(path: Path, folder: Path) -> str:
    """What the results of a cine of a folder are called: as the cine, with the folders in between, as ``day__run``.

    What comes or goes beside it does not change that. A cine that lies elsewhere has its own name.
    """
    path, folder = path.absolute(), folder.absolute()
    above = cine_path(path.relative_to(folder)).parts[:-1] if folder in path.parents else ()
    return "__".join((*above, cine_name(path)))


def cines_in(folder: str | PathLike, frames_of_one: bool = True) -> list[Path]:
    """The cines in a folder and below it, in the order of their names; the path itself where it is one.

    A folder of frames is one cine, but where other cines lie in it pictures are none. Labels beside ``images`` or in a
    server's folder are not looked at. Links to folders are followed where these are cines.

    Args:
        folder: a folder, or a cine.
        frames_of_one: whether pictures that lie in ``folder`` itself are the frames of one cine; else each is one.

    Raises:
        CineError: when there is none.
    """

    def below(path: Path, one: bool) -> Iterator[Path]:
        inside = sorted(inner for inner in path.iterdir() if not inner.name.startswith("."))
        files = [inner for inner in inside if inner.is_file() and is_cine(inner)]
        cines = [file for file in files if not _is_picture(file)]
        if is_cine(path) and (one or cines or not files):
            yield path
        else:
            known = {inner.name for inner in inside}
            chosen = set(cines or files)
            passed = _NO_CINES if known & {"images", DATASTORE} else ()
            for inner in inside:
                if inner in chosen:
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
        raise CineError(f"{folder}: is a folder without cines; give one of DICOM files, videos or folders of frames")
    return found


def _is_cine_file(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith(".") or name.endswith(RESULT_ENDINGS) or name == "dicomdir":
        return False
    if name.endswith(CINE_SUFFIXES):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _cine_files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.is_file() and _is_cine_file(file)]


def _are_frames(files: list[Path]) -> bool:
    """Whether these, cines each, are together the frames of one."""
    others = [file for file in files if not _is_picture(file)]
    if not others:
        return bool(files)
    from angioseg.cine.dicom import are_frames  # not light

    beside = (file for file in others[0].parent.iterdir() if file.is_dir() and not file.name.startswith("."))
    return are_frames(others) and not any(beside)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE
