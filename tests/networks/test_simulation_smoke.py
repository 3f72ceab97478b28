"""Contrast that spills into the aortic root."""

import numpy as np
import pytest
import torch
from angioseg.simulation.clip import _Puff
from angioseg.simulation.contrast import Bolus

ALWAYS = Bolus(-10.0, 1e3, 150.0, 0.2, 0.5, 1.0, 0.0, 0.8, 0.0, 1.0)
SIZE = (128, 128)


@pytest.mark.parametrize("seed", range(4))
def test_smoke_drifts_and_never_snaps_back(seed):
    times = np.arange(300) / 100
    ostium = np.full((len(times), 2), 64.0)
    puff = _Puff(np.random.default_rng(seed), ostium, 2.0, ALWAYS, times, 0.2)
    smoke = puff.frames(slice(None), SIZE, torch.device("cpu"))
    step = (smoke[1:] - smoke[:-1]).abs().amax(dim=(1, 2))
    assert smoke.max() > 0.01
    # A blob is seen for a second: in a hundredth of it a picture changes by a few hundredths of its darkest.
    assert step.max() < 0.1 * smoke.max()
    assert step.max() < 4 * step.median()
