"""What an epoch draws depends on its number and the seed alone."""

import pytest
from angioseg.data import FrameSampler
from hypothesis import given
from hypothesis import strategies as st


def drawn(frames, epoch, num_samples=None, seed=0, rank=0, world_size=1):
    sampler = FrameSampler(range(frames), num_samples, seed, rank, world_size)
    sampler.set_epoch(epoch)
    items = list(sampler)
    assert len(items) == len(sampler)
    return items


@given(st.integers(1, 50), st.integers(0, 9), st.integers(1, 4), st.one_of(st.none(), st.integers(1, 60)))
def test_ranks_share_out_one_draw(frames, epoch, ranks, num_samples):
    parts = [drawn(frames, epoch, num_samples, rank=rank, world_size=ranks) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    together = [parts[place % ranks][place // ranks] for place in range(len(parts[0]) * ranks)]
    assert all(0 <= index < frames for index, _ in together)
    if num_samples is None:
        assert sorted({index for index, _ in together}) == list(range(frames))
        assert len(together) < frames + ranks
    else:
        assert num_samples <= len(together) < num_samples + ranks
    if ranks == 1:
        assert together == drawn(frames, epoch, num_samples)


@pytest.mark.parametrize("num_samples", [None, 20])
def test_epochs_and_seeds_differ_and_come_again(num_samples):
    assert drawn(20, 1, num_samples) == drawn(20, 1, num_samples)
    assert drawn(20, 1, num_samples) != drawn(20, 2, num_samples)
    assert drawn(20, 1, num_samples) != drawn(20, 1, num_samples, seed=1)
