"""The cines of a folder: which they are, what they are called, and what may be done to them."""

import json
from pathlib import Path

import numpy as np
import pytest
from angioseg.cine import write_label
from fastapi import HTTPException
from hypothesis import given
from hypothesis import strategies as st
from lib.datastore import CineDatastore
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
        (["v1.2/1.png"], {"v1.2": "v1.2"}),
        (["study/run.dcm", "study/report.png"], {"study__run": "study/run.dcm", "study__report": "study/report.png"}),
        (["run.dcm", "run.mp4"], {"run": "run.dcm", "run.mp4": "run.mp4"}),
        (["a/run.dcm", "a__run.dcm"], {"a__run": "a/run.dcm", "a__run.dcm": "a__run.dcm"}),
        (["a/x", "a__x"], {"a__x": "a/x", "a__x~2": "a__x"}),
        ([".hidden.dcm", ".git/x.dcm", "labels/final/run.nrrd", "DICOMDIR", "run.seg.nrrd"], {}),
        (["über weiß.dcm"], {"über weiß": "über weiß.dcm"}),
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


def test_links_in_a_circle_end(tmp_path):
    make(tmp_path, "a/run.dcm")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
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


def test_a_label_is_saved_found_again_and_removed(tmp_path):
    make(tmp_path, "a/run.dcm")
    label = tmp_path / "label.nrrd"
    write_label(label, np.ones((2, 4, 4), np.uint8), [0.0, 66.0], [1])
    store = CineDatastore(str(tmp_path))
    store.save_label("a__run", str(label), "final", {"annotated_frames": [1], "name": "../../elsewhere"})
    again = CineDatastore(str(tmp_path))
    assert again.get_label_info("a__run", "final")["annotated_frames"] == [1]
    saved = tmp_path / "labels" / "final" / "a__run.nrrd"
    assert again.get_label_uri("a__run", "final") == str(saved.resolve())
    assert saved.read_bytes() == label.read_bytes()
    again.remove_label("a__run", "final")
    assert not saved.exists()
    assert again.get_labeled_images() == []


def test_an_upload_becomes_an_image(tmp_path):
    studies = tmp_path / "studies"
    upload = make(tmp_path, "upload.dcm") / "upload.dcm"
    store = CineDatastore(str(studies))
    assert store.add_image("run", str(upload), {"note": 1, "name": "../../elsewhere"}) == "run"
    assert (studies / "run.dcm").read_bytes() == DICOM
    assert store.get_image_info("run")["note"] == 1
    assert store.get_image_info("run")["name"] == "run.dcm"
    assert store.add_image("run", str(upload), {}) == "run"
    store.remove_image("run")
    assert list(studies.glob("run*")) == []


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
        (lambda store, folder: store.add_image("run", str(folder / "upload.nrrd"), {}), 409),
        (lambda store, folder: store.add_image("run.dcm", str(folder / "upload.nrrd"), {}), 200),
        (lambda store, folder: store.remove_image("nobody"), 404),
        (lambda store, folder: store.remove_image("link"), 400),
        (lambda store, folder: store.remove_label("run", "final"), 404),
        (lambda store, folder: store.update_label_info("run", "final", {}), 404),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, action, status):
    make(tmp_path, "upload.nrrd", "elsewhere/1.png")
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
