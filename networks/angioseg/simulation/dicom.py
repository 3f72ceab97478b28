"""A simulated clip as a multi-frame X-ray angiography DICOM file that says what it is."""

import os
import tempfile
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

import angioseg

from .clip import SimulatedClip
from .errors import SimulationError

__all__ = ["write_xa_dicom"]


def write_xa_dicom(path: str | os.PathLike, clip: SimulatedClip) -> Path:
    """Write the frames of ``clip`` as an X-Ray Angiographic Image (PS3.3 A.14), explicit VR little endian.

    Headers are honest: angles, distances, imager spacing and frame time are those of the simulation; the patient is
    "SIMULATED". The unique identifiers follow from the clip, so the same clip gives the same file, byte for byte.

    Raises:
        SimulationError: the place cannot be written.
    """
    path = Path(path)
    count, height, width = clip.frames.shape
    meta = clip.meta
    frame_ms = 1000.0 / meta["fps"]
    what = f"angioseg {meta['seed']} {count} {height} {width} {meta['fps']}"

    def uid(of):
        return generate_uid(entropy_srcs=[of, what])

    header = FileMetaDataset()
    header.MediaStorageSOPClassUID = XRayAngiographicImageStorage
    header.MediaStorageSOPInstanceUID = uid("instance")
    header.TransferSyntaxUID = ExplicitVRLittleEndian
    header.ImplementationClassUID = generate_uid(entropy_srcs=["angioseg implementation"])
    header.ImplementationVersionName = f"ANGIOSEG_{angioseg.__version__}"[:16]
    d = FileDataset(str(path), {}, file_meta=header, preamble=b"\0" * 128)
    d.is_little_endian, d.is_implicit_VR = True, False
    d.SpecificCharacterSet = "ISO_IR 100"
    d.ImageType = ["DERIVED", "PRIMARY", "SINGLE PLANE"]
    d.SOPClassUID = XRayAngiographicImageStorage
    d.SOPInstanceUID = header.MediaStorageSOPInstanceUID
    # A fixed day: a date of today would make two files of one clip differ.
    d.StudyDate = d.SeriesDate = d.ContentDate = "20000101"
    d.StudyTime = d.SeriesTime = d.ContentTime = "120000"
    d.AccessionNumber = ""
    d.Modality = "XA"
    d.Manufacturer = "AngioSeg simulation"
    d.ManufacturerModelName = "angioseg.simulation"
    d.SoftwareVersions = angioseg.__version__
    d.ReferringPhysicianName = ""
    d.StudyDescription = "SIMULATED coronary angiography"
    d.SeriesDescription = f"SIMULATED {meta['side']} coronary, seed {meta['seed']}"
    d.DerivationDescription = "Simulated: no patient, no X-rays"
    d.PatientName = f"SIMULATED^Seed {meta['seed']}"
    d.PatientID = f"SIMULATED-{meta['seed']}"
    d.PatientBirthDate = ""
    d.PatientSex = "O"
    d.BodyPartExamined = "HEART"
    d.StudyInstanceUID, d.SeriesInstanceUID = uid("study"), uid("series")
    d.StudyID = "1"
    d.SeriesNumber = d.InstanceNumber = 1
    d.PatientOrientation = ["L", "F"]
    d.ImageComments = "SIMULATED image, not of a patient"
    # Burnt-in text is made up; still it is text.
    d.BurnedInAnnotation = "YES" if meta["burnt_in_text"] else "NO"
    d.LossyImageCompression = "01" if meta["jpeg_quality"] else "00"
    d.KVP = ""
    d.RadiationSetting = "GR"
    d.PositionerMotion = "STATIC"
    d.PositionerType = "CARM"
    d.PositionerPrimaryAngle = _decimal(meta["primary_angle"])
    d.PositionerSecondaryAngle = _decimal(meta["secondary_angle"])
    d.DistanceSourceToDetector = _decimal(meta["sid_mm"])
    d.DistanceSourceToPatient = _decimal(meta["sod_mm"])
    d.EstimatedRadiographicMagnificationFactor = _decimal(meta["magnification"])
    d.ImagerPixelSpacing = [_decimal(meta["imager_spacing_mm"])] * 2
    d.FrameTime = _decimal(frame_ms)
    d.FrameIncrementPointer = 0x00181063
    d.CineRate = d.RecommendedDisplayFrameRate = max(1, round(meta["fps"]))
    d.StartTrim, d.StopTrim = 1, count
    d.NumberOfFrames = count
    d.RepresentativeFrameNumber = clip.best_frame + 1
    d.SamplesPerPixel = 1
    d.PhotometricInterpretation = "MONOCHROME2"
    d.Rows, d.Columns = height, width
    d.BitsAllocated = d.BitsStored = 8
    d.HighBit = 7
    d.PixelRepresentation = 0
    d.PixelIntensityRelationship = "LIN" if meta["linear"] else "LOG"
    d.WindowCenter, d.WindowWidth = "128", "256"
    data = np.ascontiguousarray(clip.frames).tobytes()
    d.PixelData = data + b"\0" * (len(data) % 2)
    d["PixelData"].VR = "OB"
    _whole(path, d)
    return path


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{value:.10g}"[:16]


def _whole(path: Path, d: FileDataset) -> None:
    made = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            d.save_as(file, write_like_original=False)
        os.chmod(made, 0o644)
        os.replace(made, path)
    except OSError as error:
        raise SimulationError(
            f"Cannot write {path}: {error.strerror or error}. Choose a folder you may write to."
        ) from error
    finally:
        if made is not None and os.path.exists(made):
            os.unlink(made)
