"""A user's detours that once lost work: segments of the user's own, undo between runs, a video in between."""

import threading

import numpy as np
import pytest
from AngioSegLib.carry import carryCorrection, shiftBetween
from AngioSegLib.errors import CineUnusable
from host import reading, segmentAll, useProperties
from littleServer import bright

useProperties([__name__])


def editorButton(host, name):
    import qt

    return host.widget.window.correct._editor.findChild(qt.QPushButton, name)


UNWANTED = ("AddSegment", "RemoveSegment", "Show3D", "SpecifyGeometry")


@pytest.mark.parametrize("name", [f"{name}Button" for name in UNWANTED])
@pytest.mark.parametrize("editor", ["today's", "older"])
def test_the_editor_offers_no_other_segment_and_no_surface(scene, tmp_path, monkeypatch, request, name, editor):
    if editor == "older":
        from host.widgets import qMRMLSegmentEditorWidget

        for setter in (
            "setAddRemoveSegmentButtonsVisible",
            "setShow3DButtonVisible",
            "setSpecifyGeometryButtonVisible",
        ):
            monkeypatch.delattr(qMRMLSegmentEditorWidget, setter)
    host = request.getfixturevalue("host")
    assert editorButton(host, name).isHidden() == (editor == "today's")


@pytest.mark.parametrize(
    ("before", "isKept"), [(("AddSegmentButton",), True), (("RemoveSegmentButton", "AddSegmentButton"), False)]
)
def test_what_is_painted_in_another_segment_is_the_users_and_counts(cine, connected, server, before, isKept):
    import qt

    segmentAll(connected)
    cine.goTo(3)
    connected.look()
    for name in before:
        editorButton(connected, name).click()
    corrected = bright(cine.frames())[3] if isKept else np.zeros((7, 9), np.uint8)
    np.testing.assert_array_equal(reading(connected).masks.maskOf(3), corrected)
    corrected[:3, :4] = 1
    connected.widget.window.correct._editor.paint(slice(0, 3), slice(0, 4))
    assert reading(connected).states.of(3) == "corrected"
    np.testing.assert_array_equal(reading(connected).masks.maskOf(3), corrected)
    connected.dialogs.foresee("You corrected or accepted 1 of these frames (3)", qt.QMessageBox.No)
    connected.press("allButton")
    connected.idle()
    connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    np.testing.assert_array_equal(server.labels[0][2][3], corrected)


def finish(host, half):
    half.set()
    host.idle()
    assert not reading(host).running


def states(host):
    return "".join(state[0] for state in reading(host).states.all())


def undo(host):
    host.press("undoButton")
    return states(host)


def test_go_on_after_undo_is_an_action_of_its_own(half, cine, connected):
    connected.press("cancelButton")
    assert undo(connected) == "nnnnnnnnnn"
    connected.press("goOnButton")
    finish(connected, half)
    assert states(connected) == "nnnnmmmmmm"
    assert undo(connected) == "nnnnnnnnnn"
    assert connected.why("undoButton") == "There is nothing to undo."


@pytest.mark.parametrize(
    ("frame", "button", "finished", "undone"),
    [(9, "blankButton", "mmmmmmmmmc", "mmmmmmmmmn"), (1, "carryButton", "cccmmmmmmm", "mcmmmmmmmm")],
)
def test_what_the_user_does_during_a_run_is_undone_alone(half, cine, connected, frame, button, finished, undone):
    cine.goTo(frame)
    connected.look()
    if button == "carryButton":
        connected.widget.window.correct._editor.paint(slice(0, 7), slice(0, 9))
        connected.ui.reachSpin.value = 1
        connected.look()
    connected.press(button)
    finish(connected, half)
    assert states(connected) == finished
    assert undo(connected) == undone
    left = "nnnnnnnnnn" if frame == 9 else "ncnnnnnnnn"
    assert undo(connected) == left
    assert connected.why("undoButton") == "There is nothing to undo."


def test_an_action_that_changes_nothing_is_none_to_undo(cine, connected, server):
    for frame in (0, 1):
        cine.goTo(frame)
        connected.look()
        connected.press("blankButton")
    cine.goTo(0)
    connected.ui.reachSpin.value = 1
    connected.look()
    connected.press("carryButton")
    assert "Carried to frames none." in connected.ui.nextStepLabel.text
    server.rude = lambda *_: True  # hangs up
    cine.goTo(5)
    connected.look()
    connected.press("thisFrameButton")
    connected.idle()
    assert reading(connected).history.last == "empty mask"


def test_carrying_after_an_undo_carries_the_correction_of_the_mask_that_came_back(cine, connected, monkeypatch):
    segmentAll(connected)
    first = reading(connected).masks.mask()
    # Another model.
    monkeypatch.setattr("littleServer.bright", lambda frames: 1 - bright(frames))
    segmentAll(connected)
    assert (reading(connected).masks.mask() != first).all()
    assert undo(connected) == "mmmmmmmmmm"
    cine.goTo(5)
    connected.look()
    connected.widget.window.correct._editor.paint(slice(0, 3), slice(0, 4))
    connected.ui.reachSpin.value = 1
    connected.look()
    connected.press("carryButton")
    corrected = reading(connected).masks.maskOf(5)
    for neighbour in (4, 6):
        shift = shiftBetween(cine.frame(5), cine.frame(neighbour), corrected)
        expected = carryCorrection(corrected, first[5], first[neighbour], shift)
        np.testing.assert_array_equal(reading(connected).masks.maskOf(neighbour), expected)


def video(host, folder):
    host.ui.folderEdit.text = str(folder)
    host.press("exportVideoButton")


def test_a_video_after_a_new_connection_leaves_go_on_what_it_needs(half, cine, connected, server, tmp_path):
    server.rude = lambda *_: True  # hangs up
    finish(connected, half)
    server.rude = None
    server.sessions.clear()
    connected.press("connectButton")
    connected.idle()
    for _ in range(2):
        video(connected, tmp_path)
        connected.idle()
        assert (tmp_path / f"{connected.ui.nameEdit.text}.mp4").read_bytes() == b"a video"
    # The server has the cine from before, and once more for the videos.
    assert len(server.uploads) == 2
    connected.press("goOnButton")
    connected.idle()
    assert states(connected) == "mmmmmmmmmm"
    np.testing.assert_array_equal(reading(connected).masks.mask(), bright(cine.frames()))


def test_a_video_with_a_new_connection_during_a_run_leaves_cancel_to_it(half, cine, connected, server, tmp_path):
    before, hold = connected.widget.window.connection.client, threading.Event()
    # The new connection comes after the second range of frames, and before the third.
    server.rude = lambda handler, method, path: path.startswith("/infer") and hold.wait(20) and False
    connected.press("connectButton")
    half.set()
    connected.until(lambda: connected.widget.window.connection.client is not before)
    connected.look()
    video(connected, tmp_path)
    assert reading(connected).running
    connected.press("cancelButton")
    hold.set()
    connected.idle()
    assert (reading(connected).running, reading(connected).progress.cancelled) == (False, True)
    assert (tmp_path / f"{connected.ui.nameEdit.text}.mp4").exists()


def test_a_run_that_cannot_begin_on_another_server_leaves_go_on_what_it_needs(half, cine, connected, monkeypatch):
    connected.press("cancelButton")
    finish(connected, half)
    connected.press("connectButton")
    connected.idle()
    left = reading(connected).left
    with monkeypatch.context() as patch:
        patch.setattr(reading(connected).cine, "stamp", lambda: (_ for _ in ()).throw(CineUnusable("no pixels")))
        connected.press("goOnButton")
    assert "no pixels" in connected.ui.nextStepLabel.text
    assert reading(connected).left == left
    connected.press("goOnButton")
    connected.idle()
    assert states(connected) == "mmmmmmmmmm"


def test_undo_leaves_what_is_accepted(cine, connected):
    connected.press("allButton")
    connected.idle()
    cine.goTo(4)
    connected.press("acceptButton")
    connected.press("undoButton")
    assert states(connected)[3:6] == "nan"
    assert "Left as you painted or accepted them: 4." in connected.ui.nextStepLabel.text


@pytest.mark.parametrize("accepts", [True, False])
def test_what_is_accepted_after_a_leave_to_replace_it_is_kept(cine, connected, server, accepts):
    import qt

    run = reading(connected)
    run.beginByHand(9)
    held, goOn = server.holdSecondRange()
    connected.dialogs.foresee("You corrected or accepted 1 of these frames (9)", qt.QMessageBox.Yes)
    connected.press("allButton")
    connected.until(held.is_set)
    if accepts:
        run.accept(9)
    goOn.set()
    connected.idle()
    assert (run.states.of(9), run.kept) == (("accepted", [9]) if accepts else ("model", []))
