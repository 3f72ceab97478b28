"""Simulated data sets and DICOM files."""

import json
import multiprocessing
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import replace
from itertools import groupby, islice

import numpy as np
import pydicom
import pytest
from angioseg.atomic import WriteError
from angioseg.simulation import (
    PRESETS,
    Lesion,
    SimulatedWindows,
    SimulationError,
    plan_dataset,
    simulate_clip,
    write_clip,
    write_dataset,
    write_xa_dicom,
)
from angioseg.simulation import clip as clips
from angioseg.simulation.detector import random_detector
from PIL import Image

SMALL = {"frames": 4, "size": (48, 64)}


@pytest.fixture(scope="module")
def clip():
    return simulate_clip(31, frames=5, size=(65, 67), fps=12.5)


def test_a_data_set_has_the_layout_of_the_papers_set(tmp_path):
    calls = []
    plan = [{"seed": seed, **SMALL} for seed in (100, 101)]
    folders = write_dataset(tmp_path / "set", plan, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
    assert folders == [tmp_path / "set" / name for name in ("clip_0000", "clip_0001")]
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == ["clip_0000", "clip_0001"]
    for index, folder in enumerate(folders):
        clip = simulate_clip(100 + index, **SMALL)
        names = [f"frame_{n:04d}.png" for n in range(4)]
        for kind, stack in (("images", clip.frames), ("labels", clip.vessels * 255 + clip.catheter * 64)):
            assert sorted(p.name for p in (folder / kind).iterdir()) == names
            read = np.stack([np.asarray(Image.open(folder / kind / name)) for name in names])
            assert read.dtype == np.uint8
            np.testing.assert_array_equal(read, stack)
        assert json.loads((folder / "clip.json").read_text())["best_frame"] == clip.best_frame
        with np.load(folder / "centrelines.npz") as lines:
            assert list(lines["names"]) == list(clip.centrelines.names)
            np.testing.assert_array_equal(lines["places"], clip.centrelines.places)


def test_worker_processes_write_the_same_data_set(tmp_path):
    calls = []
    plan = [{"seed": 7, "frames": 3, "size": (32, 32)}]
    here = write_dataset(tmp_path / "here", plan)
    there = write_dataset(tmp_path / "there", plan, workers=1, progress=lambda *now: calls.append(now))
    assert calls == [(1, 1)]
    for name in ("images/frame_0002.png", "labels/frame_0002.png", "clip.json"):
        assert (here[0] / name).read_bytes() == (there[0] / name).read_bytes()


def test_an_interrupted_data_set_holds_whole_clips_only(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, [{"seed": seed, **SMALL} for seed in (1, 2, 3)], progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["clip_0000"]
    assert len(list((tmp_path / "clip_0000" / "labels").iterdir())) == 4


def test_a_killed_worker_is_told_in_one_line_and_leaves_whole_clips_only(tmp_path):
    def kill(done, total):
        # Its large second clip will soon be half written.
        while not list(tmp_path.glob(".clip_0001-*")) and not (tmp_path / "clip_0001").exists():
            time.sleep(0.001)
        for worker in multiprocessing.active_children():
            worker.kill()

    plan = [{"seed": 1, **SMALL}, {"seed": 2, "frames": 60, "size": (400, 400)}]
    with pytest.raises(SimulationError, match="use fewer --workers") as caught:
        write_dataset(tmp_path, plan, workers=1, progress=kill)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["clip_0000"]


def test_a_clip_replaces_what_lay_there(tmp_path, clip):
    (tmp_path / "c" / "images").mkdir(parents=True)
    (tmp_path / "c" / "images" / "frame_9999.png").touch()
    write_clip(tmp_path / "c", clip)
    assert len(list((tmp_path / "c" / "images").iterdir())) == 5


@pytest.mark.parametrize(
    ("plan", "workers", "word"),
    [
        ([], 0, "1 clip or more"),
        ([{"seed": 1, **SMALL}], -1, "worker"),
        ([{"seed": -1, **SMALL}], 0, "seed"),
        ([{"seed": 1, **SMALL, "fps": 0}], 0, "frame rate"),
        ([{"seed": 1, **SMALL, "size": (10, 10)}], 0, "rows and columns"),
    ],
)
def test_a_bad_data_set_is_told_and_leaves_nothing(tmp_path, plan, workers, word):
    with pytest.raises(SimulationError, match=word):
        write_dataset(tmp_path / "set", plan, workers=workers)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("seed", [0, 7, 100_000])
def test_the_papers_set_has_its_clips_and_frames(seed):
    plan = plan_dataset("setv", seed)
    assert len(plan) == 170
    assert sum(clip["frames"] for clip in plan) == 8835
    assert all(10 <= clip["fps"] <= 15 and 3 <= clip["frames"] / clip["fps"] <= 10.1 for clip in plan)
    assert {clip["size"] for clip in plan} == set(PRESETS["setv"].sizes)
    assert [clip["seed"] for clip in plan] == list(range(seed, seed + 170))


def test_an_unknown_preset_is_told():
    with pytest.raises(SimulationError, match="no preset 'setx': say setv"):
        plan_dataset("setx", 0)


def test_windows_stream_from_clips_that_differ():
    options = {"seed": 5, "frames": 8, "size": (48, 64), "frames_per_clip": 4, "empty_share": 0.25}
    stream = SimulatedWindows(transform=dict, **options)
    items = list(islice(stream, 8))
    assert [item["image"].shape for item in items] == [(8, 48, 64)] * 8
    for number, clip in enumerate(simulate_clip(seed, frames=8, size=(48, 64)) for seed in (5, 6)):
        mine = items[4 * number : 4 * number + 4]
        assert all(np.array_equal(item["image"], clip.frames) for item in mine)
        assert all(np.array_equal(item["label"], clip.vessels) for item in mine)
        assert len({item["frame"] for item in mine}) == 4
        assert sum(not clip.vessels[item["frame"]].any() for item in mine) == 1
    # The next epoch goes on with a new clip.
    assert np.array_equal(next(iter(stream))["image"], simulate_clip(7, frames=8, size=(48, 64)).frames)


@pytest.mark.parametrize(
    ("frames_per_clip", "empty_share", "most"), [(4, 0.15, 0), (4, 0.25, 1), (10, 0.15, 1), (8, 0.15, 1), (6, 0.9, 5)]
)
def test_of_a_clips_windows_at_most_the_share_asked_for_is_empty(frames_per_clip, empty_share, most):
    options = {"seed": 5, "frames": 24, "size": (32, 32), "frames_per_clip": frames_per_clip}
    stream = SimulatedWindows(transform=dict, empty_share=empty_share, **options)
    empty = sum(not item["label"][item["frame"]].any() for item in islice(stream, frames_per_clip))
    assert empty <= min(most, frames_per_clip * empty_share)
    assert (empty > 0) == (most > 0)


@pytest.mark.parametrize("clips_at_once, frames_per_clip", [(1, 3), (3, 4), (3, 1)])
def test_windows_are_mixed_from_some_clips_and_none_is_lost(clips_at_once, frames_per_clip):
    options = {"seed": 5, "frames": 4, "size": (32, 32), "empty_share": 0.0}
    stream = SimulatedWindows(transform=dict, clips_at_once=clips_at_once, frames_per_clip=frames_per_clip, **options)
    clips = [simulate_clip(seed, frames=4, size=(32, 32)) for seed in range(5, 13)]
    order = []
    for item in islice(stream, 5 * frames_per_clip):
        [clip] = [number for number, clip in enumerate(clips) if np.array_equal(item["image"], clip.frames)]
        order.append((clip, item["frame"]))
    # No window comes twice, unless a clip has fewer frames with vessels than are drawn from it.
    drawn = Counter(order)
    for number, clip in enumerate(clips):
        showing = int(clip.vessels.any(axis=(1, 2)).sum())
        assert all(drawn[number, frame] <= -(-frames_per_clip // showing) for frame in range(4))
    run = max(len(list(same)) for _, same in groupby(clip for clip, _ in order))
    assert run == frames_per_clip if clips_at_once == 1 else len({clip for clip, _ in order}) > 1


def test_frames_of_another_source_are_mixed_in():
    options = {"transform": dict, "seed": 5, "frames": 4, "size": (32, 32), "frames_per_clip": 4}
    stream = SimulatedWindows(beside=["real"] * 3, beside_share=0.5, **options)
    items = list(islice(stream, 60))
    assert 15 < sum(item == "real" for item in items) < 45
    # What is mixed in takes no window away.
    simulated = [item for item in items if item != "real"]
    alone = list(islice(SimulatedWindows(**options), len(simulated)))
    assert {item["image"].sum().item() for item in simulated} == {item["image"].sum().item() for item in alone}


def test_ranks_share_the_seeds_among_them():
    options = {"transform": dict, "seed": 5, "frames": 4, "size": (32, 32), "frames_per_clip": 1, "world_size": 2}
    seeds = {}
    for rank in (0, 1):
        for place, item in enumerate(islice(SimulatedWindows(rank=rank, **options), 2)):
            seeds[5 + rank + 2 * place] = item["image"]
    for seed, image in seeds.items():
        np.testing.assert_array_equal(image, simulate_clip(seed, frames=4, size=(32, 32)).frames)


@pytest.mark.parametrize(
    ("write", "place", "error", "told"),
    [
        (write_clip, "file/below", SimulationError, "Cannot write"),
        (write_clip, "file/below/deeper", SimulationError, "Cannot write"),
        (write_xa_dicom, "file/below", WriteError, "cannot be written"),
        (write_xa_dicom, "file/below/deeper", WriteError, "cannot be written"),
        (write_xa_dicom, "folder", WriteError, "cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path, clip, write, place, error, told):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder" / "of mine").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=told) as caught:
        write(tmp_path / place, clip)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_dicom_holds_the_frames_and_honest_headers(tmp_path, clip):
    path = write_xa_dicom(tmp_path / "cine.dcm", clip)
    assert [p.name for p in tmp_path.iterdir()] == ["cine.dcm"]
    d = pydicom.dcmread(path)
    np.testing.assert_array_equal(d.pixel_array, clip.frames)
    assert d.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert d.SOPClassUID == d.file_meta.MediaStorageSOPClassUID == pydicom.uid.XRayAngiographicImageStorage
    assert d.SOPInstanceUID == d.file_meta.MediaStorageSOPInstanceUID
    for told in (d.PatientName, d.PatientID, d.SeriesDescription, d.StudyDescription, d.ImageComments):
        assert str(told).startswith("SIMULATED")
    assert d.FrameIncrementPointer == pydicom.tag.Tag("FrameTime")
    numbers = {
        "FrameTime": 80.0,
        "CineRate": 12,
        "RecommendedDisplayFrameRate": 12,
        "NumberOfFrames": 5,
        "RepresentativeFrameNumber": clip.best_frame + 1,
        "PositionerPrimaryAngle": clip.meta["primary_angle"],
        "PositionerSecondaryAngle": clip.meta["secondary_angle"],
        "DistanceSourceToDetector": clip.meta["sid_mm"],
        "DistanceSourceToPatient": clip.meta["sod_mm"],
        "EstimatedRadiographicMagnificationFactor": clip.meta["sid_mm"] / clip.meta["sod_mm"],
    }
    for keyword, value in numbers.items():
        assert float(d[keyword].value) == pytest.approx(value, abs=1e-3), keyword
    np.testing.assert_allclose([float(v) for v in d.ImagerPixelSpacing], clip.meta["imager_spacing_mm"])
    assert d.PixelIntensityRelationship == ("LIN" if clip.meta["linear"] else "DISP")
    assert "PixelSpacing" not in d  # not calibrated: the imager's spacing is no patient's


def test_the_same_clip_gives_the_same_file_and_another_one_other_identifiers(tmp_path, clip):
    first, again = (write_xa_dicom(tmp_path / name, clip) for name in ("a.dcm", "b.dcm"))
    assert first.read_bytes() == again.read_bytes()
    other = pydicom.dcmread(write_xa_dicom(tmp_path / "c.dcm", simulate_clip(32, **SMALL)))
    d = pydicom.dcmread(first)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert d[keyword].value != other[keyword].value
    assert len({d.SOPInstanceUID, d.SeriesInstanceUID, d.StudyInstanceUID}) == 3


def written(tmp_path, clip):
    return pydicom.dcmread(write_xa_dicom(tmp_path / "cine.dcm", clip))


@pytest.mark.parametrize(
    "changes",
    [{"noise": False}, {"side": "left"}, {"lesions": ()}, {"lesions": (Lesion("stenosis", "RCA", 40, 10, 0.5),)}],
)
def test_other_clips_of_one_seed_are_other_series_of_its_study(tmp_path, changes):
    one, other = (
        written(tmp_path, simulate_clip(2, **{"frames": 4, "size": (64, 64), "side": "right"} | more))
        for more in ({}, changes)
    )
    assert one.PixelData != other.PixelData
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID != other.SeriesInstanceUID
    assert (one.StudyInstanceUID, one.PatientID) == (other.StudyInstanceUID, other.PatientID)


@pytest.mark.parametrize(
    ("kept_as", "method"),
    [
        ({"jpeg": 70}, "ISO_10918_1"),
        ({"codec": "libx264"}, "ISO_14496_10"),
        ({"codec": "mpeg4"}, "ISO_14496_2"),
        ({"codec": "wmv2"}, "WMV2"),
        ({}, None),
    ],
)
def test_what_compression_took_is_told(tmp_path, monkeypatch, kept_as, method):
    def drawn(*arguments):
        return replace(random_detector(*arguments), **{"jpeg": 0, "codec": "", "bits_per_pixel": 0.4} | kept_as)

    monkeypatch.setattr(clips, "random_detector", drawn)
    d = written(tmp_path, simulate_clip(3, frames=6, size=(128, 128)))
    assert d.LossyImageCompression == ("00" if method is None else "01")
    assert d.get("LossyImageCompressionMethod") == method
    if method is None:
        assert "LossyImageCompressionRatio" not in d
    else:
        assert 2 < d.LossyImageCompressionRatio < 100
    # Without noise nothing is compressed.
    assert written(tmp_path, simulate_clip(3, noise=False, **SMALL)).LossyImageCompression == "00"


@pytest.mark.parametrize(
    ("primary", "secondary", "letters"),
    [
        (0.0, 0.0, ["L", "F"]),
        (3.0, -3.0, ["L", "F"]),
        (90.0, 0.0, ["P", "F"]),
        (-90.0, 0.0, ["A", "F"]),
        (40.0, 0.0, ["LP", "F"]),
        (-30.0, 0.0, ["LA", "F"]),
        (0.0, 30.0, ["L", "FA"]),
        (0.0, -30.0, ["L", "FP"]),
        (50.0, 25.0, ["PL", "FLA"]),
    ],
)
def test_the_pictures_sides_are_named_as_the_view_lies(tmp_path, clip, primary, secondary, letters):
    turned = {**clip.meta, "primary_angle": primary, "secondary_angle": secondary}
    assert list(written(tmp_path, replace(clip, meta=turned)).PatientOrientation) == letters


def test_what_a_tube_would_have_done_is_told_to_be_unknown(tmp_path, clip):
    d = written(tmp_path, clip)
    assert all(d[keyword].is_empty for keyword in ("KVP", "XRayTubeCurrent", "ExposureTime", "Exposure"))
    assert d.ContrastBolusAgent.startswith("SIMULATED")


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here to judge the files")
@pytest.mark.parametrize("seed", [0, 2, 8, 11])  # kept whole, as JPEG, as wmv2, as mpeg4
def test_dicom_is_valid(tmp_path, seed):
    path = write_xa_dicom(tmp_path / "cine.dcm", simulate_clip(seed, **SMALL))
    told = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
    assert "Error" not in told.stdout + told.stderr


def test_the_cine_reader_reads_what_is_written(tmp_path, clip):
    from angioseg.cine import read_cine

    cine = read_cine(write_xa_dicom(tmp_path / "cine.dcm", clip))
    np.testing.assert_array_equal(cine.frames, clip.frames)
    np.testing.assert_allclose(cine.times_ms, clip.times_ms)
    assert cine.spacing_source == "imager"
