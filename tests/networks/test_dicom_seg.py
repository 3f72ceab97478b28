"""Labels of frames as DICOM segmentation objects: what goes in comes out, and the object is as the standard says."""

import copy
import shutil
import subprocess
import time
from datetime import datetime, timezone

import numpy as np
import pydicom
import pytest
from angioseg.cine import CineError
from angioseg.cine.dicom_seg import read_dicom_seg, time_of_content, write_dicom_seg
from angioseg.simulation import simulate_clip, write_xa_dicom
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sequence import Sequence


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A cine of sides that are no multiples of 8, so that frames begin within a byte."""
    return write_xa_dicom(tmp_path_factory.mktemp("cine") / "run.dcm", simulate_clip(3, frames=5, size=(37, 35)))


@settings(max_examples=25, deadline=None)
@given(frames=st.sets(st.integers(0, 4), min_size=1), seed=st.integers(0, 99), share=st.sampled_from([0, 0.1, 1]))
def test_labelled_frames_come_back(source, tmp_path_factory, frames, seed, share):
    mask = (np.random.default_rng(seed).random((5, 37, 35)) < share).astype(np.uint8)
    path = tmp_path_factory.mktemp("seg") / "seg.dcm"
    uid = write_dicom_seg(path, source, mask, frames)
    seg = read_dicom_seg(path)
    assert (seg.uid, seg.source) == (uid, pydicom.dcmread(source).SOPInstanceUID)
    assert seg.frames == sorted(frames)
    assert np.array_equal(seg.masks, mask[sorted(frames)])
    assert seg.masks.dtype == np.uint8


def test_it_lies_beside_its_cine(source, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", source, np.ones((5, 37, 35), np.uint8), [1, 3])
    cine, seg = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "seg.dcm")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert seg[keyword].value == cine[keyword].value
    assert seg.SeriesInstanceUID != cine.SeriesInstanceUID
    assert "FrameOfReferenceUID" not in seg
    named = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
    assert [one.ReferencedFrameNumber for one in named] == [2, 4]
    assert {one.ReferencedSOPInstanceUID for one in named} == {cine.SOPInstanceUID}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy: apt-get install dicom3tools")
@pytest.mark.parametrize("frames", [[0], [1, 3], range(5)])
def test_a_validator_finds_nothing_wrong(source, tmp_path, frames):
    write_dicom_seg(tmp_path / "seg.dcm", source, np.ones((5, 37, 35), np.uint8), frames)
    said = subprocess.run(["dciodvfy", "-new", tmp_path / "seg.dcm"], capture_output=True, text=True)
    assert (said.returncode, (said.stdout + said.stderr).split()) == (0, ["Segmentation"])


@pytest.mark.parametrize(
    ("shape", "frames", "line"),
    [((4, 37, 35), [0], "does not fit"), ((5, 37, 35), [], "does not fit"), ((5, 37, 35), [5], "does not fit")],
)
def test_a_label_that_does_not_fit_is_refused(source, tmp_path, shape, frames, line):
    with pytest.raises(CineError, match=line):
        write_dicom_seg(tmp_path / "seg.dcm", source, np.ones(shape, np.uint8), frames)
    assert list(tmp_path.iterdir()) == []


def test_a_cine_that_is_not_dicom_is_refused(tmp_path):
    (tmp_path / "run.nrrd").write_bytes(b"NRRD0005\n" * 50)
    with pytest.raises(CineError, match=r"run\.nrrd: is not DICOM"):
        write_dicom_seg(tmp_path / "seg.dcm", tmp_path / "run.nrrd", np.ones((5, 37, 35), np.uint8), [0])


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "Rows"])
def test_a_cine_that_lacks_what_any_image_has_is_refused(source, tmp_path, keyword):
    cine = pydicom.dcmread(source)
    del cine[keyword]
    with pytest.raises(CineError, match=f"its cine has no {keyword}"):
        write_dicom_seg(tmp_path / "seg.dcm", cine, np.ones((5, 37, 35), np.uint8), [0])
    assert list(tmp_path.iterdir()) == []


def changed(path, change):
    seg = pydicom.dcmread(path)
    change(seg)
    seg.save_as(path)
    return path


def another_organ(seg):
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "64033007"


def no_sources(seg):
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence


def two_cines(seg):
    groups = seg.PerFrameFunctionalGroupsSequence[1]
    groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def same_frame_twice(seg):
    groups = seg.PerFrameFunctionalGroupsSequence[1]
    groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 1


def two_segments(path, masks):
    """Write another segmentation: its coronary segments are in turn in the frames of a cine."""
    seg = pydicom.dcmread(path)
    frames = list(seg.PerFrameFunctionalGroupsSequence)
    del seg.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence
    seg.SegmentSequence = Sequence([copy.deepcopy(seg.SegmentSequence[0]) for _ in masks])
    groups = []
    for number, segment in enumerate(seg.SegmentSequence, 1):
        segment.SegmentNumber = number
        for frame in copy.deepcopy(frames):
            identified = pydicom.Dataset()
            identified.ReferencedSegmentNumber = number
            frame.SegmentIdentificationSequence = Sequence([identified])
            groups.append(frame)
    seg.PerFrameFunctionalGroupsSequence = Sequence(groups)
    seg.NumberOfFrames = len(groups)
    bits = np.packbits(np.concatenate(masks).ravel(), bitorder="little").tobytes()
    seg.PixelData = bits + b"\0" * (len(bits) % 2)
    seg.save_as(path)


def test_the_segments_of_a_frame_are_joined(source, tmp_path):
    left, right = (np.random.default_rng(0).random((2, 2, 37, 35)) < 0.2).astype(np.uint8)
    write_dicom_seg(tmp_path / "seg.dcm", source, np.ones((5, 37, 35), np.uint8), [1, 3])
    two_segments(tmp_path / "seg.dcm", [left, right])
    seg = read_dicom_seg(tmp_path / "seg.dcm")
    assert seg.frames == [1, 3]
    assert np.array_equal(seg.masks, left | right)


@pytest.fixture
def in_zone(monkeypatch):
    """Sets this machine's time zone."""

    def choose(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("date", "clock", "offset", "made"),
    [
        ("20260701", "120000.25", "+0200", "20260701100000.250000"),
        ("20260701", "120000.25", "-0330", "20260701153000.250000"),
        ("20260701", "003000", "+0100", "20260630233000.000000"),
        ("20260701", "120000", None, "20260701100000.000000"),  # this machine's zone: Berlin, in summer
        ("20260101", "12", "", "20260101110000.000000"),
        ("20260101", "1200", "CET", "20260101110000.000000"),
        ("20260101", "", "+0000", "20260101000000.000000"),
        ("", "120000", "+0000", ""),
        ("20261301", "120000", "+0000", ""),
        ("00010101", "000000", "+1400", ""),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_when_it_was_made_is_told_in_utc(source, tmp_path, in_zone, date, clock, offset, made):
    in_zone("Europe/Berlin")
    write_dicom_seg(tmp_path / "seg.dcm", source, np.ones((5, 37, 35), np.uint8), [0])

    def at(seg):
        seg.ContentDate, seg.ContentTime, seg.TimezoneOffsetFromUTC = date, clock, offset
        if offset is None:
            del seg.TimezoneOffsetFromUTC

    assert read_dicom_seg(changed(tmp_path / "seg.dcm", at)).made == made


@pytest.mark.parametrize(
    ("zone", "of_cine", "written"),
    [
        ("UTC", None, "+0000"),
        ("Asia/Kolkata", None, "+0530"),
        ("America/Caracas", None, "-0400"),
        ("UTC", "-0330", "-0330"),  # it holds for the study's date and time too, which are the cine's
    ],
)
def test_its_time_zone_is_written(source, tmp_path, in_zone, zone, of_cine, written):
    in_zone(zone)
    shutil.copy(source, tmp_path / "run.dcm")
    if of_cine:
        changed(tmp_path / "run.dcm", lambda cine: setattr(cine, "TimezoneOffsetFromUTC", of_cine))
    before = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S.%f")
    write_dicom_seg(tmp_path / "seg.dcm", tmp_path / "run.dcm", np.ones((5, 37, 35), np.uint8), [0])
    assert pydicom.dcmread(tmp_path / "seg.dcm").TimezoneOffsetFromUTC == written
    assert before <= read_dicom_seg(tmp_path / "seg.dcm").made <= time_of_content()


@pytest.mark.parametrize("change", [another_organ, no_sources, two_cines, same_frame_twice])
def test_other_segmentations_are_none_of_ours(source, tmp_path, change):
    write_dicom_seg(tmp_path / "seg.dcm", source, np.ones((5, 37, 35), np.uint8), [0, 1])
    assert read_dicom_seg(tmp_path / "seg.dcm") is not None
    assert read_dicom_seg(changed(tmp_path / "seg.dcm", change)) is None


def test_a_cine_is_no_segmentation(source):
    assert read_dicom_seg(source) is None


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_damaged_file_is_told(source, tmp_path, share):
    write_dicom_seg(tmp_path / "seg.dcm", source, np.ones((5, 37, 35), np.uint8), range(5))
    content = (tmp_path / "seg.dcm").read_bytes()
    (tmp_path / "seg.dcm").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CineError, match="is damaged"):
        read_dicom_seg(tmp_path / "seg.dcm")
