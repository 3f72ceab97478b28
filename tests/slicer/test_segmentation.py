"""Masks beside a cine in a real Slicer scene."""

import os

import numpy as np
import pytest
import slicer
import vtk
from angioseg.cine.dicom_seg import CORONARY_ARTERY
from AngioSegLib.cine import cineFromNode
from AngioSegLib.errors import CineUnusable, SceneError
from AngioSegLib.exporting import saveMasks
from AngioSegLib.images import fillImage
from AngioSegLib.scene import createScene, loadScene, saveScene
from AngioSegLib.segmentation import SEGMENT_ID, createSegmentation, segmentationOfCine

SHAPE = (7, 9)


def corner(row: int, column: int) -> np.ndarray:
    """A mask that no flip or shift leaves alone."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[row, : column + 1] = 1
    return mask


EMPTY = np.zeros(SHAPE, np.uint8)
MASKS = {1: corner(0, 3), 2: EMPTY, 4: corner(5, 8)}


@pytest.fixture
def masks(makeCine):
    masks = createSegmentation(makeCine(6, spacing=(0.3, 0.2), name="run 1"))
    masks.cine.browser.SetSelectedItemNumber(3)
    masks.setMask(list(MASKS), np.stack(list(MASKS.values())))
    return masks


def assertAsSet(masks):
    assert masks.segmentedFrames() == [1, 2, 4]
    for frame, mask in enumerate(masks.mask()):
        np.testing.assert_array_equal(mask, MASKS.get(frame, EMPTY))


def onScreen(masks):
    """The mask the user sees now, or None where there is no segment."""
    if SEGMENT_ID not in masks.proxy.GetSegmentation().GetSegmentIDs():
        return None
    pixels = slicer.util.arrayFromSegmentInternalBinaryLabelmap(masks.proxy, SEGMENT_ID)
    # A file keeps no more than what is painted.
    left, _, top, _, _, _ = masks.proxy.GetBinaryLabelmapInternalRepresentation(SEGMENT_ID).GetExtent()
    seen = EMPTY.copy()
    if pixels is not None:
        seen[top : top + pixels.shape[1], left : left + pixels.shape[2]] = pixels[0]
    return seen


def assertOnScreen(masks, frame):
    masks.cine.browser.SetSelectedItemNumber(frame)
    seen = onScreen(masks)
    if frame not in MASKS:
        assert seen is None
    else:
        np.testing.assert_array_equal(seen, MASKS[frame])


def test_no_frame_counts_as_segmented_at_first(makeCine):
    masks = createSegmentation(makeCine(3))
    assert masks.segmentedFrames() == []
    assert not masks.mask().any()


def test_masks_come_back_and_empty_differs_from_missing(masks):
    assertAsSet(masks)


def test_a_mask_is_called_what_it_is(masks, tmp_path):
    name, value = "TerminologyEntry", vtk.reference("")
    assert masks.sequence.GetNthDataNode(0).GetSegmentation().GetSegment(SEGMENT_ID).GetTag(name, value)
    assert f"~SCT^{CORONARY_ARTERY}^Coronary artery~" in value.get()
    saveMasks(tmp_path, "run", masks)
    node, storage = slicer.vtkMRMLSegmentationNode(), slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "run.seg.nrrd"))
    assert storage.ReadData(node)
    assert node.GetSegmentation().GetSegment(SEGMENT_ID).GetTag(name, again := vtk.reference(""))
    assert again.get() == value.get()


def test_the_users_frame_does_not_move(masks):
    assert masks.cine.currentFrame == 3
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(masks.cine.proxy)[0], masks.cine.frames()[3])


def test_the_mask_of_the_frame_on_screen_appears_at_once(masks):
    assert onScreen(masks) is None
    masks.setMask([3], corner(2, 2)[None])
    np.testing.assert_array_equal(onScreen(masks), corner(2, 2))


def test_browsing_shows_each_mask_on_its_frame_and_invents_none(masks):
    for frame in (3, 2, 1, 0, 4, 5, 1, 0, 2, 3):
        assertOnScreen(masks, frame)
    assertAsSet(masks)


def paint(masks, mask):
    """Change what is on screen, as the Segment Editor does."""
    segmentation = masks.proxy.GetSegmentation()
    if SEGMENT_ID not in segmentation.GetSegmentIDs():
        segmentation.AddEmptySegment(SEGMENT_ID, SEGMENT_ID)
    labelmap = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(masks.cine.proxy)
    fillImage(labelmap, mask)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(labelmap, masks.proxy, SEGMENT_ID)


@pytest.mark.parametrize("frame", [1, 2, 3])
def test_what_the_user_paints_is_kept(masks, frame):
    masks.cine.browser.SetSelectedItemNumber(frame)
    if frame not in MASKS:
        masks.setMask([frame], EMPTY[None])
    paint(masks, corner(3, 5))
    masks.cine.browser.SetSelectedItemNumber(0)
    assert masks.segmentedFrames() == sorted({1, 2, 4, frame})
    np.testing.assert_array_equal(masks.mask()[frame], corner(3, 5))


def test_a_frame_again_replaces_its_mask_and_clear_removes_it(masks):
    masks.setMask([1], EMPTY[None])
    assert masks.segmentedFrames() == [1, 2, 4]
    assert not masks.mask()[1].any()
    masks.clear([1, 4])
    assert masks.segmentedFrames() == [2]


def test_a_frame_is_found_by_number_where_slicer_lost_the_time(makeCine):
    cine = makeCine(3)
    cine.sequence.SetIndexName("frame")
    cine.sequence.SetIndexUnit("")
    for frame in range(3):
        cine.sequence.UpdateIndexValue(cine.indexValue(frame), str(frame))
    masks = createSegmentation(cine)
    masks.setMask([2], corner(1, 1)[None])
    assert (masks.sequence.GetIndexName(), masks.sequence.GetNthIndexValue(0)) == ("frame", "2")
    assert masks.segmentedFrames() == [2]


@pytest.mark.parametrize(
    ("frames", "shape"), [([0], (1, 9, 7)), ([0, 1], (1, *SHAPE)), ([6], (1, *SHAPE)), ([-1], (1, *SHAPE))]
)
def test_masks_that_do_not_fit(masks, frames, shape):
    with pytest.raises(CineUnusable):
        masks.setMask(frames, np.zeros(shape, np.uint8))
    assertAsSet(masks)


def test_each_cine_of_a_browser_finds_its_own_masks(masks, makeCine):
    other = makeCine(6)
    masks.cine.browser.AddSynchronizedSequenceNode(other.sequence)
    partner = cineFromNode(masks.cine.browser.GetProxyNode(other.sequence))
    assert segmentationOfCine(masks.cine).sequence is masks.sequence
    assert segmentationOfCine(partner) is None


def test_save_and_load_give_everything_back(masks, tmp_path):
    frames, times = masks.cine.frames(), masks.cine.timesMs()
    path = saveScene(slicer.mrmlScene, tmp_path / "saved")
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "run 1 vessels.seq.mrb",
        "run 1.seq.nrrd",
        "scene.mrml",
    ]
    assert str(tmp_path) not in path.read_text()
    # Relative paths: the folder may move.
    moved = path.parent.rename(tmp_path / "moved")
    scene = loadScene(moved / "scene.mrml")
    cine = cineFromNode(scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode"))
    np.testing.assert_array_equal(cine.frames(), frames)
    np.testing.assert_allclose(cine.timesMs(), times)
    assert cine.spacing == pytest.approx((0.3, 0.2))
    assert (cine.pixelSizeSource, cine.currentFrame) == ("unknown", 3)
    again = segmentationOfCine(cine)
    assertAsSet(again)
    for frame in (0, 1, 2, 4, 3):
        assertOnScreen(again, frame)
    assertAsSet(again)


def test_saving_again_over_the_same_folder(masks, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    saveScene(slicer.mrmlScene, tmp_path)
    masks.setMask([0], corner(6, 0)[None])
    path = saveScene(slicer.mrmlScene, tmp_path)
    assert (tmp_path / "note.txt").read_text() == "mine"
    loadScene(path)
    cine = cineFromNode(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode"))
    assert segmentationOfCine(cine).segmentedFrames() == [0, 1, 2, 4]


@pytest.mark.parametrize("name", ["a/b\\c:d", "../up", "50%", "Ärzte 冠", ".", "x" * 60])
def test_any_name_can_be_saved(makeCine, tmp_path, name):
    cine = makeCine(2, name=name)
    frames = cine.frames()
    scene = loadScene(saveScene(slicer.mrmlScene, tmp_path / "s"))
    assert [file.name for file in tmp_path.iterdir()] == ["s"]
    back = cineFromNode(scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode"))
    assert back.name == name
    np.testing.assert_array_equal(back.frames(), frames)


@pytest.mark.parametrize("file", ["run 1 vessels.seq.mrb", "run 1.seq.nrrd", "scene.mrml"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_scene_says_what_is_damaged(masks, tmp_path, file, damage):
    path = saveScene(slicer.mrmlScene, tmp_path)
    if damage == "missing":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(b"xx")
    before = os.getcwd()
    with pytest.raises(SceneError, match=file):
        loadScene(path)
    assert os.getcwd() == before, "Slicer's unpacking leaves the process in a folder that is gone"


def test_a_folder_that_cannot_be_written(scene, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SceneError, match="cannot be saved"):
        saveScene(scene, tmp_path / "file")


def test_a_new_scene_is_slicers_scene():
    scene = createScene()
    assert slicer.mrmlScene is scene
    assert slicer.util.getNodesByClass("vtkMRMLSequenceNode") == []
