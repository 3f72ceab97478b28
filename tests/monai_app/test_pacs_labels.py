"""Labels that go to an image archive, and those that come from it: a real Orthanc, and several servers."""

import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from angioseg.atomic import WriteError
from angioseg.cine import read_label, write_label
from angioseg.cine.dicom_seg import read_dicom_seg
from fastapi import HTTPException
from lib import pacs
from lib.archive import Archive, Unreachable
from lib.cines import NoCine
from monailabel.config import settings
from orthanc import FRAMES, add_seg, annotated, needs_orthanc, of_study, refuse_all, submit
from pydicom.uid import generate_uid


@needs_orthanc
def test_a_final_label_is_read_again_where_there_is_nothing_but_the_archive(archive, open_archive, tmp_path):
    first, stored = open_archive("first"), len(archive.segmentations())
    submitted = dict(zip(archive.clips, ([1, 2], [2], [0, 1])))
    for image, frames in submitted.items():
        submit(first, tmp_path, image, archive.clips[image], frames)
    assert len(archive.segmentations()) == stored + 3
    second = open_archive("second")
    assert set(submitted) <= set(second.get_labeled_images())
    for image in submitted:
        Path(second.image_path(image)).unlink()
    with zipfile.ZipFile(second.get_dataset_archive(None)) as dataset:  # their files are fetched for it
        assert {f"image/{image}.dcm" for image in submitted} <= set(dataset.namelist())
    Path(dataset.filename).unlink()
    for image, frames in submitted.items():
        mask, annotated = read_label(second.get_label_uri(image, "final"))
        assert annotated == second.get_label_info(image, "final")["annotated_frames"] == frames
        assert np.array_equal(mask[frames], archive.clips[image].vessels[frames])
        assert not np.delete(mask, frames, axis=0).any()
    assert len(archive.segmentations()) == stored + 3  # what was read is not stored again

    # What one server stores, the other has as its newest version; what is removed does not come back.
    submit(second, tmp_path, image, archive.clips[image], [2])
    version = first.get_label_info(image, "final")["version"]
    first._look(at_once=True)
    info = first.get_label_info(image, "final")
    assert (info["annotated_frames"], info["version"]) == ([2], version + 1)
    first.remove_label(image, "final")
    first._look(at_once=True)
    assert image not in first.get_labeled_images()


@needs_orthanc
def test_a_label_goes_to_the_patient_whom_the_archive_has_now(archive, open_archive, tmp_path):
    cine = archive.add(60)
    image, study = cine.SOPInstanceUID, cine.StudyInstanceUID
    datastore = open_archive("cache")
    datastore.read_image(image)  # fetched with the wrong name
    right = {"PatientID": "RIGHT-60", "PatientName": "M\u00fcller^Right"}
    uids = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    correction = {"Replace": right, "Keep": uids, "Force": True, "KeepSource": False}
    patient = archive.send("GET", f"{archive.path(image)}/patient").json()["ID"]
    assert archive.send("POST", f"/patients/{patient}/modify", json=correction).status_code == 200
    submit(datastore, tmp_path, image, archive.clips[image], [1])
    (series,) = archive.send("GET", f"/dicom-web/studies/{study}/series?Modality=SEG").json()
    where = f"/dicom-web/studies/{study}/series/{series['0020000E']['Value'][0]}/metadata"
    (seg,) = archive.send("GET", where).json()
    assert seg["00100020"]["Value"] == [right["PatientID"]]
    assert seg["00100010"]["Value"] == [{"Alphabetic": right["PatientName"]}]
    patients = archive.send("GET", f"/dicom-web/studies?StudyInstanceUID={study}").json()
    assert [one["00100020"]["Value"] for one in patients] == [[right["PatientID"]]]


@needs_orthanc
def test_the_rest_of_the_hospital_is_not_walked_through(archive, open_archive, gateway, tmp_path):
    image, elsewhere = next(iter(archive.clips)), generate_uid()
    add_seg(archive, tmp_path, image, [1], StudyInstanceUID=elsewhere, SeriesInstanceUID=generate_uid(prefix="1.99."))
    datastore = open_archive("cache", gateway.url)
    assert set(datastore.list_images()) == set(archive.clips)
    assert [path for path in gateway.asked if elsewhere in path or "/series/1.99." in path] == []
    # How many instances a series has is known.
    assert [path for path in gateway.asked if "/instances" in path and "offset=" in path] == []
    assert len([path for path in gateway.asked if "Modality=SEG" in path and "offset=" not in path]) == 1


@needs_orthanc
@pytest.mark.parametrize("fault", [400, lambda found: ([], {}), lambda found: (found[:1], {})])
def test_an_archive_that_finds_one_study_at_once_is_asked_one_by_one(archive, open_archive, gateway, tmp_path, fault):
    for image in archive.clips:
        add_seg(archive, tmp_path, image, [2])
    gateway.fault, gateway.broken = fault, "%2C"  # a comma: several studies
    assert set(open_archive("cache", gateway.url).get_labeled_images()) == set(archive.clips)


@needs_orthanc
def test_a_filter_may_find_segmentations_too(archive, open_archive, monkeypatch, tmp_path):
    image = next(iter(archive.clips))
    study = of_study(archive, image)
    add_seg(archive, tmp_path, image, [2])
    with monkeypatch.context() as patch:
        patch.setattr(settings, "MONAI_LABEL_DICOMWEB_SEARCH_FILTER", {"StudyInstanceUID": study})
        datastore = open_archive("cache")
    settings.model_fields_set.discard("MONAI_LABEL_DICOMWEB_SEARCH_FILTER")
    assert set(datastore.list_images()) == {one for one in archive.clips if of_study(archive, one) == study}
    assert image in datastore.get_labeled_images()


@needs_orthanc
@pytest.mark.parametrize("fault", ["loses its answer", "is not passed on"])
def test_the_archive_is_asked_what_became_of_a_label(archive, open_archive, gateway, tmp_path, fault):
    seed = {"loses its answer": 67, "is not passed on": 68}[fault]
    image = archive.add(seed).SOPInstanceUID
    datastore, stored = open_archive("cache", gateway.url), len(archive.segmentations())
    gateway.fault, gateway.broken = fault, "nothing"
    if fault == "loses its answer":
        submit(datastore, tmp_path, image, archive.clips[image], [1])
    else:
        with pytest.raises(HTTPException, match="the archive did not take it"):
            submit(datastore, tmp_path, image, archive.clips[image], [1])
        gateway.fault = None
        submit(datastore, tmp_path, image, archive.clips[image], [1])
    datastore._look(at_once=True)
    info = datastore.get_label_info(image, "final")
    assert (info["annotated_frames"], info["version"]) == ([1], 1 if fault == "loses its answer" else 2)
    assert len(archive.segmentations()) == stored + 1


@needs_orthanc
def test_a_segmentation_that_is_not_given_is_asked_for_again_after_a_restart(
    archive, open_archive, tmp_path, monkeypatch
):
    image, clip = next(iter(archive.clips.items()))
    submit(open_archive("first"), tmp_path, image, clip, [1])
    fetch = Archive.fetch

    def refuse(self, instance, path):
        raise NoCine(404, "The archive does not give this cine (it answered 500).")

    monkeypatch.setattr(Archive, "fetch", refuse)
    assert image not in open_archive("second").get_labeled_images()
    monkeypatch.setattr(Archive, "fetch", fetch)
    assert image in open_archive("second").get_labeled_images()


@needs_orthanc
def test_a_segmentation_that_found_no_room_is_taken_when_there_is_some(archive, open_archive, tmp_path, monkeypatch):
    image, clip = next(iter(archive.clips.items()))
    submit(open_archive("first"), tmp_path, image, clip, [1])

    def refuse(self, instance, path):
        raise WriteError(f"{path}: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "fetch", refuse)
        second = open_archive("second")
        second._look(at_once=True)
        assert image in second.list_images() and image not in second.get_labeled_images()
    second._look(at_once=True)
    assert image in second.get_labeled_images()


@needs_orthanc
@pytest.mark.parametrize("status", [404, 502])
def test_a_segmentation_that_comes_late_does_not_displace_a_newer_label(
    archive, open_archive, tmp_path, monkeypatch, status
):
    (image, clip), (other, _) = list(archive.clips.items())[:2]
    second = open_archive("second")
    for uid in (image, other):
        submit(open_archive("first"), tmp_path, uid, archive.clips[uid], [1])
        Path(second.get_image_uri(uid)).unlink()
    fetch = Archive.fetch

    def refuse(self, instance, path):
        fetch(self, instance, path)
        if status == 404 and path.name == "seg.dcm" and read_dicom_seg(path).source == image:
            raise NoCine(404, "The archive does not give this cine (it answered 500).")
        if status == 502 and instance.uid == other:
            path.unlink()
            raise Unreachable("The archive cannot be reached.")

    monkeypatch.setattr(Archive, "fetch", refuse)
    second._look(at_once=True)
    with suppress(Unreachable):  # it is saved on the server all the same
        submit(second, tmp_path, image, clip, [2])
    monkeypatch.setattr(Archive, "fetch", fetch)
    again = open_archive("second")
    again._look(at_once=True)
    assert again.get_label_info(image, "final")["annotated_frames"] == [2]
    assert again.get_label_info(other, "final")["annotated_frames"] == [1]


@needs_orthanc
@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"Rows": 20_000}, "It is damaged, or does not fit its cine."),
        ({"PixelData": b"\0\0"}, "It is damaged, or does not fit its cine."),
        ({"SegmentationType": "FRACTIONAL"}, "no coronary arteries in frames of one cine."),
    ],
)
def test_a_segmentation_that_cannot_be_read_is_told_once(archive, open_archive, tmp_path, caplog, changes, line):
    image = next(iter(archive.clips))
    datastore = open_archive("cache")
    caplog.clear()
    uid = add_seg(archive, tmp_path, image, [1], **changes)
    for _ in range(2):
        datastore._look(at_once=True)
    assert [record.getMessage() for record in caplog.records] == [f"{uid} in the archive is left out: {line}"]
    archive.remove(uid)


@needs_orthanc
def test_what_two_servers_label_is_joined_and_what_comes_late_is_a_version(archive, open_archive, tmp_path):
    image = archive.add(50).SOPInstanceUID
    first, second = open_archive("first"), open_archive("second")
    for datastore, frames in ((first, [0, 1]), (second, [2])):
        write_label(tmp_path / "label.nrrd", archive.clips[image].vessels, archive.clips[image].times_ms, frames)
        datastore.save_label(image, str(tmp_path / "label.nrrd"), "final", {})
    assert annotated(first, image) == annotated(second, image) == [0, 1, 2]
    add_seg(archive, tmp_path, image, [1], ContentDate="20200101")
    for _ in range(2):  # versions are listed at the next look
        assert annotated(first, image) == [0, 1, 2]
    versions = first.get_label_info(image, "final")["versions"]
    labels = Path(first.get_label_uri(image, "final")).parent
    assert [read_label(labels / name)[1] for name in versions] == [[0, 1], [1]]


@needs_orthanc
@pytest.mark.parametrize("why", ["read only", "not taken"])
def test_a_label_that_is_here_alone_is_not_displaced(archive, open_archive, tmp_path, monkeypatch, why):
    image = archive.add(51).SOPInstanceUID
    datastore = open_archive(why)
    if why == "read only":
        monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_READ_ONLY", True)
        submit(datastore, tmp_path, image, archive.clips[image], [1, 2])
    else:
        with monkeypatch.context() as patch, pytest.raises(HTTPException):
            patch.setattr(Archive, "store", refuse_all)
            submit(datastore, tmp_path, image, archive.clips[image], [1, 2])
    add_seg(archive, tmp_path, image, [0], ContentDate="20200101")
    assert annotated(datastore, image) == [1, 2]
    add_seg(archive, tmp_path, image, [0])
    assert annotated(datastore, image) == [0, 1, 2]
    if why == "not taken":
        submit(datastore, tmp_path, image, archive.clips[image], [1])
        add_seg(archive, tmp_path, image, [0], ContentDate="20990101")  # the archive has both: the newest counts
        assert annotated(datastore, image) == [0]


@needs_orthanc
def test_a_segmentation_that_does_not_fit_keeps_none_away(archive, open_archive, tmp_path):
    image = archive.add(52).SOPInstanceUID
    datastore = open_archive("cache")
    add_seg(archive, tmp_path, image, [0], ContentDate="20990101", Rows=8, Columns=8, PixelData=bytes(8))
    assert annotated(datastore, image) is None
    add_seg(archive, tmp_path, image, [1])
    assert annotated(datastore, image) == [1]


@needs_orthanc
def test_a_segmentation_may_come_before_its_cine(archive, open_archive, tmp_path):
    image = archive.add(53).SOPInstanceUID
    other = archive.add(54, lambda cine: setattr(cine, "StudyInstanceUID", of_study(archive, image)))
    datastore = open_archive("cache")
    archive.remove(image)
    add_seg(archive, tmp_path, image, [1])
    assert annotated(datastore, other.SOPInstanceUID) is None
    archive.send("POST", "/instances", data=archive.sources[image].read_bytes())
    assert annotated(datastore, image) == [1]


@needs_orthanc
def test_of_two_labels_at_once_the_archive_has_both(archive, open_archive, tmp_path, monkeypatch):
    image = archive.add(56).SOPInstanceUID
    datastore, clip = open_archive("cache"), archive.clips[image]
    read, delays = pacs.read_label, iter((2.0, 1.0, 0.0))

    def slowly(path):
        label = read(path)
        time.sleep(next(delays))
        return label

    monkeypatch.setattr(pacs, "read_label", slowly)

    def put(frame):
        write_label(tmp_path / f"{frame}.nrrd", clip.vessels, clip.times_ms, [frame])
        datastore.save_label(image, str(tmp_path / f"{frame}.nrrd"), "final", {})

    threads = [threading.Thread(target=put, args=(frame,)) for frame in range(FRAMES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert annotated(datastore, image) == annotated(open_archive("other"), image) == [0, 1, 2]


@needs_orthanc
def test_a_label_that_the_archive_does_not_take_is_kept_and_told(archive, open_archive, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_STOW_PREFIX", "nowhere")
    datastore = open_archive("cache")
    image, clip = next(iter(archive.clips.items()))
    write_label(tmp_path / "label.nrrd", clip.vessels, clip.times_ms, [0])
    stored = len(archive.segmentations())
    with pytest.raises(HTTPException) as caught:
        datastore.save_label(image, str(tmp_path / "label.nrrd"), "final", {})
    assert caught.value.status_code == 502
    assert caught.value.detail == "The label is saved on this server, but the archive did not take it."
    assert 0 in datastore.get_label_info(image, "final")["annotated_frames"]
    monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_READ_ONLY", True)
    datastore.save_label(image, str(tmp_path / "label.nrrd"), "final", {})
    assert len(archive.segmentations()) == stored


@pytest.fixture
def look_while_storing(monkeypatch):
    """Another thread looks through the archive, and is at the segmentations, while a label is stored.

    Gives a function that starts it with a store's next label, and one that lets it go on.
    """
    search, header = Archive.segmentations, Archive.header
    asking, stored, lookers = threading.Event(), threading.Event(), []

    def slow(self, studies):
        if threading.current_thread() in lookers:
            asking.set()
            stored.wait(20)
        return search(self, studies)

    def begin(datastore):
        def looked(self, instance, keywords):
            found = header(self, instance, keywords)
            lookers.append(threading.Thread(target=datastore._look, args=(True,)))
            lookers[0].start()
            asking.wait(20)
            return found

        monkeypatch.setattr(Archive, "segmentations", slow)
        monkeypatch.setattr(Archive, "header", looked)

    def end():
        stored.set()
        lookers[0].join()

    return begin, end


@needs_orthanc
@pytest.mark.parametrize("removed", [False, True])
def test_a_label_that_was_just_stored_is_none_from_elsewhere(
    archive, open_archive, tmp_path, look_while_storing, removed
):
    image = archive.add(150 + removed).SOPInstanceUID
    datastore = open_archive("cache")
    begin, end = look_while_storing
    begin(datastore)
    submit(datastore, tmp_path, image, archive.clips[image], [1])
    if removed:
        datastore.remove_label(image, "final")
    end()
    labels = datastore._datastore.objects[image].labels
    assert [label.info["version"] for label in labels.values()] == ([] if removed else [1])


@needs_orthanc
@pytest.mark.parametrize("what", ["cines", "segmentations"])
def test_what_was_not_seen_is_joined_when_it_is(archive, open_archive, tmp_path, monkeypatch, what):
    image = archive.add(152 + len(what)).SOPInstanceUID
    clip = archive.clips[image]
    first, second = open_archive("first"), open_archive("second")
    submit(second, tmp_path, image, clip, [1])

    def label():
        write_label(tmp_path / "label.nrrd", clip.vessels, clip.times_ms, [2])
        first.save_label(image, str(tmp_path / "label.nrrd"), "final", {})

    def refuse(*_):
        raise Unreachable("The archive cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(Archive, what, refuse)
        with pytest.raises(Unreachable):
            label()
    label()  # as the answer advises
    assert annotated(first, image) == annotated(second, image) == [1, 2]
