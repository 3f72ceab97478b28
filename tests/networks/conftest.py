"""Real cine files for the tests, made by the libraries that hospitals' programs use."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_clips(tmp_path_factory) -> Path:
    """A folder of two simulated clips with their labels; not to be written to."""
    from angioseg.simulation import write_dataset

    folder = tmp_path_factory.mktemp("clips")
    write_dataset(folder, [{"seed": seed, "frames": 4, "size": (64, 64)} for seed in (3, 4)])
    return folder


@pytest.fixture
def write_dicom(tmp_path) -> Callable[..., Path]:
    """Writes frames (T, H, W) or (T, H, W, 3) as an uncompressed XA file; further arguments are header values.

    A value of None leaves the element out; ``pixels`` replaces the bytes.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

    def write(
        frames: np.ndarray, name: str = "cine.dcm", pixels: bytes | None = None, implicit=False, **header
    ) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.is_little_endian, dataset.is_implicit_VR = True, implicit
        colour = frames.ndim == 4
        values = {
            "SOPClassUID": XRayAngiographicImageStorage,
            "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
            "Modality": "XA",
            "Rows": frames.shape[1],
            "Columns": frames.shape[2],
            "NumberOfFrames": frames.shape[0],
            "SamplesPerPixel": 3 if colour else 1,
            "PlanarConfiguration": 0 if colour else None,
            "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
            "BitsAllocated": frames.itemsize * 8,
            "BitsStored": frames.itemsize * 8,
            "HighBit": None,
            "PixelRepresentation": int(frames.dtype.kind == "i"),
            **header,
        }
        if values["HighBit"] is None and values["BitsStored"] is not None:
            values["HighBit"] = values["BitsStored"] - 1
        for keyword, value in values.items():
            if value is not None:
                setattr(dataset, keyword, value)
        content = frames.tobytes() if pixels is None else pixels
        if content:
            dataset.PixelData = content + b"\0" * (len(content) % 2)
            dataset["PixelData"].VR = "OW" if frames.itemsize == 2 or implicit else "OB"
        path = tmp_path / name
        dataset.save_as(path, write_like_original=False)
        return path

    return write


@pytest.fixture
def transcode(tmp_path) -> Callable[[Path, str], Path]:
    """Saves a DICOM file again in another of GDCM's transfer syntaxes."""
    import gdcm

    def change(path: Path, syntax: str) -> Path:
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        changer = gdcm.ImageChangeTransferSyntax()
        changer.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        changer.SetInput(reader.GetImage())
        assert changer.Change(), f"GDCM does not write {syntax}"
        changed = path.with_name(f"{syntax}_{path.name}")
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(changed))
        writer.SetFile(reader.GetFile())
        writer.SetImage(changer.GetOutput())
        assert writer.Write()
        return changed

    return change


@pytest.fixture
def moving_pattern() -> Callable[..., np.ndarray]:
    """Frames (T, H, W) that differ in time and in both directions, smooth enough for lossy codecs."""

    def make(count: int = 3, rows: int = 48, columns: int = 64, dtype: str = "uint8", low: int = 20, high: int = 220):
        t, y, x = np.ogrid[:count, :rows, :columns]
        wave = (np.sin(x / 7 + t) + np.cos(y / 5 - t / 2) + 2) / 4
        return np.rint(low + wave * (high - low)).astype(dtype)

    return make
