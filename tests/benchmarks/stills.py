"""Vessel Dice on stills with manual masks: Frangi's filter, and networks beside it.

    uv run python tests/benchmarks/stills.py STILLS_DIR [--model model.pt ...] [--folds fold0.pt fold1.pt ...]

STILLS_DIR holds N.png and N_mask.png. The filter's width and threshold are tuned on one half of the stills (every
second one) and scored on the other, and the other way round. The form of its threshold, the size of the components it
removes and the values to choose from were settled by looking at all the stills, so its score is a little too good.
Networks trained on simulated cines saw none of the stills; for any other weights that is the user's to know. With
K files behind --folds, weights number i (from 0) score every K-th still from the i-th on: those that they were trained
without.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from angioseg.cine import Cine, read_cine
from angioseg.errors import AngioSegError
from angioseg.frangi import frangi_mask
from angioseg.metrics import dice
from angioseg.segmentation import Segmenter

SIGMAS = [(4.0,), (5.0,), (6.0,), (7.0,), (4.0, 6.0)]
SHARES = [0.06, 0.08, 0.1, 0.12]
GRID = list(itertools.product(SIGMAS, SHARES))


def read_stills(folder: Path) -> tuple[list[Cine], list[np.ndarray]]:
    """Stills as cines of one frame, and their masks (H, W) bool, in the order of their numbers."""
    paths = [path for path in folder.glob("*.png") if path.with_name(f"{path.stem}_mask.png").is_file()]
    if not paths:
        raise AngioSegError(f"{folder}: holds no stills; give a folder of N.png with N_mask.png beside each.")
    paths.sort(key=lambda path: (len(path.stem), path.stem))
    masks = [read_cine(path.with_name(f"{path.stem}_mask.png")).frames[0] for path in paths]
    return [read_cine(path) for path in paths], [mask > mask.max() / 2 for mask in masks]


def tuned_frangi(stills: Sequence[Cine], truths: Sequence[np.ndarray]) -> np.ndarray:
    """Dice of each still, (n,), with the settings that are best on the half it is not in."""
    scores = np.empty((len(GRID), len(stills)))
    for index, (sigmas, share) in enumerate(GRID):
        for number, (still, truth) in enumerate(zip(stills, truths)):
            scores[index, number] = dice(frangi_mask(still.frames[0], sigmas, share), truth)
    result = np.empty(len(stills))
    for half in (0, 1):
        best = int(scores[:, 1 - half :: 2].mean(1).argmax())
        sigmas, share = GRID[best]
        print(f"  tuned on half {2 - half}: sigmas {sigmas}, share {share}")
        result[half::2] = scores[best, half::2]
    return result


def network(model: Path, stills: Sequence[Cine], truths: Sequence[np.ndarray]) -> np.ndarray:
    """Dice of each still, (n,), with a file of weights."""
    segmenter = Segmenter(model=model)
    return np.array([dice(segmenter(still).mask[0], truth) for still, truth in zip(stills, truths)])


def interval(scores: np.ndarray, seed: int = 0, draws: int = 10_000) -> tuple[float, float]:
    """95 % interval of the mean by bootstrap over the stills."""
    drawn = np.random.default_rng(seed).choice(scores, (draws, len(scores)))
    low, high = np.quantile(drawn.mean(1), (0.025, 0.975))
    return float(low), float(high)


def tell(name: str, scores: np.ndarray) -> None:
    """Print a line of the result."""
    low, high = interval(scores)
    print(f"{name}: mean vessel Dice {scores.mean():.3f} (95 % interval {low:.3f} to {high:.3f}, n = {len(scores)})")


def main() -> None:
    """Score the filter, then each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills", type=Path, metavar="STILLS_DIR", help="folder of N.png and N_mask.png")
    parser.add_argument("--model", type=Path, nargs="*", default=[], help="files of weights")
    parser.add_argument("--folds", type=Path, nargs="*", default=[], help="files of weights, each scored on its fold")
    arguments = parser.parse_args()
    try:
        stills, truths = read_stills(arguments.stills)
        tell("Frangi, tuned on one half, scored on the other", tuned_frangi(stills, truths))
        for model in arguments.model:
            tell(str(model), network(model, stills, truths))
        if folds := arguments.folds:
            scores = np.empty(len(stills))
            for fold, model in enumerate(folds):
                scores[fold :: len(folds)] = network(model, stills[fold :: len(folds)], truths[fold :: len(folds)])
            tell(f"{len(folds)} folds, each still by the weights trained without it", scores)
    except AngioSegError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
