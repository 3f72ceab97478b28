"""The cines of a folder: which they are, what they are called, and what may be done to them."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from angioseg.cine import Cine, read_cine, read_label, write_cine, write_label
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st
from lib.datastore import CineDatastore
from lib.finding import CineFolder
from lib.ids import is_id

DICOM = bytes(128) + b"DICM"


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DICOM)
    return folder


@pytest.mark.parametrize(
    ("files", "images"),
    [
        ([], {}),
        (["run.dcm"], {"run": "run.dcm"}),
        (
            ["a.nrrd", "b.nii.gz", "c.mp4", "d.seq.nrrd"],
            {"a": "a.nrrd", "b": "b.nii.gz", "c": "c.mp4", "d": "d.seq.nrrd"},
        ),
        (["1.2.840.113"], {"1.2.840.113": "1.2.840.113"}),
        (["a/b/IM1", "a/b/IM2"], {"a__b__IM1": "a/b/IM1", "a__b__IM2": "a/b/IM2"}),
        (["clip/images/1.png", "clip/labels/1.png"], {"clip": "clip"}),
        (["clip/1.png", "clip/2.png"], {"clip": "clip"}),
        (["p3_run1/frames/1.png", "p3_run1/automatic_masks/1.png"], {"p3_run1": "p3_run1"}),
        (["v1.2/1.png"], {"v1.2": "v1.2"}),
        (["study/run.dcm", "study/report.png"], {"study__run": "study/run.dcm", "study__report": "study/report.png"}),
        (["run.dcm", "run.mp4"], {"run": "run.dcm", "run.mp4": "run.mp4"}),
        (["a/run.dcm", "a__run.dcm"], {"a__run": "a/run.dcm", "a__run.dcm": "a__run.dcm"}),
        (["a/x", "a__x"], {"a__x": "a/x", "a__x~2": "a__x"}),
        (["Run.dcm", "run.mp4"], {"Run": "Run.dcm", "run.mp4": "run.mp4"}),  # one label on disks that ignore case
        ([".hidden.dcm", ".git/x.dcm", "labels/final/run.nrrd", "DICOMDIR", "run.seg.nrrd"], {}),
        (["über weiß.dcm"], {"über weiß": "über weiß.dcm"}),
        (["a.dcm", "a.seg.dcm"], {"a": "a.dcm", "a.seg.dcm": "a.seg.dcm"}),  # a.seg.nrrd is a label of "a"
        (["a.seg/1.png"], {"a.seg~2": "a.seg"}),
    ],
)
def test_cines_are_found_and_named(tmp_path, files, images):
    make(tmp_path, *files)
    for _ in range(2):
        store = CineDatastore(str(tmp_path))
        assert store.list_images() == sorted(images)
        assert {image: store.get_image_uri(image) for image in images} == {
            image: str(tmp_path.resolve() / path) for image, path in images.items()
        }


def test_text_and_empty_files_are_no_cines(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "nothing").write_bytes(b"")
    assert CineDatastore(str(tmp_path)).list_images() == []


def test_ids_outlive_restarts_and_newcomers(tmp_path):
    make(tmp_path, "run.mp4")
    assert CineDatastore(str(tmp_path)).list_images() == ["run"]
    make(tmp_path, "run.dcm")
    store = CineDatastore(str(tmp_path))
    assert Path(store.get_image_uri("run")).name == "run.mp4"
    assert Path(store.get_image_uri("run.dcm")).name == "run.dcm"


def test_a_cine_is_found_while_running_and_lost_when_gone(tmp_path):
    store = CineDatastore(str(tmp_path))
    assert store.get_image_uri("late") == ""
    make(tmp_path, "late.dcm")
    assert Path(store.get_image_uri("late")).name == "late.dcm"
    (tmp_path / "late.dcm").unlink()
    store.refresh()
    assert store.list_images() == []


def test_single_frame_dicom_files_are_one_cine_as_long_as_they_are_of_one_series(tmp_path):
    def write(path: Path, series: str):
        dataset = pydicom.Dataset()
        dataset.SeriesInstanceUID, dataset.Rows, dataset.Columns = series, 4, 4
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        path.parent.mkdir(exist_ok=True)
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.preamble = bytes(128)
        pydicom.dcmwrite(path, dataset)

    for name in ("IM1", "IM2"):
        write(tmp_path / "run" / name, "1.2.3")
    store = CineDatastore(str(tmp_path))
    assert store.list_images() == ["run"]
    write(tmp_path / "run" / "IM3", "1.2.4")
    store.refresh()
    assert store.list_images() == ["run__IM1", "run__IM2", "run__IM3"]
    write(tmp_path / "run" / "IM3", "1.2.3")  # no file came or went
    os.utime(tmp_path / "run" / "IM3", (0, 0))
    store.refresh()
    assert store.list_images() == ["run"]


@pytest.mark.parametrize("link", ["again", "loop", "nowhere"])
def test_links_in_a_circle_end(tmp_path, link):
    make(tmp_path, "a/run.dcm")
    (tmp_path / "a" / link).symlink_to({"again": tmp_path, "loop": "loop", "nowhere": "none"}[link])
    assert CineDatastore(str(tmp_path)).list_images() == ["a__run"]


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd", ".nii.gz", ".nii"])
@pytest.mark.parametrize("image", ["run", "a__b"])
def test_labels_attach_by_their_name(tmp_path, image, ending):
    make(tmp_path, "run.dcm", "a/b.dcm", "labels/final/stranger.nrrd", f"labels/final/{image}{ending}")
    store = CineDatastore(str(tmp_path))
    assert store.get_labeled_images() == [image]
    assert store.get_label_uri(image, "final") == str(tmp_path.resolve() / "labels" / "final" / (image + ending))
    assert store.datalist() == [
        {"image": store.get_image_uri(image), "label": store.get_label_uri(image, "final")},
    ]
    assert store.status() == {"total": 2, "completed": 1, "label_tags": {"final": 1}}


@pytest.fixture
def labelled(tmp_path):
    """A store with one cine of 4 frames, and a way to save a label whose pixels have one value in the given frames."""
    frames = np.arange(4 * 6 * 8, dtype=np.uint8).reshape(4, 6, 8)
    cine = Cine(frames=frames, times_ms=np.arange(4) * 66.0)
    (tmp_path / "studies" / "a").mkdir(parents=True)
    write_cine(tmp_path / "studies" / "a" / "run.nrrd", cine)
    store = CineDatastore(str(tmp_path / "studies"))

    def save(mask, listed, tag="final", **info):
        write_label(tmp_path / "label.nrrd", mask, cine, listed)
        store.save_label("a__run", str(tmp_path / "label.nrrd"), tag, info)
        return read_label(tmp_path / "studies" / "labels" / tag / "a__run.nrrd")

    return store, save, tmp_path / "studies"


def mask_of(**frames) -> np.ndarray:
    """(4, 6, 8), with ``f2=5`` five labelled pixels in frame 2."""
    mask = np.zeros((4, 6, 8), np.uint8)
    for name, pixels in frames.items():
        mask[int(name[1:])].flat[:pixels] = 1
    return mask


def test_a_label_is_saved_found_again_and_removed(labelled):
    store, save, studies = labelled
    mask, frames = save(mask_of(f1=5), [1, 2], name="../../elsewhere", author="kept", version=77)
    assert (frames, mask.sum()) == ([1, 2], 5)
    for again in (store, CineDatastore(str(studies))):
        info = again.get_label_info("a__run", "final")
        assert (info["annotated_frames"], info["version"], info["versions"]) == ([1, 2], 1, [])
        assert (info["name"], info["author"]) == ("a__run.nrrd", "kept")
        assert again.get_label_uri("a__run", "final") == str((studies / "labels/final/a__run.nrrd").resolve())
    store.remove_label("a__run", "final")
    assert not (studies / "labels/final/a__run.nrrd").exists()
    assert store.get_labeled_images() == []
    assert (studies / "labels/final/versions/a__run.1.nrrd").exists()


@pytest.mark.parametrize(
    ("second", "listed", "info", "frames", "pixels"),
    [
        (mask_of(f1=3), [1], {}, [0, 1], [5, 3, 0, 0]),
        (mask_of(f2=3), [2], {}, [0, 1, 2], [5, 5, 3, 0]),
        (mask_of(), [0], {}, [0, 1], [0, 5, 0, 0]),
        (mask_of(f0=9, f2=3), [3], {"annotated_frames": [2]}, [0, 1, 2], [5, 5, 3, 0]),
        (mask_of(f1=3), [1], {"replace": True}, [1], [0, 3, 0, 0]),
    ],
)
def test_a_second_label_joins_the_first_and_loses_nothing(labelled, second, listed, info, frames, pixels):
    store, save, studies = labelled
    first, _ = save(mask_of(f0=5, f1=5), [0, 1])
    mask, found = save(second, listed, **info)
    assert found == store.get_label_info("a__run", "final")["annotated_frames"] == frames
    assert mask.sum(axis=(1, 2)).tolist() == pixels
    info = CineDatastore(str(studies)).get_label_info("a__run", "final")
    assert (info["version"], info["versions"]) == (2, ["versions/a__run.1.nrrd"])
    kept, listed = read_label(studies / "labels" / "final" / info["versions"][0])
    assert np.array_equal(kept, first)
    assert listed == [0, 1]


def test_a_label_put_there_by_hand_gives_way_to_a_saved_one_and_is_kept(labelled):
    store, save, studies = labelled
    write_label(studies / "labels/final/a__run.nrrd", mask_of(f3=4), [0.0, 1.0, 2.0, 3.0], [3])
    (studies / "labels/final/a__run.nrrd").rename(studies / "labels/final/a__run.seg.nrrd")
    store.refresh()
    assert store.get_label_info("a__run", "final")["annotated_frames"] == [3]
    _, frames = save(mask_of(f0=1), [0])
    assert frames == [0, 3]
    store.refresh()
    assert store.get_label_uri("a__run", "final").endswith("a__run.nrrd")
    assert store.get_label_info("a__run", "final")["versions"] == ["versions/a__run.1.seg.nrrd"]


@pytest.mark.parametrize("vessel", [1, 255])
def test_of_a_label_put_there_by_hand_only_the_vessels_join_a_saved_one(labelled, vessel):
    store, save, studies = labelled
    by_hand = np.zeros((4, 6, 8), np.uint8)
    by_hand[3, 0, :3], by_hand[3, 1, :3] = vessel, 2
    write_label(studies / "labels/final/a__run.nrrd", by_hand, [0.0, 1.0, 2.0, 3.0], [3])
    store.refresh()
    mask, frames = save(mask_of(f0=5), [0])
    assert (frames, mask.sum(axis=(1, 2)).tolist()) == ([0, 3], [5, 0, 0, 3])


def test_the_list_of_frames_is_that_of_the_file_even_if_the_server_died_before_it_wrote_it_down(labelled):
    _, save, studies = labelled
    save(mask_of(f0=5), [0])
    listed = (studies / "datastore_v2.json").read_bytes()
    save(mask_of(f2=5), [2])
    (studies / "datastore_v2.json").write_bytes(listed)
    info = CineDatastore(str(studies)).get_label_info("a__run", "final")
    assert (info["annotated_frames"], info["version"]) == ([0, 2], 2)


def put(shape, path, header="[0]"):
    write_label(path, np.ones(shape, np.uint8), np.arange(float(shape[0])), [0])
    path.write_bytes(path.read_bytes().replace(b"annotated_frames:=[0]", f"annotated_frames:={header}".encode()))


@pytest.mark.parametrize(
    ("write", "info", "line"),
    [
        (lambda path: put((4, 6, 7), path), {}, "The label is 7 x 6 x 4; its cine is 8 x 6 x 4 (x, y, t)."),
        (lambda path: put((3, 6, 8), path), {}, "The label is 8 x 6 x 3; its cine is 8 x 6 x 4 (x, y, t)."),
        (lambda path: put((4, 8, 6), path), {}, "The label is 6 x 8 x 4; its cine is 8 x 6 x 4 (x, y, t)."),
        (lambda path: put((4, 6, 8), path, "[9]"), {}, "The label: its annotated_frames must be a list of"),
        (lambda path: put((4, 6, 8), path), {"annotated_frames": [4]}, "`annotated_frames` names frame 4: "),
        (lambda path: put((4, 6, 8), path), {"annotated_frames": [-1]}, "`annotated_frames` names frame -1"),
        (
            lambda path: put((4, 6, 8), path),
            {"annotated_frames": "all"},
            "`annotated_frames` must be a list",
        ),
        (
            lambda path: put((4, 6, 8), path),
            {"annotated_frames": [True]},
            "`annotated_frames` must be a list",
        ),
        (lambda path: put((4, 6, 8), path), {"annotated_frames": []}, "The label has no labelled frame"),
        (lambda path: put((4, 6, 8), path, "[]"), {}, "The label has no labelled frame"),
        (lambda path: put((4, 6, 8), path), {"anotated_frames": [1]}, "`anotated_frames` is no option"),
        (
            lambda path: write_cine(path, Cine(np.arange(192, dtype=np.uint8).reshape(4, 6, 8), np.arange(4.0))),
            {},
            "The label holds values that are not vessel: ",
        ),
        (lambda path: path.write_bytes(DICOM), {}, "The label cannot be read"),
        (lambda path: path.write_bytes(b"NRRD0004\n"), {}, "The label cannot be read"),
        (lambda path: path.write_bytes(b""), {}, "The label cannot be read"),
    ],
)
def test_what_is_no_label_of_this_cine_is_refused_and_nothing_is_stored(labelled, tmp_path, write, info, line):
    store, _, studies = labelled
    write(tmp_path / "label.nrrd")
    before = sorted(studies.rglob("*"))
    with pytest.raises(HTTPException) as caught:
        store.save_label("a__run", str(tmp_path / "label.nrrd"), "final", info)
    assert caught.value.status_code == 400
    assert caught.value.detail.startswith(line)
    assert str(tmp_path) not in caught.value.detail
    assert sorted(studies.rglob("*")) == before


def write_upload(folder: Path) -> Path:
    path = folder / "upload.nrrd"
    write_cine(path, Cine(frames=np.zeros((2, 4, 4), np.uint8), times_ms=np.arange(2.0)))
    return path


def test_an_upload_becomes_an_image(tmp_path):
    studies = tmp_path / "studies"
    upload = write_upload(tmp_path)
    store = CineDatastore(str(studies))
    assert store.add_image("run", str(upload), {"note": 1, "name": "../../elsewhere"}) == "run"
    assert (studies / "run.nrrd").read_bytes() == upload.read_bytes()
    assert store.get_image_info("run")["note"] == 1
    assert store.get_image_info("run")["name"] == "run.nrrd"
    assert store.add_image("run", str(upload), {}) == "run"
    store.remove_image("run")
    assert list(studies.glob("run*")) == []


RAMP = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
OTHER_TIMES = Cine(RAMP, np.array([0.0, 40.0]), spacing=(0.2, 0.2), spacing_source="imager", name="other")


@pytest.mark.parametrize(
    ("there", "name", "cine", "answer"),
    [
        ("run.nrrd", "run", OTHER_TIMES, "run"),
        ("run.nii.gz", "run", OTHER_TIMES, "run"),
        ("a/run.nrrd", "a__run", OTHER_TIMES, "a__run"),
        ("run.nrrd", "run", Cine(RAMP.astype(np.uint16), np.arange(2.0)), "run"),
        ("run.nrrd", "run", Cine(3 * RAMP.astype(np.int16) - 1024, np.arange(2.0)), "run"),  # as Slicer reads a DICOM
        ("run.nrrd", "RUN", Cine(RAMP // 2, np.arange(2.0)), None),
        ("run.nrrd", "run", Cine(RAMP // 2, np.arange(2.0)), None),
        ("run.nrrd", "run", Cine(RAMP[::-1], np.arange(2.0)), None),
        ("run.nrrd", "run", Cine(RAMP.reshape(4, 2, 4), np.arange(4.0)), None),
        ("run.nrrd", "run", Cine(RAMP[:1], np.arange(1.0)), None),
    ],
)
def test_a_cine_that_is_there_is_told_by_its_pixels(tmp_path, there, name, cine, answer):
    studies, upload = tmp_path / "studies", tmp_path / "upload.nrrd"
    (studies / there).parent.mkdir(parents=True)
    write_cine(upload, Cine(RAMP, np.arange(2.0)))
    if there.endswith(".nii.gz"):
        sitk.WriteImage(sitk.ReadImage(str(upload)), str(studies / there))
    else:
        shutil.copyfile(upload, studies / there)
    write_cine(upload, cine)
    before = {path: path.read_bytes() for path in studies.rglob("*.n*")}
    store = CineDatastore(str(studies))
    if answer:
        assert store.add_image(name, str(upload), {}) == answer
    else:
        with pytest.raises(HTTPException) as caught:
            store.add_image(name, str(upload), {})
        assert (caught.value.status_code, caught.value.detail[:27]) == (409, "There is another cine 'run'")
    assert {path: path.read_bytes() for path in studies.rglob("*.n*")} == before


@pytest.mark.parametrize("name", ["run_seg", "run.seg"])
def test_a_cine_is_not_added_under_the_name_of_a_label(tmp_path, name):
    """Labels are no cines: it would be there and not be listed, or its labels would be those of another."""
    store = CineDatastore(str(make(tmp_path / "studies")))
    with pytest.raises(HTTPException) as caught:
        store.add_image(name, str(write_upload(tmp_path)), {})
    assert (caught.value.status_code, caught.value.detail[:36]) == (400, f"{name!r} ends as the name of a resu")


def test_a_cine_that_is_there_under_another_id_is_answered_with_that(tmp_path):
    upload = write_upload(tmp_path)
    studies = make(tmp_path / "studies", "run.dcm")
    shutil.copyfile(upload, studies / "run.nrrd")
    store = CineDatastore(str(studies))
    (studies / "run.dcm").unlink()
    assert store.add_image("run", str(upload), {}) == "run.nrrd"
    assert store.list_images() == ["run.nrrd"]


@pytest.mark.parametrize(("most", "answer"), [(50, "a__run"), (0, "new")])
def test_a_cine_is_not_added_twice_under_another_id(tmp_path, monkeypatch, most, answer):
    monkeypatch.setattr(CineDatastore, "most_compared", most)
    (tmp_path / "studies" / "a").mkdir(parents=True)
    write_cine(tmp_path / "studies" / "a" / "run.nrrd", OTHER_TIMES)
    write_cine(tmp_path / "studies" / "other.nrrd", Cine(RAMP + 1, np.arange(2.0)))
    write_cine(tmp_path / "upload.nrrd", Cine(RAMP, np.arange(2.0)))
    store = CineDatastore(str(tmp_path / "studies"))
    assert store.add_image("new", str(tmp_path / "upload.nrrd"), {}) == answer
    assert store.list_images() == ["a__run", *(["new"] if most == 0 else []), "other"]


def test_a_cine_whose_pixels_are_known_is_compared_without_reading_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(CineDatastore, "most_compared", 0)
    read = []
    store = CineDatastore(str(tmp_path / "studies"), lambda path: read.append(path) or read_cine(path))
    upload = tmp_path / "upload.nrrd"
    for value in range(3):
        write_cine(upload, Cine(np.roll(RAMP, value), np.arange(2.0)))
        assert store.add_image(f"run{value}", str(upload), {}) == f"run{value}"
        assert store.add_image(f"run{value}", str(upload), {}) == f"run{value}"
    assert store.add_image("new", str(upload), {}) == "run2"
    assert read == []
    # A file that has changed is another cine.
    write_cine(tmp_path / "studies" / "run2.nrrd", Cine(np.roll(RAMP, 9), np.arange(2.0)))
    assert store.add_image("new", str(upload), {}) == "new"


def test_a_cine_that_cannot_be_read_is_compared_after_all_others(tmp_path, monkeypatch):
    monkeypatch.setattr(CineDatastore, "most_compared", 1)
    studies, upload = tmp_path / "studies", tmp_path / "upload.nrrd"
    studies.mkdir()
    write_cine(studies / "b.nrrd", OTHER_TIMES)
    (studies / "a.nrrd").write_bytes((studies / "b.nrrd").read_bytes()[:-4])
    store = CineDatastore(str(studies))
    for value, answer in ((1, "other"), (0, "b")):
        write_cine(upload, Cine(np.roll(RAMP, value), np.arange(2.0)))
        assert store.add_image("other", str(upload), {}) == answer


@pytest.mark.parametrize("name", ["run", "run{}"])
def test_those_who_add_the_same_cine_at_once_add_it_once(tmp_path, name):
    upload = write_upload(tmp_path)
    store = CineDatastore(str(tmp_path / "studies"))
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda number: store.add_image(name.format(number), str(upload), {}), range(8)))
    assert store.list_images() == list(answers)
    assert len(answers) == 1


def test_different_cines_can_be_added_at_once(tmp_path):
    store = CineDatastore(str(tmp_path / "studies"))
    for value in range(8):
        write_cine(tmp_path / f"{value}.nrrd", Cine(np.roll(RAMP, value), np.arange(2.0)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda value: store.add_image(f"run{value}", str(tmp_path / f"{value}.nrrd"), {}), range(8)))
    assert store.list_images() == [f"run{value}" for value in range(8)]


def test_a_cine_is_decoded_while_others_may_save(tmp_path):
    write_cine(tmp_path / "upload.nrrd", Cine(RAMP, np.arange(2.0)))
    (tmp_path / "studies").mkdir()
    shutil.copyfile(tmp_path / "upload.nrrd", tmp_path / "studies" / "run.nrrd")

    def read(path):
        # Another thread gets the lock meanwhile.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(store.update_image_info, "run", {"seen": True}).result(10)
        return read_cine(path)

    store = CineDatastore(str(tmp_path / "studies"), read)
    assert store.add_image("new", str(tmp_path / "upload.nrrd"), {}) == "run"
    assert store.get_image_info("run")["seen"] is True


def test_a_cine_with_information_that_is_none_is_not_added(tmp_path):
    store = CineDatastore(str(tmp_path / "studies"))
    with pytest.raises(HTTPException) as caught:
        store.add_image("run", str(write_upload(tmp_path)), {"strategy": 5})
    assert caught.value.status_code == 400
    assert store.list_images() == []
    assert list((tmp_path / "studies").glob("run*")) == []


def test_what_is_refused_after_all_does_not_stay(tmp_path, monkeypatch):
    store = CineDatastore(str(tmp_path / "studies"))
    # What the file is taken for under its name in the folder decides, and not what it was taken for as an upload.
    monkeypatch.setattr(CineFolder, "paths", lambda folder: [])
    with pytest.raises(HTTPException) as caught:
        store.add_image("run", str(write_upload(tmp_path)), {})
    assert caught.value.status_code == 409
    assert [path.name for path in (tmp_path / "studies").glob("run*")] == []


def test_information_cannot_move_an_image(tmp_path):
    store = CineDatastore(str(make(tmp_path, "run.dcm")))
    store.update_image_info("run", {"name": "../../etc/hostname", "path": "/etc/hostname", "seen": True})
    assert store.get_image_info("run")["seen"] is True
    assert store.get_image_uri("run") == store.get_image_info("run")["path"] == str(tmp_path.resolve() / "run.dcm")


BAD_IDS = ["../evil", "a/b", "..", "", ".hidden", "a\\b", "a\nb", "a\0b", "x" * 201]


@pytest.mark.parametrize("name", BAD_IDS)
@pytest.mark.parametrize(
    "action",
    [
        lambda store, file, name: store.add_image(name, file, {}),
        lambda store, file, name: store.save_label("run", file, name, {}),
        lambda store, file, name: store.save_label(name, file, "final", {}),
        lambda store, file, name: store.remove_image(name),
        lambda store, file, name: store.update_image_info(name, {}),
    ],
)
def test_names_that_are_no_names_are_refused_and_nothing_is_written(tmp_path, action, name):
    upload = make(tmp_path, "upload.nrrd") / "upload.nrrd"
    store = CineDatastore(str(make(tmp_path / "studies", "run.dcm")))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(HTTPException) as caught:
        action(store, str(upload), name)
    assert caught.value.status_code == 400
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (lambda store, folder: store.save_label("nobody", str(folder / "upload.nrrd"), "final", {}), 404),
        (lambda store, folder: store.save_label("run", str(folder / "notes.txt"), "final", {}), 400),
        (lambda store, folder: store.add_image("notes", str(folder / "notes.txt"), {}), 400),
        (lambda store, folder: store.add_image("text", str(folder / "text.nrrd"), {}), 400),
        (lambda store, folder: store.add_image("run", str(folder / "upload.nrrd"), {}), 409),
        (lambda store, folder: store.add_image("run.dcm", str(folder / "upload.nrrd"), {}), 200),
        (lambda store, folder: store.remove_image("nobody"), 404),
        (lambda store, folder: store.remove_image("link"), 400),
        (lambda store, folder: store.remove_label("run", "final"), 404),
        (lambda store, folder: store.update_label_info("run", "final", {}), 404),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, action, status):
    make(tmp_path, "text.nrrd", "elsewhere/1.png")
    write_upload(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    store = CineDatastore(str(make(tmp_path / "studies", "run.dcm")))
    (tmp_path / "studies" / "link").symlink_to(tmp_path / "elsewhere")
    if status == 200:
        action(store, tmp_path)
    else:
        with pytest.raises(HTTPException) as caught:
            action(store, tmp_path)
        assert caught.value.status_code == status
    assert (tmp_path / "elsewhere" / "1.png").exists()
    assert (tmp_path / "studies" / "run.dcm").read_bytes() == DICOM


def test_the_list_of_a_stock_folder_is_taken_over(tmp_path):
    make(tmp_path, "run.nrrd", "labels/final/run.nrrd")
    image = {"ext": ".nrrd", "info": {"ts": 1, "name": "run.nrrd", "note": "kept"}}
    label = {"ext": ".nrrd", "info": {"ts": 2, "name": "run.nrrd", "author": "kept"}}
    objects = {"run": {"image": image, "labels": {"final": label}}, "gone": {"image": {"ext": ".nrrd", "info": {}}}}
    listed = {"name": "stock", "description": "", "images_dir": ".", "labels_dir": "labels", "objects": objects}
    (tmp_path / "datastore_v2.json").write_text(json.dumps(listed))
    store = CineDatastore(str(tmp_path))
    assert store.list_images() == ["run"]
    assert store.get_image_info("run")["note"] == "kept"
    assert store.get_label_info("run", "final")["author"] == "kept"


@given(st.text(max_size=300))
def test_an_id_names_a_file_in_its_folder_or_is_refused(text):
    folder = Path("/studies")
    assert not is_id(text) or (folder / text).parent == folder
