"""The whole story in the window, against the real AngioSeg server; and real angiograms where they are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import requests
import slicer
from AngioSegLib.scene import saveScene
from host import reading, useProperties

useProperties([__name__])

REFERENCE = os.environ.get("ANGIOSEG_REFERENCE_DATA", "")
needsReference = pytest.mark.skipif(not REFERENCE, reason="ANGIOSEG_REFERENCE_DATA names no folder of real cines")


@pytest.fixture
def connected(host, realServer):
    url, _ = realServer
    if "/angioseg/decode" not in requests.get(f"{url}/openapi.json", timeout=60).json()["paths"]:
        pytest.skip("this server has no /angioseg/decode")
    host.connect(url)
    return host


def states(host):
    return reading(host).states.all()


def load(host, path: Path):
    folder = path.is_dir()
    host.dialogs.foresee("Load a folder" if folder else "Load a cine", str(path))
    host.press("loadFolderButton" if folder else "loadButton")
    host.idle()
    return reading(host).cine


def test_the_whole_story(connected, realServer, tmp_path):
    from angioseg.cine import read_cine, read_label

    _, studies = realServer
    file = studies / "run31.dcm"
    cine = load(connected, file)
    known = read_cine(file)
    np.testing.assert_array_equal(cine.frames(), known.frames)
    np.testing.assert_allclose(cine.timesMs(), known.times_ms)

    # Segment all, cancel half-way, go on.
    cine.goTo(4)
    connected.press("allButton")
    connected.until(lambda: reading(connected).progress.done, 300)
    connected.press("cancelButton")
    connected.idle()
    done = reading(connected).masks.segmentedFrames()
    assert 0 < len(done) < 6
    assert connected.ui.progressLabel.text.startswith(f"Cancelled after {len(done)} of 6 frames")
    connected.press("goOnButton")
    connected.idle()
    assert reading(connected).masks.segmentedFrames() == list(range(6))
    assert cine.currentFrame == 4

    # To the key frame, and correct it.
    best = reading(connected).record.mostComplete()
    connected.press("completeButton")
    assert cine.currentFrame == best
    assert connected.ui.keyFrameLabel.text.startswith("Key frame, rank 1. Vessel length ")
    connected.look()
    connected.widget.window.correct._editor.paint(slice(20, 24), slice(30, 40))
    connected.look()
    assert states(connected)[best] == "corrected"
    corrected = reading(connected).masks.maskOf(best)
    connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    assert states(connected)[best] == "sent"
    # The server finds that the cine, which came from a file, is one of its own.
    mask, frames = read_label(studies / "labels" / "final" / "run31.nrrd")
    assert frames == [best]
    np.testing.assert_array_equal(mask[best], corrected)
    assert sorted(path.name for path in studies.iterdir() if path.suffix in (".dcm", ".nrrd")) == [
        "run31.dcm",
        "run32.dcm",
    ]

    # Two more samples, from the server: of other cines, so that one can train and another validate.
    connected.ui.strategyCombo.currentIndex = connected.ui.strategyCombo.findText("temporal_diversity")
    given = []
    for _ in range(2):
        connected.press("nextSampleButton")
        connected.idle()
        given.append((connected.ui.whyLabel.text, reading(connected).cine.currentFrame))
        assert connected.ui.whyLabel.text.startswith(f"Frame {given[-1][1]} of ")
        connected.press("thisFrameButton")
        connected.idle()
        connected.widget.window.correct._editor.paint(slice(60, 64), slice(30, 60))
        connected.look()
        connected.press("acceptButton")
        connected.press("submitButton")
        connected.idle()
    assert len(set(given)) == 2
    assert connected.ui.labelledLabel.text.startswith("Labelled frames: 3, in ")

    # Train: stopped by itself after one short epoch.
    connected.ui.epochsSpin.value = 1
    connected.widget.window.train.options = {
        "iterations_per_epoch": 1,
        "batch_size": 1,
        "crop": 64,
        "accept_worse": True,
    }
    connected.press("trainButton")
    connected.until(lambda: connected.widget.window.train.running, 60)
    connected.until(lambda: not connected.widget.window.train.running, 300)
    assert connected.ui.trainingLabel.text.startswith("A new model is served."), connected.ui.trainingLabel.text
    assert "A new model is served" in connected.ui.nextStepLabel.text

    # Export.
    connected.ui.folderEdit.text = str(tmp_path / "out")
    for name in ("Masks", "Table", "Picture", "Dicom", "Video"):
        connected.press(f"export{name}Button")
        connected.idle()
        assert connected.ui.exportLabel.text.startswith("Written: "), connected.ui.nextStepLabel.text
    base = connected.ui.nameEdit.text
    mask, frames = read_label(tmp_path / "out" / f"{base}.seg.nrrd")
    np.testing.assert_array_equal(mask, reading(connected).masks.mask())
    assert frames == reading(connected).masks.segmentedFrames()
    assert read_cine(tmp_path / "out" / f"{base}.mp4").num_frames == 6


def test_the_sample_cine_is_one_click_away(connected):
    connected.press("sampleButton")
    connected.until(lambda: reading(connected) is not None, 120)
    cine = reading(connected).cine
    assert cine.numFrames > 10
    assert cine.name.startswith("simulated")


@needsReference
def test_real_files(connected, tmp_path):
    import pydicom

    files = sorted(Path(REFERENCE).glob("dicom/*.dcm"))
    assert files
    kept = []
    for file in files:
        cine = load(connected, file)
        dataset = pydicom.dcmread(file)
        np.testing.assert_array_equal(cine.frames(), dataset.pixel_array)
        np.testing.assert_allclose(np.diff(cine.timesMs()), float(dataset.FrameTime))
        assertUpright(connected, cine)
        kept.append((cine.name, cine.frames(), cine.timesMs()))
    connected.press("thisFrameButton")
    connected.idle()
    mask = reading(connected).masks.mask()
    path = saveScene(slicer.mrmlScene, tmp_path / "saved")
    slicer.mrmlScene.Clear()
    slicer.mrmlScene.SetRootDirectory(str(path.parent))
    slicer.mrmlScene.SetURL(str(path))
    assert slicer.mrmlScene.Connect()
    connected.turn()
    np.testing.assert_array_equal(reading(connected).masks.mask(), mask)
    for name, frames, times in kept:
        connected.ui.cineSelector.choose(name)
        np.testing.assert_array_equal(reading(connected).cine.frames(), frames)
        np.testing.assert_array_equal(reading(connected).cine.timesMs(), times)


@needsReference
def test_a_real_run(connected):
    from angioseg.cine import read_cine

    folder = next(Path(REFERENCE).glob("cine/*_run*/frames"))
    cine = load(connected, folder)
    known = read_cine(folder)
    np.testing.assert_array_equal(cine.frames(), known.frames)
    assertUpright(connected, cine)
    known = json.loads((Path(REFERENCE) / "cine" / "keyframes.json").read_text())[folder.parent.name]
    cine.goTo(known["pilot"][0])
    connected.press("thisFrameButton")
    connected.idle()
    assert reading(connected).masks.mask().any()


def assertUpright(host, cine):
    """The view shows the frame as the file has it, rather than turned over."""
    display = cine.proxy.GetDisplayNode()
    frame = cine.frame(cine.currentFrame).astype(float)
    low, high = display.GetLevel() - display.GetWindow() / 2, display.GetLevel() + display.GetWindow() / 2
    expected = np.clip((frame - low) / (high - low), 0, 1) * 255
    seen = host.view.picture()[..., 0].astype(float)
    alike = []
    for flip in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        flipped = expected[:: flip[0], :: flip[1]]
        step = (np.array(seen.shape) - 1) / (np.array(flipped.shape) - 1)
        rows = np.rint(np.arange(0, flipped.shape[0], 8) * step[0]).astype(int)
        columns = np.rint(np.arange(0, flipped.shape[1], 8) * step[1]).astype(int)
        alike.append(np.corrcoef(flipped[::8, ::8].ravel(), seen[np.ix_(rows, columns)].ravel())[0, 1])
    assert np.argmax(alike) == 0
    assert alike[0] > 0.5
