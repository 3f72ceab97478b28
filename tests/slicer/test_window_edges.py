"""What a scene may hold beside one cine with its browser, and what a user may do beside the usual."""

import numpy as np
import pytest
import slicer
from angioseg.cine import CINE_SUFFIXES
from AngioSegLib.cine import createCine
from host import reading, says, segmentAll, useProperties
from littleServer import bright

useProperties([__name__])


@pytest.mark.parametrize(("countA", "timeA"), [(12, 66.7), (8, 66.6), (12, 50.0)])
def test_all_frames_of_a_biplane_partner_are_reached_with_their_masks(connected, makeCine, countA, timeA):
    first, second = makeCine(countA, frameTime=timeA, name="plane A"), makeCine(12, frameTime=66.6, name="plane B")
    first.browser.AddSynchronizedSequenceNode(second.sequence)
    slicer.mrmlScene.RemoveNode(second.proxy)
    slicer.mrmlScene.RemoveNode(second.browser)
    connected.ui.cineSelector.choose("plane B")
    segmentAll(connected)
    masks = bright(second.frames())
    for frame in range(12):
        reading(connected).cine.goTo(frame)
        connected.look()
        assert reading(connected).cine.currentFrame == frame
        assert reading(connected).masks.proxy.GetSegmentation().GetNumberOfSegments() == 1
        np.testing.assert_array_equal(reading(connected).masks.maskOf(frame), masks[frame])


def test_a_sequence_of_volumes_is_told_and_left_alone(connected, makeCine, scene):
    ct = makeCine(3, name="CT")
    for frame in range(3):
        ct.frameNode(frame).GetImageData().SetDimensions(7, 3, 3)
    connected.ui.cineSelector.choose("CT")
    says(connected, "CT is not a sequence of single images")
    assert connected.widget.window.reading is None
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_masks_stay_with_their_cine_when_its_browser_is_replaced(cine, connected, scene):
    segmentAll(connected)
    before = reading(connected).masks.mask()
    slicer.mrmlScene.RemoveNode(cine.browser)
    connected.turn()
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "another")
    browser.AddSynchronizedSequenceNode(cine.sequence)
    connected.widget.window.chooseNode(browser)
    assert reading(connected).cine.browser is browser
    assert reading(connected).masks.segmentedFrames() == list(range(10))
    np.testing.assert_array_equal(reading(connected).masks.mask(), before)


def test_the_browser_that_is_chosen_is_the_one_worked_in(cine, connected, scene):
    segmentAll(connected)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "another")
    browser.AddSynchronizedSequenceNode(cine.sequence)
    connected.widget.window.chooseNode(browser)
    reading(connected).cine.goTo(4)
    connected.look()
    assert (reading(connected).cine.browser, browser.GetSelectedItemNumber()) == (browser, 4)
    assert connected.ui.frameLabel.text == "frame 4 (0 to 9)"
    assert reading(connected).masks.proxy.GetSegmentation().GetNumberOfSegments() == 1


def test_no_brush_paints_while_slicers_own_toolbar_plays(cine, connected):
    segmentAll(connected)
    for plays in (True, False):
        cine.browser.SetPlaybackActive(plays)
        connected.look()
        assert connected.widget.window.correct._editor.readOnly == plays


def test_what_plays_stops_when_the_module_is_left(cine, connected):
    connected.ui.playButton.click()
    assert connected.ui.playButton.text == "Pause"
    connected.widget.exit()
    assert (connected.ui.playButton.text, connected.ui.playButton.checked) == ("Play", False)
    connected.widget.enter()


def test_what_is_noted_of_frames_that_were_removed_is_not_shown(cine, connected):
    segmentAll(connected)
    record = reading(connected).record
    record.setKeyFrames([{"frame": 9, "score": 1, "why": "x"}, {"frame": 2, "score": 0.5, "why": "y"}])
    cine.sequence.RemoveDataNodeAtValue(cine.indexValue(9))
    connected.look()
    assert sorted(record.measures) == list(range(9))
    assert record.mostComplete() == 2
    assert connected.ui.completeLabel.text.endswith("frame 2")


def test_undo_takes_back_what_was_measured_too(cine, connected, server):
    connected.ui.firstSpin.value, connected.ui.lastSpin.value = 2, 4
    connected.press("rangeButton")
    connected.idle()
    record = reading(connected).record
    first = (record.measures, record.keyFrames)
    assert sorted(first[0]) == [2, 3, 4]
    segmentAll(connected)
    assert sorted(record.measures) == list(range(10))
    connected.press("undoButton")
    assert (record.measures, record.keyFrames) == first
    connected.press("undoButton")
    assert (record.measures, record.keyFrames) == ({}, [])


def test_frames_of_one_moment_are_described(connected, scene):
    cine = createCine(np.zeros((3, 4, 5), np.uint8), [0, 0, 0], name="at once")
    connected.widget.window.choose(cine)
    assert connected.ui.cineLabel.text.startswith("3 frames of 5 x 4; lengths in pixels")


def test_an_address_with_a_password_is_refused_and_not_kept(connected, half):
    import qt

    connected.ui.addressEdit.text = "http://me:secret@127.0.0.1:1"
    connected.press("connectButton")
    assert "holds no user or password" in connected.ui.serverStateLabel.text
    kept = " ".join(str(qt.QSettings().value(key)) for key in qt.QSettings().allKeys())
    assert "secret" not in kept + connected.ui.serverStateLabel.text


def test_a_server_that_hangs_keeps_nobody_from_another(half, connected, makeServer):
    connected.press("cancelButton")
    other = makeServer()
    connected.ui.addressEdit.text = other.url
    connected.press("connectButton")
    connected.until(lambda: connected.widget.window.connection.state in ("connected", "busy"), seconds=5)
    assert connected.widget.window.connection.url == other.url
    half.set()
    connected.idle()
    assert connected.widget.window.connection.state == "connected"
    segmentAll(connected)
    assert reading(connected).masks.segmentedFrames() == list(range(10))


def test_a_new_scene_is_asked_of_the_model_that_is_shown(cine, connected, server):
    combo = connected.ui.modelCombo
    combo.addItem("second")
    connected.widget.window.connection.offer = {"models": {"angioseg": {}, "second": {}}}
    combo.currentIndex = 1
    assert connected.widget.window.connection.client.model == "second"
    slicer.mrmlScene.Clear()
    connected.turn()
    window = connected.widget.window
    assert combo.currentText == window.parameters.model == window.connection.client.model == "angioseg"


def test_the_file_dialog_offers_what_the_server_reads(host):
    from AngioSegLib.panels import cinePanel

    offered = cinePanel._FILES.split()
    assert {f"*{suffix}" for suffix in CINE_SUFFIXES if suffix != ".seq.nrrd"} == set(offered)
