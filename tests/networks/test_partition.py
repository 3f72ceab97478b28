"""The laws of the partitions: nobody and no frame is on both sides."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from angioseg.cine import Cine, write_cine, write_label
from angioseg.data import FrameDataset, clip_pairs, part_clips, split_in_time, time_parts
from angioseg.errors import AngioSegError
from angioseg.transforms import StackNeighborsd
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose


@given(st.integers(1, 500), st.booleans())
def test_every_frame_of_a_clip_is_on_one_side(num_frames, test_first):
    train, test = time_parts(num_frames, test_first)
    assert sorted([*train, *test]) == list(range(num_frames))
    assert len(train) >= 1
    assert not test or (test[0] == 0 if test_first else test[-1] == num_frames - 1)
    assert num_frames == 1 or abs(len(test) - num_frames / 6) <= 0.5 or len(test) == 1


def test_sizes_are_the_papers():
    """170 clips, 8,835 frames: a sixth of them is 1,472."""
    counts = np.full(170, 8835 // 170)
    counts[: 8835 % 170] += 1
    tested = sum(len(time_parts(int(count), False)[1]) for count in counts)
    assert counts.sum() == 8835
    assert tested / 8835 == pytest.approx(1 / 6, abs=0.01)


def numbered_clips(folder: Path, lengths: list[int], unlabelled: set[int] = frozenset()) -> list[dict]:
    """Clips whose pixels say which frame of which clip they are."""
    clips = []
    for number, length in enumerate(lengths):
        values = np.arange(length, dtype=np.uint16) + 100 * number
        cine = Cine(
            frames=np.broadcast_to(values[:, None, None], (length, 2, 2)).copy(), times_ms=np.arange(length) * 66.0
        )
        write_cine(folder / f"{number}.nrrd", cine)
        listed = [frame for frame in range(length) if frame not in unlabelled]
        write_label(folder / f"{number}_label.nrrd", np.ones(cine.shape, np.uint8), cine, listed)
        clips.append({"image": str(folder / f"{number}.nrrd"), "label": str(folder / f"{number}_label.nrrd")})
    return clips


@given(
    st.lists(st.integers(2, 20), min_size=1, max_size=4),
    st.integers(0, 3),
    st.integers(0, 1000),
    st.sets(st.integers(0, 19), max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_no_window_sees_the_other_side(lengths, neighbors, seed, unlabelled):
    window = Compose([StackNeighborsd("image", neighbors), StackNeighborsd("label", 0)])
    seen, centres = [], []
    with tempfile.TemporaryDirectory() as folder:
        for side in split_in_time(numbered_clips(Path(folder), lengths, unlabelled), seed):
            try:
                windows = [item["image"][:, 0, 0].tolist() for item in FrameDataset(side, window)]
            except AngioSegError:  # no frame of this side is labelled
                windows = []
            assert all(len(values) == 2 * neighbors + 1 for values in windows)
            seen.append({value for values in windows for value in values})
            centres += [values[neighbors] for values in windows]
    assert not seen[0] & seen[1]
    labelled = [100 * n + t for n, length in enumerate(lengths) for t in range(length) if t not in unlabelled]
    assert sorted(centres) == labelled


@pytest.mark.parametrize(("neighbors", "first"), [(1, [[0, 0, 1], [0, 1, 2]]), (2, [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3]])])
def test_the_end_frames_of_a_part_are_repeated(tmp_path, neighbors, first):
    clips = numbered_clips(tmp_path, [24])
    sides = [FrameDataset(side, StackNeighborsd("image", neighbors)) for side in split_in_time(clips, seed=0)]
    parts = [[item["image"][:, 0, 0].tolist() for item in side] for side in sides]
    for windows in parts:
        start = windows[0][0]
        assert [[value - start for value in values] for values in windows[:2]] == first
    assert sorted(map(len, parts)) == [4, 20]


def test_the_end_that_tests_is_drawn_for_each_clip_from_the_seed(tmp_path):
    clips = numbered_clips(tmp_path, [6] * 12)

    def ends(seed):
        return [clip["part"][0] == 0 for clip in split_in_time(clips, seed)[1]]

    assert ends(1) == ends(1)
    assert len({tuple(ends(seed)) for seed in range(5)}) == 5
    assert {True, False} <= set(ends(1))


def test_a_still_only_trains(tmp_path):
    train, test = split_in_time(numbered_clips(tmp_path, [1, 6]), seed=0)
    assert [Path(clip["image"]).name for clip in train] == ["0.nrrd", "1.nrrd"]
    assert [Path(clip["image"]).name for clip in test] == ["1.nrrd"]


def test_by_patients_each_clip_is_on_one_side(tmp_path, write_dicom):
    clips = numbered_clips(tmp_path, [4, 4, 4, 4])
    for clip, patient in zip(clips, "abab"):
        frames = np.zeros((4, 2, 2), np.uint8)
        clip["image"] = str(write_dicom(frames, f"{Path(clip['image']).stem}.dcm", PatientID=patient))
    train, test = part_clips(clips, "patients", share=0.5)
    assert len(train) == len(test) == 2
    assert not {clip["patient"] for clip in train} & {clip["patient"] for clip in test}
    assert all(clip["frames"] == [0, 1, 2, 3] and clip["vessel_frames"] == 4 for clip in train + test)


def test_another_partition_is_refused(tmp_path):
    with pytest.raises(AngioSegError, match="patients or time"):
        part_clips([], "frames")


def test_a_part_does_not_depend_on_how_the_folder_is_spelt(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    numbered_clips(tmp_path / "data", [3] * 8)
    monkeypatch.chdir(tmp_path)
    held_back = set()
    for folder in (tmp_path / "data", "data", "../" + tmp_path.name + "/data"):
        _, test = part_clips(clip_pairs(folder), "patients", share=0.3)
        held_back.add(tuple(Path(clip["image"]).name for clip in test))
    assert len(held_back) == 1
    monkeypatch.chdir((tmp_path / "data").rename(tmp_path / "moved"))
    _, test = part_clips(clip_pairs("."), "patients", share=0.3)
    assert {tuple(Path(clip["image"]).name for clip in test)} == held_back
