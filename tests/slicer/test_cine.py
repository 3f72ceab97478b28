"""A cine in a real Slicer scene."""

import numpy as np
import pytest
import slicer
import vtk
from AngioSegLib.cine import CineSequence, cineFromNode, createCine
from AngioSegLib.errors import CineUnusable
from vtk.util.numpy_support import numpy_to_vtk


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("frameTime", [4.0, 33.333, 66.7, 1000.0])
def test_frames_times_and_spacing_come_back(makeCine, dtype, frameTime):
    cine = makeCine(5, dtype, frameTime, spacing=(0.3, 0.2), pixelSizeSource="calibrated", name="run 1")
    assert cine.frames().dtype == dtype
    assert cine.frames().shape == (5, 7, 9)
    np.testing.assert_allclose(cine.timesMs(), np.arange(5) * frameTime)
    assert cine.spacing == (0.3, 0.2)
    assert cine.pixelSizeSource == "calibrated"
    assert cine.timesKnown
    assert cine.browser.GetPlaybackRateFps() == pytest.approx(1000 / frameTime)


@pytest.mark.parametrize("times", [[0, 66, 66, 132], [0, 0, 0], [0, 0.4, 0.9, 66.7], [5.25, 5.25, 6, 6, 7, 500]])
def test_frames_of_one_moment_are_told_apart(scene, times):
    frames = np.arange(len(times) * 12, dtype=np.uint8).reshape(-1, 3, 4)
    cine = createCine(frames, times, scene=scene)
    np.testing.assert_array_equal(cine.frames(), frames)
    assert cine.timesMs().tolist() == [time - times[0] for time in times]
    for frame in range(len(times)):
        cine.goTo(frame)
        assert cine.currentFrame == frame


def test_nodes_are_as_slicers_own_plugin_makes_them(makeCine):
    cine = makeCine(3, name="run 1")
    assert cine.sequence.GetDataNodeClassName() == "vtkMRMLScalarVolumeNode"
    assert (cine.sequence.GetIndexName(), cine.sequence.GetIndexUnit()) == ("time", "s")
    assert [cine.indexValue(frame) for frame in range(3)] == ["0.000", "0.067", "0.133"]
    assert cine.browser.GetName() == "run 1 browser"
    assert cine.browser.GetMasterSequenceNode() is cine.sequence
    assert cine.sequence.GetStorageNode().IsA("vtkMRMLVolumeSequenceStorageNode")
    matrix = vtk.vtkMatrix4x4()
    cine.frameNode(0).GetIJKToRASDirectionMatrix(matrix)
    assert [matrix.GetElement(i, i) for i in range(4)] == [-1, -1, 1, 1]
    assert cine.frameNode(0).GetOrigin() == (0, 0, 0)


def test_proxy_shows_the_frame_the_browser_is_at(makeCine):
    cine = makeCine(6)
    frames = cine.frames()
    for frame in (5, 0, 3, 4, 1, 2):
        cine.browser.SetSelectedItemNumber(frame)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(cine.proxy)[0], frames[frame])
        assert cine.currentFrame == frame


def test_one_frame_and_a_name_taken(makeCine):
    first, second = makeCine(1, name="a"), makeCine(1, name="a")
    assert first.name != second.name
    assert first.frames().shape == (1, 7, 9)
    assert first.timesMs().tolist() == [0]


@pytest.mark.parametrize("which", ["proxy", "sequence", "browser"])
def test_a_cine_is_found_from_any_of_its_nodes(makeCine, which):
    other, cine = makeCine(2), makeCine(3)
    found = cineFromNode(getattr(cine, which))
    assert (found.sequence, found.browser) == (cine.sequence, cine.browser)
    assert found.sequence is not other.sequence


def likeSlicersDicomModule(scene, frames, indexName, indexUnit, indexValues, spacing=(1.0, 1.0)):
    """As DICOMImageSequencePlugin leaves a file: no attribute of ours, colour kept."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "4: XA [1]")
    sequence.SetIndexName(indexName)
    sequence.SetIndexUnit(indexUnit)
    colour = frames.ndim == 4
    volume = slicer.vtkMRMLVectorVolumeNode() if colour else slicer.vtkMRMLScalarVolumeNode()
    volume.SetSpacing(spacing[1], spacing[0], 1.0)
    for frame, value in zip(frames, indexValues, strict=True):
        image = vtk.vtkImageData()
        image.SetDimensions(frame.shape[1], frame.shape[0], 1)
        pixels = frame.reshape(-1, 3) if colour else frame.ravel()
        image.GetPointData().SetScalars(numpy_to_vtk(pixels, deep=True))
        volume.SetAndObserveImageData(image)
        sequence.SetDataNodeAtValue(volume, value)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "4: XA [1] browser")
    browser.SetPlaybackRateFps(10)
    browser.AddSynchronizedSequenceNode(sequence)
    return cineFromNode(browser.GetProxyNode(sequence))


@pytest.mark.parametrize(
    ("index", "values", "spacing", "known", "times", "source"),
    [
        (("time", "s"), ["0.000", "0.067", "0.133"], (0.3, 0.3), True, [0, 67, 133], "imager"),
        (("time", "s"), ["0.500", "0.567", "0.633"], (1.0, 1.0), True, [0, 67, 133], "unknown"),
        (("frame", ""), ["0", "1", "2"], (1.0, 1.0), False, [0, 100, 200], "unknown"),
    ],
)
def test_cines_loaded_by_slicer_itself(scene, index, values, spacing, known, times, source):
    frames = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    cine = likeSlicersDicomModule(scene, frames, *index, values, spacing)
    np.testing.assert_array_equal(cine.frames(), frames)
    np.testing.assert_allclose(cine.timesMs(), times)
    assert (cine.timesKnown, cine.pixelSizeSource) == (known, source)


def test_times_changed_by_the_user_win_over_the_kept_ones(makeCine):
    cine = makeCine(3)
    cine.sequence.UpdateIndexValue(cine.indexValue(2), "0.900")
    np.testing.assert_allclose(cine.timesMs(), [0, 67, 900])


def test_colour_becomes_grey(scene):
    grey = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    cine = likeSlicersDicomModule(scene, np.repeat(grey[..., None], 3, axis=3), "frame", "", ["0", "1"])
    np.testing.assert_array_equal(cine.frames(), grey)


@pytest.mark.parametrize(("largest", "dtype"), [(255, "uint8"), (4095, "uint16"), (-5, "int16")])
def test_wider_types_that_fit_are_narrowed(scene, largest, dtype):
    frames = np.full((2, 3, 4), largest, np.int32)
    cine = likeSlicersDicomModule(scene, frames, "frame", "", ["0", "1"])
    assert cine.frames().dtype == dtype
    np.testing.assert_array_equal(cine.frames(), frames)


def test_types_that_do_not_fit_are_refused(scene):
    frames = np.full((2, 3, 4), 0.5, np.float32)
    with pytest.raises(CineUnusable, match="float32"):
        likeSlicersDicomModule(scene, frames, "frame", "", ["0", "1"]).frames()


def test_nodes_that_are_no_cine(scene):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    empty = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "nothing")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.AddSynchronizedSequenceNode(empty)
    for node, says in ((None, "no cine is chosen"), (volume, "CT is a single image"), (browser, "has no frames")):
        with pytest.raises(CineUnusable, match=says):
            cineFromNode(node)


FRAMES = np.zeros((3, 4, 5), np.uint8)


@pytest.mark.parametrize(
    ("frames", "times", "options"),
    [
        (FRAMES[0], [0, 60, 120], {}),
        (FRAMES.astype(np.float32), [0, 60, 120], {}),
        (FRAMES, [0, 60], {}),
        (FRAMES, [0, 60, 59.6], {}),
        (FRAMES, [0, 60, np.nan], {}),
        (FRAMES, [0, 60, 120], {"pixelSizeSource": "guessed"}),
        (FRAMES, [0, 60, 120], {"spacing": (0.0, 1.0)}),
    ],
)
def test_arrays_that_are_no_cine(scene, frames, times, options):
    with pytest.raises(CineUnusable):
        createCine(frames, times, **options)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0


def test_frames_of_different_sizes(makeCine):
    cine = makeCine(2)
    smaller = makeCine(1, size=(3, 3))
    cine.sequence.SetDataNodeAtValue(smaller.frameNode(0), "9.000")
    with pytest.raises(CineUnusable, match="differ in size"):
        CineSequence(cine.sequence, cine.browser).frames()
