"""An image archive (PACS) by DICOMweb: which cines it has, their files, and the segmentations of them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
import requests
from angioseg.cine.atomic import replacing
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMwebClientX
from pydicom.uid import SegmentationStorage
from retrying import RetryError

__all__ = ["Archive", "Instance", "Unreachable"]

_MODALITIES = ("XA", "RF")
# X-ray angiographic and radiofluoroscopic images, classic and enhanced; a series may hold reports beside them.
_CINES = (
    "1.2.840.10008.5.1.4.1.1.12.1",
    "1.2.840.10008.5.1.4.1.1.12.1.1",
    "1.2.840.10008.5.1.4.1.1.12.2",
    "1.2.840.10008.5.1.4.1.1.12.2.1",
)
_FIELDS = ["SOPClassUID", "NumberOfFrames", "Rows", "Columns"]
_TIMEOUT_S = (5.0, 120.0)
# The client's own five attempts, twice as far apart each time, keep somebody waiting for half a minute.
_ATTEMPTS = {"max_attempts": 3, "wait_exponential_multiplier": 1000}
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
        self._instances: dict[tuple, list[Instance]] = {}
        self.cines()

    def cines(self) -> list[Instance]:
        """All cines, those of one series too."""
        return [one for filter in self._filters for one in self._search(filter, _CINES)]

    def segmentations(self) -> list[Instance]:
        """All segmentation objects, of whatever."""
        return self._search({"Modality": "SEG"}, (SegmentationStorage,))

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
            raise HTTPException(404, f"The archive does not give this cine ({_why(error)}).") from error
        with replacing(path) as temporary:
            try:
                dataset.save_as(temporary, write_like_original=False)
            except OSError:
                raise
            except Exception as error:
                raise HTTPException(404, f"The archive does not give this cine ({_why(error)}).") from error

    def store(self, path: Path):
        """Add a DICOM file to the archive."""
        dataset = pydicom.dcmread(path)
        with _told():
            answer = self._client.store_instances([dataset])
        if answer.get("FailedSOPSequence"):
            raise Unreachable("The archive did not take the segmentation object.")

    def _search(self, filter: dict, kinds: tuple[str, ...]) -> list[Instance]:
        """The instances of the series that a filter finds; a series is looked into again when its size has changed."""
        found = []
        with _told():
            sizes = {"search_filters": filter, "fields": ["NumberOfSeriesRelatedInstances"]}
            for series in _all_pages("0020000E", self._client.search_for_series, **sizes):
                study, uid = _uid(series, "0020000D"), _uid(series, "0020000E")
                key = (study, uid, _value(series, "00201209"))
                if key not in self._instances or key[2] is None:
                    where = {"study_instance_uid": study, "series_instance_uid": uid, "fields": _FIELDS}
                    self._instances[key] = [
                        Instance(study, uid, _uid(one, "00080018"), _shape(one))
                        for one in _all_pages("00080018", self._client.search_for_instances, **where)
                        if _value(one, "00080016") in (None, *kinds)
                    ]
                found += self._instances[key]
        return found


def _all_pages(tag: str, search: Callable[..., list[dict]], **query) -> list[dict]:
    """What a search finds, by a UID, however few of it the archive gives at once.

    The client's own way of asking for the rest never ends with an archive that knows no offset.
    """
    found: dict[str, dict] = {}
    while page := {_uid(one, tag): one for one in search(**query, offset=len(found) or None)}:
        if page.keys() <= found.keys():
            break
        found |= page
    return list(found.values())


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
    client.set_http_retry_params(**_ATTEMPTS)
    return client


class _InTime(requests.adapters.HTTPAdapter):
    """The client itself waits for ever."""

    def send(self, request, **options):
        return super().send(request, **{**options, "timeout": _TIMEOUT_S})


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except requests.HTTPError as error:
        raise Unreachable(f"The archive answered {error.response.status_code}.") from error
    except (requests.RequestException, RetryError) as error:
        raise Unreachable("The archive cannot be reached.") from error
    except Exception as error:  # what the client makes of an answer that is none of DICOMweb's
        told = f"The archive did not answer as DICOMweb does ({type(error).__name__})."
        raise Unreachable(told) from error


def _why(error: Exception) -> str:
    """What became of a fetch, where the archive answers otherwise."""
    if isinstance(error, requests.HTTPError):
        return f"it answered {error.response.status_code}"
    if isinstance(error, (requests.RequestException, RetryError)):
        return "its answer broke off, or did not come"
    return "its answer cannot be read"


def _uid(dataset: dict, tag: str) -> str:
    found = _value(dataset, tag)
    if not isinstance(found, str):
        raise ValueError(tag)
    return found


def _shape(dataset: dict) -> tuple[int, int, int] | None:
    frames, rows, columns = (_value(dataset, tag) for tag in ("00280008", "00280010", "00280011"))
    try:
        return int(frames or 1), int(rows), int(columns)
    except (TypeError, ValueError):
        return None


def _value(dataset: dict, tag: str):
    values = dataset.get(tag, {}).get("Value")
    return values[0] if values else None
