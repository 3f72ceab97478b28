"""A long cine costs its own size, not a multiple of it; where memory lacks, one line says so."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import typer
from angioseg.cine import Cine, write_cine
from angioseg.cli.speaking import clear_errors

SIZE = 512

# ru_maxrss of the child, in bytes (Linux counts in KiB), after the whole command.
RUN = (
    "import resource, runpy, sys, atexit;"
    "atexit.register(lambda: print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024));"
    "sys.argv = ['angioseg', *sys.argv[1:]]; runpy.run_module('angioseg', run_name='__main__')"
)


def peak_bytes(folder, num_frames):
    random = np.random.default_rng(0)
    block = random.integers(0, 256, (50, SIZE, SIZE), dtype=np.uint8)
    frames = np.concatenate([block] * (num_frames // len(block)))
    path = folder / f"{num_frames}.nrrd"
    write_cine(path, Cine(frames=frames, times_ms=np.arange(num_frames) * 66.7, times_source="header"))
    command = [sys.executable, "-c", RUN, "segment", str(path), "-o", str(folder / str(num_frames)), "--device", "cpu"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    return int(done.stdout.rsplit("PEAK ", 1)[1])


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_1500_frames_peak_little_above_150(tmp_path):
    short, long = peak_bytes(tmp_path, 150), peak_bytes(tmp_path, 1500)
    print(f"peak of 150 frames {short / 1e6:.0f} MB, of 1500 frames {long / 1e6:.0f} MB")
    assert long <= 1.5 * short + 1500 * SIZE * SIZE


@pytest.mark.parametrize("asks", [lambda: torch.empty(2**55), lambda: bytearray(2**62)], ids=["torch", "Python"])
def test_a_lack_of_memory_is_told_in_one_line(asks, capsys):
    with pytest.raises(typer.Exit):
        clear_errors(asks)()
    assert capsys.readouterr().err.startswith("error: not enough memory: close other programs")
