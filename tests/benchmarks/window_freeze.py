"""How long the window of the Slicer module stands still while it segments a whole cine: the longest gap between two
turns of its event loop.

    uv run python tests/benchmarks/window_freeze.py [--frames 24] [--size 512]

Real Qt under the host of the tests (3D Slicer's own event loop is not measured), a simulated cine, the real server on
the same machine. A timer of one millisecond tells when the loop turns.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "AngioSeg"), str(ROOT / "tests" / "slicer")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
TICK_MS = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    from angioseg.serve import start_server
    from angioseg.simulation import simulate_clip
    from AngioSegLib.cine import createCine
    from AngioSegLib.scene import createScene

    createScene()
    from host import Host, useProperties

    useProperties([__name__])
    clip = simulate_clip(3, frames=options.frames, size=(options.size, options.size))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder, "studies").mkdir()
        with start_server(Path(folder, "studies")) as url:
            host = Host(patch, Path(folder, "settings"))
            host.open()
            host.ui.addressEdit.text = url
            host.press("connectButton")
            host.idle()
            cine = createCine(clip.frames, clip.times_ms, name="clip")
            host.ui.cineSelector.choose(cine.proxy.GetName())
            host.look()
            gaps = measure(host)
            host.close()
    milliseconds, computing = 1000 * np.array(gaps).T
    print(f"{options.frames} frames of {options.size} x {options.size}, {milliseconds.sum() / 1000:.1f} s")
    print(f"gaps between turns: median {np.median(milliseconds):.1f} ms, longest {milliseconds.max():.1f} ms")
    print(
        f"computing in the window's thread between turns: longest {computing.max():.1f} ms (on a busy machine, the rest"
    )
    print("of a gap is time that other programs had)")
    print("five longest: " + ", ".join(f"{gap:.1f}" for gap in sorted(milliseconds)[:-6:-1]) + " ms")


def measure(host) -> list[tuple[float, float]]:
    """Segment the whole cine.

    Returns:
        For each turn of the event loop, the click among them, seconds since the turn before, and how many of them this
        thread computed.
    """
    from PySide6 import QtCore

    gaps, last = [], (time.perf_counter(), time.thread_time())
    loop = QtCore.QEventLoop()

    def tick() -> None:
        nonlocal last
        now = time.perf_counter(), time.thread_time()
        gaps.append((now[0] - last[0], now[1] - last[1]))
        last = now
        if len(gaps) > 1 and not host.widget.window.connection.busy:
            loop.quit()

    timer = QtCore.QTimer()
    timer.interval = TICK_MS
    timer.timeout.connect(tick)
    timer.start()
    QtCore.QTimer.singleShot(0, host.ui.allButton.click)
    loop.exec()
    timer.stop()
    return gaps


if __name__ == "__main__":
    main()
