"""A user's detours that once lost work: segments of the user's own, undo between runs, a video in between."""

import numpy as np
import pytest
from host import useProperties
from littleServer import bright

useProperties([__name__])


@pytest.fixture
def connected(host, server):
    host.ui.addressEdit.text = server.url
    host.press("connectButton")
    host.idle()
    return host


@pytest.fixture
def cine(connected, makeCine):
    cine = makeCine(10, name="run 1")
    connected.ui.cineSelector.choose("run 1")
    return cine


def reading(host):
    return host.widget.window.reading


def segmentAll(host):
    host.press("allButton")
    host.idle()


def editorButton(host, name):
    import qt

    return host.widget.window.correct._editor.findChild(qt.QPushButton, name)


@pytest.mark.parametrize("name", ["AddSegmentButton", "RemoveSegmentButton"])
@pytest.mark.parametrize("editor", ["today's", "older"])
def test_the_editor_offers_no_other_segment(scene, tmp_path, monkeypatch, request, name, editor):
    if editor == "older":
        from host.widgets import qMRMLSegmentEditorWidget

        monkeypatch.delattr(qMRMLSegmentEditorWidget, "setAddRemoveSegmentButtonsVisible")
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
    segmentAll(connected)
    connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    np.testing.assert_array_equal(server.labels[0][2][3], corrected)
