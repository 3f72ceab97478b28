"""Slicer's Segment Editor and its view: nothing paints where nothing keeps it, and nothing stays behind."""

import zipfile

import pytest
import slicer
from AngioSegLib.scene import saveScene
from host import reading, useProperties

useProperties([__name__])


@pytest.fixture
def editor(connected):
    return connected.widget.window.correct._editor


@pytest.fixture
def painting(cine, connected, editor):
    """The cine's first frame has a mask, and a brush is chosen."""
    import qt

    connected.press("thisFrameButton")
    connected.idle()
    next(button for button in editor.findChildren(qt.QPushButton) if button.text == "Paint").click()
    assert editor.activeEffect == "Paint"
    return cine


def test_a_frame_without_a_mask_is_not_painted_on(painting, connected, editor):
    painting.goTo(1)
    connected.look()
    assert (editor.readOnly, editor.activeEffect) == (True, None)
    painting.goTo(0)
    connected.look()
    assert not editor.readOnly
    # Slicer forgets the segment where there is none.
    editor.paint(slice(0, 7), slice(0, 9))
    assert reading(connected).masks.maskOf(0).all()


@pytest.mark.parametrize("fps", [10, 30])
def test_a_cine_that_plays_is_not_painted_on(painting, connected, editor, fps):
    painting.browser.SetPlaybackRateFps(fps)
    connected.press("allButton")
    connected.idle()
    connected.ui.playButton.click()
    connected.until(lambda: editor.readOnly)
    assert editor.activeEffect is None
    connected.ui.playButton.click()
    connected.until(lambda: not editor.readOnly)


@pytest.mark.parametrize("how", ["deleted", "scene closed", "another chosen"])
def test_the_brush_goes_with_the_cine(painting, connected, editor, makeCine, how):
    if how == "deleted":
        slicer.mrmlScene.RemoveNode(painting.sequence)
    elif how == "another chosen":
        makeCine(3, name="run 2")
        connected.ui.cineSelector.choose("run 2")
    else:
        slicer.mrmlScene.Clear()
    connected.look()
    assert editor.activeEffect is None
    assert editor.readOnly
    if how != "another chosen":
        assert editor.segmentationNode() is None
    # Work goes on.
    connected.press("sampleButton")
    connected.idle()
    connected.press("thisFrameButton")
    connected.idle()
    editor.paint(slice(0, 7), slice(0, 9))
    assert reading(connected).masks.maskOf(0).all()


@pytest.fixture
def saved(connected, makeCine, tmp_path):
    """A scene of two cines with masks, the second chosen; it is on the disk, and still open."""
    for name in ("run 1", "run 2"):
        makeCine(3, name=name)
        connected.ui.cineSelector.choose(name)
        connected.press("thisFrameButton")
        connected.idle()
    return saveScene(slicer.mrmlScene, tmp_path / "saved")


def load(path, add=False):
    scene = slicer.mrmlScene
    scene.SetRootDirectory(str(path.parent))
    scene.SetURL(str(path))
    assert scene.Import() if add else scene.Connect()


def test_the_editor_works_on_the_cine_that_a_scene_brings(saved, connected, editor):
    """Slicer's widget takes the scene's first segmentation when the scene is there."""
    load(saved)
    connected.look()
    chosen = reading(connected)
    assert chosen.cine.name == "run 2"
    assert (editor.segmentationNode(), editor._volume()) == (chosen.masks.proxy, chosen.cine.proxy)
    for frame in (1, 0):
        chosen.cine.goTo(frame)
        connected.look()
    editor.paint(slice(0, 7), slice(0, 9))
    assert chosen.masks.maskOf(0).all()


def test_a_scene_that_is_added_brings_its_choice(saved, connected, makeCine):
    slicer.mrmlScene.Clear()
    makeCine(3, name="run 3")
    connected.ui.cineSelector.choose("run 3")
    load(saved, add=True)
    connected.look()
    assert reading(connected).cine.name == "run 2"
    assert connected.ui.cineSelector.currentNode() is reading(connected).cine.proxy


def test_a_scene_that_is_added_brings_a_cine_that_is_not_segmented(connected, makeCine, editor, tmp_path):
    for name in ("run 1", "run 2"):
        makeCine(3, name=name)
    connected.ui.cineSelector.choose("run 2")
    path = saveScene(slicer.mrmlScene, tmp_path / "saved")
    slicer.mrmlScene.Clear()
    makeCine(3, name="run 3")
    connected.ui.cineSelector.choose("run 3")
    load(path, add=True)
    connected.look()
    assert reading(connected).cine.name == "run 2"
    connected.press("thisFrameButton")
    connected.idle()
    editor.paint(slice(0, 7), slice(0, 9))
    assert reading(connected).masks.maskOf(0).all()


def test_a_cine_that_goes_makes_no_other_one_come(saved, connected):
    cine = reading(connected).cine
    slicer.mrmlScene.RemoveNode(cine.sequence)
    slicer.mrmlScene.RemoveNode(cine.browser)
    connected.look()
    assert reading(connected) is None
    assert connected.ui.cineSelector.currentNode() is None


def test_a_volume_that_goes_is_followed_by_the_one_that_slicer_makes(saved, connected):
    chosen = reading(connected)
    gone = chosen.cine.proxy
    slicer.mrmlScene.RemoveNode(gone)
    connected.look()
    assert reading(connected) is chosen and chosen.cine.proxy is not gone
    assert connected.ui.cineSelector.currentNode() is background(connected) is chosen.cine.proxy


def test_an_editor_that_a_reload_hides_edits_nothing(painting, connected, editor):
    connected.reload()
    assert editor._node is None
    assert connected.widget.window.correct._editor.segmentationNode() is reading(connected).masks.proxy


def test_the_editors_own_node_comes_back_when_a_script_takes_it(painting, connected, editor, makeCine):
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetSingletonNode("AngioSeg", "vtkMRMLSegmentEditorNode"))
    makeCine(3, name="run 2")
    connected.ui.cineSelector.choose("run 2")
    assert editor._node.GetScene() is slicer.mrmlScene


def background(host):
    return slicer.mrmlScene.GetNodeByID(host.view.logic.GetSliceCompositeNode().GetBackgroundVolumeID() or "")


def test_the_subtraction_is_there_when_the_user_comes_back(cine, connected):
    connected.ui.subtractionCheck.checked = True
    subtracted = background(connected)
    assert subtracted is not cine.proxy
    connected.widget.exit()
    connected.widget.enter()
    connected.look()
    assert background(connected) is subtracted
    assert connected.ui.subtractionCheck.checked


def test_the_cine_is_on_screen_when_its_subtraction_goes(cine, connected):
    connected.ui.subtractionCheck.checked = True
    slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.EndImportEvent)
    connected.look()
    assert not connected.ui.subtractionCheck.checked
    assert background(connected) is cine.proxy


def test_a_scene_that_is_saved_while_subtracted_comes_back_with_its_cine(cine, connected, tmp_path):
    connected.ui.subtractionCheck.checked = True
    path = saveScene(slicer.mrmlScene, tmp_path / "saved")
    assert f'references="backgroundVolume:{cine.proxy.GetID()};' not in path.read_text()
    load(path)
    connected.look()
    assert background(connected) is reading(connected).cine.proxy


def test_a_scene_that_is_exported_while_subtracted_shows_its_cine(cine, connected, tmp_path):
    connected.ui.folderEdit.text = str(tmp_path)
    connected.ui.subtractionCheck.checked = True
    subtracted = background(connected)
    connected.press("exportSceneButton")
    connected.idle()
    with zipfile.ZipFile(tmp_path / f"{connected.ui.nameEdit.text}.mrb") as scene:
        name = min((name for name in scene.namelist() if name.endswith(".mrml")), key=len)
        assert f'references="backgroundVolume:{cine.proxy.GetID()};' in scene.read(name).decode()
    assert background(connected) is subtracted


def test_the_editor_leaves_the_view_alone(cine, editor):
    """It would put the cine in the place of its subtraction whenever the layout changes."""
    assert editor.autoShowSourceVolumeNode is False


def test_after_a_reload_every_key_is_wanted_once(cine, connected):
    import qt

    connected.reload()
    keys = [shortcut.key.toString() for shortcut in connected.main.findChildren(qt.QShortcut)]
    assert {"J", "Q"} < set(keys)
    assert len(set(keys)) == len(keys)
    assert connected.widget.window.correct._editor.listens


def test_the_window_is_up_to_date_after_a_fault(cine, connected):
    window = connected.widget.window
    connected.dialogs.foresee("AngioSeg could not do this.", None)

    def fault():
        cine.goTo(4)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        window.do(fault)
    assert connected.ui.frameLabel.text == "frame 4 (0 to 9)"
    assert connected.ui.frameStateLabel.text == "Frame 4: not segmented."
