"""A label of some frames of a cine as a DICOM segmentation object, and back.

A projection has no place in the patient, so the segmentation has no frame of reference: each of its frames names the
frame of the cine that it was derived from instead (PS3.3 A.51 and C.7.6.16.2.6, Derivation Image). Only labelled frames
are in it, those without a vessel too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from os import PathLike
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid

import angioseg
from angioseg.atomic import replacing
from angioseg.cine.cine import CineError
from angioseg.cine.limits import check_size

__all__ = ["CORONARY_ARTERY", "OF_CINE", "DicomSeg", "read_dicom_seg", "time_of_content", "write_dicom_seg"]

CORONARY_ARTERY = "41801008"
"""What the segment is, in SNOMED CT."""

_PATIENT_AND_STUDY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_MAY_BE_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
_MAY_BE_EMPTY += ("AccessionNumber", "ReferringPhysicianName")
_MUST_BE_THERE = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "Rows", "Columns")
OF_CINE = (
    *_PATIENT_AND_STUDY,
    *_MUST_BE_THERE,
    "NumberOfFrames",
    "TimezoneOffsetFromUTC",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "PatientOrientation",
)
"""What of a cine goes into the segmentation of it."""


_TIME = "%Y%m%d%H%M%S.%f"


@dataclass(frozen=True)
class DicomSeg:
    """What a segmentation object says of a cine.

    Attributes:
        uid: its own SOP instance UID.
        source: that of the cine.
        made: its content date and time in UTC, as DICOM writes them; they sort as text. "" where it has none.
        masks: (n, H, W) uint8, 1 = vessel.
        frames: the n frames of the cine that it labels, from 0.
    """

    uid: str
    source: str
    made: str
    masks: np.ndarray
    frames: list[int]


def write_dicom_seg(
    path: str | PathLike, source: str | PathLike | Dataset, mask: np.ndarray, annotated_frames: Iterable[int]
) -> str:
    """Save a label as a DICOM segmentation object: a new series in the study of its cine.

    Args:
        path: the file.
        source: DICOM file of the cine, or its values of :data:`OF_CINE`.
        mask: (T, H, W), 1 = vessel.
        annotated_frames: numbers of the labelled frames, from 0; the others are left out.

    Returns:
        Its SOP instance UID.

    Raises:
        CineError: when the source is no DICOM file or lacks what any image has, the mask does not fit it, or no frame
            is labelled.
        WriteError: when the file cannot be written.
    """
    cine = source if isinstance(source, Dataset) else _header(source)
    if missing := [name for name in _MUST_BE_THERE if not cine.get(name)]:
        raise CineError(f"{path}: its cine has no {missing[0]}: the file is damaged")
    frames = sorted({int(frame) for frame in annotated_frames})
    shape = (int(cine.get("NumberOfFrames") or 1), cine.Rows, cine.Columns)
    if mask.shape != shape or not frames or not 0 <= frames[0] <= frames[-1] < shape[0]:
        raise CineError(f"{path}: a label of {mask.shape} in frames {frames} does not fit a cine of {shape}")
    seg = _new(cine)
    seg.NumberOfFrames = len(frames)
    seg.SegmentSequence = Sequence([_segment()])
    _organise(seg, cine, frames)
    # One bit a pixel without gaps between the frames, the first pixel in the lowest bit (PS3.5 8.1.1 and annex D).
    bits = np.packbits(mask[frames].ravel() > 0, bitorder="little").tobytes()
    seg.PixelData = bits + b"\0" * (len(bits) % 2)
    seg["PixelData"].VR = "OB"
    with replacing(Path(path)) as temporary:
        seg.save_as(temporary, write_like_original=False)
    return str(seg.SOPInstanceUID)


def _header(source: str | PathLike) -> Dataset:
    try:
        return pydicom.dcmread(source, stop_before_pixels=True)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise CineError(f"{source}: is not DICOM: only labels of DICOM can be saved as a DICOM segmentation") from error


def read_dicom_seg(path: str | PathLike) -> DicomSeg | None:
    """Read a segmentation of coronary arteries in frames of one cine, by this program or another.

    Args:
        path: the file.

    Returns:
        What it says; None when it is a segmentation of something else, or does not name frames of one cine.

    Raises:
        CineError: when the file is damaged or claims a size that no cine has.
    """
    path = Path(path)
    try:
        seg = pydicom.dcmread(path)
        if seg.get("SOPClassUID") != SegmentationStorage or seg.get("SegmentationType") != "BINARY":
            return None
        segments = [one.SegmentNumber for one in seg.SegmentSequence if _is_coronary(one)]
        sources, places = set(), {}
        for place, groups in enumerate(seg.PerFrameFunctionalGroupsSequence):
            segment = _group(seg, groups, "SegmentIdentificationSequence").ReferencedSegmentNumber
            if segment not in segments:
                continue
            named = _group(seg, groups, "DerivationImageSequence").SourceImageSequence[0]
            sources.add(str(named.ReferencedSOPInstanceUID))
            # Left and right coronaries may be segments of their own: together they are the vessels of a frame.
            of_frame = places.setdefault(int(named.get("ReferencedFrameNumber", 1)) - 1, {})
            if of_frame.setdefault(segment, place) != place:
                return None
        check_size(path, int(seg.NumberOfFrames), seg.Rows, seg.Columns, 1)
        frames = list(places)
        if len(sources) != 1 or min(frames) < 0:
            return None
        pixels = seg.pixel_array.reshape(int(seg.NumberOfFrames), seg.Rows, seg.Columns)
        masks = np.stack([pixels[list(of_frame.values())].max(axis=0) for of_frame in places.values()])
        return DicomSeg(str(seg.SOPInstanceUID), sources.pop(), _made(seg), masks.astype(np.uint8), frames)
    except CineError:
        raise
    except LookupError:
        return None  # frames without what tells where they belong
    except Exception as error:  # pydicom raises whatever the bytes lead it to
        raise CineError(f"{path}: is damaged, or no DICOM segmentation") from error


def time_of_content() -> str:
    """Now, in UTC: comparable with :attr:`DicomSeg.made`."""
    return datetime.now(timezone.utc).strftime(_TIME)


def _made(seg: Dataset) -> str:
    """When a segmentation was made; times of different zones are comparable in UTC alone."""
    date, clock = str(seg.get("ContentDate") or ""), str(seg.get("ContentTime") or "")
    whole, _, fraction = clock.partition(".")
    try:
        local = datetime.strptime(f"{date}{whole:0<6}.{fraction or 0}", _TIME)
        return local.replace(tzinfo=_zone(seg)).astimezone(timezone.utc).strftime(_TIME)
    except (ValueError, OverflowError, OSError):
        return ""


def _zone(dataset: Dataset) -> tzinfo | None:
    """The time zone that a dataset names; None, that of this machine, where it names none."""
    named = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", str(dataset.get("TimezoneOffsetFromUTC") or "").strip())
    if named is None or int(named[2]) > 14:
        return None
    offset = timedelta(hours=int(named[2]), minutes=int(named[3]))
    return timezone(-offset if named[1] == "-" else offset)


def _is_coronary(segment: Dataset) -> bool:
    return any(code.get("CodeValue") == CORONARY_ARTERY for code in segment.SegmentedPropertyTypeCodeSequence)


def _group(seg: Dataset, groups: Dataset, name: str) -> Dataset:
    """A functional group of one frame: its own, or the one that all frames share."""
    for holder in (groups, *seg.get("SharedFunctionalGroupsSequence", [])):
        if holder.get(name):
            return holder[name][0]
    raise LookupError(name)


def _new(cine: Dataset) -> FileDataset:
    """All that does not depend on the label."""
    # In the cine's time zone: it holds for the study's date and time too.
    now = datetime.now(timezone.utc).astimezone(_zone(cine))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SegmentationStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["angioseg implementation"])
    seg = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    seg.is_little_endian, seg.is_implicit_VR = True, False
    for name in _PATIENT_AND_STUDY:
        if name in cine or name in _MAY_BE_EMPTY:
            setattr(seg, name, cine.get(name, ""))
    seg.SOPClassUID, seg.SOPInstanceUID = SegmentationStorage, meta.MediaStorageSOPInstanceUID
    seg.Modality = "SEG"
    seg.SeriesInstanceUID = generate_uid()
    seg.SeriesNumber, seg.InstanceNumber = 300, 1
    seg.SeriesDescription = "AngioSeg: coronary arteries"
    seg.SeriesDate = seg.ContentDate = now.strftime("%Y%m%d")
    seg.SeriesTime = seg.ContentTime = now.strftime("%H%M%S.%f")
    seg.TimezoneOffsetFromUTC = now.strftime("%z")[:5]
    seg.Manufacturer = seg.ManufacturerModelName = "AngioSeg"
    seg.DeviceSerialNumber, seg.SoftwareVersions = "0", angioseg.__version__
    seg.ImageType = ["DERIVED", "PRIMARY"]
    seg.ContentLabel, seg.ContentDescription, seg.ContentCreatorName = "CORONARIES", "Coronary arteries", ""
    seg.SegmentationType = "BINARY"
    seg.SamplesPerPixel, seg.PhotometricInterpretation = 1, "MONOCHROME2"
    seg.Rows, seg.Columns = cine.Rows, cine.Columns
    seg.BitsAllocated = seg.BitsStored = 1
    seg.HighBit = seg.PixelRepresentation = 0
    seg.LossyImageCompression = "01" if cine.get("LossyImageCompression") == "01" else "00"
    if seg.LossyImageCompression == "01":
        seg.LossyImageCompressionRatio = cine.get("LossyImageCompressionRatio", 1)
        seg.LossyImageCompressionMethod = cine.get("LossyImageCompressionMethod", "ISO_10918_1")
    if "PatientOrientation" in cine:
        seg.PatientOrientation = cine.PatientOrientation
    return seg


def _segment() -> Dataset:
    segment = Dataset()
    segment.SegmentNumber = 1
    segment.SegmentLabel = "vessel"
    segment.SegmentAlgorithmType, segment.SegmentAlgorithmName = "SEMIAUTOMATIC", "AngioSeg"
    segment.SegmentedPropertyCategoryCodeSequence = Sequence([_code("123037004", "Anatomical Structure")])
    segment.SegmentedPropertyTypeCodeSequence = Sequence([_code(CORONARY_ARTERY, "Coronary artery")])
    segment.RecommendedDisplayCIELabValue = [46_500, 37_800, 52_200]  # the orange of the overlays
    return segment


def _organise(seg: Dataset, cine: Dataset, frames: list[int]) -> None:
    """Say which frame of the cine each frame belongs to, and that they lie in time."""
    organisation = _item(DimensionOrganizationUID=generate_uid())
    seg.DimensionOrganizationSequence = Sequence([organisation])
    seg.DimensionIndexSequence = Sequence(
        [
            _item(
                DimensionOrganizationUID=organisation.DimensionOrganizationUID,
                DimensionIndexPointer=pydicom.datadict.tag_for_keyword(pointer),
                FunctionalGroupPointer=pydicom.datadict.tag_for_keyword(group),
            )
            for pointer, group in (
                ("ReferencedSegmentNumber", "SegmentIdentificationSequence"),
                ("TemporalPositionIndex", "FrameContentSequence"),
            )
        ]
    )
    identified = _item(ReferencedSegmentNumber=1)
    seg.SharedFunctionalGroupsSequence = Sequence([_item(SegmentIdentificationSequence=Sequence([identified]))])
    named = {"ReferencedSOPClassUID": cine.SOPClassUID, "ReferencedSOPInstanceUID": cine.SOPInstanceUID}
    multiframe = "NumberOfFrames" in cine
    seg.PerFrameFunctionalGroupsSequence = Sequence(
        [
            _item(
                FrameContentSequence=Sequence(
                    [_item(DimensionIndexValues=[1, frame + 1], TemporalPositionIndex=frame + 1)]
                ),
                DerivationImageSequence=Sequence(
                    [
                        _item(
                            SourceImageSequence=Sequence(
                                [
                                    _item(
                                        **named,
                                        **({"ReferencedFrameNumber": frame + 1} if multiframe else {}),
                                        PurposeOfReferenceCodeSequence=Sequence(
                                            [_code("121322", "Source image for image processing operation", "DCM")]
                                        ),
                                    )
                                ]
                            ),
                            DerivationCodeSequence=Sequence([_code("113076", "Segmentation", "DCM")]),
                        )
                    ]
                ),
            )
            for frame in frames
        ]
    )
    seg.ReferencedSeriesSequence = Sequence(
        [_item(SeriesInstanceUID=cine.SeriesInstanceUID, ReferencedInstanceSequence=Sequence([_item(**named)]))]
    )


def _item(**values) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
