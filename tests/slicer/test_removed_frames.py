"""Slicer's Sequences module removes frames of a cine: what is noted of the others stays with them."""

import json
import threading

import numpy as np
import pytest
from AngioSegLib.clipRecord import ClipRecord
from AngioSegLib.frameStates import FrameStates
from AngioSegLib.history import Action, History
from AngioSegLib.segmentation import createSegmentation
from host import reading, useProperties
from littleServer import bright

useProperties([__name__])

MEASURES = [{"frame": frame, "length_px": 10.0 * frame, "contrast": 1.0} for frame in range(5)]
KEY_FRAMES = [{"frame": 4, "score": 1.0, "why": "."}, {"frame": 1, "score": 0.5, "why": "."}]


def remove(cine, frame):
    cine.sequence.RemoveDataNodeAtValue(cine.indexValue(frame))


@pytest.fixture
def masks(makeCine):
    """Five frames, all of them with an empty mask: no digest tells them apart."""
    masks = createSegmentation(makeCine(5))
    masks.setMask(range(5), np.zeros((5, 7, 9), np.uint8))
    return masks


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        (0, ["corrected", "model", "accepted", "sent"]),
        (2, ["corrected", "corrected", "accepted", "sent"]),
        (4, ["corrected", "corrected", "model", "accepted"]),
    ],
)
def test_states_stay_with_their_frames(masks, removed, expected):
    states = FrameStates(masks)
    states.setSaidByModel({2: (states.digest(2), "1")})
    states.accept([3, 4])
    states.setSent({masks.cine.indexValue(4): states.digest(4)}, "http://a")
    remove(masks.cine, removed)
    assert states.all() == expected
    assert states.unsent() == [frame for frame, state in enumerate(expected) if state == "accepted"]
    assert FrameStates(masks).all() == expected


@pytest.mark.parametrize(
    ("removed", "lengths", "keys"),
    [(0, [10, 20, 30, 40], [3, 0]), (1, [0, 20, 30, 40], [3]), (4, [0, 10, 20, 30], [1])],
)
def test_measures_and_key_frames_stay_with_their_frames(masks, removed, lengths, keys):
    record = ClipRecord(masks)
    record.add(MEASURES)
    record.setKeyFrames(KEY_FRAMES)
    remove(masks.cine, removed)
    assert {frame: measure["length_px"] for frame, measure in record.measures.items()} == dict(enumerate(lengths))
    assert all(measure["frame"] == frame for frame, measure in record.measures.items())
    assert [key["frame"] for key in record.keyFrames] == keys


def test_undo_gives_masks_back_to_their_frames(masks):
    history = History(masks, FrameStates(masks))
    history.change(Action("all"), [1, 3], lambda: masks.setMask([1, 3], np.ones((2, 7, 9), np.uint8)))
    remove(masks.cine, 1)
    assert history.undo() == ([2], [])
    assert not masks.mask().any()


def test_notes_of_a_scene_of_an_earlier_version_are_read(masks):
    digest = FrameStates(masks).digest(0)
    earlier = {"model": {"1": digest}, "accepted": {"2": digest, "3": digest, "9": digest}, "sent": {"3": digest}}
    masks.sequence.SetAttribute("AngioSeg.Frames", json.dumps(earlier))
    record = {"measures": MEASURES, "keyFrames": [*KEY_FRAMES, {"frame": 9}], "model": {"version": "1"}}
    masks.sequence.SetAttribute("AngioSeg.Measures", json.dumps(record))
    for _ in range(2):
        states, record = FrameStates(masks), ClipRecord(masks)
        assert states.all() == ["corrected", "model", "accepted", "sent", "corrected"]
        assert (states.saidByModel(1), states.sentTo(3)) == ((digest, ""), "")
        assert (list(record.measures.values()), record.keyFrames) == (MEASURES, KEY_FRAMES)
    assert masks.sequence.GetAttribute("AngioSeg.Frames") is masks.sequence.GetAttribute("AngioSeg.Measures") is None


def test_only_what_was_accepted_is_sent(connected, makeCine, server):
    cine = makeCine(10, name="run 1")
    connected.ui.cineSelector.choose("run 1")
    for frame in (4, 5):
        cine.goTo(frame)
        connected.look()
        connected.press("blankButton")
    cine.goTo(4)
    connected.look()
    connected.press("acceptButton")
    remove(cine, 2)
    connected.look()
    assert [frame for frame, state in enumerate(reading(connected).states.all()) if state == "accepted"] == [3]
    assert connected.widget.leaving.unsent() == 1
    # All parts of the window know how many frames are left.
    assert (connected.ui.frameSlider.maximum, connected.ui.lastSpin.maximum) == (8, 8)
    connected.press("submitButton")
    connected.idle()
    assert [frames for _, frames, _ in server.labels] == [[3]]
    assert reading(connected).states.all()[3:5] == ["sent", "corrected"]


def test_what_is_on_its_way_is_noted_of_its_own_frame(connected, makeCine, server):
    cine = makeCine(10, name="run 1")
    connected.ui.cineSelector.choose("run 1")
    goOn = threading.Event()
    for frame in (4, 5):
        cine.goTo(frame)
        connected.look()
        connected.press("blankButton")
        connected.press("acceptButton")
    reading(connected).states.takeBack([5])
    server.rude = lambda *_: goOn.wait(20) and False
    connected.press("submitButton")
    reading(connected).accept(5)
    remove(cine, 2)
    goOn.set()
    connected.idle()
    assert reading(connected).states.all()[3:5] == ["sent", "accepted"]


def test_undo_of_a_run_gives_measures_and_key_frames_back_to_their_frames(cine, connected):
    connected.press("allButton")
    connected.idle()
    record = reading(connected).record
    before = {cine.indexValue(frame): measure["length_px"] for frame, measure in record.measures.items()}
    keys = [cine.indexValue(key["frame"]) for key in record.keyFrames]
    connected.press("allButton")
    connected.idle()
    remove(cine, 2)
    connected.look()
    connected.press("undoButton")
    after = {cine.indexValue(frame): measure["length_px"] for frame, measure in record.measures.items()}
    assert after == {value: length for value, length in before.items() if value in cine.indexValues()}
    assert [cine.indexValue(key["frame"]) for key in record.keyFrames] == [k for k in keys if k in after]


SAID = "Stopped after 4 of 10 frames: the cine's frames were changed: segment again. What is finished is kept."


def test_a_frame_that_is_removed_during_a_run_ends_it(half, cine, connected):
    wanted = dict(zip(cine.indexValues(), bright(cine.frames()), strict=True))
    remove(cine, 2)
    connected.look()
    assert connected.ui.progressLabel.text.startswith("4 of 10 frames")
    half.set()
    connected.idle()
    assert connected.ui.progressLabel.text == SAID
    assert (reading(connected).running, reading(connected).left) == (False, [])
    for frame in reading(connected).masks.segmentedFrames():
        np.testing.assert_array_equal(reading(connected).masks.maskOf(frame), wanted[cine.indexValue(frame)])
    # The server gets the cine as it is now.
    connected.press("allButton")
    connected.idle()
    np.testing.assert_array_equal(reading(connected).masks.mask(), bright(cine.frames()))


def test_what_a_run_kept_is_told_by_its_number_now(half, cine, connected):
    reading(connected).beginByHand(9)
    half.set()
    connected.idle()
    assert "Kept as you made them: 9." in connected.ui.progressLabel.text
    remove(cine, 0)
    connected.look()
    assert "Kept as you made them: 8." in connected.ui.progressLabel.text


def test_a_frame_that_is_removed_after_a_run_leaves_nothing_to_go_on_with(half, cine, connected, server):
    connected.press("cancelButton")
    half.set()
    connected.idle()
    remove(cine, 2)
    connected.look()
    assert connected.ui.progressLabel.text == "Cancelled after 4 of 10 frames; they are kept."
    assert connected.why("goOnButton") == "No frames are left from the last run."
    cine.goTo(7)
    connected.press("thisFrameButton")
    connected.idle()
    np.testing.assert_array_equal(reading(connected).masks.maskOf(7), bright(cine.frames())[7])
    # It forgot the cine as it was.
    assert [image.array.shape[0] for image in server.sessions.values()] == [9]


def test_a_fault_while_masks_are_placed_ends_the_run(half, cine, connected, monkeypatch):
    monkeypatch.setattr(reading(connected).masks, "setMask", lambda *_: 1 / 0)
    half.set()
    connected.idle()
    assert "stopped by a fault in AngioSeg: ZeroDivisionError" in connected.ui.progressLabel.text
    assert not reading(connected).running
    assert connected.ui.allButton.enabled
