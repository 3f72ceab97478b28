"""Whose mask a frame has, and the undo of what was done to it."""

import numpy as np
import pytest
from AngioSegLib.clipRecord import ClipRecord
from AngioSegLib.frameStates import FrameStates
from AngioSegLib.history import Action, History
from AngioSegLib.pictures import framePicture, greyWindow, outline, pngBytes, ppmBytes, thumbnail
from AngioSegLib.segmentation import createSegmentation
from AngioSegLib.subtraction import maskFrames, subtracted

SHAPE = (7, 9)


@pytest.fixture
def masks(makeCine):
    return createSegmentation(makeCine(5))


def mask(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(SHAPE) > 0.5).astype(np.uint8)


def test_states_follow_the_masks_themselves(masks):
    states = FrameStates(masks)
    masks.setMask([1, 2, 3], np.stack([mask(1), mask(2), mask(3)]))
    states.setSaidByModel({frame: (states.digest(frame), "1") for frame in (1, 2)})
    assert states.all() == ["none", "model", "model", "corrected", "none"]
    states.accept([1, 3])
    states.setSent({masks.cine.indexValue(3): states.digest(3)}, "http://a")
    assert [states.sentTo(frame) for frame in (1, 3)] == ["", "http://a"]
    assert states.all() == ["none", "accepted", "model", "sent", "none"]
    assert states.unsent() == [1]
    # A change takes back what was said of the mask before, and the mask before gives it back.
    masks.setMask([3], mask(9)[None])
    assert states.of(3) == "corrected"
    masks.setMask([3], mask(3)[None])
    assert states.of(3) == "sent"
    states.takeBack([1, 3])
    assert states.all() == ["none", "model", "model", "corrected", "none"]
    # Another object on the same masks knows the same.
    assert FrameStates(masks).all() == states.all()


def test_what_was_sent_is_what_was_there_when_it_was_sent(masks):
    states = FrameStates(masks)
    masks.setMask([0], mask(0)[None])
    states.accept([0])
    digests = {masks.cine.indexValue(0): states.digest(0)}
    masks.setMask([0], mask(1)[None])  # while it is on its way
    states.accept([0])
    states.setSent(digests, "http://a")
    assert states.of(0) == "accepted"


def test_what_was_taken_back_while_it_was_on_its_way_is_not_accepted(masks):
    states = FrameStates(masks)
    masks.setMask([0, 1], np.stack([mask(0), mask(1)]))
    states.accept([0, 1])
    digests = {masks.cine.indexValue(frame): states.digest(frame) for frame in (0, 1)}
    states.takeBack([0])
    states.setSent(digests, "http://a")
    assert states.all()[:2] == ["corrected", "sent"]


def test_undo_gives_back_masks_their_absence_and_their_states(masks):
    states = FrameStates(masks)
    history = History(masks, states)
    masks.setMask([1], mask(1)[None])
    states.setSaidByModel({1: (states.digest(1), "1")})
    one, two = Action("one"), Action("two")
    history.change(one, [1, 2], lambda: masks.setMask([1, 2], np.stack([mask(4), mask(5)])))
    states.setSaidByModel({1: (states.digest(1), "2"), 2: (states.digest(2), "2")})
    history.change(two, [2], lambda: masks.setMask([2], mask(6)[None]))
    history.change(two, [2], lambda: masks.setMask([2], mask(7)[None]))
    assert history.last == "two"
    assert history.undo() == ([2], [])
    np.testing.assert_array_equal(masks.maskOf(2), mask(5))
    assert states.all() == ["none", "model", "model", "none", "none"]
    assert history.undo() == ([1, 2], [])
    np.testing.assert_array_equal(masks.maskOf(1), mask(1))
    assert states.all() == ["none", "model", "none", "none", "none"]
    assert states.saidByModel(1) == (states.digest(1), "1")
    assert history.last == ""


MEASURES = [
    {"frame": 0, "length_px": 10.0, "contrast": 9.0},
    {"frame": 2, "length_px": 60.0, "contrast": 3.0},
    {"frame": 4, "length_px": 100.0, "contrast": 2.0},
]


def test_the_record_names_the_clearest_of_the_well_filled_frames_and_the_neighbours(masks):
    record = ClipRecord(masks)
    assert (record.measures, record.keyFrames, record.clearest(), record.mostComplete()) == ({}, [], None, None)
    record.add(MEASURES[2:])
    record.add(MEASURES[:2])
    record.setKeyFrames([{"frame": 4, "score": 1.0, "why": "."}, {"frame": 2, "score": 0.5, "why": "."}])
    assert [record.measures[frame] for frame in (0, 2, 4)] == MEASURES
    assert list(record.measures) == [0, 2, 4]
    assert (record.mostComplete(), record.clearest()) == (4, 2)
    assert [record.neighbour(frame, 1) for frame in range(5)] == [2, 2, 4, 4, None]
    assert [record.neighbour(frame, -1) for frame in range(5)] == [None, None, None, 2, 2]


@pytest.mark.parametrize(
    ("areas", "frames"),
    [
        ({}, [0]),
        ({0: 0, 1: 0, 2: 500, 3: 900}, [0, 1]),
        ({0: 900, 1: 900}, [0]),
        (dict.fromkeys(range(9), 0), [0, 1, 2, 3, 4]),
        ({3: 10}, [0]),
    ],
)
def test_the_frames_before_the_contrast(areas, frames):
    assert maskFrames(10, areas) == frames


def test_subtraction_leaves_what_changed():
    before = np.full((4, 4), 100.0)
    frame = np.full((4, 4), 100, np.uint8)
    frame[1, 2] = 30
    result = subtracted(frame, before)
    assert (result.dtype, result[1, 2], np.count_nonzero(result)) == (np.int16, -70, 1)


def test_a_picture_shows_grey_levels_tint_and_outline():
    frame = np.full((8, 8), 50, np.uint8)
    frame[0, 0], frame[7, 7] = 0, 100
    vessel = np.zeros((8, 8), np.uint8)
    vessel[2:7, 2:7] = 1
    picture = framePicture(frame, vessel, (0, 100), opacity=0.5)
    assert picture[0, 0].tolist() == [0, 0, 0] and picture[7, 7].tolist() == [255, 255, 255]
    assert picture[2, 2].tolist() == [230, 159, 0]
    assert picture[4, 4].tolist() == [179, 143, 64]
    assert outline(vessel).sum() == 16
    assert greyWindow(np.zeros((2, 4, 4), np.uint8)) == (0, 1)
    assert pngBytes(picture)[:4] == b"\x89PNG"


@pytest.mark.parametrize(("size", "expected"), [(4, (4, 4)), (5, (8, 8)), (100, (8, 8))])
def test_a_thumbnail_keeps_thin_vessels(size, expected):
    frame, vessel = np.full((8, 8), 50, np.uint8), np.zeros((8, 8), np.uint8)
    vessel[3, 5] = 1
    picture = thumbnail(frame, vessel, size)
    assert picture.shape == (*expected, 3)
    assert (picture == (230, 159, 0)).all(axis=2).sum() == 1


def test_a_png_is_the_picture(tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(imageio.imread(pngBytes(picture), extension=".png"), picture)
    np.testing.assert_array_equal(imageio.imread(ppmBytes(picture), extension=".ppm"), picture)
