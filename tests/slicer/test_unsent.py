"""Accepted frames that are not sent yet: nothing that the user does loses them, and they go where they belong."""

import threading

import numpy as np
import pytest
import slicer
from AngioSegLib.errors import CineUnusable
from host import reading, says, useProperties
from littleServer import cineImage

useProperties([__name__])


def acceptFirst(host, cine):
    """Segment and accept a cine's first frame; its mask."""
    host.widget.window.choose(cine)
    cine.goTo(0)
    host.press("thisFrameButton")
    host.idle()
    host.press("acceptButton")
    return reading(host).masks.maskOf(0)


@pytest.fixture
def accepted(cine, connected):
    """The mask of the one accepted frame of the cine on screen."""
    return acceptFirst(connected, cine)


def closeScene(host, words, answer="Yes"):
    import qt

    host.dialogs.foresee(words, getattr(qt.QMessageBox, answer))
    slicer.mrmlScene.Clear()


@pytest.mark.parametrize("brokenFrame", [0, 2])
@pytest.mark.parametrize("isReady", [True, False])
def test_a_cine_that_cannot_be_sent_costs_no_other_its_frames(
    accepted, cine, connected, makeCine, server, isReady, brokenFrame
):
    broken, last = makeCine(4, name="run 2"), makeCine(5, name="run 3")
    for other in (broken, last):
        acceptFirst(connected, other)
    broken.frameNode(brokenFrame).SetAndObserveImageData(None)
    if not isReady:
        server.rude = lambda *_: True  # hangs up
        connected.press("connectButton")
        connected.idle()
    closeScene(connected, "3 accepted frames are not sent")
    says(connected, f"run 2: frame {brokenFrame} is not one image")
    assert reading(connected) is None
    if not isReady:
        server.rude = None
        connected.press("connectButton")
        connected.idle()
        connected.press("submitButton")
    connected.idle()
    assert [mask.shape[0] for _, _, mask in server.labels] == [10, 5]


@pytest.mark.parametrize(("answer", "sent"), [("Yes", [0, 1]), ("No", [1, 0])])
def test_kept_frames_go_to_another_server_only_when_the_user_says_so(
    accepted, connected, server, makeServer, answer, sent
):
    import qt

    server.rude = lambda *_: True  # hangs up
    closeScene(connected, "1 accepted frames are not sent")
    connected.idle()
    server.rude, other = None, makeServer()
    connected.connect(other.url)
    connected.dialogs.foresee(
        f"1 accepted frames of cines that were closed were meant for {server.url}. Send them to {other.url} instead?",
        getattr(qt.QMessageBox, answer),
    )
    connected.press("submitButton")
    connected.idle()
    if answer == "No":
        connected.connect(server.url)
        connected.press("submitButton")
        connected.idle()
    assert [len(server.labels), len(other.labels)] == sent
    assert connected.why("submitButton") == "Choose a cine first."


def test_a_server_that_was_lost_before_its_frames_were_kept_is_still_the_one_they_are_for(
    accepted, connected, server, makeServer
):
    import qt

    server.rude = lambda *_: True  # hangs up
    connected.press("connectButton")
    connected.idle()
    closeScene(connected, "Keep them, to be sent when one is?")
    other = makeServer()
    connected.connect(other.url)
    connected.dialogs.foresee(f"were meant for {server.url}", qt.QMessageBox.No)
    connected.press("submitButton")
    assert not other.labels
    assert "not sent: 1 frames" in connected.ui.unsentLabel.text


@pytest.mark.parametrize("what", ["cine", "masks", "browser"])
@pytest.mark.parametrize("onScreen", [True, False])
def test_accepted_frames_outlive_their_cine(accepted, cine, connected, makeCine, server, what, onScreen):
    gone = reading(connected)
    if not onScreen:
        makeCine(4, name="run 2")
        connected.ui.cineSelector.choose("run 2")
    slicer.mrmlScene.RemoveNode({"cine": cine.sequence, "masks": gone.masks.sequence, "browser": cine.browser}[what])
    connected.look()
    says(connected, "run 1 was removed from the scene. Its 1 accepted frames go with the next Submit.")
    assert (reading(connected) is None) == onScreen
    connected.press("submitButton")
    connected.idle()
    (_, frames, mask) = server.labels[0]
    assert frames == [0]
    np.testing.assert_array_equal(mask[0], accepted)
    assert len(server.labels) == 1


def test_what_is_taken_back_while_it_is_on_its_way_stays_taken_back(accepted, connected, server):
    goOn = threading.Event()
    server.rude = lambda *_: goOn.wait(20) and False
    connected.press("submitButton")
    connected.press("takeBackButton")
    goOn.set()
    connected.idle()
    assert reading(connected).states.of(0) == "model"


def test_frames_on_their_way_when_the_scene_is_closed_are_sent_once(accepted, connected, server):
    goOn = threading.Event()
    server.rude = lambda *_: goOn.wait(20) and False
    connected.press("submitButton")
    closeScene(connected, "1 accepted frames are not sent")
    goOn.set()
    connected.idle()
    assert len(server.labels) == 1


def test_the_next_sample_is_asked_for_after_frames_that_are_on_their_way(accepted, connected, server):
    import qt

    server.cines, server.samples = {"a": cineImage(1)}, [{"id": "a", "frame": 4, "score": 1.0, "why": "First."}]
    goOn = threading.Event()
    server.rude = lambda *_: goOn.wait(20) and False
    connected.press("submitButton")
    connected.dialogs.foresee("Send them first?", qt.QMessageBox.Yes)
    connected.press("nextSampleButton")
    goOn.set()
    connected.idle()
    assert len(server.labels) == 1
    assert reading(connected).cine.currentFrame == 4


def test_another_cine_under_a_known_id_of_the_same_server_is_shown(connected, server):
    server.cines = {"run1": cineImage(1)}
    sample = {"id": "run1", "frame": 0, "score": 1.0, "why": "First."}
    for seed in (1, 2, 2):
        server.cines["run1"], server.samples = cineImage(seed), [sample]  # its folder is another by now
        connected.press("nextSampleButton")
        connected.idle()
        np.testing.assert_array_equal(reading(connected).cine.frames(), server.cines["run1"].array)
    assert len(connected.ui.cineSelector.names()) == 2


def test_what_is_not_sent_of_other_cines_is_seen(accepted, cine, connected, makeCine):
    makeCine(4, name="run 2")
    connected.ui.cineSelector.choose("run 2")
    connected.look()
    assert connected.ui.unsentLabel.text.endswith("In other cines, not sent: 1 frames.")
    connected.widget.window.chooseNode(None)
    assert connected.ui.unsentLabel.text == "In other cines, not sent: 1 frames."
    connected.widget.window.choose(cine)
    connected.press("submitButton")
    connected.idle()
    connected.ui.cineSelector.choose("run 2")
    assert "In other cines" not in connected.ui.unsentLabel.text


@pytest.mark.parametrize("status", [400, 403, 507])
def test_only_another_cine_of_that_name_makes_a_second_try(connected, server, status):
    server.cines = {"run1": cineImage(1)}
    server.samples = [{"id": "run1", "frame": 0, "score": 1.0, "why": "First."}]
    connected.press("nextSampleButton")
    connected.idle()
    connected.press("thisFrameButton")
    connected.idle()
    connected.press("acceptButton")
    server.asked.clear()
    server.rude = lambda handler, method, path: (
        server.json(handler, status, {"detail": "No."}) or True if path == "/datastore/" else None
    )
    connected.press("submitButton")
    connected.idle()
    assert [path for method, path, _ in server.asked if method == "PUT"] == ["/datastore/"]
    says(connected, "Not sent, and still here")


def test_the_editor_follows_when_only_what_is_on_screen_of_the_masks_is_deleted(accepted, cine, connected):
    masks = reading(connected).masks
    slicer.mrmlScene.RemoveNode(masks.proxy)
    connected.look()
    cine.goTo(0)
    connected.look()
    assert masks.proxy is not None
    editor = connected.widget.window.correct._editor
    assert editor.segmentationNode() is masks.proxy
    editor.paint(slice(0, 7), slice(0, 9))
    assert masks.maskOf(0).all()


def test_a_file_is_read_by_the_worker_and_remembered_when_it_came(connected, monkeypatch, tmp_path):
    readers = []

    def read(path):
        readers.append(threading.current_thread())
        raise CineUnusable("it is a test")

    monkeypatch.setattr("AngioSegLib.panels.cinePanel.fileToDecode", read)
    connected.widget.window.cine.load(str(tmp_path))
    connected.idle()
    assert readers[0] is not threading.main_thread()
    says(connected, "it is a test")
    assert connected.ui.recentCombo.count == 1


def test_masks_that_were_deleted_before_there_was_one_come_back_with_the_first(connected, makeCine):
    cine = makeCine(3, name="run 9")
    connected.ui.cineSelector.choose("run 9")
    masks = reading(connected).masks
    slicer.mrmlScene.RemoveNode(masks.proxy)
    connected.look()
    assert reading(connected).masks is masks
    connected.press("thisFrameButton")
    connected.idle()
    assert masks.maskOf(cine.currentFrame).any()
    assert connected.widget.window.correct._editor.segmentationNode() is masks.proxy is not None


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_what_fails_on_its_way_is_sent_before_what_was_accepted_after_it(accepted, cine, connected, server, failures):
    held, goOn = threading.Event(), threading.Event()

    def rude(handler, method, path):
        if method == "PUT":
            held.set()
            goOn.wait(10)
            return True  # hangs up
        return None

    server.rude = rude
    connected.press("submitButton")
    connected.until(held.is_set)
    window = connected.widget.window
    window.correct._editor.paint(slice(0, 7), slice(0, 9))
    connected.look()
    connected.press("acceptButton")
    slicer.mrmlScene.RemoveNode(cine.sequence)
    connected.look()
    goOn.set()
    connected.idle()
    says(connected, "kept until Slicer is closed")
    for failure in range(failures):
        server.rude = None
        connected.press("connectButton")
        connected.idle()
        server.rude = rude if failure < failures - 1 else None
        connected.press("submitButton")
        connected.idle()
    masks = [mask[0] for _, _, mask in server.labels]
    assert len(masks) == 2
    np.testing.assert_array_equal(masks[0], accepted)
    assert masks[1].all()


def test_a_cine_that_is_deleted_while_it_is_asked_about_does_not_keep_the_next_sample_away(
    accepted, cine, connected, server
):
    import qt

    server.cines, server.samples = {"a": cineImage(1)}, [{"id": "a", "frame": 4, "score": 1.0, "why": "First."}]

    def deleted():
        slicer.mrmlScene.RemoveNode(cine.sequence)
        connected.look()
        return qt.QMessageBox.Yes

    connected.dialogs.foresee("Send them first?", deleted)
    connected.press("nextSampleButton")
    connected.idle()
    assert len(server.labels) == 1
    assert connected.ui.whyLabel.text == "Frame 4 of a: First."
