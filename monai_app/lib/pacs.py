"""The cines of an image archive (PACS) as the images of MONAI Label, with their labels."""

import json
import logging
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from angioseg.atomic import WriteError, replacing
from angioseg.cine import Cine, CineError, read_cine, read_label, write_label
from angioseg.cine.dicom_seg import OF_CINE, DicomSeg, read_dicom_seg, time_of_content, write_dicom_seg
from angioseg.cine.pixels import pixel_digest
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.utils.others.generic import md5_digest

from lib.archive import Archive, Instance, Unreachable, is_uid
from lib.cines import NoCine
from lib.datastore import CineDatastore, read_upload

__all__ = ["PacsDatastore", "cache_folder"]

logger = logging.getLogger("angioseg.server")

_FINAL = DefaultLabelTag.FINAL.value
_HERE = "here:"
_FETCHES_S = 30.0
"""For the segmentations of one look; the others come with the next."""


def cache_folder(url: str) -> Path:
    """Where the cines, labels and models of an archive are kept on this machine."""
    chosen = settings.MONAI_LABEL_DICOMWEB_CACHE_PATH or settings.MONAI_LABEL_DATASTORE_CACHE_PATH
    root = Path(chosen.strip()) if chosen.strip() else Path.home() / ".cache" / "angioseg" / "dicomweb"
    return root / md5_digest(url.rstrip("/"))


class PacsDatastore(CineDatastore):
    """The studies folder of an archive: a cine is an *instance*, its id the SOPInstanceUID.

    A cine's file is fetched when somebody asks for it, and kept. Labels lie beside it as in any studies folder, with
    their earlier versions. A label tagged "final" goes to the archive too, as a DICOM segmentation object of its
    labelled frames; one that comes to the archive from elsewhere becomes the newest version here. With
    ``MONAI_LABEL_DATASTORE_READ_ONLY`` nothing is stored there.

    One thread at a time looks through the archive, and none that holds ``_mutex``, the lock of those who change what is
    here: an archive that hangs holds up nobody but who needs it. Locks are taken in this order: ``_saving``,
    ``_asking``, ``_mutex``.

    Args:
        url: of the DICOMweb service.
        folder: of this machine; see :func:`cache_folder`.
        read: as for :class:`CineDatastore`.

    Raises:
        HTTPException: 502, when the archive does not answer.
    """

    scan_every_s = 10.0

    def __init__(self, url: str, folder: Path, read: Callable[[str], Cine] = read_cine):
        self._url = url
        self._archive = Archive(url)
        self._instances: dict[str, Instance] = {}
        self._saving = threading.Lock()  # final labels are stored one after the other
        self._asking = threading.Lock()
        self._asker: int | None = None  # the thread that looks through the archive
        self._seen = ""  # when the last look began that found all
        self._elsewhere: set[str] = set()  # cines that only other search filters find
        self._looked_at = -float("inf")  # what was wanted before then is answered
        self._answers = True  # the archive, at the last look
        self._not_given: set[str] = set()
        self._waiting: dict[str, str] = {}  # segmentations that came before their cine
        self._segs = folder / "seen_segmentations.json"
        # Patients' images: nobody else on this machine may read them.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(str(folder), read)

    def name(self):
        return self._url

    def status(self):
        """What the last look found: the platform asks for it before each inference, also of an upload."""
        labels = [one.labels for one in self._datastore.objects.values()]
        tags = Counter(tag for of_one in labels for tag in of_one)
        return {"total": len(labels), "completed": tags[_FINAL], "label_tags": dict(tags)}

    def image_path(self, image_id):
        """As :meth:`CineDatastore.image_path`.

        Raises:
            HTTPException: 502, when the cine is not known and the archive does not answer.
        """
        if not self._is_there(image_id) and self._may_ask():
            # Its series may have as many instances as before: another of them was removed.
            try:
                found = self._archive.where(image_id) if is_uid(image_id) else None
            except NotImplementedError:
                return super().image_path(image_id)
            if found is None:
                return ""
            self._archive.forget(found.series)
        return super().image_path(image_id)

    def get_image_uri(self, image_id):
        path = self.image_path(image_id)
        if path and not Path(path).exists():
            self.fetch(path)
        return path

    def fetch(self, path: str):
        """Bring the file of a cine that :meth:`image_path` names.

        Raises:
            HTTPException: 404, when the archive does not give it; 502, when nothing can be had of it.
        """
        uid = Path(path).stem
        instance = self._instances.get(uid)
        if instance is None:
            return
        try:
            self._archive.fetch(instance, Path(path))
        except NoCine:
            # It is elsewhere now, or gone, and another may be in its place.
            self._archive.forget(instance.series)
            if not self._may_ask():
                raise
            self._look(at_once=True)
            if self._instances.get(uid) in (None, instance):
                raise
            self._archive.fetch(self._instances[uid], Path(path))

    def add_image(self, image_id, image_filename, image_info):
        """Find a cine in the archive by its pixels; nothing is added to it.

        Those with as many frames, rows and columns are compared: the one of that id first, then all that are here, then
        others, which are fetched for it, up to a number.

        Args:
            image_id: of the cine that it probably is.
            image_filename: any file that is a cine.
            image_info: does not matter.

        Returns:
            The id of the cine with these pixels.

        Raises:
            HTTPException: 400, when it is no cine or none is found; 502, when the archive does not answer.
        """
        cine = read_upload(image_filename)
        self._look()
        alike = [uid for uid, one in self._instances.items() if one.shape == cine.shape]
        # The archive need not tell how large it is.
        named = [uid for uid, one in self._instances.items() if uid == image_id and one.shape in (None, cine.shape)]
        here = [uid for uid in alike if Path(self.image_path(uid)).exists()]
        away = self._untried_first(uid for uid in alike if uid not in here)
        compared = list(dict.fromkeys([*named, *here, *away[: self.most_compared]]))
        if known := self._with_pixels(pixel_digest(cine.frames), compared):
            return known
        raise HTTPException(
            400,
            f"The archive has no cine with these pixels (compared: {len(compared)} of its size). "
            "Send the file to the archive first.",
        )

    def remove_image(self, image_id):
        raise HTTPException(400, "Cines come from the archive here: remove the file there.")

    def save_label(self, image_id, label_filename, label_tag, label_info):
        """Save a label as :class:`CineDatastore` does, and a final one in the archive too.

        Raises:
            HTTPException: as there; 502, when the label is saved here and the archive did not take it.
        """
        if label_tag != _FINAL:
            return super().save_label(image_id, label_filename, label_tag, label_info)
        # What others have stored meanwhile is joined, not displaced. Before the lock: who waits for it has looked, too.
        self._look(at_once=True)
        with self._saving:
            self.get_image_uri(image_id)  # fetched before anybody has to wait for it
            with self._mutex:
                super().save_label(image_id, label_filename, label_tag, label_info)
                made = time_of_content()
                # What was not seen is not older than it.
                self._know(f"{_HERE}{image_id}", image_id, made if self._answers else self._seen, stored=False)
            if not settings.MONAI_LABEL_DATASTORE_READ_ONLY:
                try:
                    self._store(image_id)
                except (WriteError, OSError) as error:
                    told = "The label is saved on this server; there is no room to make what the archive takes."
                    raise HTTPException(507, told) from error
                except (HTTPException, CineError) as error:
                    logger.warning("A label could not be stored in the archive.")
                    raise Unreachable("The label is saved on this server, but the archive did not take it.") from error
                self._know(f"{_HERE}{image_id}", image_id, made)
        return image_id

    def _store(self, image_id: str):
        instance = self._instances.get(image_id)
        if instance is None or not self._answers:
            raise Unreachable("The archive did not answer a moment ago, or has the cine no longer.")
        mask, frames = read_label(self.get_label_uri(image_id, _FINAL))
        # Not of the file here: whose cine it is may have been corrected in the archive since it was fetched.
        cine = self._archive.header(instance, OF_CINE)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "seg.dcm")
            # Known before it is sent: it may come there though nothing is heard of it.
            self._know(write_dicom_seg(path, cine, mask, frames))
            self._archive.store(path)

    # Before the lock is taken an id that is not known is looked for.

    def remove_label(self, label_id, label_tag):
        self._image(label_id)
        super().remove_label(label_id, label_tag)

    def update_image_info(self, image_id, info):
        self._image(image_id)
        super().update_image_info(image_id, info)

    def update_label_info(self, label_id, label_tag, info):
        self._image(label_id)
        super().update_label_info(label_id, label_tag, info)

    # What is there.

    def _is_there(self, image_id):
        return image_id in self._paths  # its file comes when somebody asks for it

    def _scan(self):
        return sorted(f"{uid}.dcm" for uid in self._instances)

    def _may_ask(self) -> bool:
        """Whether this thread may look through the archive: it is not at it already, and nobody waits for it."""
        return self._asker != threading.get_ident() and not self._mutex._is_owned()

    def _look(self, at_once: bool = False):
        # While somebody asks the archive, who only lists gets what is known.
        if at_once or self._asker is None:
            super()._look(at_once)

    def _reconcile_datastore(self):
        if not self._may_ask():
            super()._reconcile_datastore()
            return
        wanted_at = time.monotonic()
        with self._asking:
            if wanted_at < self._looked_at:
                return  # somebody else has looked since
            self._asker = threading.get_ident()
            try:
                self._looked_at = self._look_through()
            finally:
                self._asker = None

    def _look_through(self) -> float:
        """Look through the archive and the labels here; until when what was wanted is answered by that."""
        began, began_at = time.monotonic(), time_of_content()
        try:
            found = {one.uid: one for one in self._archive.cines()}
            if not found and self._instances and self._has(next(iter(self._instances))):
                raise Unreachable("The archive told of no cine, and has some.")
            self._instances = found
            self._answers = True
            self._remove_gone()
        except HTTPException as error:
            self._answers = False
            logger.warning("%s The cines known so far are offered.", error.detail)
        super()._reconcile_datastore()
        try:
            if self._answers:
                self._take_segs()
                self._seen = began_at
                return began
        except (HTTPException, WriteError, OSError) as error:
            self._answers = False  # a label that is stored now would displace what was not seen
            told = error.detail if isinstance(error, HTTPException) else "The archive's files cannot be kept here."
            logger.warning("%s New labels in it are not seen.", told)
        return time.monotonic()  # who waited meanwhile would wait in vain as long again

    def _remove_gone(self):
        """Remove the files of cines that the archive no longer has; their labels stay."""
        for file in Path(self._datastore_path).glob("*.dcm"):
            uid = file.stem
            if is_uid(uid) and uid not in self._instances and uid not in self._elsewhere:
                # Another server's filter may find it.
                if self._has(uid):
                    self._elsewhere.add(uid)
                else:
                    with suppress(OSError):  # somebody may read it: at the next look, then
                        file.unlink()

    def _has(self, uid: str) -> bool:
        """Whether the archive has an instance, as far as it can be asked."""
        try:
            return self._archive.where(uid) is not None
        except (HTTPException, NotImplementedError):
            return True

    def _take_segs(self):
        """Make labels of the segmentations that came to the archive since the last look."""
        waiting = {uid for uid, source in self._waiting.items() if source not in self._instances}
        studies = sorted({one.study for one in self._instances.values()})
        found = self._archive.segmentations(studies)
        # Read after that: what this server stored while the archive was asked is known now.
        known = {*self._known(), *self._not_given, *waiting}
        new = [one for one in found if one.uid not in known]
        ends, segs = time.monotonic() + _FETCHES_S, []
        while new and time.monotonic() < ends:
            one = new.pop(0)
            if (seg := self._fetch_seg(one)) is not None:
                segs.append((one.uid, seg))
        for uid, seg in sorted(segs, key=lambda item: item[1].made):
            if seg.source in self._instances:
                self._take(uid, seg)
            else:
                self._waiting[uid] = seg.source
        if new:
            raise Unreachable("The archive does not give its segmentations in time.")

    def _fetch_seg(self, instance: Instance) -> DicomSeg | None:
        """A segmentation of a cine; what is none is known from then on."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "seg.dcm")
            try:
                self._archive.fetch(instance, path)
                seg = read_dicom_seg(path)
            except (NoCine, CineError) as error:
                self._pass(instance.uid, error)
                return None
        if seg is None:
            logger.warning("%s in the archive is left out: no coronary arteries in frames of one cine.", instance.uid)
            self._know(instance.uid)
        return seg

    def _pass(self, seg_uid: str, error: NoCine | CineError):
        """Leave a segmentation out, until this server starts again: it or its cine is not given, or does not fit."""
        self._not_given.add(seg_uid)
        told = error.detail if isinstance(error, NoCine) else "It is damaged, or does not fit its cine."
        logger.warning("%s in the archive is left out: %s", seg_uid, told)

    def _take(self, uid: str, seg: DicomSeg):
        """Make a label of a segmentation; an earlier version, where a newer one of its cine was a label already."""
        try:
            self.read_image(seg.source)  # fetched before anybody has to wait for it
            with self._mutex:
                known = self._known().values()
                late = any(one is not None and one["source"] == seg.source and one["made"] > seg.made for one in known)
                self._make_label(seg, late)
                # At once: taken a second time, it would replace what somebody submits meanwhile.
                self._know(uid, seg.source, seg.made)
        except (NoCine, CineError) as error:
            self._pass(uid, error)

    def _make_label(self, seg: DicomSeg, late: bool):
        cine = self.read_image(seg.source)
        if seg.masks.shape[1:] != cine.shape[1:] or max(seg.frames) >= cine.num_frames:
            raise CineError("The segmentation is not on the grid of its cine")
        mask = np.zeros(cine.shape, np.uint8)
        mask[seg.frames] = seg.masks
        with tempfile.TemporaryDirectory() as folder:
            label = os.path.join(folder, "label.nrrd")
            write_label(label, mask, cine, seg.frames)
            if late:
                self._keep(Path(label), seg.source, _FINAL, ".nrrd")
            else:
                # Frames that were labelled here and are nowhere else stay.
                own = self._known().get(f"{_HERE}{seg.source}") or {}
                super().save_label(seg.source, label, _FINAL, {"replace": own.get("stored", True)})

    def _known(self) -> dict[str, dict | None]:
        """Segmentations by UID that were labels here already, with cine and time; the last label made here beside them,
        and whether the archive has it.

        None for those that were made here and those that are of no cine. A label that is removed does not come back.
        """
        try:
            return json.loads(self._segs.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def _know(self, uid: str, source: str | None = None, made: str = "", stored: bool = True):
        about = None if source is None else {"source": source, "made": made, "stored": stored}
        with self._mutex, replacing(self._segs) as temporary:
            temporary.write_text(json.dumps({**self._known(), uid: about}), encoding="utf-8")
