"""The cines of an image archive (PACS) as the images of MONAI Label, with their labels."""

import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from angioseg.cine import Cine, CineError, read_cine, read_label, write_label
from angioseg.cine.atomic import replacing
from angioseg.cine.dicom_seg import DicomSeg, read_dicom_seg, time_of_content, write_dicom_seg
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.utils.others.generic import md5_digest

from lib.archive import Archive, Instance, Unreachable
from lib.datastore import CineDatastore, pixel_digest, read_upload

__all__ = ["PacsDatastore", "cache_folder"]

logger = logging.getLogger("angioseg.server")

_FINAL = DefaultLabelTag.FINAL.value
_HERE = "here:"


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
        self._not_given: set[str] = set()
        self._waiting: dict[str, str] = {}  # segmentations that came before their cine
        self._segs = folder / "seen_segmentations.json"
        # Patients' images: nobody else on this machine may read them.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(str(folder), read)

    def name(self):
        return self._url

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
        instance = self._instances.get(Path(path).stem)
        if instance is not None:
            self._archive.fetch(instance, Path(path))

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
        if known := self._with_pixels(pixel_digest(cine), compared):
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
        with self._mutex:
            # What others have stored meanwhile is joined, not displaced.
            self._look(at_once=True)
            super().save_label(image_id, label_filename, label_tag, label_info)
            made = time_of_content()
            self._know(f"{_HERE}{image_id}", image_id, made, stored=False)
            if not settings.MONAI_LABEL_DATASTORE_READ_ONLY:
                try:
                    self._store(image_id)
                except (HTTPException, CineError) as error:
                    logger.warning("A label could not be stored in the archive.")
                    raise Unreachable("The label is saved on this server, but the archive did not take it.") from error
                self._know(f"{_HERE}{image_id}", image_id, made)
        return image_id

    def _store(self, image_id: str):
        mask, frames = read_label(self.get_label_uri(image_id, _FINAL))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "seg.dcm")
            uid = write_dicom_seg(path, self.get_image_uri(image_id), mask, frames)
            self._archive.store(path)
            self._know(uid)

    # What is there.

    def _is_there(self, image_id):
        return image_id in self._paths  # its file comes when somebody asks for it

    def _scan(self):
        try:
            self._instances = {one.uid: one for one in self._archive.cines()}
        except HTTPException as error:
            logger.warning("%s The cines known so far are offered.", error.detail)
        return sorted(f"{uid}.dcm" for uid in self._instances)

    def _reconcile_datastore(self):
        with self._mutex:
            super()._reconcile_datastore()
            try:
                self._take_segs()
            except HTTPException as error:
                logger.warning("%s New labels in it are not seen.", error.detail)

    def _take_segs(self):
        """Make labels of the segmentations that came to the archive since the last look."""
        waiting = {uid for uid, source in self._waiting.items() if source not in self._instances}
        known = {*self._known(), *self._not_given, *waiting}
        studies = {one.study for one in self._instances.values()}
        new = [one for one in self._archive.segmentations() if one.uid not in known and one.study in studies]
        segs = [(one.uid, seg) for one in new if (seg := self._fetch_seg(one)) is not None]
        for uid, seg in sorted(segs, key=lambda item: item[1].made):
            if seg.source in self._instances:
                self._take(uid, seg)
            else:
                self._waiting[uid] = seg.source

    def _fetch_seg(self, instance: Instance) -> DicomSeg | None:
        """A segmentation of a cine; what is none is known from then on."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "seg.dcm")
            try:
                self._archive.fetch(instance, path)
                seg = read_dicom_seg(path)
            except (HTTPException, CineError) as error:
                self._pass(instance.uid, error)
                return None
        if seg is None:
            self._know(instance.uid)
        return seg

    def _pass(self, seg_uid: str, error: HTTPException | CineError):
        """Leave a segmentation out, until this server starts again: it or its cine is not given, or does not fit."""
        if isinstance(error, Unreachable):
            raise error
        self._not_given.add(seg_uid)
        told = error.detail if isinstance(error, HTTPException) else "It is damaged, or does not fit its cine."
        logger.warning("A segmentation in the archive is left out: %s", told)

    def _take(self, uid: str, seg: DicomSeg):
        """Make a label of a segmentation; an earlier version, where a newer one of its cine was a label already."""
        known = self._known().values()
        late = any(one is not None and one["source"] == seg.source and one["made"] > seg.made for one in known)
        try:
            self._make_label(seg, late)
        except (HTTPException, CineError) as error:
            self._pass(uid, error)
            return
        # At once: taken a second time, it would replace what somebody submits meanwhile.
        self._know(uid, seg.source, seg.made)

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
        with replacing(self._segs) as temporary:
            temporary.write_text(json.dumps({**self._known(), uid: about}), encoding="utf-8")
