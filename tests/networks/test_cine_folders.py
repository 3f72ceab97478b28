"""What is a cine, which cines a folder holds, and folders of single-frame DICOM files."""

import numpy as np
import pytest
from angioseg.cine import CINE_SUFFIXES, CineError, cines_in, is_cine, read_cine
from PIL import Image


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        *((f"run{suffix}", b"x", True) for suffix in CINE_SUFFIXES),
        ("RUN.DCM", b"x", True),
        ("DICOMDIR", b"\0" * 128 + b"DICM", False),
        ("IM0001", b"\0" * 128 + b"DICM", True),
        ("IM0001", b"\0" * 140, False),
        ("run.seg.nrrd", b"x", False),
        ("run_seg.nrrd", b"x", False),
        ("run_label.nrrd", b"x", False),
        ("run_overlay.mp4", b"x", False),
        ("run_keyframe.png", b"x", False),
        ("run.txt", b"x", False),
        (".run.nrrd", b"x", False),
        ("clip/0.png", b"x", True),
        ("clip/images/0.png", b"x", True),
        ("clip/frames/0.png", b"x", True),
        ("clip/labels/0.png", b"x", False),
        ("clip/notes.txt", b"x", False),
    ],
)
def test_is_cine(name, content, expected, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert is_cine(tmp_path / name.split("/")[0]) is expected


def test_the_cines_of_a_folder(tmp_path):
    root = tmp_path / "root"
    for name in (
        "b/run.dcm",
        "b/run_label.nrrd",
        "b/run_seg.nrrd",
        "b/report.pdf",
        "a/images/0.png",
        "a/labels/0.png",
        "c/frames/0.png",
        "c/beside.nrrd",
        "d/frames/0.png",
        "d/automatic_masks/0.png",
        ".hidden/run.nrrd",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "elsewhere.nrrd").write_bytes(b"x")
    (root / "link.nrrd").symlink_to(tmp_path / "elsewhere.nrrd")
    (root / "b" / "round").symlink_to(root, target_is_directory=True)
    (root / "linked").symlink_to(root / "a", target_is_directory=True)
    found = ["a", "b/run.dcm", "c/beside.nrrd", "c/frames", "d", "link.nrrd", "linked"]
    assert [path.relative_to(root).as_posix() for path in cines_in(root)] == found
    assert cines_in(root / "b" / "run.dcm") == [root / "b" / "run.dcm"]
    (root / "empty").mkdir()
    for folder, line in (("a/labels/0.png/x", "no such"), (".hidden/none", "no such"), ("empty", "without cines")):
        with pytest.raises(CineError, match=line):
            cines_in(root / folder)


@pytest.mark.parametrize(
    ("files", "cines", "each"),
    [
        (["0.png", "1.png"], ["."], ["0.png", "1.png"]),
        (["run.nrrd", "report.png"], ["run.nrrd"], ["run.nrrd"]),
        (["a/run.dcm", "a/report.jpg"], ["a/run.dcm"], ["a/run.dcm"]),
        (["a/0.png", "a/1.png", "b.mp4"], ["a", "b.mp4"], ["a", "b.mp4"]),
        (["images/0.png", "labels/0.png"], ["."], ["."]),
        (["datastore_v2.json", "run.nrrd", "labels/final/run.nrrd"], ["run.nrrd"], ["run.nrrd"]),
        (["labels/run.nrrd"], ["labels/run.nrrd"], ["labels/run.nrrd"]),
    ],
    ids=lambda names: names[-1] if isinstance(names, list) else None,
)
def test_pictures_beside_cines_are_none(files, cines, each, tmp_path):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    assert [path.relative_to(tmp_path).as_posix() for path in cines_in(tmp_path)] == cines
    assert [path.relative_to(tmp_path).as_posix() for path in cines_in(tmp_path, frames_of_one=False)] == each


def test_nothing_is_no_cine(tmp_path):
    assert not is_cine(tmp_path / "none.dcm")


@pytest.mark.parametrize(
    ("headers", "one"),
    [
        ([{}, {}], True),
        ([{}], False),
        ([{}, {"SeriesInstanceUID": "1.2.4"}], False),
        ([{}, {"NumberOfFrames": 3}], False),
        ([{}, {"rows": 20}], False),
        ([{"SeriesInstanceUID": None}, {"SeriesInstanceUID": None}], False),
    ],
    ids=["frames", "one alone", "two series", "a cine among them", "two sizes", "no series"],
)
@pytest.mark.parametrize("inner", ["", "images", "frames"])
def test_a_folder_of_single_frame_dicom_is_one_cine(headers, one, inner, tmp_path, write_dicom, moving_pattern):
    run = tmp_path / "run"
    (run / inner).mkdir(parents=True)
    for t, header in enumerate(headers):
        header = {"SeriesInstanceUID": "1.2.3", "InstanceNumber": t + 1, **header}
        pixels = moving_pattern(count=header.get("NumberOfFrames", 1), rows=header.pop("rows", 48))
        write_dicom(pixels, name=f"IM{t}", **header).rename(run / inner / f"IM{t}")
    (run / inner / "preview.png").write_bytes(b"x")
    assert is_cine(run) is one
    each = [run / inner / f"IM{t}" for t in range(len(headers))]
    assert cines_in(run) == cines_in(run, frames_of_one=False) == ([run] if one else each)
    if one:
        assert read_cine(run).shape == (2, 48, 64)
        assert read_cine(run).name == read_cine(run / inner).name == "run"


def test_cines_below_single_frames_are_found(tmp_path, write_dicom, moving_pattern):
    for t in range(2):
        write_dicom(moving_pattern(count=1), name=f"IM{t}", SeriesInstanceUID="1.2.3", InstanceNumber=t)
    (tmp_path / "later").mkdir()
    write_dicom(moving_pattern(count=3), name="run.dcm").rename(tmp_path / "later" / "run.dcm")
    assert cines_in(tmp_path) == [tmp_path / "IM0", tmp_path / "IM1", tmp_path / "later" / "run.dcm"]


def test_what_segment_wrote_is_no_frame(tmp_path, moving_pattern):
    for t, frame in enumerate(moving_pattern(count=2)):
        Image.fromarray(frame).save(tmp_path / f"{t}.png")
    Image.fromarray(moving_pattern(count=1, rows=20)[0]).save(tmp_path / "run_keyframe.png")
    assert read_cine(tmp_path).num_frames == 2


def test_folder_of_single_frames_goes_by_instance_number(tmp_path, write_dicom, moving_pattern):
    frames = moving_pattern(count=11)
    for t in range(11):
        write_dicom(
            frames[t : t + 1], name=f"{(7 * t) % 11}.dcm", InstanceNumber=t + 1, SeriesInstanceUID="1.2.3", FrameTime=40
        )
    cine = read_cine(tmp_path)
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.times_source == "FrameTime"
    np.testing.assert_allclose(cine.times_ms, 40 * np.arange(11))


@pytest.mark.parametrize(
    ("names", "numbers", "unsure"),
    [
        ([f"IM{t + 1}" for t in range(11)], [None] * 11, 11),
        ([f"IM{t + 1}" for t in range(11)], [1] * 11, 11),
        ([f"{7 * t % 11}" for t in range(11)], [*range(1, 11), None], 1),
        ([f"{3 * t % 11}" for t in range(11)], [*range(1, 11), 10], 2),
    ],
    ids=["all missing", "all alike", "one missing", "one repeated"],
)
def test_frames_without_instance_numbers_go_by_their_names(
    names, numbers, unsure, tmp_path, write_dicom, moving_pattern
):
    frames = moving_pattern(count=11)
    for frame, name, number in zip(frames, names, numbers):
        write_dicom(frame[None], name=name, InstanceNumber=number, SeriesInstanceUID="1.2.3")
    cine = read_cine(tmp_path)
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.warnings[0].startswith(f"{unsure} of 11 files have no InstanceNumber of their own")


def test_pictures_beside_dicom_frames_are_left_out(tmp_path, write_dicom, moving_pattern):
    frames = moving_pattern(count=2)
    for t in range(2):
        write_dicom(frames[t : t + 1], name=f"IM{t}", InstanceNumber=t + 1, SeriesInstanceUID="1.2.3")
    Image.fromarray(frames[0]).save(tmp_path / "preview.png")
    cine = read_cine(tmp_path)
    np.testing.assert_array_equal(cine.frames, frames)
    assert "1 pictures beside its DICOM files were left out" in cine.warnings


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"SeriesInstanceUID": "1.2.4"}, "2 series"),
        ({"NumberOfFrames": 3}, "cines of their own"),
        ({"rows": 20}, "64 x 48 pixels of 8 bits but b.dcm is 64 x 20"),
    ],
)
def test_folder_that_is_no_cine(second, said, tmp_path, write_dicom, moving_pattern):
    write_dicom(moving_pattern(count=1), name="a.dcm", SeriesInstanceUID="1.2.3", InstanceNumber=1)
    rows = second.pop("rows", 48)
    count = second.get("NumberOfFrames", 1)
    header = {"SeriesInstanceUID": "1.2.3", "InstanceNumber": 2, **second}
    write_dicom(moving_pattern(count=count, rows=rows), name="b.dcm", **header)
    with pytest.raises(CineError, match=said):
        read_cine(tmp_path)
