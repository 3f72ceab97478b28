"""Whole-clip inference: windows, order, ranges and batches."""

import pytest
import torch
from angioseg.inferers import ClipInferer
from hypothesis import given, settings
from hypothesis import strategies as st


class SumOfWindow(torch.nn.Module):
    """Weighs the frames of a window by their place, so that a wrong order or neighbour shows."""

    def __init__(self, neighbors):
        super().__init__()
        self.weights = torch.nn.Parameter(10.0 ** torch.arange(2 * neighbors + 1))

    def forward(self, x):
        return (x * self.weights.view(1, 1, -1, 1, 1)).sum(2)


def make(neighbors, batch_size=1):
    return ClipInferer(
        neighbors,
        preprocessing=lambda d: {**d, "image": d["image"].float()},
        postprocessing=lambda d: d,
        batch_size=batch_size,
        out_dtype=torch.float32,
    )


def numbered_clip(num_frames, dtype=torch.uint8):
    return torch.arange(1, num_frames + 1).to(dtype).view(1, -1, 1, 1).expand(1, -1, 4, 5).clone()


@pytest.mark.parametrize(
    ("neighbors", "num_frames", "expected"),
    [
        (0, 3, [1, 2, 3]),
        (1, 1, [111]),
        (1, 3, [211, 321, 332]),
        (2, 3, [32111, 33211, 33321]),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_each_frame_sees_its_neighbours(neighbors, num_frames, expected, batch_size):
    out = make(neighbors, batch_size)(numbered_clip(num_frames), SumOfWindow(neighbors))
    assert out.shape == (1, num_frames, 4, 5)
    assert out[0, :, 0, 0].tolist() == expected
    assert (out == out[:, :, :1, :1]).all()


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 3), st.integers(1, 5), st.data())
def test_a_range_is_the_whole_clip_there_and_nothing_elsewhere(num_frames, neighbors, batch_size, data):
    first = data.draw(st.integers(0, num_frames - 1))
    last = data.draw(st.integers(first, num_frames - 1))
    clip, network = numbered_clip(num_frames), SumOfWindow(neighbors)
    whole = make(neighbors)(clip, network)
    part = make(neighbors, batch_size)(clip, network, frames=range(first, last + 1))
    assert torch.equal(part[:, first : last + 1], whole[:, first : last + 1])
    assert part[:, :first].sum() == 0 and part[:, last + 1 :].sum() == 0


def test_a_loaders_batch_of_one_clip_is_taken():
    assert make(1)(numbered_clip(3)[None], SumOfWindow(1)).shape == (1, 1, 3, 4, 5)


@pytest.mark.parametrize("shape", [(4, 5, 6), (2, 4, 5, 6), (2, 1, 4, 5, 6)])
def test_anything_but_one_clip_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected one clip of shape \(1, T, H, W\)"):
        make(1)(torch.zeros(shape), SumOfWindow(1))


@pytest.mark.parametrize("frames", [[0, 5], [3, 2], [1, 1]])
def test_frames_that_do_not_follow_each_other_are_refused(frames):
    with pytest.raises(ValueError, match="do not follow each other"):
        make(1)(numbered_clip(7), SumOfWindow(1), frames=frames)


def test_progress_counts_frames_and_can_end_the_work():
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(1, batch_size=2)(numbered_clip(7), SumOfWindow(1), frames=range(1, 7), progress=progress)
    assert seen == [(2, 6), (4, 6)]
