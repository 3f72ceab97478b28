"""DICOM cines: pixels, timing, pixel size, what is known of them; and what is refused."""

import io
import itertools
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from angioseg.cine import CineError, is_cine, read_cine
from angioseg.cine.jpeg import JpegFrame, read_jpeg_frame
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, JPEGBaseline8Bit

NOISE = np.random.default_rng(7)
PIXELS = {
    # name: (lowest, highest stored value, dtype, BitsStored)
    "8 bits": (0, 255, "uint8", 8),
    "10 in 16 bits": (0, 1023, "uint16", 10),
    "12 in 16 bits": (0, 4095, "uint16", 12),
    "16 bits": (0, 65535, "uint16", 16),
    "12 in 16 bits, signed": (-2048, 2047, "int16", 12),
    "16 bits, signed": (-32768, 32767, "int16", 16),
}
LOSSLESS = [
    "ImplicitVRLittleEndian",
    "ExplicitVRBigEndian",
    "DeflatedExplicitVRLittleEndian",
    "JPEGLosslessProcess14",
    "JPEGLosslessProcess14_1",
    "JPEGLSLossless",
    "JPEG2000Lossless",
    "RLELossless",
]


def noise(kind: str, count: int = 3) -> tuple[np.ndarray, int]:
    low, high, dtype, stored = PIXELS[kind]
    return NOISE.integers(low, high, (count, 20, 30), endpoint=True).astype(dtype), stored


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_transfer_syntaxes_give_the_stored_numbers(syntax, kind, count, write_dicom, transcode):
    frames, stored = noise(kind, count)
    cine = read_cine(transcode(write_dicom(frames, BitsStored=stored), syntax))
    assert cine.frames.dtype == frames.dtype
    np.testing.assert_array_equal(cine.frames, frames)


@pytest.mark.parametrize(
    ("syntax", "dtype", "stored", "error"),
    [
        ("JPEGBaselineProcess1", "uint8", 8, 3),
        ("JPEGExtendedProcess2_4", "uint16", 12, 3),
        ("JPEG2000", "uint16", 12, 3),
        ("JPEGLSNearLossless", "uint8", 8, 3),
    ],
)
def test_lossy_transfer_syntaxes_come_close(syntax, dtype, stored, error, write_dicom, transcode, moving_pattern):
    frames = moving_pattern(dtype=dtype, high=0.9 * 2**stored)
    cine = read_cine(transcode(write_dicom(frames, BitsStored=stored), syntax))
    assert cine.frames.dtype == frames.dtype
    assert np.abs(cine.frames.astype(int) - frames).max() <= error


@pytest.mark.parametrize("table", ["right", "none", "wrong"])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_in_several_fragments(fragments, table, write_dicom, transcode, moving_pattern):
    frames = moving_pattern(count=4)
    path = transcode(write_dicom(frames), "JPEGLosslessProcess14_1")
    dataset = pydicom.dcmread(path)
    streams = list(pydicom.encaps.generate_pixel_data_frame(dataset.PixelData, 4))
    dataset.PixelData = encapsulate(streams, fragments_per_frame=fragments, has_bot=table != "none")
    if table == "wrong":
        content = bytearray(dataset.PixelData)
        content[8:24] = b"\7" * 16
        dataset.PixelData = bytes(content)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_cine(path).frames, frames)


@pytest.mark.parametrize(
    ("stored", "high", "raw", "expected"),
    [
        (12, 11, [0xF123, 0x0FFF], [0x123, 0xFFF]),  # an old overlay in the upper bits
        (12, 15, [0x123F, 0xFFF0], [0x123, 0xFFF]),  # left-aligned
        (10, 9, [0xFC01, 0x03FF], [1, 1023]),
    ],
)
def test_unused_bits_are_dropped(stored, high, raw, expected, write_dicom):
    frames = np.array(raw, np.uint16).reshape(1, 1, 2)
    path = write_dicom(frames, BitsStored=stored, HighBit=high)
    assert read_cine(path).frames.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("stored", "high", "raw", "expected"),
    [(12, 11, [0x0800, 0x0FFF, 0x07FF], [-2048, -1, 2047]), (12, 15, [0x8000, 0xFFF0, 0x7FFF], [-2048, -1, 2047])],
)
def test_sign_bits_are_extended(stored, high, raw, expected, write_dicom):
    frames = np.array(raw, np.uint16).reshape(1, 1, 3)
    path = write_dicom(frames, BitsStored=stored, HighBit=high, PixelRepresentation=1)
    cine = read_cine(path)
    assert cine.frames.dtype == np.int16
    assert cine.frames.ravel().tolist() == expected


def test_signed_bytes_widen(write_dicom):
    frames = np.array([-128, -1, 0, 127], np.int8).reshape(1, 2, 2)
    cine = read_cine(write_dicom(frames))
    assert cine.frames.dtype == np.int16
    np.testing.assert_array_equal(cine.frames, frames)


@pytest.mark.parametrize("kind", PIXELS)
def test_monochrome1_is_inverted_without_loss(kind, write_dicom):
    frames, stored = noise(kind)
    low, high, _, _ = PIXELS[kind]
    cine = read_cine(write_dicom(frames, BitsStored=stored, PhotometricInterpretation="MONOCHROME1"))
    assert cine.frames.dtype == frames.dtype
    np.testing.assert_array_equal(cine.frames.astype(int), low + high - frames.astype(int))


def test_big_endian_bytes_kept_in_words_are_swapped(write_dicom):
    frames = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    path = write_dicom(frames)
    dataset = pydicom.dcmread(path)
    dataset.is_little_endian = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = frames.reshape(-1, 2)[:, ::-1].tobytes()  # pydicom writes these bytes as they are
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path)
    np.testing.assert_array_equal(read_cine(path).frames, frames)


def grey_as_rgb(frames: np.ndarray) -> np.ndarray:
    return np.repeat(frames[..., None], 3, axis=-1)


@pytest.mark.parametrize("syntax", [None, "JPEGLosslessProcess14_1", "JPEG2000Lossless", "RLELossless"])
def test_grey_in_three_channels_is_exact(syntax, write_dicom, transcode, moving_pattern):
    frames = moving_pattern()
    path = write_dicom(grey_as_rgb(frames))
    cine = read_cine(transcode(path, syntax) if syntax else path)
    np.testing.assert_array_equal(cine.frames, frames)
    assert not any("colour" in line for line in cine.warnings)


@pytest.mark.parametrize(
    ("photometric", "planar", "pixel", "grey", "warned"),
    [
        ("RGB", 0, (50, 50, 50), 50, ""),
        ("RGB", 1, (50, 50, 50), 50, ""),
        ("RGB", 0, (200, 100, 50), 124, "probably not an X-ray angiogram"),
        ("RGB", 1, (200, 100, 50), 124, "probably not an X-ray angiogram"),
        ("RGB", 0, (100, 101, 100), 101, "a little colour"),
        ("YBR_FULL", 0, (77, 128, 128), 77, ""),
        ("YBR_FULL", 1, (77, 128, 128), 77, ""),
        ("YBR_FULL", 0, (77, 200, 60), 77, "probably not an X-ray angiogram"),
    ],
)
def test_colour_becomes_grey(photometric, planar, pixel, grey, warned, write_dicom):
    frames = np.broadcast_to(np.array(pixel, np.uint8), (2, 6, 8, 3))
    content = np.moveaxis(frames, -1, 1).tobytes() if planar else frames.tobytes()
    path = write_dicom(frames, pixels=content, PhotometricInterpretation=photometric, PlanarConfiguration=planar)
    cine = read_cine(path)
    assert (cine.frames == grey).all()
    assert [line for line in cine.warnings if "colour" in line] == [
        line for line in cine.warnings if warned and warned in line
    ]
    assert warned in " ".join(cine.warnings)


def test_uncompressed_422_keeps_the_luma(write_dicom, moving_pattern):
    frames = moving_pattern(count=2)
    quads = np.full((2, 48, 32, 4), 128, np.uint8)
    quads[..., :2] = frames.reshape(2, 48, 32, 2)
    path = write_dicom(grey_as_rgb(frames), pixels=quads.tobytes(), PhotometricInterpretation="YBR_FULL_422")
    np.testing.assert_array_equal(read_cine(path).frames, frames)


def test_uncompressed_422_has_pairs_of_columns(write_dicom):
    frames = grey_as_rgb(np.zeros((1, 4, 5), np.uint8))
    path = write_dicom(frames, pixels=bytes(40), PhotometricInterpretation="YBR_FULL_422")
    with pytest.raises(CineError, match="in 5 columns, where two share a colour"):
        read_cine(path)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
def test_colour_jpeg_baseline(photometric, write_dicom, moving_pattern):
    frames = moving_pattern(count=2)
    streams = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(grey_as_rgb(frame)).save(stream, "JPEG", quality=95, keep_rgb=photometric == "RGB")
        streams.append(stream.getvalue())
    path = write_dicom(grey_as_rgb(frames), PhotometricInterpretation=photometric)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate(streams)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.save_as(path)
    cine = read_cine(path)
    assert np.abs(cine.frames.astype(int) - frames).max() <= 3
    assert not any("not an X-ray" in line for line in cine.warnings)


@pytest.mark.parametrize(
    ("header", "source", "expected"),
    [
        ({"FrameTime": 66.7}, "FrameTime", [0, 66.7, 133.4]),
        ({"FrameTimeVector": [0, 40, 80]}, "FrameTimeVector", [0, 40, 120]),
        ({"CineRate": 25}, "CineRate", [0, 40, 80]),
        ({"RecommendedDisplayFrameRate": 10}, "RecommendedDisplayFrameRate", [0, 100, 200]),
        ({"FrameTime": 40, "CineRate": 10}, "FrameTime", [0, 40, 80]),
        ({"CineRate": 25, "RecommendedDisplayFrameRate": 10}, "CineRate", [0, 40, 80]),
        ({"FrameTime": 40, "FrameTimeVector": [0, 50, 60]}, "FrameTime", [0, 40, 80]),
        (
            {"FrameTime": 40, "FrameTimeVector": [0, 50, 60], "FrameIncrementPointer": 0x00181065},
            "FrameTimeVector",
            [0, 50, 110],
        ),
        (
            {"FrameTime": 40, "FrameTimeVector": [0, 50, 60], "FrameIncrementPointer": 0x00181063},
            "FrameTime",
            [0, 40, 80],
        ),
        ({"FrameTimeVector": [0, 40], "CineRate": 10}, "CineRate", [0, 100, 200]),  # one number short
        ({"FrameTime": 0, "CineRate": 10}, "CineRate", [0, 100, 200]),
        ({"FrameTimeVector": [0, 50, -60]}, "assumed", [0, 1000 / 15, 2000 / 15]),
        ({}, "assumed", [0, 1000 / 15, 2000 / 15]),
    ],
)
def test_frame_times(header, source, expected, write_dicom, moving_pattern):
    cine = read_cine(write_dicom(moving_pattern(count=3), **header))
    assert cine.times_source == source
    np.testing.assert_allclose(cine.times_ms, expected)
    assert any("assumed" in line for line in cine.warnings) == (source == "assumed")


def test_unusable_times_are_told(write_dicom, moving_pattern):
    cine = read_cine(write_dicom(moving_pattern(count=3), FrameTimeVector=[0, 40], CineRate=10))
    assert any("FrameTimeVector" in line for line in cine.warnings)


@pytest.mark.parametrize(
    ("header", "spacing", "source"),
    [
        ({}, (1, 1), "unknown"),
        ({"ImagerPixelSpacing": [0.4, 0.3]}, (0.4, 0.3), "imager"),
        ({"ImagerPixelSpacing": [0.4, 0.3], "PixelSpacing": [0.4, 0.3]}, (0.4, 0.3), "imager"),
        ({"ImagerPixelSpacing": [0.4, 0.3], "PixelSpacing": [0.3, 0.2]}, (0.3, 0.2), "calibrated"),
        ({"ImagerPixelSpacing": [0.184, 0.184], "PixelSpacing": [0.1840001, 0.184]}, (0.184, 0.184), "imager"),
        ({"ImagerPixelSpacing": [0.3, 0.1847], "PixelSpacing": [0.3, 0.18472]}, (0.3, 0.18472), "calibrated"),
        (
            {"ImagerPixelSpacing": [0.4, 0.3], "PixelSpacing": [0.4, 0.3], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.4, 0.3),
            "calibrated",
        ),
        ({"PixelSpacing": [0.3, 0.2], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.3, 0.2), "calibrated"),
        ({"PixelSpacing": [0.3, 0.2]}, (0.3, 0.2), "unknown"),
        ({"ImagerPixelSpacing": [0, 0]}, (1, 1), "unknown"),
    ],
)
def test_pixel_size_and_its_source(header, spacing, source, write_dicom, moving_pattern):
    cine = read_cine(write_dicom(moving_pattern(), **header))
    assert cine.spacing == spacing
    assert cine.spacing_source == source


def item(**values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("keyword", "moments", "expected"),
    [
        (
            "FrameReferenceDateTime",
            ["20200101120000.000000", "20200101120000.050000", "20200101120000.120000"],
            [0, 50, 120],
        ),
        (
            "FrameAcquisitionDateTime",
            ["20200101235959.9+0100", "20200102000000.0+0100", "20200102000000.1+0100"],
            [0, 100, 200],
        ),
    ],
)
def test_enhanced_xa(keyword, moments, expected, write_dicom, moving_pattern):
    frames = moving_pattern(count=3)
    per_frame = [
        item(
            FrameContentSequence=Sequence([item(**{keyword: moment})]),
            PositionerPositionSequence=Sequence([item(PositionerPrimaryAngle=-30.5, PositionerSecondaryAngle=20)]),
        )
        for moment in moments
    ]
    shared = item(
        FramePixelDataPropertiesSequence=Sequence([item(ImagerPixelSpacing=[0.2, 0.2])]),
        XRayGeometrySequence=Sequence([item(DistanceSourceToDetector=1000, DistanceSourceToIsocenter=750)]),
    )
    path = write_dicom(
        frames,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1.1",
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(per_frame),
    )
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.times_source == keyword
    np.testing.assert_allclose(cine.times_ms, expected)
    assert (cine.spacing, cine.spacing_source) == ((0.2, 0.2), "imager")
    assert cine.meta["primary_angle"] == -30.5
    assert (cine.meta["sid_mm"], cine.meta["sod_mm"]) == (1000, 750)
    assert cine.warnings == ()


def test_enhanced_calibration_wins(write_dicom, moving_pattern):
    calibration = Sequence([item(ObjectPixelSpacingInCenterOfBeam=[0.15, 0.15])])
    path = write_dicom(
        moving_pattern(),
        ImagerPixelSpacing=[0.2, 0.2],
        SharedFunctionalGroupsSequence=Sequence([item(ProjectionPixelCalibrationSequence=calibration)]),
    )
    cine = read_cine(path)
    assert cine.spacing == pytest.approx((0.15, 0.15))  # the file holds 32-bit floats
    assert cine.spacing_source == "calibrated"


IDENTITY = {
    "PatientName": "Doe^Jane",
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19510203",
    "InstitutionName": "General Hospital",
    "StudyDate": "20200304",
    "StudyInstanceUID": "1.2.3.4.5",
    "SeriesDescription": "Doe LCA",
}


def test_meta_is_useful_and_identifies_nobody(write_dicom, moving_pattern):
    header = {"Manufacturer": "ACME", "ManufacturerModelName": "One", "PositionerPrimaryAngle": -27.5}
    cine = read_cine(write_dicom(moving_pattern(), FrameTime=40, **header, **IDENTITY))
    shown = f"{cine.meta} {cine.warnings} {cine.name}"
    assert not [value for value in IDENTITY.values() if value in shown]
    assert cine.meta == {
        "modality": "XA",
        "manufacturer": "ACME",
        "model": "One",
        "primary_angle": -27.5,
        "bits_stored": 8,
        "transfer_syntax": "Explicit VR Little Endian",
        "photometric": "MONOCHROME2",
        "frames": 3,
    }


def test_badly_written_values_do_not_leak_or_stop(write_dicom, moving_pattern, caplog):
    path = write_dicom(moving_pattern(), FrameTime=40, PatientName="Doe^Jane", PositionerPrimaryAngle="12.5")
    content = path.read_bytes()
    assert b"12.5" in content
    path.write_bytes(content.replace(b"12.5", b"Doe?"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cine = read_cine(path)
    assert "primary_angle" not in cine.meta
    assert caught == []
    assert "Doe" not in caplog.text


@pytest.mark.parametrize(
    ("name", "preamble"),
    [
        *itertools.product(["cine.dcm", "CINE.DCM", "cine", "1.2.840.10008.77"], [True, False]),
        ("cine.png", True),
    ],
)
@pytest.mark.parametrize("implicit", [True, False])
def test_dicom_is_told_by_its_content(name, preamble, implicit, write_dicom, moving_pattern):
    frames = moving_pattern()
    path = write_dicom(frames, name=name, implicit=implicit)
    if not preamble:
        dataset = pydicom.dcmread(path)
        dataset.file_meta, dataset.preamble = None, None
        path.unlink()
        pydicom.dcmwrite(path, dataset, write_like_original=True)
        assert path.read_bytes()[128:132] != b"DICM"
    assert is_cine(path) or not preamble
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.name == (Path(name).stem if name.lower().endswith((".dcm", ".png")) else name)


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 1, 1), (1, 7, 5), (5, 40, 40)])
def test_small_cines(shape, write_dicom):
    frames = NOISE.integers(0, 255, shape).astype(np.uint8)
    cine = read_cine(write_dicom(frames, NumberOfFrames=None if shape[0] == 1 else shape[0]))
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.times_ms[0] == 0
    assert cine.warnings == () or shape[0] > 1


@pytest.mark.parametrize("modality", ["XA", "RF", "DX"])
def test_x_ray_modalities_are_read_silently(modality, write_dicom, moving_pattern):
    assert read_cine(write_dicom(moving_pattern(), Modality=modality, FrameTime=40)).warnings == ()


@pytest.mark.parametrize(
    ("modality", "said"), [("OT", "secondary capture"), ("SC", "secondary capture"), (None, "modality")]
)
def test_other_sources_are_warned_of(modality, said, write_dicom, moving_pattern):
    assert said in " ".join(read_cine(write_dicom(moving_pattern(), Modality=modality, FrameTime=40)).warnings)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"Modality": "CT"}, "is a CT, not an X-ray angiography cine"),
        ({"Modality": "MR"}, "is an MR, not an X-ray angiography cine"),
        ({"Modality": "US"}, "is an ultrasound, not"),
        ({"Modality": "XC"}, "of modality XC, not"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.1"}, "3-D reconstruction"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "DICOMDIR"),
        ({"Rows": None}, "without pixels"),
        ({"pixels": b""}, "has no pixels"),
        ({"pixels": b"\0" * (2 * 48 * 64)}, "holds 2 of the 3 frames"),
        ({"NumberOfFrames": 2_000_000_000}, "more than any cine has"),
        ({"Rows": 65535, "Columns": 65535}, "more than any cine has"),
        ({"Rows": 0}, "holds no image"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 bits"),
        ({"BitsStored": 9}, "9 bits in 8"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"SamplesPerPixel": 2}, "pixels, which are not read"),
    ],
)
def test_refused_in_one_line(header, said, write_dicom, moving_pattern):
    path = write_dicom(moving_pattern(), **header)
    with pytest.raises(CineError) as caught:
        read_cine(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "syntax", [None, "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian", "JPEGLosslessProcess14_1"]
)
@pytest.mark.parametrize("tail", ["0.999", "0.9", "0.5", "0.2", "header", "preamble"])
def test_cut_short_anywhere_is_one_line(syntax, tail, write_dicom, transcode):
    frames, _ = noise("8 bits", 12)
    path = write_dicom(frames, FrameTime=40)
    path = transcode(path, syntax) if syntax else path
    content = path.read_bytes()
    path.write_bytes(content[: {"header": 400, "preamble": 140}.get(tail) or int(float(tail) * len(content))])
    with pytest.raises(CineError) as caught:
        read_cine(path)
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_header_is_one_line(write_dicom, transcode):
    frames, _ = noise("8 bits", 2)
    path = transcode(write_dicom(frames, FrameTime=40), "JPEGLosslessProcess14_1")
    content = path.read_bytes()
    for end in range(1, len(content) - 8, 37):
        path.write_bytes(content[:end])
        with pytest.raises(CineError):
            read_cine(path)


def test_lost_frames_are_counted(write_dicom, transcode):
    frames, _ = noise("8 bits", 12)
    path = transcode(write_dicom(frames), "JPEGLosslessProcess14_1")
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    with pytest.raises(CineError, match=r"holds [67] of the 12 frames"):
        read_cine(path)


def test_damaged_frame_is_named(write_dicom, transcode):
    frames, _ = noise("8 bits", 3)
    path = transcode(write_dicom(frames), "JPEG2000Lossless")
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51", content.index(b"\xff\x4f\xff\x51") + 1)
    content[start : start + 40] = b"\0" * 40
    path.write_bytes(bytes(content))
    with pytest.raises(CineError, match="frame 1 of 3 is damaged"):
        read_cine(path)


READ_ALL = """
import sys
from angioseg.cine import CineError, read_cine

for path in sys.argv[1:]:
    try:
        read_cine(path)
    except CineError as error:
        print(error)
"""


def test_damaged_streams_do_not_end_the_process(write_dicom, transcode):
    # Each of these ends GDCM, and Python with it, when it gets that far.
    damages = [
        ("JPEGLosslessProcess14_1", "16 bits", b"\xff\xc3\x00\x0b", 4, 26),  # bits a pixel
        ("JPEGLosslessProcess14", "16 bits", b"\xff\xc3\x00\x0b", 4, 234),
        ("JPEGLosslessProcess14_1", "16 bits", b"\xff\xc4", 1, 0x01),  # no Huffman tables
        ("JPEGLosslessProcess14", "16 bits", b"\xff\xc4", 0, 0x8B),
        ("JPEGExtendedProcess2_4", "12 in 16 bits", b"\xff\xd8\xff\xdb", 2, 0xB1),  # a lost mark
        ("JPEG2000Lossless", "12 in 16 bits", b"\xff\x4f\xff\x51", 42, 0x93),  # bits a pixel
    ]
    files = []
    for index, (syntax, kind, mark, place, value) in enumerate(damages):
        frames = np.random.default_rng(0).integers(0, 2 ** PIXELS[kind][3], (2, 64, 64)).astype(np.uint16)
        path = transcode(write_dicom(frames, name=f"{index}.dcm", BitsStored=PIXELS[kind][3]), syntax)
        content = bytearray(path.read_bytes())
        content[content.index(mark, content.index(b"\xe0\x7f\x10\x00")) + place] = value
        path.write_bytes(bytes(content))
        files.append(str(path))
    done = subprocess.run([sys.executable, "-c", READ_ALL, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.count("frame 0 of 2 is damaged") == len(damages)


def segment(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + (len(content) + 2).to_bytes(2, "big") + content


FRAME = b"\x08\0\x40\0\x30\x01\x01\x11\0"
TABLES = b"\0" + bytes([0, 2]) + bytes(14) + b"\0\1"
SCAN = b"\1\1\0\1\0\0"


def jpeg(frame=FRAME, tables=TABLES, scan=SCAN) -> bytes:
    return b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, tables) + segment(0xDA, scan) + b"\x12\x34\xff\xd9"


def test_jpeg_header():
    assert read_jpeg_frame(jpeg()) == JpegFrame(precision=8, rows=64, columns=48, samples=1)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\xff\xd8",
        jpeg()[:20],
        jpeg()[2:],
        jpeg().replace(b"\xff\xc3", b"\xff\xc5"),
        jpeg().replace(b"\xff\xc4", b"\xff\xe0"),  # no Huffman tables
        jpeg().replace(b"\xff\xc4", b"\xff\x01"),
        jpeg(frame=b"\x08\0\x40\0\x30\x02\x01\x11\0"),  # two channels, one described
        jpeg(frame=b"\x08"),
        jpeg(tables=b"\0" + bytes([3]) + bytes(15) + b"\0\1\2"),  # three codes of one bit
        jpeg(tables=b"\0" + bytes([0, 2]) + bytes(14) + b"\0"),
        jpeg(scan=b"\2\1\0\1\0\0"),
    ],
)
def test_damaged_jpeg_headers(stream):
    with pytest.raises(ValueError):
        read_jpeg_frame(stream)


def test_unknown_compression_is_named(write_dicom, transcode, moving_pattern):
    path = transcode(write_dicom(moving_pattern()), "JPEG2000Lossless")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.save_as(path)
    with pytest.raises(CineError, match="compressed as MPEG-4"):
        read_cine(path)


def test_a_deflated_header_may_be_long(write_dicom, moving_pattern):
    frames = moving_pattern(count=2)
    path = write_dicom(frames)
    dataset = pydicom.dcmread(path)
    dataset.add_new((0x0009, 0x0010), "LO", "SOMEBODY")
    dataset.add_new((0x0009, 0x1001), "OB", np.random.default_rng(0).bytes(3 * 2**20))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    np.testing.assert_array_equal(read_cine(path).frames, frames)


@pytest.mark.parametrize(
    ("header", "said"),
    [({"NumberOfFrames": 1}, "larger than it says"), ({"NumberOfFrames": 10**7}, "more than any cine has")],
    ids=["holds more", "claims more"],
)
def test_deflated_bomb_is_refused(header, said, write_dicom, monkeypatch):
    inflated = []
    inflate = zlib.decompressobj

    class Counting:
        def __init__(self, *arguments):
            self._inflater = inflate(*arguments)

        def decompress(self, *arguments):
            inflated.append(self._inflater.decompress(*arguments))
            return inflated[-1]

        def __getattr__(self, name):
            return getattr(self._inflater, name)

    path = write_dicom(np.zeros((8, 1024, 1024), np.uint8))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    for name, value in header.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    monkeypatch.setattr("angioseg.cine.dicom._MOST_HEADER", 2**20)
    with pytest.raises(CineError, match=said):
        read_cine(path)
    assert sum(map(len, inflated)) < 4 * 2**20


@pytest.mark.skipif(
    "ANGIOSEG_REFERENCE_DATA" not in os.environ, reason="ANGIOSEG_REFERENCE_DATA names no folder of real cines"
)
def test_real_angiograms():
    files = sorted(Path(os.environ["ANGIOSEG_REFERENCE_DATA"]).glob("dicom/*.dcm"))
    assert files
    for path in files:
        cine = read_cine(path)
        np.testing.assert_array_equal(cine.frames, pydicom.dcmread(path).pixel_array)
        assert cine.times_source == "FrameTime"
        assert cine.meta["modality"] == "XA"
