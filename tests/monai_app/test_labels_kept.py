"""Labels stay, and stay with their cine, whoever else puts labels and cines into the studies folder."""

import shutil

import numpy as np
import pytest
from angioseg.cine import Cine, read_cine, read_label, write_cine, write_label
from angioseg.data import read_clip
from angioseg.errors import AngioSegError
from fastapi import HTTPException
from lib.datastore import CineDatastore
from lib.train import _labelled_clips

SHAPE = (10, 6, 8)
CINE = Cine(frames=np.arange(480, dtype=np.uint16).reshape(SHAPE), times_ms=np.arange(10) * 66.0)


def add_cine(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_cine(path, Cine(frames=CINE.frames + np.uint16(value), times_ms=CINE.times_ms))


def label(path, frame):
    mask = np.zeros(SHAPE, np.uint8)
    mask[frame] = 1
    write_label(path, mask, CINE, [frame])
    return str(path)


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """One cine; nobody looks again, unless he must."""
    monkeypatch.setattr(CineDatastore, "scan_every_s", 600.0)
    add_cine(tmp_path / "studies" / "run.nrrd")
    return tmp_path / "studies"


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd", ".SEG.NRRD"])
def test_what_was_put_there_since_the_last_look_is_joined_and_kept(studies, tmp_path, ending):
    store = CineDatastore(str(studies))
    by_hand = studies / "labels" / "final" / f"run{ending}"
    label(tmp_path / f"hand{ending.lower()}", 5)
    shutil.copyfile(tmp_path / f"hand{ending.lower()}", by_hand)
    store.save_label("run", label(tmp_path / "label.nrrd", 8), "final", {})
    info = store.get_label_info("run", "final")
    assert (info["annotated_frames"], info["versions"]) == ([5, 8], [f"versions/run.1{ending}"])
    assert read_label(studies / "labels" / "final" / "run.nrrd")[1] == [5, 8]
    assert [file.name for file in (studies / "labels" / "final").iterdir() if file.is_file()] == ["run.nrrd"]


def test_two_servers_on_one_folder_lose_none_of_each_others_frames(studies, tmp_path):
    servers = CineDatastore(str(studies)), CineDatastore(str(studies))
    for number, frame in ((0, 3), (1, 7), (0, 9)):
        servers[number].save_label("run", label(tmp_path / "label.nrrd", frame), "final", {})
    info = servers[0].get_label_info("run", "final")
    assert (info["annotated_frames"], info["version"]) == ([3, 7, 9], 3)


def test_a_label_is_not_of_a_cine_that_took_the_place_of_its_own(studies, tmp_path):
    """The next export may write another patient's run over this one, under the same name and as large."""
    store = CineDatastore(str(studies))
    store.save_label("run", label(tmp_path / "label.nrrd", 3), "final", {})
    clip = {"image": str(studies / "run.nrrd"), "label": str(studies / "labels" / "final" / "run.nrrd")}
    # The same pixels in another file are the same cine.
    write_cine(studies / "run.nrrd", Cine(frames=(2 * CINE.frames).astype(np.int16), times_ms=CINE.times_ms * 2))
    assert read_clip(clip)[2] == [3]
    write_cine(studies / "run.nrrd", Cine(frames=CINE.frames[::-1], times_ms=CINE.times_ms))
    with pytest.raises(AngioSegError, match=r"run\.nrrd: was made on the pixels of another cine: label this one anew"):
        read_clip(clip)
    store.refresh()
    info = store.get_label_info("run", "final")
    assert info["annotated_frames"] == []
    assert info["problem"] == "The label: was made on the pixels of another cine: label this one anew"
    assert _labelled_clips(store) == []
    store.save_label("run", label(tmp_path / "label.nrrd", 8), "final", {})
    info = store.get_label_info("run", "final")
    assert (info["annotated_frames"], info["versions"]) == ([8], ["versions/run.1.nrrd"])
    assert read_clip(clip)[2] == [8]
    assert [found["name"] for found in _labelled_clips(store)] == ["run"]


def test_a_label_that_was_made_on_another_cine_is_refused(studies, tmp_path):
    write_cine(studies / "other.nrrd", Cine(frames=CINE.frames[::-1], times_ms=CINE.times_ms))
    store = CineDatastore(str(studies))
    store.save_label("run", label(tmp_path / "label.nrrd", 3), "final", {})
    with pytest.raises(HTTPException, match="The label: was made on the pixels of another cine") as caught:
        store.save_label("other", str(studies / "labels" / "final" / "run.nrrd"), "final", {})
    assert caught.value.status_code == 400


def test_labels_of_a_folder_that_was_copied_are_held_against_their_cines_a_few_at_a_look(
    studies, tmp_path, monkeypatch
):
    for number in range(3):
        add_cine(studies / f"run{number}.nrrd")
    store = CineDatastore(str(studies))
    for number in range(3):
        store.save_label(f"run{number}", label(tmp_path / "label.nrrd", 3), "final", {})
    read = []
    monkeypatch.setattr(store, "_read", lambda path: read.append(path) or read_cine(path))
    store.refresh()
    assert read == []
    for number in range(3):
        (studies / f"run{number}.nrrd").touch()
    monkeypatch.setattr(CineDatastore, "most_looked_at", 2)
    for expected in (2, 3, 3):
        store.refresh()
        assert len(read) == expected
    assert [store.get_label_info(f"run{number}", "final")["annotated_frames"] for number in range(3)] == [[3]] * 3


@pytest.mark.parametrize("tag", ["Final", "FINAL"])
def test_a_tag_that_is_nearly_final_is_refused(studies, tmp_path, tag):
    store = CineDatastore(str(studies))
    with pytest.raises(HTTPException, match="'final'") as caught:
        store.save_label("run", label(tmp_path / "label.nrrd", 3), tag, {})
    assert caught.value.status_code == 400
    assert not (studies / "labels" / tag).exists()


@pytest.mark.parametrize("restart", [False, True], ids=["running", "started again"])
def test_cines_that_were_away_come_back_to_their_own_labels(studies, tmp_path, caplog, restart):
    """As when a drive is taken off and put back, or finds its way back in another order."""
    store = CineDatastore(str(studies))
    add_cine(studies / "run.seq.nrrd", 1)
    store.refresh()
    assert store.list_images() == ["run", "run.seq.nrrd"]
    store.save_label("run", label(tmp_path / "label.nrrd", 3), "final", {})
    for name in ("run.nrrd", "run.seq.nrrd"):
        shutil.move(studies / name, tmp_path)
    store.refresh()
    assert (store.list_images(), store.get_labeled_images()) == ([], [])
    assert caplog.text.count("Labels that belong to no cine that is there: 1.") == 1
    if restart:
        store = CineDatastore(str(studies))
    shutil.move(tmp_path / "run.seq.nrrd", studies)
    store.refresh()
    assert (store.list_images(), store.get_labeled_images()) == (["run.seq.nrrd"], [])
    shutil.move(tmp_path / "run.nrrd", studies)
    store.refresh()
    assert {image: store.get_image_uri(image)[-9:] for image in store.list_images()} == {
        "run": "/run.nrrd",
        "run.seq.nrrd": ".seq.nrrd",
    }
    assert store.get_labeled_images() == ["run"]


def test_two_servers_leave_the_list_alone_while_a_labelled_cine_is_away(studies, tmp_path):
    """Each takes over what the other has written: they must not write it again for ever."""
    servers = CineDatastore(str(studies)), CineDatastore(str(studies))
    servers[0].save_label("run", label(tmp_path / "label.nrrd", 3), "final", {})
    (studies / "run.nrrd").unlink()
    for _ in range(2):
        for server in servers:
            server.refresh()
    written = (studies / "datastore_v2.json").stat().st_mtime_ns
    for server in servers:
        server.refresh()
        assert server.list_images() == []
    assert (studies / "datastore_v2.json").stat().st_mtime_ns == written


def test_a_folder_that_holds_more_than_frames_is_not_removed(studies, tmp_path):
    for name in ("clip/images/1.png", "clip/labels/1.png", "clip/clip.json", "frames/1.png", "frames/.DS_Store"):
        (studies / name).parent.mkdir(parents=True, exist_ok=True)
        (studies / name).write_bytes(b"")
    store = CineDatastore(str(studies))
    with pytest.raises(HTTPException, match="holds more than frames") as caught:
        store.remove_image("clip")
    assert caught.value.status_code == 400
    assert (studies / "clip" / "labels" / "1.png").exists()
    store.remove_image("frames")
    assert not (studies / "frames").exists()
    assert store.list_images() == ["clip", "run"]


def test_a_studies_folder_that_is_away_is_told_and_comes_back(studies):
    store = CineDatastore(str(studies))
    studies.rename(studies.with_name("away"))
    with pytest.raises(HTTPException, match="The studies folder is not there") as caught:
        store.refresh()
    assert (caught.value.status_code, studies.exists()) == (503, False)
    studies.with_name("away").rename(studies)
    store.refresh()
    assert store.list_images() == ["run"]
