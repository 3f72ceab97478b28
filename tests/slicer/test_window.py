"""The window in real Qt: its own buttons pressed, over a real scene, with a real server on the loopback."""

import numpy as np
import pytest
import slicer
from AngioSegLib.loading import anonymousName
from AngioSegLib.scene import saveScene
from host import reading, says, segmentAll, useProperties
from littleServer import bright, cineImage

useProperties([__name__])


def states(host):
    return reading(host).states.all()


def goTo(host, frame):
    """As the user does, who then looks."""
    reading(host).cine.goTo(frame)
    host.look()


def test_at_first_nothing_can_be_done_and_each_button_says_why(host):
    says(host, "1. Give the address")
    for name in ("thisFrameButton", "allButton", "rangeButton", "acceptButton", "playButton", "exportMasksButton"):
        assert host.why(name) == "Choose a cine first."
    for name in ("loadButton", "sampleButton", "loadFolderButton"):
        assert host.why(name) == "The server reads it: connect first."
    for name in ("nextSampleButton", "trainButton", "modelCombo"):
        assert host.why(name).startswith("Connect")
    assert host.why("cancelButton") == "Nothing is being segmented."


def test_every_button_that_is_disabled_says_why_and_every_other_what_it_does(cine, connected):
    buttons = [name for name in vars(connected.ui) if name.endswith("Button")]
    assert len(buttons) > 25
    for name in buttons:
        button = getattr(connected.ui, name)
        if not button.enabled:
            assert connected.why(name)
        elif button.visible and name != "folderButton":
            assert button.toolTip, name


def test_connecting_shows_what_the_server_offers_and_remembers_the_address(connected, server):
    assert connected.ui.modelCombo.currentText == "angioseg"
    assert connected.ui.strategyCombo.currentText == "first"
    assert connected.ui.serverSection.text == "Server   ● Connected, ready"
    assert connected.ui.serverSection.collapsed
    says(connected, "2. Choose a cine")
    import qt

    assert qt.QSettings().value("AngioSeg/serverAddress") == server.url


def test_a_line_that_others_can_read_is_told(host, server):
    # This very machine, by a name that does not show it.
    host.ui.addressEdit.text = server.url.replace("127.0.0.1", "127.1")
    host.press("connectButton")
    host.idle()
    assert host.ui.serverSection.text == "Server   ● Connected, ready, not encrypted"
    assert "can be read" in host.ui.serverSection.toolTip


def test_a_password_is_sent_and_not_kept(host, server):
    server.token = "secret"
    host.ui.addressEdit.text = server.url
    host.press("connectButton")
    host.idle()
    assert "asks for a token or password, and none is given" in host.ui.serverStateLabel.text
    host.ui.tokenEdit.text = "wrong"
    host.press("connectButton")
    host.idle()
    assert "this one is wrong" in host.ui.serverStateLabel.text
    host.ui.tokenEdit.text = "secret"
    host.press("connectButton")
    host.idle()
    assert host.ui.serverStateLabel.text == "● Connected, ready"
    import qt

    assert "secret" not in " ".join(str(qt.QSettings().value(key)) for key in qt.QSettings().allKeys())


def test_a_cine_that_slicer_loaded_is_chosen_and_shown(cine, connected):
    assert reading(connected).cine.sequence is cine.sequence
    assert connected.manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    assert connected.view.logic.GetSliceCompositeNode().GetBackgroundVolumeID() == cine.proxy.GetID()
    assert connected.ui.cineLabel.text.startswith("10 frames of 9 x 7; 0.6 s, 15.0 frames a second; lengths in pixels")
    assert connected.ui.frameLabel.text == "frame 0 (0 to 9)"
    says(connected, "3. Press Whole cine")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("calibrated", "pixel 0.3 x 0.2 mm (calibrated)"),
        ("imager", "lengths in pixels: the file gives the pixel's size at the detector only"),
        ("unknown", "lengths in pixels: the pixel's size is unknown"),
    ],
)
def test_a_pixel_is_called_mm_only_when_it_is_calibrated(connected, makeCine, source, words):
    makeCine(3, spacing=(0.3, 0.2), pixelSizeSource=source, name="run")
    connected.ui.cineSelector.choose("run")
    assert words in connected.ui.cineLabel.text


def test_a_volume_that_is_no_cine_is_told(connected):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    connected.ui.cineSelector.choose("CT")
    says(connected, "CT is a single image, not a cine")
    assert connected.widget.window.reading is None


def test_what_the_user_sees_is_the_frame_upright_with_its_mask(connected, scene):
    from AngioSegLib.cine import createCine
    from AngioSegLib.pictures import VESSEL

    frames = np.full((2, 64, 64), 60, np.uint8)
    frames[:, :16, :16] = 200  # up and left
    cine = createCine(frames, [0, 60], name="run")
    connected.ui.cineSelector.choose("run")
    cine.proxy.GetDisplayNode().AutoWindowLevelOff()
    cine.proxy.GetDisplayNode().SetWindowLevel(255, 127.5)
    mask = np.zeros((64, 64), np.uint8)
    mask[40:60, 40:60] = 1
    reading(connected).masks.setMask([0], mask[None])
    connected.ui.opacitySlider.value = 100
    seen = connected.view.picture()
    rows, columns, _ = seen.shape
    assert abs(seen[rows // 8, columns // 8].astype(int) - 200).max() <= 2
    assert abs(seen[rows // 8, -columns // 8].astype(int) - 60).max() <= 2
    assert abs(seen[rows * 50 // 64, columns * 50 // 64].astype(int) - VESSEL).max() <= 2
    connected.ui.fillCheck.checked = False
    seen = connected.view.picture()
    assert abs(seen[rows * 50 // 64, columns * 50 // 64].astype(int) - 60).max() <= 2
    assert abs(seen[rows * 50 // 64].astype(int) - VESSEL).max(axis=1).min() <= 2, "the outline stays"
    connected.ui.outlineCheck.checked = False
    assert abs(connected.view.picture()[rows * 50 // 64, columns // 2 :].astype(int) - 60).max() <= 2


def test_the_masks_of_one_cine_are_not_seen_on_another(connected, makeCine):
    for name in ("run 1", "run 2"):
        makeCine(2, size=(16, 16), name=name)
        connected.ui.cineSelector.choose(name)
        alone = connected.view.picture()
        reading(connected).masks.setMask([0], np.ones((1, 16, 16), np.uint8))
        assert (connected.view.picture() != alone).any()
        reading(connected).masks.setMask([0], np.zeros((1, 16, 16), np.uint8))
        np.testing.assert_array_equal(connected.view.picture(), alone)
        reading(connected).masks.setMask([0], np.ones((1, 16, 16), np.uint8))
    reading(connected).masks.setMask([0], np.zeros((1, 16, 16), np.uint8))
    np.testing.assert_array_equal(connected.view.picture(), alone)
    connected.ui.cineSelector.choose("run 1")
    seen = connected.view.picture()
    reading(connected).masks.setMask([0], np.zeros((1, 16, 16), np.uint8))
    assert (connected.view.picture() != seen).any()


def test_the_whole_cine_from_the_frame_on_screen_outwards(cine, connected, server):
    cine.goTo(6)
    connected.press("allButton")
    assert connected.why("allButton") == "Frames are being segmented."
    connected.idle()
    assert [params["frames"] for _, path, params in server.asked if "infer" in path] == [[4, 7], [8, 9], [0, 3], []]
    assert cine.currentFrame == 6
    np.testing.assert_array_equal(reading(connected).masks.mask(), bright(cine.frames()))
    assert set(states(connected)) == {"model"}
    says(connected, "4. Go to a key frame")
    assert connected.ui.progressBar.value == 10


def test_this_frame_and_a_range(cine, connected):
    cine.goTo(5)
    connected.press("thisFrameButton")
    connected.idle()
    connected.ui.firstSpin.value, connected.ui.lastSpin.value = 7, 8
    connected.press("rangeButton")
    connected.idle()
    assert [frame for frame, state in enumerate(states(connected)) if state == "model"] == [5, 7, 8]
    assert sorted(reading(connected).record.measures) == [5, 7, 8]


def test_cancel_keeps_what_is_finished_and_go_on_does_the_rest(connected, half):
    assert "4 of 10 frames, about" in connected.ui.progressLabel.text
    assert connected.why("goOnButton") == "Frames are being segmented."
    connected.press("cancelButton")
    half.set()
    connected.idle()
    assert connected.ui.progressLabel.text.startswith("Cancelled after 4 of 10 frames; they are kept.")
    assert states(connected).count("model") == 4
    says(connected, "Press Go on to segment the 6 frames that are left.")
    connected.press("goOnButton")
    connected.idle()
    assert set(states(connected)) == {"model"}
    assert reading(connected).record.keyFrames


def paint(host, frame, erase=False):
    """Correct a frame, as the user does."""
    goTo(host, frame)
    host.widget.window.correct._editor.paint(slice(0, 3), slice(0, 4), erase)
    assert states(host)[frame] == "corrected"


def test_an_edit_is_in_the_sequence_at_once(cine, connected):
    segmentAll(connected)
    paint(connected, 3)
    assert reading(connected).masks.maskOf(3)[:3, :4].all()
    paint(connected, 4, erase=True)
    assert not reading(connected).masks.maskOf(4)[:3, :4].any()
    connected.until(lambda: connected.ui.frameStateLabel.text == "Frame 4: corrected by you, not accepted.", 5)
    says(connected, "5. Accept this frame")
    for frame in (9, 0, 3, 4):
        cine.goTo(frame)
    assert [frame for frame, state in enumerate(states(connected)) if state == "corrected"] == [3, 4]


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_what_the_user_made_is_not_replaced_unasked(cine, connected, server, answer):
    import qt

    segmentAll(connected)
    paint(connected, 3)
    goTo(connected, 5)
    connected.press("acceptButton")
    before = reading(connected).masks.mask()
    connected.dialogs.foresee("You corrected or accepted 2 of these frames (3, 5)", getattr(qt.QMessageBox, answer))
    connected.press("allButton")
    connected.idle()
    if answer == "No":
        np.testing.assert_array_equal(reading(connected).masks.mask(), before)
        assert states(connected)[3:6] == ["corrected", "model", "accepted"]
    else:
        np.testing.assert_array_equal(reading(connected).masks.mask(), bright(cine.frames()))
        assert states(connected)[3] == "model"


def test_what_is_painted_while_frames_are_segmented_is_kept(cine, connected, server):
    segmentAll(connected)
    _, goOn = server.holdSecondRange()
    connected.press("allButton")
    connected.until(lambda: reading(connected).progress.done == 4)
    paint(connected, 6)
    painted = reading(connected).masks.maskOf(6)
    goOn.set()
    connected.idle()
    np.testing.assert_array_equal(reading(connected).masks.maskOf(6), painted)
    assert connected.ui.progressLabel.text.startswith("10 frames segmented. Kept as you made them: 6.")


def test_undo_gives_back_what_was_there_but_not_over_what_was_painted_since(cine, connected):
    cine.goTo(2)
    connected.press("thisFrameButton")
    connected.idle()
    segmentAll(connected)
    paint(connected, 4)
    connected.press("undoButton")
    says(connected, "Undone in 9 frames. Left as you painted or accepted them: 4.")
    assert states(connected) == ["none", "none", "model", "none", "corrected", *["none"] * 5]
    connected.press("undoButton")
    assert states(connected) == ["none", "none", "none", "none", "corrected", *["none"] * 5]
    assert connected.why("undoButton") == "There is nothing to undo."


def test_a_frame_without_a_mask_is_painted_after_an_empty_one_is_given(cine, connected):
    assert not connected.widget.window.correct._editor.enabled
    connected.press("blankButton")
    assert states(connected)[0] == "corrected"
    paint(connected, 0)
    assert reading(connected).masks.maskOf(0).sum() == 12


def test_a_correction_is_carried_to_the_neighbours(cine, connected):
    segmentAll(connected)
    paint(connected, 5)
    paint(connected, 7)
    goTo(connected, 5)
    connected.ui.reachSpin.value = 2
    connected.press("carryButton")
    says(connected, "Carried to frames 3, 4, 6. Left alone, for they are yours: 7.")
    assert states(connected)[3:8] == ["corrected"] * 5
    connected.press("undoButton")
    assert states(connected)[3:8] == ["model", "model", "corrected", "model", "corrected"]


def test_accepted_frames_are_sent_with_their_list_and_shown_as_sent(cine, connected, server):
    segmentAll(connected)
    for frame in (2, 7):
        goTo(connected, frame)
        connected.press("acceptButton")
    assert connected.ui.unsentLabel.text.startswith("Accepted, not sent: 2, 7. Sent: 0.")
    says(connected, "6. Press Submit to send 2 accepted frames")
    connected.press("submitButton")
    connected.idle()
    (imageId, frames, mask) = server.labels[0]
    assert (imageId, frames) == (anonymousName(cine.frames()), [2, 7])
    assert imageId.startswith("cine-")
    np.testing.assert_array_equal(mask[[2, 7]], bright(cine.frames())[[2, 7]])
    assert not mask[[0, 1, 3, 4, 5, 6, 8, 9]].any()
    np.testing.assert_array_equal(server.cines[imageId].array, cine.frames())
    assert connected.ui.frameStateLabel.text == "Frame 7: accepted and sent."
    assert connected.why("submitButton") == "No accepted frame waits to be sent."
    assert connected.ui.labelledLabel.text == "Labelled frames: 2, in 1 of 1 cines."
    # A change takes both back.
    paint(connected, 7)
    connected.look()
    connected.press("acceptButton")
    connected.until(lambda: "not sent: 7. Sent: 1." in connected.ui.unsentLabel.text, 5)


def test_a_submission_that_fails_loses_nothing(cine, connected, server):
    segmentAll(connected)
    connected.press("acceptButton")
    server.rude = lambda handler, method, path: server.json(handler, 507, {"detail": "the disk is full"}) or True
    connected.press("submitButton")
    connected.idle()
    says(connected, "Not sent, and still here:")
    says(connected, "the disk is full")
    assert reading(connected).states.unsent() == [0]
    server.rude = None
    connected.press("submitButton")
    connected.idle()
    assert states(connected)[0] == "sent"


def test_the_next_sample_is_loaded_at_its_frame_with_the_reason(cine, connected, server):
    server.cines = {"a": cineImage(1), "b": cineImage(2)}
    server.samples = [
        {"id": "a", "frame": 4, "score": 1.0, "why": "It is the first."},
        {"id": "b", "frame": 1, "score": 1.0, "why": "It is another."},
        {"id": "a", "frame": 2, "score": 1.0, "why": "Once more."},
    ]
    connected.press("nextSampleButton")
    connected.idle()
    assert connected.ui.whyLabel.text == "Frame 4 of a: It is the first."
    first = reading(connected).cine
    np.testing.assert_array_equal(first.frames(), server.cines["a"].array)
    assert first.currentFrame == 4
    connected.press("skipButton")
    connected.idle()
    assert connected.ui.whyLabel.text == "Frame 1 of b: It is another."
    connected.key("Shift+N")
    connected.idle()
    # A cine that is here already is not loaded twice.
    assert reading(connected).cine.sequence is first.sequence
    assert first.currentFrame == 2
    connected.press("nextSampleButton")
    connected.idle()
    assert connected.ui.whyLabel.text.startswith("Every frame is labelled, or was given to somebody")
    # What is submitted of it goes under the server's own name.
    connected.press("thisFrameButton")
    connected.idle()
    connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    assert [(name, frames) for name, frames, _ in server.labels] == [("a", [2])]


@pytest.mark.parametrize(("answer", "sent"), [("Yes", [[0]]), ("No", [])])
def test_before_the_next_sample_unsent_work_is_asked_about(cine, connected, server, answer, sent):
    import qt

    server.cines, server.samples = {"a": cineImage(1)}, [{"id": "a", "frame": 4, "score": 1.0, "why": "First."}]
    segmentAll(connected)
    connected.press("acceptButton")
    connected.dialogs.foresee("1 accepted frames of this cine are not sent", getattr(qt.QMessageBox, answer))
    connected.press("nextSampleButton")
    connected.idle()
    assert [frames for _, frames, _ in server.labels] == sent
    assert reading(connected).cine.currentFrame == 4


@pytest.mark.parametrize("deed", ["segment", "next sample"])
def test_a_question_is_about_its_cine_whatever_comes_on_screen_meanwhile(cine, connected, server, makeCine, deed):
    import qt

    other = makeCine(frames=cine.numFrames, size=(11, 12))
    segmentAll(connected)
    connected.press("acceptButton")

    def anotherCine():
        connected.widget.window.choose(other)
        return qt.QMessageBox.Yes

    if deed == "segment":
        connected.dialogs.foresee("You corrected or accepted 1 of these frames", anotherCine)
        connected.press("allButton")
        connected.idle()
        assert reading(connected).masks.segmentedFrames() == []
    else:
        server.cines, server.samples = {"a": cineImage(1)}, [{"id": "a", "frame": 4, "score": 1.0, "why": "First."}]
        connected.dialogs.foresee("1 accepted frames of this cine are not sent", anotherCine)
        connected.press("nextSampleButton")
        connected.idle()
        assert [frames for _, frames, _ in server.labels] == [[0]]


def test_training_is_followed_to_the_new_model(connected, server):
    connected.ui.epochsSpin.value = 3
    connected.press("trainButton")
    connected.until(lambda: connected.ui.trainingLabel.text == "Training is starting ...")
    assert server.training["request"] == {"max_epochs": 3}
    assert connected.why("trainButton") == "A training is running."
    for epoch, dice in ((1, 0.5), (2, 0.75)):
        progress = {"epoch": epoch, "epochs": 3, "val_dice": dice, "seconds_left": 7.4}
        server.training = {**server.training, "progress": progress}
        connected.until(lambda text=f"Epoch {epoch} of 3, about 7 s left": connected.ui.trainingLabel.text == text)
    assert connected.widget.window.train._dice == {1: 0.5, 2: 0.75}
    server.training = {**server.training, "status": "DONE", "result": {"better": True, "dice": 0.8}}
    connected.until(lambda: connected.ui.trainingLabel.text == "A new model is served. Validation Dice 0.800.")
    connected.idle()
    says(connected, "A new model is served: the next frames are segmented by it.")


def test_training_is_stopped(connected, server):
    connected.press("trainButton")
    connected.until(lambda: connected.ui.stopTrainingButton.enabled)
    connected.press("stopTrainingButton")
    connected.until(lambda: connected.ui.trainingLabel.text.startswith("Training ended; no better model"))


def test_the_chart_and_the_keys_go_to_frames(cine, connected):
    import qt
    from PySide6.QtTest import QTest

    segmentAll(connected)
    keys = sorted(key["frame"] for key in reading(connected).record.keyFrames)
    cine.goTo(keys[0])
    connected.turn()
    connected.press("nextKeyButton")
    assert cine.currentFrame == keys[1]
    assert connected.ui.keyFrameLabel.text.startswith("Key frame, rank ")
    connected.press("previousKeyButton")
    assert cine.currentFrame == keys[0]
    connected.key("Shift+K")
    assert cine.currentFrame == keys[1]
    connected.key("Shift+J")
    assert cine.currentFrame == keys[0]
    assert reading(connected).record.clearest() != reading(connected).record.mostComplete()
    connected.press("clearestButton")
    assert cine.currentFrame == reading(connected).record.clearest()
    connected.press("completeButton")
    assert cine.currentFrame == reading(connected).record.mostComplete()
    connected.key("K")
    connected.key("K")
    connected.key("J")
    assert cine.currentFrame == (reading(connected).record.mostComplete() + 1) % 10
    width = connected.ui.chartLabel.width
    QTest.mouseClick(connected.ui.chartLabel, qt.Qt.LeftButton, pos=qt.QPoint(width - 8, 60))
    assert cine.currentFrame == 9
    QTest.mouseClick(connected.ui.chartLabel, qt.Qt.LeftButton, pos=qt.QPoint(1, 60))
    assert cine.currentFrame == 0
    connected.key("Shift+A")
    assert states(connected)[0] == "accepted"


def test_playing_goes_round(cine, connected):
    connected.ui.playButton.click()
    seen = set()
    connected.until(lambda: seen.add(cine.currentFrame) or seen == set(range(10)))
    connected.ui.playButton.click()
    assert connected.ui.playButton.text == "Play"


def test_subtraction_shows_what_the_contrast_changes(connected, scene):
    from AngioSegLib.cine import createCine

    frames = np.full((4, 16, 16), 100, np.uint8)
    frames[2:, 4:8, 4:8] = 30
    cine = createCine(frames, np.arange(4) * 60.0, name="run")
    connected.ui.cineSelector.choose("run")
    connected.ui.subtractionCheck.checked = True
    volume = slicer.mrmlScene.GetNodeByID(connected.view.logic.GetSliceCompositeNode().GetBackgroundVolumeID())
    assert volume is not cine.proxy
    assert not slicer.util.arrayFromVolume(volume).any()
    cine.goTo(3)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume)[0], frames[3].astype(int) - 100)
    # It is a view: nobody chooses it as a cine, and no scene keeps it.
    assert volume.GetName() not in connected.ui.cineSelector.names()
    connected.ui.subtractionCheck.checked = False
    assert connected.view.logic.GetSliceCompositeNode().GetBackgroundVolumeID() == cine.proxy.GetID()
    assert volume.GetScene() is None


def test_biplane_partners_stay_together(connected, makeCine):
    first, second = makeCine(4, name="plane A"), makeCine(4, name="plane B")
    first.browser.AddSynchronizedSequenceNode(second.sequence)
    slicer.mrmlScene.RemoveNode(second.proxy)
    slicer.mrmlScene.RemoveNode(second.browser)
    connected.ui.cineSelector.choose("plane B")
    assert "biplane with plane A" in connected.ui.cineLabel.text
    reading(connected).cine.goTo(2)
    connected.press("thisFrameButton")
    connected.idle()
    assert states(connected) == ["none", "none", "model", "none"]
    assert reading(connected).cine.browser is first.browser
    np.testing.assert_array_equal(reading(connected).masks.maskOf(2), bright(second.frames())[2])
    assert first.currentFrame == 2


def test_a_saved_scene_brings_everything_back(cine, connected, tmp_path):
    segmentAll(connected)
    paint(connected, 3)
    for frame in (3, 5):
        goTo(connected, frame)
        connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    paint(connected, 7)
    connected.ui.firstSpin.value = 2
    connected.ui.opacitySlider.value = 70
    connected.ui.outlineCheck.checked = False
    connected.ui.epochsSpin.value = 7
    cine.goTo(5)
    before = reading(connected)
    kept = (cine.frames(), cine.timesMs(), before.masks.mask(), before.states.all())
    record = (before.record.measures, before.record.keyFrames)
    path = saveScene(slicer.mrmlScene, tmp_path / "saved")
    slicer.mrmlScene.Clear()
    connected.turn()
    assert connected.widget.window.reading is None
    slicer.mrmlScene.SetRootDirectory(str(path.parent))
    slicer.mrmlScene.SetURL(str(path))
    assert slicer.mrmlScene.Connect()
    connected.turn()
    after = reading(connected)
    assert after is not before
    for old, new in zip(kept, (after.cine.frames(), after.cine.timesMs(), after.masks.mask(), after.states.all())):
        np.testing.assert_array_equal(old, new)
    assert (after.record.measures, after.record.keyFrames) == record
    assert after.cine.currentFrame == 5
    assert states(connected)[3:8] == ["sent", "model", "sent", "model", "corrected"]
    ui = connected.ui
    shown = (
        ui.firstSpin.value,
        ui.opacitySlider.value,
        ui.outlineCheck.checked,
        ui.fillCheck.checked,
        ui.epochsSpin.value,
    )
    assert shown == (2, 70, False, True, 7)
    assert ui.cineSelector.currentNode() is after.cine.proxy
    # And work goes on.
    paint(connected, 0)


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_quitting_with_unsent_work_asks(cine, connected, answer):
    import qt

    segmentAll(connected)
    assert connected.main.close()
    connected.main.show()
    connected.press("acceptButton")
    connected.dialogs.foresee("1 accepted frames are not sent", getattr(qt.QMessageBox, answer))
    assert connected.main.close() == (answer == "Yes")


def test_closing_the_scene_with_unsent_work_offers_to_send_it(cine, connected, server):
    import qt

    segmentAll(connected)
    connected.press("acceptButton")
    expected = reading(connected).masks.maskOf(0)
    connected.dialogs.foresee("1 accepted frames are not sent. Send them", qt.QMessageBox.Yes)
    slicer.mrmlScene.Clear()
    connected.idle()
    np.testing.assert_array_equal(server.labels[0][2][0], expected)
    says(connected, "Sent: frames 0.")


def test_keys_are_left_alone_outside_of_the_module(cine, connected):
    connected.widget.exit()
    connected.turn()
    with pytest.raises(AssertionError, match="is no key here"):
        connected.key("K")
    connected.widget.enter()
    connected.key("K")
    assert cine.currentFrame == 1


def test_no_key_is_wanted_by_two(connected):
    import qt
    from host.widgets import EDITOR_KEYS

    keys = [shortcut.key.toString() for shortcut in connected.main.findChildren(qt.QShortcut)]
    assert set(EDITOR_KEYS) < set(keys)
    assert len(set(keys)) == len(keys)


def test_the_model_that_made_the_mask_on_screen_is_named(cine, connected, server, monkeypatch):
    label = connected.ui.frameStateLabel
    segmentAll(connected)
    monkeypatch.setattr(server, "version", "7")
    monkeypatch.setattr("littleServer.bright", lambda frames: 1 - bright(frames))
    goTo(connected, 8)
    connected.press("thisFrameButton")
    connected.idle()
    assert label.text == "Frame 8: the mask of model 7, not accepted."
    goTo(connected, 3)
    assert label.text == "Frame 3: the mask of model 0, not accepted."
    connected.press("undoButton")
    goTo(connected, 8)
    assert label.text == "Frame 8: the mask of model 0, not accepted."
