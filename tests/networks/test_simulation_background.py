"""What lies behind the vessels moves with the table and the breath."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from angioseg.simulation import background as backgrounds
from angioseg.simulation import clip as clips
from angioseg.simulation import simulate_clip
from angioseg.simulation.anatomy import grow_tree
from angioseg.simulation.background import Background
from angioseg.simulation.motion import random_motion
from angioseg.simulation.projection import random_view

SIZE = (128, 128)


@pytest.mark.parametrize(("right", "down"), [(8, 0), (-4, 12), (44, -44), (-60, 60)])
def test_the_background_goes_as_far_as_the_table(right, down):
    rng = np.random.default_rng(3)
    tree = grow_tree(rng)
    view = random_view(rng, tree.side, SIZE)
    motion = random_motion(rng, tree, view, 3.0)
    background = Background(rng, view, tree.heart, torch.device("cpu"), reach_px=max(abs(right), abs(down)))
    pans = np.array([[0.0, 0.0], [right, down]])
    still, moved = background.frames(pans, np.zeros(2), motion, np.zeros(2))
    # Whole steps of the grid that the heart's shadow is computed on: nothing is interpolated otherwise.
    inner = (slice(max(down, 0), 128 + min(down, 0)), slice(max(right, 0), 128 + min(right, 0)))
    torch.testing.assert_close(moved[inner], torch.roll(still, (down, right), (0, 1))[inner], atol=1e-4, rtol=0)


def test_no_table_and_breath_that_are_drawn_leave_the_background_behind(monkeypatch):
    """At the closest field, the widest pan and the deepest breath; a shift beyond the padding is an error."""
    asked, shift = [], backgrounds._shift

    def spy(layer, right, down, pad, size):
        asked.append(max(abs(right), abs(down)) - (pad - 1))
        return shift(layer, right, down, pad, size)

    def close(*arguments):
        return replace(random_view(*arguments), pixel_mm=115.0 / 96, sid_mm=1180.0, sod_mm=720.0)

    def far(*arguments):
        drawn = random_motion(*arguments)
        return replace(drawn, pan_mm=np.array([-18.0, 18.0]), breath_mm=7.0, pan_from_s=0.2, pan_for_s=0.5)

    monkeypatch.setattr(backgrounds, "_shift", spy)
    monkeypatch.setattr(clips, "random_view", close)
    monkeypatch.setattr(clips, "random_motion", far)
    clip = simulate_clip(1, frames=60, fps=15.0, size=(96, 96))
    assert clip.frames.shape == (60, 96, 96)
    assert -2 < max(asked) <= 0
