"""Which frames of which clips are trained on, and which are kept for validation."""

import imageio.v3 as imageio
import numpy as np
import pydicom
import pytest
from angioseg.cine import Cine, read_label, write_cine, write_label
from angioseg.data import FrameDataset, labelled_frames, patient_key, split_by_patient
from angioseg.errors import AngioSegError
from hypothesis import assume, given
from hypothesis import strategies as st

CINE = Cine(frames=np.arange(5 * 6 * 8, dtype=np.uint8).reshape(5, 6, 8), times_ms=np.arange(5) * 66.0)


@pytest.fixture
def clip(tmp_path):
    """A cine of 5 frames and a label with vessel pixels in frames 1, 2 and 4."""
    write_cine(tmp_path / "cine.nrrd", CINE)
    mask = np.zeros(CINE.shape, np.uint8)
    mask[[1, 2, 4], 3] = 1
    for folder, frames in (("images", CINE.frames), ("labels", mask * np.uint8(255))):
        (tmp_path / folder).mkdir()
        for number, frame in enumerate(frames):
            imageio.imwrite(tmp_path / folder / f"{number}.png", frame)

    def make(kind, listed):
        if kind == "folder":
            return {"image": str(tmp_path / "images"), "label": str(tmp_path / "labels")}
        label = tmp_path / "label.nrrd"
        write_label(label, mask, CINE, listed or [])
        if listed is None:
            write_cine(label, Cine(frames=mask, times_ms=CINE.times_ms))
        return {"image": str(tmp_path / "cine.nrrd"), "label": str(label)}

    return make


@pytest.mark.parametrize(
    ("kind", "listed", "given", "items"),
    [
        ("file", [1, 3], None, [1, 3]),
        ("file", [0, 1, 2, 3, 4], None, [0, 1, 2, 3, 4]),
        ("file", None, None, [1, 2, 4]),
        ("file", [1, 3], [2], [2]),
        ("folder", None, None, [0, 1, 2, 3, 4]),
        ("folder", None, [3, 4], [3, 4]),
    ],
)
def test_labelled_frames_are_the_items(clip, kind, listed, given, items):
    clips = [{**clip(kind, listed), **({} if given is None else {"frames": given})}]
    dataset = FrameDataset(clips, transform=lambda item: item)
    assert [item["frame"] for item in dataset] == items
    if given is None:
        assert read_label(clips[0]["label"])[1] == items  # as the server takes it
    assert {int(item["label"][item["frame"]].sum()) for item in dataset} <= {0, 8}
    assert all(np.array_equal(item["image"].numpy(), CINE.frames) for item in dataset)


@pytest.mark.parametrize(
    ("values", "vessel"),
    [([0, 1, 4], [1]), ([0, 1, 2], [1]), ([0, 64, 255], [255]), ([0, 64, 128], [128]), ([0, 64], [])],
)
def test_which_values_are_vessel(tmp_path, values, vessel):
    labels = np.resize(np.array(values, np.uint8), CINE.shape)
    write_cine(tmp_path / "label.nrrd", Cine(frames=labels, times_ms=CINE.times_ms))
    mask, _ = labelled_frames({"label": str(tmp_path / "label.nrrd"), "frames": [0]})
    np.testing.assert_array_equal(mask, np.isin(labels, vessel))


@pytest.mark.parametrize("values", [[0, 38], [0, 76], [0, 3, 64]], ids=["palette", "red", "another class"])
def test_marks_that_mean_nothing_are_no_empty_frames(tmp_path, values):
    labels = np.resize(np.array(values, np.uint8), CINE.shape)
    write_cine(tmp_path / "label.nrrd", Cine(frames=labels, times_ms=CINE.times_ms))
    with pytest.raises(AngioSegError, match=f"marks pixels with {values[1]}, which is no vessel"):
        labelled_frames({"label": str(tmp_path / "label.nrrd")})


@pytest.mark.parametrize(("given", "line"), [([5], "frame 5 is not in a cine of 5 frames"), ([], "no usable frame")])
def test_frames_that_are_not_there(clip, given, line):
    with pytest.raises(AngioSegError, match=line):
        FrameDataset([{**clip("file", [1]), "frames": given}], transform=lambda item: item)


def test_a_patient_is_told_from_another_and_not_named(write_dicom):
    frames = CINE.frames
    one, same, other, nobody = (
        patient_key(write_dicom(frames, f"{number}.dcm", PatientID=patient))
        for number, patient in enumerate(("Doe^John", "Doe^John ", "Roe", None))
    )
    assert one == same != other
    assert nobody is None
    assert "Doe" not in one


def test_a_patient_is_known_without_the_preamble_too(write_dicom):
    whole = write_dicom(CINE.frames, "whole.dcm", PatientID="Roe", implicit=True)
    bare = whole.with_name("bare")
    dataset = pydicom.dcmread(whole)
    dataset.file_meta, dataset.preamble = None, None
    pydicom.dcmwrite(bare, dataset, write_like_original=True)
    assert patient_key(bare) == patient_key(whole) is not None


def clips_of(*clips):
    return [
        {
            "image": f"{number}.dcm",
            "patient": patient,
            "frames": list(range(frames)),
            "vessel_frames": frames if vessels is None else vessels,
        }
        for number, (patient, frames, vessels) in enumerate(clips)
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from([None, "a", "b", "c", "d"]), st.integers(1, 30), st.sampled_from([None, None, 0, 1])),
        min_size=2,
        max_size=12,
    ),
    st.floats(0, 0.5),
)
def test_a_split_has_two_sides_with_vessels_and_no_patient_on_both(clips, share):
    clips = clips_of(*clips)
    assume(sum(clip["vessel_frames"] > 0 for clip in clips) > 1)
    train, val = split_by_patient(clips, share)
    assert train and val
    assert sorted(clip["image"] for clip in train + val) == sorted(clip["image"] for clip in clips)
    vessels = [sum(clip["vessel_frames"] for clip in side) for side in (train, val)]
    assert 0 < vessels[1] <= vessels[0]
    named = [{clip["patient"] for clip in side} - {None} for side in (train, val)]
    one_patient = len({clip["patient"] or clip["image"] for clip in clips if clip["vessel_frames"]}) == 1
    assert one_patient or not named[0] & named[1]


@pytest.mark.parametrize("clips", [[], [("a", 9, None)], [("a", 9, None), ("b", 0, 0)], [("a", 9, 9), ("b", 9, 0)]])
def test_what_cannot_be_split(clips):
    with pytest.raises(AngioSegError, match="two cines or more"):
        split_by_patient(clips_of(*clips), 0.2)
