"""A simulated clip as a multi-frame X-ray angiography DICOM file that says what it is."""

import hashlib
import os
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

import angioseg

from ..atomic import replacing
from .clip import SimulatedClip
from .projection import View

__all__ = ["write_xa_dicom"]

_METHODS = {"libx264": "ISO_14496_10", "mpeg4": "ISO_14496_2", "wmv2": "WMV2"}
_JPEG = "ISO_10918_1"
_SHOWS = 0.1  # share of a direction from which on its letter is told: 6 degrees


def write_xa_dicom(path: str | os.PathLike, clip: SimulatedClip) -> Path:
    """Write the frames of ``clip`` as an X-Ray Angiographic Image (PS3.3 A.14), explicit VR little endian.

    Headers are honest: angles, distances, imager spacing and frame time are those of the simulation; the patient is
    "SIMULATED". The unique identifiers follow from the clip, so the same clip gives the same file, byte for byte; clips
    of one seed are series of one study. A file appears when it is whole, and replaces what lay there.

    Args:
        path: the file; folders above it are made when they are not there.
        clip: what to write.

    Returns:
        ``path``.

    Raises:
        WriteError: the place cannot be written.
    """
    path = Path(path)
    count, height, width = clip.frames.shape
    meta = clip.meta
    frame_ms = 1000.0 / meta["fps"]
    patient = f"angioseg {meta['seed']}"
    # One seed gives other clips with another size, side or lesion.
    run = f"{patient} {count} {height} {width} {meta['fps']} {hashlib.sha256(clip.frames.tobytes()).hexdigest()}"

    def uid(*of):
        return generate_uid(entropy_srcs=list(of))

    header = FileMetaDataset()
    header.MediaStorageSOPClassUID = XRayAngiographicImageStorage
    header.MediaStorageSOPInstanceUID = uid("instance", run)
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
    d.StudyInstanceUID, d.SeriesInstanceUID = uid("study", patient), uid("series", run)
    d.StudyID = "1"
    d.SeriesNumber = d.InstanceNumber = 1
    d.PatientOrientation = _orientation(clip)
    d.ImageComments = "SIMULATED image, not of a patient"
    # Burnt-in text is made up; still it is text.
    d.BurnedInAnnotation = "YES" if meta["burnt_in_text"] else "NO"
    method = _METHODS[meta["video_codec"]] if meta["video_codec"] else _JPEG if meta["jpeg_quality"] else None
    d.LossyImageCompression = "01" if method else "00"
    if method:
        d.LossyImageCompressionMethod = method
        d.LossyImageCompressionRatio = _decimal(meta["compression_ratio"])
    d.ContrastBolusAgent = "SIMULATED iodine"
    # No tube is simulated: unknown.
    d.KVP = d.XRayTubeCurrent = d.ExposureTime = d.Exposure = None
    d.RadiationSetting = "GR"
    d.PositionerMotion = "STATIC"
    d.PositionerPrimaryAngle = _decimal(meta["primary_angle"])
    d.PositionerSecondaryAngle = _decimal(meta["secondary_angle"])
    d.DistanceSourceToDetector = _decimal(meta["sid_mm"])
    d.DistanceSourceToPatient = _decimal(meta["sod_mm"])
    d.EstimatedRadiographicMagnificationFactor = _decimal(meta["sid_mm"] / meta["sod_mm"])
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
    # Grey levels for display: LOG would promise a table back to intensity (PS3.3 C.11.1), which processing takes away.
    d.PixelIntensityRelationship = "LIN" if meta["linear"] else "DISP"
    d.WindowCenter, d.WindowWidth = "128", "256"
    data = np.ascontiguousarray(clip.frames).tobytes()
    d.PixelData = data + b"\0" * (len(data) % 2)
    d["PixelData"].VR = "OB"
    with replacing(path) as made:
        path.parent.mkdir(parents=True, exist_ok=True)
        d.save_as(made, write_like_original=False)
    return path


def _orientation(clip: SimulatedClip) -> list[str]:
    """Where in the patient the rows and the columns run to (PS3.3 C.7.6.1.1.1), the main direction first."""
    meta = clip.meta
    distances = (meta["sid_mm"], meta["sod_mm"], meta["imager_spacing_mm"])
    view = View(meta["primary_angle"], meta["secondary_angle"], *distances, clip.frames.shape[1:])
    letters = []
    for direction in view.axes[:2]:
        main = sorted(zip(direction, ("RL", "AP", "FH")), key=lambda part: -abs(part[0]))
        letters.append("".join(ends[int(share > 0)] for share, ends in main if abs(share) > _SHOWS))
    return letters


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{value:.10g}"[:16]
