"""Files for outside of Slicer. Their names, and what is in them, name no patient."""

import csv
import io
import json
import os
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import slicer

from AngioSegLib.cine import CineSequence
from AngioSegLib.clipRecord import ClipRecord
from AngioSegLib.errors import ExportError
from AngioSegLib.frameStates import FrameStates
from AngioSegLib.images import fillImage
from AngioSegLib.nrrd import NrrdImage, writeNrrd
from AngioSegLib.pictures import VESSEL, framePicture, greyWindow, pngBytes
from AngioSegLib.segmentation import SEGMENT_ID, TERMINOLOGY, SegmentationSequence

__all__ = [
    "checkName",
    "saveBytes",
    "saveDicom",
    "saveMasks",
    "savePicture",
    "saveTable",
]

_COLUMNS = ("frame", "time_ms", "area_px", "length_px", "contrast", "sharpness", "key_rank", "state")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def checkName(name: str) -> str:
    """A file's name as it is, when it can be one everywhere.

    Raises:
        ExportError: when it cannot.
    """
    if not re.fullmatch(r"[\w][\w .()-]{0,99}", name.strip()):
        raise ExportError(f"{name!r} cannot be a file's name; use letters, digits, dashes and spaces")
    return name.strip()


def saveBytes(path: Path, data: bytes) -> Path:
    """Write a file, whole or not at all.

    Raises:
        ExportError: when it cannot be written.
    """
    return _replacing(path, lambda temporary: temporary.write_bytes(data))


def saveMasks(folder: Path, name: str, masks: SegmentationSequence) -> list[Path]:
    """Write the masks twice.

    ``NAME.seg.nrrd`` over (x, y, t) opens as one segmentation and says which frames are segmented
    (``annotated_frames``); ``NAME.seq.nrrd`` opens in Slicer as a sequence of labelmaps.

    Raises:
        ExportError: when a file cannot be written.
    """
    array, segmented = masks.mask(), masks.segmentedFrames()
    count, rows, columns = array.shape
    values = {
        "annotated_frames": json.dumps(segmented),
        "frame_times_ms": json.dumps(masks.cine.timesMs().tolist()),
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segment0_ID": SEGMENT_ID,
        "Segment0_Name": SEGMENT_ID,
        "Segment0_Color": " ".join(f"{part / 255:.4g}" for part in VESSEL),
        "Segment0_Extent": f"0 {columns - 1} 0 {rows - 1} 0 {count - 1}",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment0_Tags": f"TerminologyEntry:{TERMINOLOGY}|",
    }
    whole = saveBytes(Path(folder, f"{name}.seg.nrrd"), writeNrrd(NrrdImage(array, masks.cine.spacing, values)))
    frames = _replacing(Path(folder, f"{name}.seq.nrrd"), lambda temporary: _writeSequence(temporary, masks, array))
    return [whole, frames]


def savePicture(path: Path, cine: CineSequence, masks: SegmentationSequence, frame: int) -> Path:
    """Write a frame with its vessels as a PNG.

    Raises:
        ExportError: when it cannot be written.
    """
    return saveBytes(path, pngBytes(_picture(cine, masks, frame)))


def saveTable(path: Path, cine: CineSequence, record: ClipRecord, states: FrameStates) -> Path:
    """Write one row for each frame: its measures, its rank among the key frames and its state.

    Measures are those of the model's mask: what was corrected since is not in them. A frame not measured has none.

    Raises:
        ExportError: when it cannot be written.
    """
    ranks = {key["frame"]: rank for rank, key in enumerate(record.keyFrames, start=1)}
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    measures = record.measures
    for frame, (time, state) in enumerate(zip(cine.timesMs(), states.all(), strict=True)):
        row = {"frame": frame, "time_ms": round(float(time), 3), "key_rank": ranks.get(frame, ""), "state": state}
        writer.writerow({**measures.get(frame, {}), **row})
    return saveBytes(path, text.getvalue().encode())


def saveDicom(path: Path, cine: CineSequence, masks: SegmentationSequence, frame: int, why: str = "") -> Path:
    """Write a frame with its vessels as a DICOM secondary capture, of nobody: name and id of the patient are empty.

    Args:
        path: the file.
        cine: the cine.
        masks: its masks.
        frame: the frame's number, from 0.
        why: a sentence that goes in as the image's comment.

    Raises:
        ExportError: when it cannot be written, or this Python lacks pydicom, which Slicer's has.
    """
    try:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import generate_uid
    except ImportError as error:
        raise ExportError("pydicom is not there; 3D Slicer's own Python has it") from error
    picture = _picture(cine, masks, frame)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _SECONDARY_CAPTURE
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    meta.TransferSyntaxUID = _EXPLICIT_LITTLE_ENDIAN
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    now = datetime.now()
    for name, value in {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": _SECONDARY_CAPTURE,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(prefix=None),
        "SeriesInstanceUID": generate_uid(prefix=None),
        "PatientName": "",
        "PatientID": "",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyDate": now.strftime("%Y%m%d"),
        "StudyTime": now.strftime("%H%M%S"),
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyID": "",
        "Modality": "OT",
        "ConversionType": "WSD",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "New object without identity",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "SeriesDescription": "AngioSeg, research only",
        "ImageComments": f"Frame {frame}. {why}".strip()[:10240],
        "BurnedInAnnotation": "YES",
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "Rows": picture.shape[0],
        "Columns": picture.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": picture.tobytes() + b"\0" * (picture.size % 2),
    }.items():
        setattr(dataset, name, value)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    return _replacing(path, lambda temporary: dataset.save_as(temporary, write_like_original=False))


def _picture(cine: CineSequence, masks: SegmentationSequence, frame: int) -> np.ndarray:
    pixels = cine.frame(frame)
    return framePicture(pixels, masks.maskOf(frame), greyWindow(pixels))


def _writeSequence(path: Path, masks: SegmentationSequence, array: np.ndarray) -> None:
    cine = masks.cine
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetIndexName(cine.sequence.GetIndexName())
    sequence.SetIndexUnit(cine.sequence.GetIndexUnit())
    volume = slicer.vtkMRMLLabelMapVolumeNode()
    volume.CopyOrientation(cine.frameNode(0))
    image = slicer.vtkOrientedImageData()
    volume.SetAndObserveImageData(image)
    for frame in masks.segmentedFrames():
        fillImage(image, array[frame])
        sequence.SetDataNodeAtValue(volume, cine.indexValue(frame))
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    storage.SetFileName(str(path))
    if not storage.WriteData(sequence):
        raise OSError("it cannot be written there")


def _replacing(path: Path, write: Callable[[Path], object]) -> Path:
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Slicer's writers go by the ending. Not mkstemp, whose files nobody else may read.
        temporary = path.with_name(f".angioseg-{uuid.uuid4().hex[:8]}{''.join(path.suffixes[-2:])}")
        temporary.touch()
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise ExportError(f"{path.name} cannot be written to {path.parent}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
    return path
