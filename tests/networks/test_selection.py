"""Which frame is chosen, of what is left."""

import random

import numpy as np
import pytest
from angioseg.cine import Cine
from angioseg.segmentation import Segmenter
from angioseg.selection import STRATEGIES, Clip, FrameScore, candidate_frames, choose, needs_scores, score_frame
from angioseg.simulation import simulate_clip
from hypothesis import given
from hypothesis import strategies as st

LEFT, RIGHT = (1.0, *[0.0] * 63), (0.0, 1.0, *[0.0] * 62)


def clip(*scores, taken=(), frames=5):
    """A clip of 5 frames, 400 ms apart; scores are (frame, uncertainty, filled, layout)."""
    return Clip(lambda: np.arange(frames) * 400.0, set(taken), [FrameScore(*score) for score in scores])


@pytest.mark.parametrize(
    ("strategy", "clips", "chosen"),
    [
        ("first", {"b": clip(), "a": clip(taken=[0, 1])}, ("a", 2)),
        ("first", {"a": clip(frames=0), "b": clip()}, ("b", 0)),
        ("random", {"a": clip(taken=[0, 1, 2, 4]), "b": clip(taken=range(5))}, ("a", 3)),
        ("uncertainty", {"a": clip((0, 0.2, 0.1, LEFT)), "b": clip((3, 0.6, 0.1, LEFT))}, ("b", 3)),
        ("uncertainty", {"a": clip((0, 0.2, 0.1, LEFT)), "b": clip((3, 0.6, 0.1, LEFT), taken=[3])}, ("a", 0)),
        ("temporal_diversity", {"a": clip((0, 0.9, 0.1, LEFT), taken=[4]), "b": clip((1, 0, 0.1, LEFT))}, ("b", 1)),
        ("temporal_diversity", {"a": clip((0, 0, 0.1, LEFT), (2, 0, 0.9, LEFT), (4, 0, 0.2, LEFT))}, ("a", 2)),
        ("temporal_diversity", {"a": clip(*((t, 0, 0.5, LEFT) for t in range(5)), taken=[1])}, ("a", 4)),
        ("cine", {"a": clip((1, 0.9, 0.5, LEFT), taken=[4]), "b": clip((1, 0.2, 0.5, LEFT))}, ("b", 1)),
        ("cine", {"a": clip((0, 0.9, 0.1, LEFT), (1, 0.5, 0.9, LEFT))}, ("a", 1)),
        ("cine", {"a": clip((0, 0.5, 0.5, LEFT), (1, 0.5, 0.5, RIGHT), (4, 0.5, 0.5, LEFT), taken=[4])}, ("a", 1)),
        ("cine", {"a": clip((3, 0.5, 0.5, LEFT), (1, 0.5, 0.5, LEFT), (4, 0.5, 0.5, LEFT), taken=[4])}, ("a", 1)),
    ],
)
def test_the_frame_to_label_next(strategy, clips, chosen):
    choice = choose(strategy, clips, random.Random(0))
    assert (choice.id, choice.frame) == chosen
    assert choice.why.endswith(".")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("clips", [{}, {"a": clip(taken=range(5))}, {"a": clip((2, 0.5, 0.5, LEFT), taken=range(5))}])
def test_nothing_is_left(strategy, clips):
    assert choose(strategy, clips, random.Random(0)) is None


@given(st.sampled_from(sorted(STRATEGIES)), st.integers(0, 9), st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_asking_until_nothing_is_left_gives_every_frame_once(strategy, seed, sizes):
    rng = np.random.default_rng(seed)
    clips = {
        str(number): clip(*((frame, *rng.random(2), LEFT) for frame in range(size)), frames=size)
        for number, size in enumerate(sizes)
    }
    chosen = []
    while choice := choose(strategy, clips, random.Random(seed)):
        chosen.append((choice.id, choice.frame))
        clips[choice.id].taken.add(choice.frame)
    assert sorted(chosen) == [(str(number), frame) for number, size in enumerate(sizes) for frame in range(size)]
    if strategy in ("cine", "temporal_diversity"):
        first = [id for id, _ in chosen[: len(sizes)]]
        assert len(set(first)) == len(sizes), "every clip is asked once before one is asked again"


def test_what_is_asked_of_the_model():
    assert [name for name in STRATEGIES if not needs_scores(name)] == ["random", "first"]
    assert next(iter(STRATEGIES)) == "cine"
    assert candidate_frames(3) == [0, 1, 2]
    assert candidate_frames(60) == [0, 5, 11, 16, 21, 27, 32, 38, 43, 48, 54, 59]


def test_scores_see_the_vessels_and_do_not_change_in_the_mirror():
    simulated = simulate_clip(7, frames=3, size=(192, 192))
    segmenter = Segmenter(device="cpu")
    seen, mirrored = (
        score_frame(segmenter, Cine(frames=np.ascontiguousarray(frames), times_ms=simulated.times_ms), 2)
        for frames in (simulated.frames, simulated.frames[..., ::-1])
    )
    assert 0 < seen.uncertainty < 1
    assert mirrored.uncertainty == pytest.approx(seen.uncertainty, abs=0.01)
    assert mirrored.filled == pytest.approx(seen.filled, rel=0.02)
    truth = simulated.vessels[2].reshape(8, 24, 8, 24).mean(axis=(1, 3)).ravel()
    assert truth @ seen.layout / np.linalg.norm(truth) > 0.8
