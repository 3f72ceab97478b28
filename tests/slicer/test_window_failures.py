"""What goes wrong, what the user then sees in the window, and that nothing is lost."""

import os
import threading

import numpy as np
import pytest
import slicer
from AngioSegLib.client import Client
from AngioSegLib.loading import anonymousName
from host import reading, says, useProperties
from littleServer import INFO, bright, cineImage

useProperties([__name__])


def test_an_absent_server(host, freeUrl):
    host.ui.addressEdit.text = freeUrl
    host.press("connectButton")
    host.idle()
    assert f"✕ Not reached: nobody answers at {freeUrl}" in host.ui.serverStateLabel.text
    says(host, "press Connect")


@pytest.mark.parametrize("address", ["", "somewhere", "ftp://host"])
def test_an_address_that_is_none(host, address):
    host.ui.addressEdit.text = address
    host.press("connectButton")
    assert "is no server address; write it like http://127.0.0.1:8000" in host.ui.serverStateLabel.text


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({**INFO, "version": "0.2.0"}, "is AngioSeg 0.2.0; this module speaks 0.1: update one of them"),
        ({**INFO, "version": "9.0"}, "is AngioSeg 9.0"),
        ({**INFO, "models": {"spleen": {}}}, "is a server without the model 'angioseg'"),
        ({**INFO, "strategies": ["first"]}, "lists what it offers in a form not agreed; is it another version?"),
        ([], "is no AngioSeg server"),
    ],
)
def test_another_version_and_another_program(host, server, info, words):
    server.rude = lambda handler, method, path: server.json(handler, 200, info) or True
    host.ui.addressEdit.text = server.url
    host.press("connectButton")
    host.idle()
    assert words in host.ui.serverStateLabel.text
    assert host.why("sampleButton").endswith("connect first.")


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_whose_server_does_not_answer(cine, connected, server, status):
    server.rude = lambda handler, *_: server.answer(handler, status, b"<html>", "text/html") or True
    connected.press("thisFrameButton")
    connected.idle()
    assert connected.ui.serverStateLabel.text.startswith("✕ Not reached")
    assert f"does not answer now ({status}: " in connected.ui.serverStateLabel.text


def test_a_server_that_dies_in_the_middle_and_comes_back(half, cine, connected, server):
    server.rude = lambda *_: True  # hangs up
    half.set()
    connected.idle()
    # The range that was under way came back; the next one did not.
    assert "Stopped after 8 of 10 frames: nobody answers" in connected.ui.progressLabel.text
    assert "What is finished is kept; press Go on." in connected.ui.progressLabel.text
    assert connected.ui.serverStateLabel.text.startswith("✕ Not reached")
    assert connected.why("goOnButton") == "Connect to a server first."
    assert reading(connected).masks.segmentedFrames() == list(range(8))
    # It has forgotten the cine when it is there again.
    server.rude = None
    server.sessions.clear()
    connected.press("connectButton")
    connected.idle()
    says(connected, "Press Go on to segment the 2 frames that are left.")
    connected.press("goOnButton")
    connected.idle()
    np.testing.assert_array_equal(reading(connected).masks.mask(), bright(cine.frames()))
    assert len(reading(connected).record.measures) == 10


def test_a_server_that_answers_late(cine, connected, server):
    connected.widget.window.connection.client._line._timeout = (5, 0.2)
    goOn = threading.Event()
    server.rude = lambda *_: goOn.wait(10) or True
    connected.press("allButton")
    connected.idle()
    goOn.set()
    assert "Stopped after 0 of 10 frames" in connected.ui.progressLabel.text
    assert "said nothing for 0.2 s; is it busy?" in connected.ui.progressLabel.text
    says(connected, "Nothing is lost")


def test_an_answer_after_cancel_changes_nothing(half, cine, connected):
    connected.press("cancelButton")
    half.set()
    connected.idle()
    assert reading(connected).masks.segmentedFrames() == [0, 1, 2, 3]


def test_a_password_that_is_changed_meanwhile(half, cine, connected, server):
    server.token = "new"
    half.set()
    connected.idle()
    assert "asks for a token or password" in connected.ui.progressLabel.text
    assert reading(connected).masks.segmentedFrames() == [0, 1, 2, 3]
    connected.ui.tokenEdit.text = "new"
    connected.press("connectButton")
    connected.idle()
    connected.press("goOnButton")
    connected.idle()
    assert reading(connected).masks.segmentedFrames() == list(range(10))


@pytest.mark.parametrize("what", ["proxy", "masks", "sequence", "browser"])
def test_a_node_is_deleted_while_frames_are_segmented(half, cine, connected, what):
    nodes = {"masks": reading(connected).masks.sequence}
    slicer.mrmlScene.RemoveNode(nodes.get(what) or getattr(cine, what))
    half.set()
    connected.idle()
    if what == "proxy":
        # A proxy is only what is on screen: the cine and its masks are there, and can be chosen again.
        assert cine.sequence.GetScene() is not None
    else:
        assert reading(connected) is None
        says(connected, "2. Choose a cine")
        says(connected, "was removed from the scene.")
    # Work goes on with another one.
    connected.press("sampleButton")
    connected.idle()
    connected.press("allButton")
    connected.idle()
    assert reading(connected).masks.segmentedFrames() == list(range(6))


def test_the_scene_is_closed_while_frames_are_segmented(half, cine, connected):
    slicer.mrmlScene.Clear()
    half.set()
    connected.idle()
    assert reading(connected) is None
    says(connected, "2. Choose a cine")
    connected.press("sampleButton")
    connected.idle()
    assert reading(connected).cine.numFrames == 6


@pytest.mark.parametrize("asked", ["sampleButton", "nextSampleButton", "trainButton", "exportVideoButton"])
def test_the_scene_is_closed_while_something_else_is_asked(cine, connected, server, asked, tmp_path):
    connected.press("thisFrameButton")
    connected.idle()
    connected.ui.folderEdit.text = str(tmp_path)
    server.cines, server.samples = {"a": cineImage(1)}, [{"id": "a", "frame": 4, "score": 1.0, "why": "First."}]
    goOn = threading.Event()
    server.rude = lambda *_: goOn.wait(10) and False
    connected.press(asked)
    slicer.mrmlScene.Clear()
    goOn.set()
    connected.idle()
    # A cine that was asked for comes into the scene that is open now.
    assert (reading(connected) is not None) == ("ample" in asked)


def test_two_cines_and_switching_between_them(half, cine, connected, makeCine, server):
    other = makeCine(5, size=(8, 8), name="run 2")
    connected.ui.cineSelector.choose("run 2")
    connected.look()
    says(connected, "run 1 is being segmented, 4 of 10; go on looking at this one.")
    assert connected.why("allButton") == "Frames are being segmented."
    assert connected.ui.progressLabel.text == ""
    half.set()
    connected.idle()
    # What was asked for the first cine went to the first cine.
    assert reading(connected).masks.segmentedFrames() == []
    connected.press("allButton")
    connected.idle()
    np.testing.assert_array_equal(reading(connected).masks.mask(), bright(other.frames()))
    connected.ui.cineSelector.choose("run 1")
    np.testing.assert_array_equal(reading(connected).masks.mask(), bright(cine.frames()))
    assert connected.ui.progressLabel.text.startswith("10 frames segmented.")


def test_another_server_is_chosen_while_frames_are_segmented(half, cine, connected, freeUrl):
    connected.ui.addressEdit.text = freeUrl
    connected.press("connectButton")
    half.set()
    connected.idle()
    # The run had its server; the new address has none.
    assert connected.ui.serverStateLabel.text.startswith("✕ Not reached")
    assert set(reading(connected).masks.segmentedFrames()) >= {0, 1, 2, 3}


def test_a_full_disk(cine, connected, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    connected.press("allButton")
    connected.idle()
    connected.ui.folderEdit.text = str(tmp_path / "out")
    monkeypatch.setattr(os, "replace", full)
    for name in (
        "exportMasksButton",
        "exportTableButton",
        "exportPictureButton",
        "exportDicomButton",
        "exportVideoButton",
    ):
        connected.press(name)
        connected.idle()
        says(connected, "No space left on device")
    assert list((tmp_path / "out").iterdir()) == []
    assert connected.ui.exportLabel.text == ""


def test_a_folder_that_cannot_be_written(cine, connected, tmp_path):
    (tmp_path / "file").write_text("in the way")
    connected.press("thisFrameButton")
    connected.idle()
    connected.ui.folderEdit.text = str(tmp_path / "file")
    for name in ("exportTableButton", "exportSceneButton"):
        connected.press(name)
        connected.idle()
        says(connected, "cannot be written to")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_file_that_is_gone_and_one_that_is_no_cine(connected, tmp_path):
    connected.dialogs.foresee("Load a cine", str(tmp_path / "gone.dcm"))
    connected.press("loadButton")
    connected.idle()
    says(connected, "gone.dcm cannot be read: No such file")
    (tmp_path / "letter.txt").write_text("Dear colleague")
    connected.dialogs.foresee("Load a cine", str(tmp_path / "letter.txt"))
    connected.press("loadButton")
    connected.idle()
    says(connected, "cine.txt is not a cine.")


@pytest.mark.parametrize(
    "sample",
    [
        {"id": "a", "frame": 99, "score": 1.0, "why": "Beyond."},
        {"id": "a", "frame": "x", "score": 1.0, "why": "No number."},
        {"id": "gone", "frame": 0, "score": 1.0, "why": "Nowhere."},
    ],
)
def test_a_sample_that_cannot_be_shown(cine, connected, server, sample):
    server.cines, server.samples = {"a": cineImage(1)}, [sample]
    server.rude = lambda handler, method, path: (
        server.json(handler, 404, {"detail": "There is no image 'gone'."}) or True
        if path == "/angioseg/cine" and sample["id"] == "gone"
        else None
    )
    connected.press("nextSampleButton")
    connected.idle()
    assert "\n" in connected.ui.nextStepLabel.text, "it says something"
    assert connected.ui.nextSampleButton.enabled


def test_a_training_that_is_refused(connected, server):
    server.rude = lambda handler, method, path: (
        server.json(handler, 400, {"detail": "Training needs labelled frames."}) or True
        if path.startswith("/train")
        else None
    )
    connected.press("trainButton")
    connected.idle()
    says(connected, "Training needs labelled frames.")
    assert connected.ui.trainButton.enabled


def test_the_program_is_closed_while_frames_are_segmented(half, connected):
    connected.widget.cleanup()
    connected.widget = None
    half.set()


def test_a_fault_in_the_module_is_shown_with_its_place(cine, connected, monkeypatch):
    monkeypatch.setattr(Client, "infer", lambda *_args, **_options: 1 / 0)
    connected.press("allButton")
    connected.idle()
    assert "stopped by a fault in AngioSeg: ZeroDivisionError" in connected.ui.progressLabel.text


@pytest.fixture
def accepted(cine, connected):
    """The window with one accepted frame: (its mask, the name that its cine gets)."""
    connected.press("thisFrameButton")
    connected.idle()
    connected.press("acceptButton")
    return reading(connected).masks.maskOf(0), anonymousName(cine.frames())


@pytest.mark.parametrize("connectedThen", [True, False])
def test_accepted_frames_outlive_their_scene_when_no_server_takes_them(accepted, connected, server, connectedThen):
    import qt

    mask, name = accepted
    server.rude = lambda *_: True  # hangs up
    if not connectedThen:
        connected.press("connectButton")
        connected.idle()
        assert connected.ui.serverStateLabel.text.startswith("✕ Not reached")
    words = ". Send them before" if connectedThen else ", and no server is connected. Keep them"
    connected.dialogs.foresee(f"1 accepted frames are not sent{words}", qt.QMessageBox.Yes)
    slicer.mrmlScene.Clear()
    connected.idle()
    assert "Of cines that were closed, not sent: 1 frames." in connected.ui.unsentLabel.text
    # Slicer is not left with them unasked.
    connected.dialogs.foresee("1 accepted frames of cines that were closed are not sent", qt.QMessageBox.No)
    assert not connected.main.close()
    server.rude = None
    connected.press("connectButton")
    connected.idle()
    connected.press("submitButton")
    connected.idle()
    (imageId, frames, sent) = server.labels[0]
    assert (imageId, frames) == (name, [0])
    np.testing.assert_array_equal(sent[0], mask)
    assert connected.ui.unsentLabel.text == ""
    assert connected.main.close()


def test_slicer_is_not_closed_unasked_while_frames_are_on_their_way(accepted, connected, server):
    import qt

    goOn = threading.Event()
    server.rude = lambda *_: goOn.wait(20) and False
    connected.dialogs.foresee("1 accepted frames are not sent. Send them before", qt.QMessageBox.Yes)
    slicer.mrmlScene.Clear()
    connected.dialogs.foresee("1 accepted frames of cines that were closed are not sent", qt.QMessageBox.No)
    assert not connected.main.close()
    goOn.set()
    connected.idle()
    assert connected.main.close()


def test_a_cine_that_is_removed_takes_no_other_with_it(accepted, connected, makeCine):
    other = makeCine(4, name="run 2")
    connected.ui.cineSelector.choose("run 2")
    for node in (other.browser, other.sequence, other.proxy):
        slicer.mrmlScene.RemoveNode(node)
    connected.turn()
    assert connected.widget.leaving.unsent() == 1


def test_an_id_of_one_server_is_not_believed_on_another(connected, server, makeServer):
    server.cines = {"run1": cineImage(1)}
    server.samples = [{"id": "run1", "frame": 0, "score": 1.0, "why": "First."}]
    connected.press("nextSampleButton")
    connected.idle()
    first = reading(connected).cine
    other = makeServer()
    other.cines = {"run1": cineImage(2)}
    other.samples = [{"id": "run1", "frame": 0, "score": 1.0, "why": "Also called so."}]
    connected.ui.addressEdit.text = other.url
    connected.press("connectButton")
    connected.idle()
    connected.press("nextSampleButton")
    connected.idle()
    np.testing.assert_array_equal(reading(connected).cine.frames(), other.cines["run1"].array)
    # What is made of the first goes there under a name of its own.
    connected.widget.window.choose(first)
    connected.press("thisFrameButton")
    connected.idle()
    connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    imageId = other.labels[0][0]
    assert imageId.startswith("cine-")
    np.testing.assert_array_equal(other.cines[imageId].array, first.frames())


def test_another_cine_under_a_known_id_does_not_get_its_label(connected, server):
    server.cines = {"run1": cineImage(1)}
    server.samples = [{"id": "run1", "frame": 0, "score": 1.0, "why": "First."}]
    connected.press("nextSampleButton")
    connected.idle()
    cine = reading(connected).cine
    server.cines = {"run1": cineImage(2)}  # its folder is another now
    connected.press("thisFrameButton")
    connected.idle()
    connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    assert server.labels[0][0].startswith("cine-")
    np.testing.assert_array_equal(server.cines[server.labels[0][0]].array, cine.frames())
