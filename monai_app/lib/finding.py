"""Which cines lie in a studies folder, and which ids they have."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from angioseg.cine import is_cine
from angioseg.cine.find import frame_folders
from angioseg.cine.suffixes import cine_suffix
from angioseg.paths import MODELS

from lib.ids import is_id
from lib.label_files import label_suffix

__all__ = ["CineFolder", "is_image_id", "name_cines"]

logger = logging.getLogger("angioseg.server")


class CineFolder:
    """The cines below a folder: files and folders of frames, of whatever form.

    Args:
        root: the studies folder.
        labels: name of the folder in it that holds labels.
    """

    def __init__(self, root: Path, labels: str):
        self._root = root
        self._passed = (labels, MODELS)
        self._kinds: dict[str, tuple] = {}
        self._unreadable: set[Path] = set()

    def paths(self) -> list[str]:
        """Paths below the folder, sorted."""
        found, seen = [], set()

        def walk(folder: Path):
            if (real := folder.resolve()) in seen:
                return
            seen.add(real)
            for path in sorted(folder.iterdir()):
                if not is_id(path.name) or (folder == self._root and path.name in self._passed):
                    continue
                try:
                    if self._is_cine(path):
                        found.append(path.relative_to(self._root).as_posix())
                    elif path.is_dir():
                        walk(path)
                except OSError as error:
                    if path not in self._unreadable:
                        self._unreadable.add(path)
                        logger.warning("A file or folder in the studies folder cannot be read: %s.", error.strerror)

        walk(self._root)
        return found

    def _is_cine(self, path: Path) -> bool:
        """Looks again only at what has changed: headers may have to be read."""
        state = _state(path)
        if path.is_dir():
            state = [(file.name, *_state(file)) for folder in frame_folders(path) for file in sorted(folder.iterdir())]
        kind = self._kinds.get(str(path))
        if kind is None or kind[0] != state:
            kind = self._kinds[str(path)] = (state, is_cine(path))
        return kind[1]


def _state(path: Path) -> tuple:
    try:
        stat = path.stat()
    except OSError:  # a link to nowhere, gone meanwhile, or not to be read: what lies beside it may be
        return ()
    return stat.st_mtime_ns, stat.st_size


def is_image_id(text: object) -> bool:
    """Whether a cine may have this id: of ``a.seg`` the label ``a.seg.nrrd`` would be one of ``a``."""
    return is_id(text) and label_suffix(f"{text}.nrrd") == ".nrrd"


def name_cines(paths: list[str], known: Mapping[str, str], kept: Collection[str]) -> dict[str, str]:
    """Ids of paths: those already given first, then the shortest that is free.

    Args:
        paths: of cines below the studies folder.
        known: path -> id given before.
        kept: ids that only the cine has that had them before.

    Returns:
        id -> path, sorted.
    """
    named = {known[path]: path for path in paths if is_image_id(known.get(path))}
    given = set(named.values())
    # On some disks the labels of Run and run would be one file.
    taken = {one.casefold() for one in (*named, *kept)}
    for path in paths:
        if path in given:
            continue
        flat = path.replace("/", "__")
        candidates = [flat.removesuffix(cine_suffix(path)), flat]
        number = 2
        while candidates[0].casefold() in taken or not is_image_id(candidates[0]):
            candidates.pop(0)
            if not candidates:
                candidates.append(f"{flat[-150:].lstrip('.')}~{number}")
                number += 1
        named[candidates[0]] = path
        taken.add(candidates[0].casefold())
    return dict(sorted(named.items()))
