"""The cines of a studies folder as the images of MONAI Label, with their labels."""

import filecmp
import json
import logging
import os
import shutil
import threading
import time
from pathlib import Path

from angioseg.cine import CINE_SUFFIXES, is_cine
from angioseg.cine.atomic import replacing
from fastapi import HTTPException
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore

from lib.ids import check_id, is_id

__all__ = ["CineDatastore"]

logger = logging.getLogger("angioseg.server")

LABEL_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_RESERVED_INFO = ("name", "path", "ts")
_SCAN_EVERY_S = 2.0


class CineDatastore(LocalDatastore):
    """MONAI Label's folder datastore for cines of any format, in subfolders too, found while the server runs.

    The platform's store knows files with given endings in one folder. Here an image is whatever is a cine: a file
    (DICOM needs no ending) or a folder of frames. Its id is its path below the studies folder without the ending, with
    ``__`` for a folder's slash; when two cines come to the same id, the one found later keeps its ending in its id. An
    id once given is kept in ``datastore_v2.json``. Labels lie in ``labels/TAG/ID.nrrd`` (also ``.seg.nrrd``, ``.nii``,
    ``.nii.gz``), put there by the server or by hand.

    Args:
        studies: a folder this process may write to.
    """

    def __init__(self, studies: str):
        self._paths: dict[str, str] = {}
        self._kinds: dict[str, tuple] = {}
        self._unreadable: set[Path] = set()
        self._scanned_at = -float("inf")
        self._mutex = threading.RLock()
        # The platform's own watcher sees only given endings in the top folder; looking when asked needs no watcher
        # and works on network drives.
        super().__init__(studies, extensions=[f"*{suffix}" for suffix in LABEL_SUFFIXES], auto_reload=False)

    # What is there: looked up again when the last look is older than two seconds.

    def list_images(self):
        self._look()
        return super().list_images()

    def get_labeled_images(self, label_tag=None, labels=None):
        self._look()
        return super().get_labeled_images(label_tag, labels)

    def get_unlabeled_images(self, label_tag=None, labels=None):
        self._look()
        return super().get_unlabeled_images(label_tag, labels)

    def json(self):
        self._look()
        return super().json()

    def get_image_uri(self, image_id):
        if image_id not in self._paths:
            self._look(at_once=True)
        path = self._paths.get(image_id)
        return str(Path(self._datastore_path, path).resolve()) if path else ""

    # What changes: one thread at a time, files written whole or not at all, names checked.

    def add_image(self, image_id, image_filename, image_info):
        check_id(image_id, "image id")
        suffix = _suffix(image_filename)
        if not is_cine(image_filename):
            raise HTTPException(400, "The upload is not a cine: DICOM, video, NRRD or NIfTI is.")
        name = check_id(image_id + suffix, "image id")
        with self._mutex:
            self._reconcile_datastore()
            target = Path(self._datastore_path, name)
            taken = self._paths.get(image_id)
            if taken or target.exists():
                if taken == name and filecmp.cmp(image_filename, target, shallow=False):
                    return image_id
                raise HTTPException(409, f"There is another cine {image_id!r} in the studies folder. Use another id.")
            _copy(image_filename, target)
            self._reconcile_datastore()
            if self._paths.get(image_id) != name:
                raise HTTPException(409, f"There is another cine {image_id!r} in the studies folder. Use another id.")
            self.update_image_info(image_id, image_info or {})
        return image_id

    def save_label(self, image_id, label_filename, label_tag, label_info):
        check_id(label_tag, "label tag")
        suffix = next((suffix for suffix in LABEL_SUFFIXES if label_filename.lower().endswith(suffix)), None)
        if suffix is None:
            raise HTTPException(400, f"A label must be one of {', '.join(LABEL_SUFFIXES)}.")
        with self._mutex:
            image = self._image(image_id)
            folder = Path(self._datastore.label_path(label_tag))
            folder.mkdir(parents=True, exist_ok=True)
            _copy(label_filename, folder / (image_id + suffix))
            info = {**(label_info or {}), "ts": int(time.time()), "name": image_id + suffix}
            image.labels[label_tag] = DataModel(info=info, ext=suffix)
            self._update_datastore_file()
        return image_id

    def remove_image(self, image_id):
        with self._mutex:
            self._image(image_id)
            if Path(self._datastore_path).resolve() not in Path(self.get_image_uri(image_id)).parents:
                raise HTTPException(
                    400, f"Image {image_id!r} lies outside of the studies folder: remove its link there."
                )
            super().remove_image(image_id)

    def remove_label(self, label_id, label_tag):
        with self._mutex:
            self._label(label_id, label_tag)
            super().remove_label(label_id, label_tag)

    def update_image_info(self, image_id, info):
        with self._mutex:
            self._image(image_id).image.info.update(_own_info(info))
            self._update_datastore_file()

    def update_label_info(self, label_id, label_tag, info):
        with self._mutex:
            self._label(label_id, label_tag).info.update(_own_info(info))
            self._update_datastore_file()

    def _image(self, image_id) -> ImageLabelModel:
        self.get_image_uri(image_id)
        image = self._datastore.objects.get(image_id)
        if image is None:
            check_id(image_id, "image id")
            raise HTTPException(404, f"There is no image {image_id!r} in the studies folder.")
        return image

    def _label(self, image_id, tag) -> DataModel:
        label = self._image(image_id).labels.get(tag)
        if label is None:
            raise HTTPException(404, f"Image {image_id!r} has no label {tag!r}.")
        return label

    # The platform joins a name from id and ending. A cine's name is in `_paths`: its ending is stored as "".

    def _filename(self, id, ext):
        return id + ext if ext else self._paths.get(id, id)

    def _look(self, at_once: bool = False):
        if at_once or time.monotonic() - self._scanned_at > _SCAN_EVERY_S:
            self._reconcile_datastore()

    def _reconcile_datastore(self):
        with self._mutex:
            self._init_from_datastore_file()
            before = self._datastore.objects
            known = {image.image.info.get("name"): image_id for image_id, image in before.items()}
            self._paths = _name_cines(self._scan(), known)
            labels = self._scan_labels(before)
            objects = {}
            for image_id, path in self._paths.items():
                info = before[image_id].image.info if image_id in before else {"ts": int(time.time())}
                image = DataModel(ext="", info={**info, "name": path})
                objects[image_id] = ImageLabelModel(image=image, labels=labels.get(image_id, {}))
            if objects != before:
                # Replaced whole: a thread that reads sees all of the old or all of the new.
                self._datastore.objects = objects
                self._update_datastore_file()
            self._scanned_at = time.monotonic()

    def _scan(self) -> list[str]:
        """Paths of the cines below the studies folder, sorted."""
        root = Path(self._datastore_path)
        found, seen = [], set()

        def walk(folder: Path):
            if (real := folder.resolve()) in seen:
                return
            seen.add(real)
            for path in sorted(folder.iterdir()):
                if not is_id(path.name) or (folder == root and path.name == self._datastore.labels_dir):
                    continue
                try:
                    if path.is_dir():
                        if self._is_folder_of_frames(path):
                            found.append(path.relative_to(root).as_posix())
                        else:
                            walk(path)
                    elif path.is_file() and self._is_cine_file(path):
                        found.append(path.relative_to(root).as_posix())
                except OSError as error:
                    if path not in self._unreadable:
                        self._unreadable.add(path)
                        logger.warning("A file or folder in the studies folder cannot be read: %s.", error.strerror)

        walk(root)
        return found

    def _is_folder_of_frames(self, path: Path) -> bool:
        """One cine; but pictures beside cines (a report's, say) make no frames of a folder."""
        return is_cine(path) and not any(
            file.is_file() and file.suffix.lower() not in _PICTURES and self._is_cine_file(file)
            for file in path.iterdir()
        )

    def _is_cine_file(self, path: Path) -> bool:
        stat = path.stat()
        state = (stat.st_mtime_ns, stat.st_size)
        kind = self._kinds.get(str(path))
        if kind is None or kind[0] != state:
            kind = self._kinds[str(path)] = (state, path.name.upper() != "DICOMDIR" and is_cine(path))
        return kind[1]

    def _scan_labels(self, before) -> dict[str, dict[str, DataModel]]:
        labels: dict[str, dict[str, DataModel]] = {}
        root = Path(self._datastore.label_path(None))
        for file in sorted(root.glob("*/*")):
            tag, name = file.parent.name, file.name
            for suffix in LABEL_SUFFIXES:
                image_id = name.removesuffix(suffix)
                if image_id != name and image_id in self._paths and tag not in labels.get(image_id, {}):
                    old = before[image_id].labels.get(tag) if image_id in before else None
                    info = old.info if old and old.ext == suffix else {"ts": int(file.stat().st_mtime), "name": name}
                    labels.setdefault(image_id, {})[tag] = DataModel(info=info, ext=suffix)
                    break
        return labels

    def _update_datastore_file(self, lock=True):
        del lock  # The rename below is all or nothing.
        data = json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str)
        with replacing(Path(self._datastore_config_path)) as temporary:
            temporary.write_text(data, encoding="utf-8")
        self._config_ts = os.stat(self._datastore_config_path).st_mtime


def _name_cines(paths: list[str], known: dict[str, str]) -> dict[str, str]:
    """Ids of paths: those already given first, then the shortest that is free."""
    named = {known[path]: path for path in paths if path in known}
    given = set(named.values())
    for path in paths:
        if path in given:
            continue
        flat = path.replace("/", "__")
        candidates = [flat.removesuffix(_suffix(path)), flat]
        number = 2
        while candidates[0] in named or not is_id(candidates[0]):
            candidates.pop(0)
            if not candidates:
                candidates.append(f"{flat[-150:].lstrip('.')}~{number}")
                number += 1
        named[candidates[0]] = path
    return dict(sorted(named.items()))


def _suffix(path: str) -> str:
    """The ending of a cine's file, as the file writes it, or ""."""
    endings = [suffix for suffix in CINE_SUFFIXES if path.lower().endswith(suffix)]
    return path[-len(max(endings, key=len)) :] if endings else ""


def _own_info(info: dict) -> dict:
    return {key: value for key, value in info.items() if key not in _RESERVED_INFO}


def _copy(source: str, target: Path):
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
