"""Labelled clips in every form they come in."""

import json
import shutil
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from angioseg.cine import Cine, write_cine, write_label
from angioseg.data import FrameDataset, clip_pairs, digest_clips, patient_key, read_clip
from angioseg.errors import AngioSegError
from angioseg.simulation import write_dataset

CINE = Cine(frames=np.arange(4 * 6 * 8, dtype=np.uint8).reshape(4, 6, 8), times_ms=np.arange(4) * 66.0)
MASK = np.zeros(CINE.shape, np.uint8)
MASK[1, 2:4] = 1


def names(folder: Path) -> list[tuple[str, str]]:
    return [
        (Path(pair["image"]).relative_to(folder).as_posix(), Path(pair["label"]).relative_to(folder).as_posix())
        for pair in clip_pairs(folder)
    ]


def test_the_papers_layout_as_the_simulator_writes_it(tmp_path):
    write_dataset(tmp_path, [{"seed": seed, "frames": 3, "size": (64, 64)} for seed in (0, 1)])
    assert names(tmp_path) == [(f"clip_000{n}/images", f"clip_000{n}/labels") for n in (0, 1)]


@pytest.mark.parametrize("ending", ["_label.nrrd", "_seg.nrrd", ".seg.nrrd"])
def test_a_label_beside_its_cine(tmp_path, write_dicom, ending):
    shutil.copy(write_dicom(CINE.frames), tmp_path / "run.1.dcm")
    (tmp_path / "cine.dcm").unlink()
    write_label(tmp_path / f"run.1{ending}", MASK, CINE, [1, 2])
    write_cine(tmp_path / "unlabelled.nrrd", CINE)
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(CINE.frames):
        imageio.imwrite(tmp_path / "frames" / f"{number}.png", frame)
    write_label(tmp_path / f"frames{ending}", MASK, CINE, [0])
    assert names(tmp_path) == [("frames", f"frames{ending}"), ("run.1.dcm", f"run.1{ending}")]
    items = FrameDataset(clip_pairs(tmp_path), transform=lambda item: item)
    assert [item["frame"] for item in items] == [0, 1, 2]


def test_two_cines_of_one_label_are_refused(tmp_path, write_dicom):
    write_dicom(CINE.frames, "run.dcm")
    write_cine(tmp_path / "run.nrrd", CINE)
    write_label(tmp_path / "run_label.nrrd", MASK, CINE, [1])
    with pytest.raises(AngioSegError, match=r"run_label\.nrrd: is the label of both run\.dcm and run\.nrrd"):
        clip_pairs(tmp_path)


def test_a_folder_of_dicom_frames_is_known_by_its_label(tmp_path, write_dicom):
    for number, frame in enumerate(CINE.frames):
        (tmp_path / "run").mkdir(exist_ok=True)
        path = write_dicom(
            frame[None], f"{number}.dcm", InstanceNumber=number, SeriesInstanceUID="1.2", PatientID="Roe"
        )
        path.rename(tmp_path / "run" / path.name)
    for name in (".DS_Store", "00_preview.png"):
        (tmp_path / "run" / name).write_bytes(b"x")
    write_cine(tmp_path / "other.nrrd", CINE)
    write_label(tmp_path / "other_label.nrrd", MASK, CINE, [1])
    (tmp_path / "other").mkdir()  # what was made of that cine
    write_label(tmp_path / "other" / "other_seg.nrrd", MASK, CINE, [1])
    (tmp_path / "notes").mkdir()
    write_label(tmp_path / "run_label.nrrd", MASK, CINE, [1])
    assert names(tmp_path) == [("other.nrrd", "other_label.nrrd"), ("run", "run_label.nrrd")]
    assert patient_key(tmp_path / "run") is not None


@pytest.mark.parametrize(
    ("labels", "fits"),
    [
        (["0.png", "1.png", "2.png"], True),
        (["mask_00.png", "mask_01.png", "mask_02.png"], True),
        (["a.png", "b.png", "c.png"], True),
        (["0_v2.png", "1_v2.png", "2_v2.png"], True),
        (["7_0_448.png", "7_1_448.png", "7_2_448.png"], True),
        (["2_1.png", "2_2.png", "2_3.png"], False),
        (["0.png", "2.png", "7.png"], False),
        (["0.png", "2.png"], "its labels have no picture of frame 1; they must have one of every frame"),
        (["1.png", "2.png", "3.png"], False),
    ],
)
def test_labels_are_numbered_as_their_images(labels, fits, tmp_path):
    for kind, files in (("images", ["0.png", "1.png", "2.png"]), ("labels", labels)):
        (tmp_path / "clip" / kind).mkdir(parents=True)
        for file in files:
            imageio.imwrite(tmp_path / "clip" / kind / file, CINE.frames[0])
    assert names(tmp_path) == [("clip/images", "clip/labels")]
    (clip,) = clip_pairs(tmp_path)
    if fits is True:
        assert len(read_clip(clip)[1]) == 3
        return
    said = fits or r"clip: .*\.png among its labels stands where .*\.png stands"
    with pytest.raises(AngioSegError, match=said):
        read_clip(clip)


def test_a_name_of_its_own_comes_first(tmp_path):
    write_cine(tmp_path / "run.nrrd", CINE)
    for ending in ("_seg.nrrd", "_label.nrrd"):
        write_label(tmp_path / f"run{ending}", MASK, CINE, [1])
    assert names(tmp_path) == [("run.nrrd", "run_label.nrrd")]


@pytest.fixture
def studies(tmp_path):
    """A folder of this project's server: two cines, one of them in a subfolder, the second with a label."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "monai_app"))
    from lib.datastore import CineDatastore

    (tmp_path / "day").mkdir()
    write_cine(tmp_path / "a.nrrd", CINE)
    write_cine(tmp_path / "day" / "b.nrrd", CINE)
    store = CineDatastore(str(tmp_path))
    write_label(tmp_path / "sent.nrrd", MASK, CINE, [0, 1])
    store.save_label("day__b", str(tmp_path / "sent.nrrd"), "final", {})
    (tmp_path / "sent.nrrd").unlink()
    return tmp_path


def test_a_labelled_cine_that_is_away_is_told_until_its_label_is_away_too(studies):
    from lib.datastore import CineDatastore

    (studies / "day" / "b.nrrd").rename(studies / "b.away")
    CineDatastore(str(studies))
    with pytest.raises(AngioSegError, match=r"b\.nrrd: is labelled and not there; put it back"):
        clip_pairs(studies)
    (studies / "labels" / "final" / "day__b.nrrd").rename(studies / "day__b.away")
    with pytest.raises(AngioSegError, match="no labelled clips"):
        clip_pairs(studies)


def test_a_folder_of_the_server(studies):
    assert names(studies) == [("day/b.nrrd", "labels/final/day__b.nrrd")]
    items = FrameDataset(clip_pairs(studies), transform=lambda item: item)
    assert [item["frame"] for item in items] == [0, 1]


def test_a_folder_of_monai_labels_own_store(tmp_path):
    from monailabel.datastore.local import LocalDatastore

    write_cine(tmp_path / "a.nrrd", CINE)
    store = LocalDatastore(str(tmp_path), extensions=["*.nrrd"], auto_reload=False)
    write_label(tmp_path / "sent.nrrd", MASK, CINE, [1])
    store.save_label("a", str(tmp_path / "sent.nrrd"), "final", {})
    (tmp_path / "sent.nrrd").unlink()
    assert names(tmp_path) == [("a.nrrd", "labels/final/a.nrrd")]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda store: store["objects"]["day__b"]["image"]["info"].update(name="../b.nrrd"), "outside of its folder"),
        (lambda store: store["objects"]["day__b"]["image"]["info"].update(name="gone.nrrd"), "put it back, or move"),
        (lambda store: store.pop("objects"), "no list of MONAI Label"),
        (lambda store: store["objects"]["day__b"].pop("image"), "no list of MONAI Label"),
        (lambda store: store["objects"]["day__b"]["labels"].clear(), "no labelled clips"),
    ],
)
def test_a_list_that_does_not_do(studies, change, line):
    listing = studies / "datastore_v2.json"
    store = json.loads(listing.read_text())
    change(store)
    listing.write_text(json.dumps(store))
    with pytest.raises(AngioSegError, match=line):
        clip_pairs(studies)


@pytest.mark.parametrize(("made", "line"), [(True, "no labelled clips here"), (False, "no such folder")])
def test_a_folder_without_clips(tmp_path, made, line):
    folder = tmp_path / "data"
    if made:
        folder.mkdir()
        write_cine(folder / "run.nrrd", CINE)
    with pytest.raises(AngioSegError, match=line):
        clip_pairs(folder)


def test_a_data_set_is_told_by_its_frames_and_labels_wherever_it_lies(small_clips, tmp_path):
    def digest(folder, **changes):
        return digest_clips([{**clip, **changes} for clip in clip_pairs(folder)], [])

    shutil.copytree(small_clips, tmp_path / "moved")
    assert digest(tmp_path / "moved") == digest(small_clips)
    assert digest(small_clips, frames=[0]) != digest(small_clips) != digest(small_clips, part=[0, 1])
    clips = clip_pairs(small_clips)
    assert digest_clips(clips[:1], clips[1:]) != digest_clips(clips, [])
    label = next(Path(clip_pairs(tmp_path / "moved")[0]["label"]).iterdir())
    imageio.imwrite(label, np.full((64, 64), 255, np.uint8))
    assert digest(tmp_path / "moved") != digest(small_clips)
