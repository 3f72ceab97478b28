"""The cines of a studies folder as the images of MONAI Label, with their labels."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from angioseg.atomic import replacing
from angioseg.cine import Cine, CineError, is_cine, read_cine, read_label, write_label
from angioseg.cine.find import frame_folders
from angioseg.cine.pixels import pixel_digest
from angioseg.cine.suffixes import RESULT_ENDINGS, cine_suffix
from angioseg.paths import MODELS
from fastapi import HTTPException
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from lib.cines import NoCine, file_state
from lib.dataset import write_dataset
from lib.finding import CineFolder, is_image_id, name_cines
from lib.ids import check_id
from lib.label_files import LABEL_SUFFIXES, VERSIONS, label_files, label_suffix, labelled_id, version_files
from lib.labels import Label, describe_label, join_labels, read_submitted
from lib.options import check_options

__all__ = ["CineDatastore", "read_upload"]

logger = logging.getLogger("angioseg.server")

_LABELS = "labels"
_FINAL = DefaultLabelTag.FINAL.value
_RESERVED_INFO = ("name", "path", "ts", "id", "frame", "score", "why", "scored")
_RESERVED_LABEL_INFO = (*_RESERVED_INFO, "annotated_frames", "version", "versions", "file", "cine_file", "problem")


class CineDatastore(LocalDatastore):
    """MONAI Label's folder datastore for cines of any format, in subfolders too, found while the server runs.

    The platform's store knows files with given endings in one folder. Here an image is whatever is a cine: a file
    (DICOM needs no ending) or a folder of frames. Its id is its path below the studies folder without the ending, with
    ``__`` for a folder's slash; when two cines come to the same id, the one found later keeps its ending in its id. An
    id once given is kept in ``datastore_v2.json``; where it has labels, also while its cine is away. Labels lie in
    ``labels/TAG/ID.nrrd`` (also ``.seg.nrrd``, ``.nii``, ``.nii.gz``), put there by the server or by hand.

    A label that is saved is never lost: it becomes ``labels/TAG/ID.nrrd`` with the list of its labelled frames in the
    header, and the one that it takes the place of is kept as ``labels/TAG/versions/ID.NUMBER.nrrd``. A label's info
    has ``annotated_frames``, ``version`` (from 1) and ``versions``, the files of the earlier ones.

    Args:
        studies: a folder this process may write to.
        read: gives the cine of a file; labels must be on its grid.
    """

    scan_every_s = 2.0
    most_compared = 50
    """Cines that are read, or fetched, to find out whether one of them is a new one."""
    most_looked_at = 5
    """Cines that are read at one look to find out whether they are still those that their labels were made on."""

    def __init__(self, studies: str, read: Callable[[str], Cine] = read_cine):
        self._read = read
        self._cines = CineFolder(Path(studies), _LABELS)
        self._paths: dict[str, str] = {}
        self._absent: dict[str, ImageLabelModel] = {}
        self._without_cine = 0
        self._looks_left = 0
        self._pixels: dict[str, tuple[tuple, str | None]] = {}
        self._scanned_at = -float("inf")
        self._mutex = threading.RLock()
        # The platform's own watcher sees only given endings in the top folder; looking when asked needs no watcher
        # and works on network drives.
        super().__init__(studies, extensions=[f"*{suffix}" for suffix in LABEL_SUFFIXES], auto_reload=False)

    # What is there: looked up again when the last look is older than `scan_every_s`.

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

    def get_dataset_archive(self, limit_cases):
        """Write the cines that have a final label, and these labels, to a ZIP archive in the temporary folder.

        It is laid out as the platform's. Names in it are made of the cines' ids: two folders may each have a run.dcm.
        Cines that cannot be had are left out.

        Args:
            limit_cases: the most cines; all when None.

        Returns:
            Where it is; whoever asks removes it.

        Raises:
            HTTPException: 404, when there is no such label; 502, when an archive of cines does not answer.
        """
        self._look(at_once=True)
        labelled = sorted(self.get_labeled_images())[:limit_cases]
        if not labelled:
            raise HTTPException(404, "No cine has a final label yet.")
        handle, path = tempfile.mkstemp(prefix="angioseg-dataset-", suffix=".zip")
        os.close(handle)
        try:
            write_dataset(path, map(self._case, labelled), self._datastore.model_dump_json(exclude={"base_path"}))
        except BaseException:
            Path(path).unlink()
            raise
        return path

    def _case(self, image_id: str) -> dict[str, str]:
        """A cine and its final label: name in an archive -> file."""
        try:
            image, label = self.get_image_uri(image_id), self.get_label_uri(image_id, _FINAL)
        except NoCine as error:
            logger.warning("A labelled cine is left out: %s", error.detail)
            return {}
        suffix = "" if Path(image).is_dir() else cine_suffix(image)
        return {f"image/{image_id}{suffix}": image, f"label/{Path(label).name}": label}

    def get_image_uri(self, image_id):
        return self.image_path(image_id)

    def get_image_info(self, image_id):
        self._image(image_id)
        return super().get_image_info(image_id)

    def image_path(self, image_id: str) -> str:
        """Where the file of a cine is, or will be once somebody needs it; "" where there is no such cine."""
        if not self._is_there(image_id):
            self._look(at_once=True)
        path = self._paths.get(image_id)
        return str(Path(self._datastore_path, path).resolve()) if path else ""

    def _is_there(self, image_id: str) -> bool:
        """Whether what was seen at the last look still holds for a cine."""
        path = self._paths.get(image_id)
        return path is not None and Path(self._datastore_path, path).exists()

    # What changes: one thread at a time, files written whole or not at all, names checked.

    def add_image(self, image_id, image_filename, image_info):
        """Add a cine, unless it is there, under whatever id: twice, it would be two patients to a training.

        A cine is told by its pixels: times, spacing and the form of the file depend on who wrote it. The one of that id
        and all whose pixels are known are compared, and others, which are read for it, up to a number.

        Args:
            image_id: its id, if it is new.
            image_filename: any file that is a cine.
            image_info: kept with a new one.

        Returns:
            The id of the cine with these pixels.

        Raises:
            HTTPException: 400, when it is no cine; 409, when the id is that of a cine with other pixels.
        """
        check_id(image_id, "image id")
        name = check_id(image_id + cine_suffix(image_filename), "image id")
        if name in (self._datastore.labels_dir, MODELS):
            raise HTTPException(400, f"{name!r} is the server's own folder. Use another id.")
        if name.lower().endswith(RESULT_ENDINGS) or not is_image_id(image_id):
            raise HTTPException(400, f"{image_id!r} ends as the name of a result does. Use another id.")
        info = _checked_info(image_info or {})
        pixels, target = pixel_digest(read_upload(image_filename).frames), Path(self._datastore_path, name)
        for _ in range(2):  # once more, when somebody else added one of that name meanwhile
            self._look(at_once=True)
            if same := self._with_pixels(pixels, self._to_compare(image_id, name)):
                return same
            with self._mutex:
                self._reconcile_datastore()
                # Somebody may have added it meanwhile, under another name.
                if same := self._with_pixels(pixels, self._known_by_pixels()):
                    return same
                if self._like(image_id) or self._id_of(name) or target.exists():
                    continue
                _copy(image_filename, target)
                self._reconcile_datastore()
                if self._paths.get(image_id) == name:
                    self._pixels[image_id] = (file_state(target), pixels)
                    self.update_image_info(image_id, info)
                    return image_id
                target.unlink()
                self._reconcile_datastore()
        there = self._like(image_id) or image_id
        raise HTTPException(409, f"There is another cine {there!r} in the studies folder. Use another id.")

    def _to_compare(self, image_id: str, name: str) -> list[str]:
        """The ids of the cines that a new one is compared with: all that cost nothing, and some that must be read."""
        named = [one for one in (image_id, self._id_of(name)) if one in self._paths]
        known = self._known_by_pixels()
        others = self._untried_first(one for one in self._paths if one not in known)
        return list(dict.fromkeys([*named, *known, *others[: self.most_compared]]))

    def _known_by_pixels(self) -> list[str]:
        return [one for one in self._paths if self._pixels.get(one, (None, None))[1] is not None]

    def _untried_first(self, image_ids: Iterable[str]) -> list[str]:
        """Those whose reading has failed come last: they would use up what is compared each time."""
        return sorted(image_ids, key=lambda one: one in self._pixels)

    def _like(self, image_id: str) -> str | None:
        """The id that is there and this one would be on disks that ignore case."""
        return next((one for one in self._paths if one.casefold() == image_id.casefold()), None)

    def _id_of(self, path: str) -> str | None:
        return next((image_id for image_id, known in self._paths.items() if known == path), None)

    def _with_pixels(self, pixels: str, image_ids: Iterable[str]) -> str | None:
        """The first of some cines that has the pixels of this digest."""
        return next((image_id for image_id in image_ids if self._digest_of(image_id) == pixels), None)

    def _digest_of(self, image_id: str) -> str | None:
        """Names a cine's pixels; a file is read once for that, until it changes. None where it cannot be read."""
        state = ()
        try:
            path = self.get_image_uri(image_id)
            state = file_state(path) if path else ()
            known = self._pixels.get(image_id)
            if known is None or known[0] != state or known[1] is None:
                self._pixels[image_id] = (state, pixel_digest(self.read_image(image_id).frames))
        except OSError:
            return None  # removed a moment ago
        except NoCine:
            self._pixels[image_id] = (state, None)
        return self._pixels[image_id][1]

    def save_label(self, image_id, label_filename, label_tag, label_info):
        """Save a label of some frames of a cine.

        Frames that the current label names and the new one does not stay as they are, unless ``label_info`` says
        ``"replace": true``.

        Args:
            image_id: of the cine.
            label_filename: NRRD or NIfTI on the cine's grid.
            label_tag: such as "final".
            label_info: ``annotated_frames`` (else those of the file, else its frames with a vessel pixel), and
                whatever else is to be kept with the label.

        Raises:
            HTTPException: 400, when it is no label of this cine; 404, when there is no such cine.
        """
        check_id(label_tag, "label tag")
        # Another folder, which nothing is learned from; on some disks the same one.
        if label_tag != _FINAL and label_tag.casefold() == _FINAL:
            raise HTTPException(400, f"Write the tag of a label that people made as {_FINAL!r}.")
        if label_suffix(label_filename) is None:
            raise HTTPException(400, f"A label must be one of {', '.join(LABEL_SUFFIXES)}.")
        info = dict(label_info or {})
        check_options(info, ("annotated_frames", "replace"))
        replace = info.pop("replace", False)
        self._image(image_id)
        cine = self.read_image(image_id)
        new = read_submitted(label_filename, cine, info.get("annotated_frames"))
        with self._mutex:
            image = self._image(image_id)
            folder = Path(self._datastore.label_path(label_tag))
            folder.mkdir(parents=True, exist_ok=True)
            # As it is now, not as it was at the last look: somebody may have put one there since.
            old = next((file for file in label_files(folder) if labelled_id(file) == image_id), None)
            if old is not None:
                new = new if replace else join_labels(new, _read_current(old, cine))
                self._keep(old, image_id, label_tag, old.name[len(image_id) :])
            target = folder / f"{image_id}.nrrd"
            write_label(target, new.mask, cine, new.frames, pixel_digest(cine.frames))
            if old is not None and old != target:
                old.unlink(missing_ok=True)
            own = {key: value for key, value in info.items() if key not in _RESERVED_LABEL_INFO}
            described = self._describe(target, image_id, None, version_files(folder), lambda: cine)
            image.labels[label_tag] = DataModel(info={**own, "ts": int(time.time()), **described}, ext=".nrrd")
            self._update_datastore_file()
        return image_id

    def read_image(self, image_id: str) -> Cine:
        """The cine of an id.

        Raises:
            HTTPException: 404, when there is none; 400, when it cannot be read.
        """
        self._image(image_id)
        path = self.get_image_uri(image_id)
        try:
            return self._read(path)
        except CineError as error:
            raise NoCine(400, str(error).replace(path, f"The cine {image_id!r}")) from error

    def _keep(self, label: Path, image_id: str, tag: str, suffix: str):
        """Copy a label to the earlier versions."""
        labels = Path(self._datastore.label_path(tag))
        folder = labels / VERSIONS
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max(version_files(labels).get(image_id, {}), default=0)
        _copy(str(label), folder / f"{image_id}.{number}{suffix}")

    def _describe(
        self,
        label: Path,
        image_id: str,
        before: dict | None,
        versions: dict[str, dict[int, str]],
        cine: Callable[[], Cine],
    ) -> dict:
        """Info that the label's file itself gives; it is read only when that file, or its cine's, has changed."""
        stat = label.stat()
        file, cine_file = [stat.st_mtime_ns, stat.st_size], self._cine_file(image_id)
        earlier = versions.get(image_id, {})
        found = None
        if before is not None and before.get("file") == file:
            changed = cine_file != before.get("cine_file") and cine_file is not None
            # A cine is decoded for it: not those of a whole folder that was copied, at one look.
            if not changed or self._looks_left <= 0:
                found = {key: before[key] for key in ("annotated_frames", "problem", "cine_file") if key in before}
            else:
                self._looks_left -= 1
        return {
            "name": label.name,
            "file": file,
            "version": 1 + max(earlier, default=0),
            "versions": [f"{VERSIONS}/{earlier[number]}" for number in sorted(earlier)],
            **({"cine_file": cine_file, **describe_label(label, cine)} if found is None else found),
        }

    def _cine_file(self, image_id: str) -> str | None:
        """Changes when another cine takes the place of this one; None while its file is not here."""
        try:
            _, *files = file_state(Path(self._datastore_path, self._paths[image_id]))
        except OSError:
            return None
        return hashlib.blake2b(repr([state for _, *state in files]).encode(), digest_size=8).hexdigest()

    def remove_image(self, image_id):
        with self._mutex:
            self._image(image_id)
            path = Path(self.get_image_uri(image_id))
            if Path(self._datastore_path).resolve() not in path.parents:
                raise HTTPException(
                    400, f"Image {image_id!r} lies outside of the studies folder: remove its link there."
                )
            if not _is_frames_alone(path):
                raise HTTPException(400, f"The folder of image {image_id!r} holds more than frames: remove it by hand.")
            super().remove_image(image_id)

    def remove_label(self, label_id, label_tag):
        """Remove the current label of a cine; it is kept as an earlier version."""
        with self._mutex:
            label = self._label(label_id, label_tag)
            self._keep(Path(self.get_label_uri(label_id, label_tag)), label_id, label_tag, label.ext)
            super().remove_label(label_id, label_tag)

    def update_image_info(self, image_id, info):
        with self._mutex:
            own = _checked_info(info)
            self._image(image_id).image.info.update(own)
            self._update_datastore_file()

    def update_label_info(self, label_id, label_tag, info):
        with self._mutex:
            own = {key: value for key, value in info.items() if key not in _RESERVED_LABEL_INFO}
            self._label(label_id, label_tag).info.update(own)
            self._update_datastore_file()

    def _image(self, image_id) -> ImageLabelModel:
        self.image_path(image_id)
        image = self._datastore.objects.get(image_id)
        if image is None:
            check_id(image_id, "image id")
            raise NoCine(404, f"There is no image {image_id!r} here.")
        return image

    def _label(self, image_id, tag) -> DataModel:
        label = self._image(image_id).labels.get(tag)
        if label is None:
            raise NoCine(404, f"Image {image_id!r} has no label {tag!r}.")
        return label

    # The platform joins a name from id and ending. A cine's name is in `_paths`: its ending is stored as "".

    def _filename(self, id, ext):
        return id + ext if ext else self._paths.get(id, id)

    def _look(self, at_once: bool = False):
        if at_once or time.monotonic() - self._scanned_at > self.scan_every_s:
            self._reconcile_datastore()

    def _reconcile_datastore(self):
        with self._mutex:
            if not os.path.isdir(self._datastore_path):
                raise HTTPException(503, "The studies folder is not there. Is its drive connected?")
            self._init_from_datastore_file()
            before = {**self._absent, **self._datastore.objects}
            known = {image.image.info.get("name"): image_id for image_id, image in before.items()}
            files = {folder: label_files(folder) for folder in self._label_folders()}
            labelled = {labelled_id(file) for of_tag in files.values() for file in of_tag}
            kept = labelled & before.keys()
            self._paths = name_cines(self._scan(), known, kept)
            self._warn_of(len(labelled - self._paths.keys()))
            labels = self._describe_labels(before, files)
            objects = {}
            for image_id, path in self._paths.items():
                info = before[image_id].image.info if image_id in before else {"ts": int(time.time())}
                image = DataModel(ext="", info={**info, "name": path})
                objects[image_id] = ImageLabelModel(image=image, labels=labels.get(image_id, {}))
            # Their cines are away, and come back to their labels.
            self._absent = {image_id: before[image_id] for image_id in kept - self._paths.keys()}
            if objects != self._datastore.objects:
                # Replaced whole: a thread that reads sees all of the old or all of the new.
                self._datastore.objects = objects
            if {**self._absent, **objects} != before:
                self._update_datastore_file()
            self._scanned_at = time.monotonic()

    def _warn_of(self, without_cine: int):
        if without_cine > self._without_cine:
            logger.warning("Labels that belong to no cine that is there: %d.", without_cine)
        self._without_cine = without_cine

    def _scan(self) -> list[str]:
        """Paths of the cines below the studies folder, sorted."""
        return self._cines.paths()

    def _describe_labels(self, before, files: dict[Path, list[Path]]) -> dict[str, dict[str, DataModel]]:
        """Labels by id and tag, of their files by tag's folder."""
        labels: dict[str, dict[str, DataModel]] = {}
        self._looks_left = self.most_looked_at
        for folder, of_tag in files.items():
            tag, versions = folder.name, version_files(folder)
            for file in of_tag:
                image_id = labelled_id(file)
                suffix = file.name[len(image_id) :]
                if image_id not in self._paths or tag in labels.get(image_id, {}):
                    continue
                old = before[image_id].labels.get(tag) if image_id in before else None
                cine = Path(self._datastore_path, self._paths[image_id])
                try:
                    info = old.info if old and old.ext == suffix else {"ts": int(file.stat().st_mtime)}
                    described = self._describe(file, image_id, info, versions, lambda cine=cine: self._read(str(cine)))
                except FileNotFoundError:
                    continue  # removed by hand since it was listed
                info = {key: value for key, value in info.items() if key != "problem"}
                labels.setdefault(image_id, {})[tag] = DataModel(info={**info, **described}, ext=suffix)
        return labels

    def _label_folders(self) -> list[Path]:
        return sorted(path for path in Path(self._datastore.label_path(None)).iterdir() if path.is_dir())

    def _update_datastore_file(self, lock=True):
        del lock  # The rename below is all or nothing.
        stored = self._datastore.model_dump(exclude={"base_path"})
        stored["objects"] |= {image_id: image.model_dump() for image_id, image in self._absent.items()}
        data = json.dumps(stored, indent=2, default=str)
        with replacing(Path(self._datastore_config_path)) as temporary:
            temporary.write_text(data, encoding="utf-8")
        self._config_ts = os.stat(self._datastore_config_path).st_mtime


def read_upload(path: str) -> Cine:
    """Read the cine that a client has sent.

    Raises:
        HTTPException: 400, when it is none.
    """
    if not is_cine(path):
        raise HTTPException(400, "The upload is not a cine: DICOM, video, NRRD or NIfTI is.")
    try:
        return read_cine(path)
    except CineError as error:
        raise HTTPException(400, str(error).replace(str(path), "The upload")) from error


def _is_frames_alone(path: Path) -> bool:
    """Whether a cine is a file, or a folder of which nothing else would go with its frames."""
    files = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
    return all(file.parent in frame_folders(path) and is_cine(file) for file in files)


def _checked_info(info: dict) -> dict:
    """What clients may say of an image."""
    if not isinstance(info.get("strategy", {}), dict):
        raise HTTPException(400, "`strategy` in an image's information is the server's own.")
    return {key: value for key, value in info.items() if key not in _RESERVED_INFO}


def _read_current(path: Path, cine: Cine) -> Label | None:
    try:
        return Label(*read_label(path, cine=cine))
    except CineError:
        return None  # put there by hand and no label, or of a cine that lay here before: it says nothing of any frame


def _copy(source: str, target: Path):
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
