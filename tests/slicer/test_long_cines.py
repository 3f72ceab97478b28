"""What takes long in a long cine is not done on the main thread, nor twice."""

import threading

import numpy as np
import pytest
from AngioSegLib.cine import CineSequence
from AngioSegLib.loading import anonymousName
from AngioSegLib.uploadedCine import UploadedCine
from host import useProperties

useProperties([__name__])


@pytest.fixture
def copies(monkeypatch):
    """Grows by one whenever all pixels of a cine are copied."""
    copies, frames = [], CineSequence.frames
    monkeypatch.setattr(CineSequence, "frames", lambda cine: copies.append(cine.name) or frames(cine))
    return copies


@pytest.fixture
def namers(monkeypatch):
    """The threads in which pixels are made a name of."""
    namers = []

    def named(frames):
        namers.append(threading.current_thread())
        return anonymousName(frames)

    monkeypatch.setattr("AngioSegLib.submitting.anonymousName", named)
    monkeypatch.setattr("AngioSegLib.panels.exportPanel.anonymousName", named)
    return namers


def test_pixels_are_copied_once_and_go_through_no_name_on_the_main_thread(
    connected, copies, namers, makeCine, tmp_path
):
    cine = makeCine(10, name="run 1")
    connected.ui.cineSelector.choose("run 1")
    assert (copies, namers, connected.ui.nameEdit.text) == ([], [], "")
    for frame in (0, 7):
        cine.goTo(frame)
        connected.press("thisFrameButton")
        connected.idle()
        connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    connected.ui.folderEdit.text = str(tmp_path)
    connected.press("exportTableButton")
    connected.idle()
    assert copies == ["run 1"]
    assert len(namers) == 2
    assert threading.main_thread() not in namers
    assert connected.ui.nameEdit.text == anonymousName(cine.frames())
    assert [path.stem for path in tmp_path.glob("*.csv")] == [connected.ui.nameEdit.text]


def test_what_was_on_screen_when_export_was_pressed_is_written(cine, connected, makeCine, monkeypatch, tmp_path):
    goOn = threading.Event()
    makeCine(4, size=(5, 5), name="run 2")
    monkeypatch.setattr("AngioSegLib.panels.exportPanel.anonymousName", lambda _: goOn.wait(10) and "cine-1")
    connected.ui.folderEdit.text = str(tmp_path)
    cine.goTo(3)
    connected.press("exportPictureButton")
    cine.goTo(5)
    connected.ui.cineSelector.choose("run 2")
    goOn.set()
    connected.idle()
    assert [path.name for path in tmp_path.glob("*.png")] == ["cine-1_frame3.png"]
    assert connected.ui.nameEdit.text == ""


def test_a_cine_that_no_server_could_take_is_exported(cine, connected, tmp_path):
    connected.press("thisFrameButton")
    connected.idle()
    cine.frameNode(4).SetAndObserveImageData(None)
    connected.ui.folderEdit.text = str(tmp_path)
    connected.press("exportTableButton")
    connected.idle()
    assert [path.stem for path in tmp_path.glob("*.csv")] == [connected.ui.nameEdit.text]


def changePixels(cine):
    image = cine.frameNode(2).GetImageData()
    image.GetPointData().GetScalars().Fill(7)
    image.GetPointData().GetScalars().Modified()


@pytest.mark.parametrize(
    ("happens", "isNew"),
    [
        (lambda cine: [cine.goTo(frame) for frame in range(6)], False),
        (changePixels, True),
        (lambda cine: cine.sequence.RemoveDataNodeAtValue(cine.indexValue(2)), True),
    ],
    ids=["browsed", "pixels changed", "frame removed"],
)
def test_the_copy_is_as_new_as_the_cine(makeCine, happens, isNew):
    cine = makeCine(6)
    uploaded = UploadedCine(cine)
    before = uploaded.take()
    happens(cine)
    after = uploaded.take()
    assert (after is not before) == isNew
    np.testing.assert_array_equal(after[0], cine.frames())
