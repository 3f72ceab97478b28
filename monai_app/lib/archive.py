"""An image archive (PACS) by DICOMweb: which cines it has, their files, and the segmentations of them."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pydicom
import requests
import urllib3
from angioseg.atomic import replacing
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from pydicom.uid import SegmentationStorage

from lib.cines import NoCine

__all__ = ["Archive", "Instance", "Unreachable", "is_uid"]

logger = logging.getLogger("angioseg.server")

_MODALITIES = ("XA", "RF")
# X-ray angiographic and radiofluoroscopic images, classic and enhanced; a series may hold reports beside them.
_CINES = (
    "1.2.840.10008.5.1.4.1.1.12.1",
    "1.2.840.10008.5.1.4.1.1.12.1.1",
    "1.2.840.10008.5.1.4.1.1.12.2",
    "1.2.840.10008.5.1.4.1.1.12.2.1",
)
_FIELDS = ["SOPClassUID", "NumberOfFrames", "Rows", "Columns"]
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_PAGE = 100
"""Answers that are asked for at once."""
_STUDIES = 20
"""Studies that are asked about at once: an address has its length."""

_REFUSED = (400, 404, 405, 501)
"""Answers to a search that an archive does not know."""

_CONNECT_S = 4.0
_SEARCH_S = 15.0
"""From the first byte of a search's answer, or from none, to its last."""
_SILENCE_S = 30.0
"""Between two bytes of a file: a large one may take as long as it takes."""
_STORE_S = 60.0
# Only what is over at once is tried again: whoever hangs would hang as long again.
_AGAIN = urllib3.Retry(
    total=None,
    connect=2,
    read=0,
    other=0,
    status=1,
    status_forcelist=(429, 503),
    raise_on_status=False,
    respect_retry_after_header=False,
    backoff_factor=1,
)
_FILTER = "MONAI_LABEL_DICOMWEB_SEARCH_FILTER"


class Unreachable(HTTPException):
    """Nothing can be had of the archive: whoever asks for many cines need not ask for the next one. Status 502.

    Args:
        detail: what is told.
    """

    def __init__(self, detail: str):
        super().__init__(502, detail)


@dataclass(frozen=True)
class Instance:
    """Where an instance lies.

    Attributes:
        study: its StudyInstanceUID.
        series: its SeriesInstanceUID.
        uid: its SOPInstanceUID.
        shape: (frames, rows, columns), where the archive tells it.
    """

    study: str
    series: str
    uid: str
    shape: tuple[int, int, int] | None = None


class Archive:
    """A DICOMweb server, asked in the way that the platform's settings (``MONAI_LABEL_DICOMWEB_...``) say.

    Where they name no search filter, series of modality XA and RF are looked for.

    Args:
        url: of the DICOMweb service, as ``http://127.0.0.1:8042/dicom-web``.

    Raises:
        HTTPException: 502, when it does not answer as a DICOMweb server does. So do all methods.
    """

    def __init__(self, url: str):
        self._client = _client(url)
        chosen = settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER
        # The platform's own default is CT: nobody who looks for cines has chosen it.
        given = _FILTER in settings.model_fields_set
        self._filters = [chosen] if given else [{"Modality": modality} for modality in _MODALITIES]
        self._series: dict[str, tuple[tuple, list[tuple[str | None, Instance]]]] = {}
        self._takes_lists: bool | None = None
        self._warned = False
        self.cines()

    def cines(self) -> list[Instance]:
        """All cines, those of one series too."""
        with _told():
            return [one for filter in self._filters for one in self._in_all_series(filter, _CINES)]

    def segmentations(self, studies: Iterable[str]) -> list[Instance]:
        """All segmentation objects in some studies, of whatever."""
        studies = list(studies)
        with _told():
            if self._takes_lists is None and len(studies) > 1:
                self._takes_lists = self._finds_both(studies[:2])
            size = _STUDIES if self._takes_lists else 1
            groups = [",".join(studies[first : first + size]) for first in range(0, len(studies), size)]
            filters = [{"Modality": "SEG", "StudyInstanceUID": group} for group in groups]
            return [one for filter in filters for one in self._in_all_series(filter, (SegmentationStorage,))]

    def where(self, uid: str) -> Instance | None:
        """Where the instance of a UID lies; None when the archive has none.

        Raises:
            NotImplementedError: when the archive does not search for that.
        """
        query = {"search_filters": {"SOPInstanceUID": uid}, "fields": _FIELDS, "limit": _PAGE}
        refused = None
        with _told():
            try:
                # One page: an archive that does not know this filter has its whole content to tell.
                answers = self._client.search_for_instances(**query)
            except requests.HTTPError as error:
                if error.response.status_code not in _REFUSED:
                    raise
                refused = error
            else:
                for one in answers:
                    found = self._uids(one, (_STUDY, _SERIES, _INSTANCE))
                    if found and found[2] == uid:
                        return Instance(*found, _shape(one))
        if refused is not None:
            raise NotImplementedError from refused
        return None

    def forget(self, series: str):
        """Look into a series at the next search, though its number of instances is the same."""
        self._series.pop(series, None)

    def header(self, instance: Instance, keywords: Iterable[str]) -> pydicom.Dataset:
        """Some values of an instance, as the archive has them now."""
        tags = {f"{pydicom.datadict.tag_for_keyword(keyword):08X}" for keyword in keywords}
        with _told():
            said = self._client.retrieve_instance_metadata(instance.study, instance.series, instance.uid)
            if _value(said, _INSTANCE) != instance.uid:
                raise ValueError(_INSTANCE)
            header = pydicom.Dataset.from_json({tag: said[tag] for tag in tags & said.keys()})
        header.SpecificCharacterSet = "ISO_IR 192"  # JSON is, whatever the file was written in
        return header

    def fetch(self, instance: Instance, path: Path):
        """Write an instance to a file, as the archive stores it; the file is there whole or not at all.

        Raises:
            HTTPException: 404, when the archive does not give this one; 502 as everywhere.
        """
        try:
            dataset = self._client.retrieve_instance(instance.study, instance.series, instance.uid)
        except Exception as error:
            # No answer tells whether it is about this instance or about all: a gateway's 504, a line that breaks.
            with _told():
                self._client.search_for_series(search_filters=self._filters[0], limit=1)
            raise NoCine(404, f"The archive does not give this cine ({_why(error)}).") from error
        with replacing(path) as temporary:
            try:
                dataset.save_as(temporary, write_like_original=False)
            except OSError:
                raise
            except Exception as error:
                raise NoCine(404, f"The archive does not give this cine ({_why(error)}).") from error

    def store(self, path: Path):
        """Add a DICOM file to the archive."""
        dataset = pydicom.dcmread(path)
        try:
            with _told():
                answer = self._client.store_instances([dataset])
            if answer.get("FailedSOPSequence"):
                raise Unreachable("The archive did not take the segmentation object.")
        except Unreachable:
            # An answer that is late, or is lost on the way, says nothing of what has become of the object.
            with suppress(NotImplementedError):
                if self.where(str(dataset.SOPInstanceUID)) is not None:
                    return
            raise

    def _finds_both(self, studies: list[str]) -> bool:
        """Whether one search finds what is in any of several studies: the standard says so, and not every archive."""
        filter = {"StudyInstanceUID": ",".join(studies)}
        try:
            found = self._search(self._client.search_for_series, (_STUDY, _SERIES), search_filters=filter)
        except requests.HTTPError:
            return False
        return {study for (study, _), _ in found} == set(studies)

    def _in_all_series(self, filter: dict, kinds: tuple[str, ...]) -> list[Instance]:
        """The instances of some kinds in the series that a filter finds."""
        query = {"search_filters": filter, "fields": ["NumberOfSeriesRelatedInstances"]}
        found = self._search(self._client.search_for_series, (_STUDY, _SERIES), **query)
        return [
            one
            for (study, series), about in found
            for kind, one in self._in_series(study, series, _count(about))
            if kind in (None, *kinds)
        ]

    def _in_series(self, study: str, series: str, count: int | None) -> list[tuple[str | None, Instance]]:
        """The instances of a series, each beside its kind; it is looked into again when its size has changed."""
        state, found = self._series.get(series, (None, []))
        if count is None or state != (study, count):
            where = {"study_instance_uid": study, "series_instance_uid": series, "fields": _FIELDS}
            found = [
                (_value(one, "00080016"), Instance(study, series, uid, _shape(one)))
                for (uid,), one in self._search(self._client.search_for_instances, (_INSTANCE,), count, **where)
            ]
            if count is not None and len(found) >= count:
                self._series[series] = (study, count), found
            else:  # less than all: the next search may tell more
                self.forget(series)
        return found

    def _search(
        self, search: Callable[..., list[dict]], tags: tuple[str, ...], count: int | None = None, **query
    ) -> list[tuple]:
        """What a search finds, each beside its UIDs, however few of it the archive gives at once.

        Where it is not known how much there is, the archive is asked until nothing new comes: not each says that it
        gave less than all. The client's own way of asking for the rest never ends with one that knows no offset.
        """
        found: dict[tuple, dict] = {}
        offset = 0
        while True:
            answer = search(**query, limit=_PAGE, offset=offset or None)
            page = {uids: one for one in answer if (uids := self._uids(one, tags))}
            offset += len(answer)
            if page.keys() <= found.keys() or (count is not None and offset >= count):
                return list((found | page).items())
            found |= page

    def _uids(self, answer: dict, tags: tuple[str, ...]) -> tuple[str, ...] | None:
        """The UIDs of an answer; None where one is none: they become names of files and parts of addresses."""
        uids = tuple(_value(answer, tag) for tag in tags)
        if None in uids:
            raise ValueError(tags)
        if all(map(is_uid, uids)):
            return uids
        if not self._warned:
            logger.warning("The archive has instances whose UIDs are none (digits and dots): they are left out.")
            self._warned = True
        return None


def is_uid(text: object) -> bool:
    """Whether ``text`` can be a DICOM UID."""
    return isinstance(text, str) and len(text) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is not None


def _client(url: str) -> DICOMwebClientX:
    session = requests.Session()
    user = settings.MONAI_LABEL_DICOMWEB_USERNAME or settings.MONAI_LABEL_DATASTORE_USERNAME
    if user:
        session.auth = (user, settings.MONAI_LABEL_DICOMWEB_PASSWORD or settings.MONAI_LABEL_DATASTORE_PASSWORD)
    for prefix in ("http://", "https://"):
        session.mount(prefix, _InTime())
    # It writes UIDs and addresses of requests to the log.
    logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)
    try:
        client = DICOMwebClientX(
            url.rstrip("/"),
            session=session,
            qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
            stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
        )
    except (TypeError, ValueError) as error:
        raise Unreachable("The archive's address must be as http://127.0.0.1:8042/dicom-web.") from error
    client.set_http_retry_params(retry=False)  # it would wait three times for an archive that hangs
    return client


class _InTime(requests.adapters.HTTPAdapter):
    """The client itself waits for ever."""

    def __init__(self):
        super().__init__(max_retries=_AGAIN)

    def send(self, request, **options):
        is_search = "json" in request.headers.get("Accept", "")
        limit = _SEARCH_S if is_search else _STORE_S if request.method == "POST" else _SILENCE_S
        ends = time.monotonic() + limit
        response = super().send(request, **{**options, "timeout": (_CONNECT_S, limit)})
        if is_search:
            response._content, response._content_consumed = _read(response.raw, ends), True
        return response


def _read(raw: urllib3.HTTPResponse, ends: float) -> bytes:
    """The rest of an answer, however few bytes come at once."""
    parts = []
    try:
        while part := raw.read1(decode_content=True):
            parts.append(part)
            if time.monotonic() > ends:
                raw.close()
                raise requests.ReadTimeout
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    if raw.length_remaining:
        raise requests.ConnectionError("the answer broke off")
    return b"".join(parts)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except requests.HTTPError as error:
        raise Unreachable(f"The archive answered {error.response.status_code}.") from error
    except requests.RequestException as error:
        raise Unreachable("The archive cannot be reached.") from error
    except Exception as error:  # what the client makes of an answer that is none of DICOMweb's
        told = f"The archive did not answer as DICOMweb does ({type(error).__name__})."
        raise Unreachable(told) from error


def _why(error: Exception) -> str:
    """What became of a fetch, where the archive answers otherwise."""
    if isinstance(error, requests.HTTPError):
        return f"it answered {error.response.status_code}"
    if isinstance(error, requests.RequestException):
        return "its answer broke off, or did not come"
    return "its answer cannot be read"


def _shape(dataset: dict) -> tuple[int, int, int] | None:
    frames, rows, columns = (_value(dataset, tag) for tag in ("00280008", "00280010", "00280011"))
    try:
        return int(frames or 1), int(rows), int(columns)
    except (TypeError, ValueError):
        return None


def _count(series: dict) -> int | None:
    """How many instances a series has, where the archive tells it; as a number or, as JSON may hold it, as text."""
    try:
        return int(_value(series, "00201209"))
    except (TypeError, ValueError):
        return None


def _value(dataset: dict, tag: str):
    values = dataset.get(tag, {}).get("Value")
    return values[0] if values else None
