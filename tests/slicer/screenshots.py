"""Pictures of the window in each state, for AngioSeg/README.md.

    uv run python tests/slicer/screenshots.py [FOLDER]

Real Qt under the tests' host, a real server with the weights that ship, simulated cines. Nothing in them was drawn by
hand; the frame of the program around the window is the host's, not 3D Slicer's.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "AngioSeg"), str(ROOT / "tests" / "slicer")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
TRAINING = {"iterations_per_epoch": 1, "batch_size": 1, "crop": 96, "val_split": 0.5, "accept_worse": True}
BITS = 6
"""Of each colour: nobody sees the difference, and the files stay small."""


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "AngioSeg" / "Resources" / "Screenshots"
    out.mkdir(parents=True, exist_ok=True)
    from AngioSegLib.scene import createScene

    createScene()
    from host import Host, useProperties

    useProperties([__name__])
    from angioseg.serve import start_server
    from angioseg.simulation import simulate_clip, write_xa_dicom

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        studies = Path(folder, "studies")
        studies.mkdir()
        clips = [simulate_clip(seed, frames=10, size=(192, 192)) for seed in (11, 12)]
        for number, clip in enumerate(clips, start=1):
            write_xa_dicom(studies / f"run{number}.dcm", clip)
        running = start_server(studies, device="cpu")
        host = Host(patch, Path(folder, "settings"))
        host.open()
        tell(host, running, out, studies, folder, clips)
        host.close()


def correct(window, clips) -> None:
    """Paint and erase, as somebody who knows the truth would, in strokes along the rows."""
    cine, editor = window.reading.cine, window.correct._editor
    truth = next(clip.vessels for clip in clips if np.array_equal(clip.frames, cine.frames()))[cine.currentFrame] > 0
    mask = window.reading.masks.maskOf(cine.currentFrame) > 0
    for wrong, erase in ((truth & ~mask, False), (mask & ~truth, True)):
        for row in np.flatnonzero(wrong.any(axis=1)):
            ends = np.flatnonzero(np.diff(np.pad(wrong[row], 1).astype(int)))
            for first, beyond in zip(ends[::2], ends[1::2]):
                editor.paint(slice(row, row + 1), slice(first, beyond), erase)


def tell(host, running, out: Path, studies: Path, folder: str, clips) -> None:
    """Go through the states, and take a picture of each."""
    ui, window = host.ui, host.widget.window

    def shot(name: str, section: str | None = None) -> None:
        host.look()
        path = host.grab(out / f"{name}.png", section)
        ImageOps.posterize(Image.open(path).convert("RGB"), BITS).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")

    shot("1-start")
    url = running.__enter__()
    ui.addressEdit.text = url
    host.press("connectButton")
    host.idle()
    shot("2-connected")
    host.dialogs.foresee("Load a cine", str(studies / "run1.dcm"))
    host.press("loadButton")
    host.idle()
    window.reading.cine.goTo(5)
    shot("3-cine")
    host.press("allButton")
    host.until(lambda: window.reading.progress.done >= 4, 900)
    shot("4-segmenting")
    host.until(lambda: not window.connection.busy, 900)
    host.press("completeButton")
    shot("5-key-frame", "seeSection")
    ui.subtractionCheck.checked = True
    shot("6-subtraction", "seeSection")
    ui.subtractionCheck.checked = False
    correct(window, clips)
    shot("7-corrected", "correctSection")
    host.look()
    host.press("acceptButton")
    shot("8-accepted", "correctSection")
    host.press("submitButton")
    host.idle()
    ui.learnSection.collapsed = False
    ui.strategyCombo.currentIndex = ui.strategyCombo.findText("temporal_diversity")
    for number in range(2):
        host.press("nextSampleButton")
        host.until(lambda: not window.connection.busy, 900)
        if window.reading.states.of(window.reading.cine.currentFrame) == "none":
            host.press("thisFrameButton")
            host.until(lambda: not window.connection.busy, 900)
        if number == 0:
            shot("9-next-sample", "learnSection")
        correct(window, clips)
        host.look()
        host.press("acceptButton")
        host.press("submitButton")
        host.idle()
    ui.exportSection.collapsed = False
    ui.folderEdit.text = str(Path(folder, "out"))
    host.press("exportTableButton")
    host.idle()
    ui.folderEdit.text = "/home/reader/angio"
    shot("11-export", "exportSection")
    ui.exportSection.collapsed = True
    window.train.options = TRAINING
    ui.epochsSpin.value = 4
    host.press("trainButton")
    host.until(lambda: window.train.running, 900)
    host.until(lambda: len(window.train._dice) >= 3 or not window.train.running, 900)
    shot("10-training", "learnSection")
    if window.train.running:
        host.press("stopTrainingButton")
    host.until(lambda: not window.train.running, 900)
    host.idle()
    ui.learnSection.collapsed = True
    ui.cineSelector.choose(ui.cineSelector.names()[0])
    frames = [*range(2), *range(6, 10)]
    window.segment.segment([frame for frame in frames if not window.reading.madeByUser([frame])])
    host.until(lambda: window.reading.progress.done >= 2, 900)
    running.__exit__(None, None, None)
    host.until(lambda: not window.connection.busy, 900)
    if window.connection.ready:
        # It said that it was stopping; now it has.
        host.press("goOnButton")
        host.until(lambda: not window.connection.busy, 900)
    shot("12-lost", "nextStepLabel")


if __name__ == "__main__":
    main()
