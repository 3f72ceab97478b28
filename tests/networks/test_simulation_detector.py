"""What the detector makes of a scene: lag and noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from angioseg.simulation import clip as clips
from angioseg.simulation import simulate_clip
from angioseg.simulation.detector import random_detector

SIZE = (128, 128)


def plain(**changes):
    """A detector that shows a flat scene flat."""
    drawn = random_detector(np.random.default_rng(0), SIZE)
    whole = {"flatten": 0.0, "enhance": 0.0, "linear": False, "jpeg": 0, "text": None, "screen": np.ones(SIZE, "f4")}
    return replace(drawn, **whole | changes)


@pytest.mark.parametrize("lag", [0.1, 0.2])
@pytest.mark.parametrize("together", [True, False], ids=["in one call", "frame by frame"])
def test_a_scene_that_stays_is_shown_alike_from_the_first_frame_on(lag, together):
    scene, state = torch.zeros(6, *SIZE), {}
    detector = plain(lag=lag)
    parts = [scene] if together else scene.split(1)
    shown = torch.cat([detector.expose(part, None, state) for part in parts])
    assert (shown == shown[-1]).all()
    assert abs(shown.float().mean() - detector.centre) <= 0.5


def test_lag_leaves_its_share_of_the_frame_before():
    scene = torch.zeros(3, *SIZE)
    scene[0] = 1.0
    shown = plain(lag=0.2, centre=130.0, gain=100.0, scatter=0.0).expose(scene, None, {}).float().mean(dim=(1, 2))
    # Mean signal is that of the first frame: exp(-1). Of what is left 0.2 a frame stays.
    bright, dark = 1.0, np.exp(-1.0)
    second = 0.8 * bright + 0.2 * dark
    third = 0.8 * bright + 0.2 * second
    expected = [130.0, *(130.0 + 100.0 * np.log(signal / dark) for signal in (second, third))]
    bent = [grey if grey <= 190 else 190 + 60 * np.tanh((grey - 190) / 60) for grey in expected]
    np.testing.assert_allclose(shown, bent, atol=0.6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lag": 0.2},
        {"enhance": 1.0, "enhance_px": 1.2},
        {"enhance": 1.0, "enhance_px": 3.0},
        {"enhance": 0.5, "grain": 1.1},
        {"enhance": 0.8, "grain": 0.4, "lag": 0.1, "linear": True},
    ],
)
def test_the_noise_told_is_the_noise_shown(changes):
    detector = plain(**{"noise_grey": 4.0, "grain": 0.6, "lag": 0.0, "enhance_px": 2.0} | changes)
    frames = detector.expose(torch.zeros(12, *SIZE), torch.Generator().manual_seed(5), {}).numpy().astype(float)
    # Edges are blurred with their own repetition. A grey level of rounding has a variance of 1/12.
    inner = frames[:, 12:-12, 12:-12]
    each = np.sqrt(inner.var(axis=(1, 2)) - 1 / 12)
    assert each.mean() == pytest.approx(detector.noise_shown, rel=0.03)
    assert each[0] == pytest.approx(detector.noise_shown, rel=0.06)


def test_the_truth_leaves_out_what_drowns_in_the_noise_shown(monkeypatch):
    area = []
    for changes in ({"lag": 0.3}, {"lag": 0.0}, {"lag": 0.0, "enhance": 1.0, "enhance_px": 1.2}):
        detector = plain(noise_grey=10.0, grain=0.6, **changes)
        monkeypatch.setattr(clips, "random_detector", lambda *_, detector=detector: detector)
        area.append(simulate_clip(6, frames=6, size=SIZE, noise=False).vessels.sum())
    assert area[0] > area[1] > area[2] > 0
