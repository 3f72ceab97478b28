"""What a network takes from a frame's neighbours: its Dice with them, and with the frame itself in their place.

    uv run python tests/benchmarks/what_time_tells.py [--model model.pt] [--clips 16] [--frames 12] [--seed 0]

On simulated clips. "still" shows the network each frame alone: the ends of a cine are repeated, so all frames of its
window are the same. "backwards" turns the cine round. Prints the mean over clips, the 95 % interval of the difference
that each makes, on how many clips it harms, and the share of pixels called vessel before there is contrast.
"""

import argparse
import sys
from collections.abc import Callable

import numpy as np
from angioseg.cine import Cine
from angioseg.errors import AngioSegError
from angioseg.intervals import mean_interval
from angioseg.metrics import dice
from angioseg.segmentation import Segmenter
from angioseg.simulation import simulate_clip
from scipy.stats import binomtest

Network = Callable[[np.ndarray], np.ndarray]


def ways(segmenter: Segmenter) -> dict[str, Network]:
    """How the frames are shown: each takes frames (T, H, W) and gives masks (T, H, W)."""

    def as_it_is(frames: np.ndarray) -> np.ndarray:
        return segmenter(Cine(frames=frames, times_ms=np.arange(len(frames)) * 100.0)).mask

    return {
        "as it is": as_it_is,
        "still": lambda frames: np.concatenate([as_it_is(frame[None]) for frame in frames]),
        "backwards": lambda frames: as_it_is(frames[::-1].copy())[::-1],
    }


def main() -> None:
    """Segment simulated clips in each way and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="file of weights; those that ship when left out")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=12, help="a clip")
    parser.add_argument("--seed", type=int, default=0, help="of the first clip")
    arguments = parser.parse_args()
    try:
        shown = ways(Segmenter(model=arguments.model))
    except AngioSegError as error:
        sys.exit(f"error: {error}")
    scores: dict[str, list[float]] = {name: [] for name in shown}
    empty: dict[str, list[float]] = {name: [] for name in shown}
    for seed in range(arguments.seed, arguments.seed + arguments.clips):
        clip = simulate_clip(seed, frames=arguments.frames)
        before = ~clip.vessels.any(axis=(1, 2))
        for name, segment in shown.items():
            mask = segment(clip.frames)
            scores[name].append(dice(mask, clip.vessels))
            if before.any():
                empty[name].append(float(mask[before].mean()))
        print(f"seed {seed}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in scores.items()), flush=True)
    life = np.array(scores["as it is"])
    for name, values in scores.items():
        gap = mean_interval((np.array(values) - life).tolist())
        worse, unequal = sum(np.array(values) < life), sum(np.array(values) != life)
        sign = binomtest(worse, unequal).pvalue if unequal else 1.0
        print(f"{name}: mean Dice {np.mean(values):.3f}, difference {gap}; before contrast {np.mean(empty[name]):.3%}")
        print(f"  lower on {worse} of {len(values)} clips, higher on {unequal - worse} (sign test, p = {sign:.3f})")


if __name__ == "__main__":
    main()
