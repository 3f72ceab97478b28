"""What the simulator's cines teach: a small network trained on nothing else, scored on real stills with manual masks.

    uv run python tests/benchmarks/simulation_teaches.py STILLS_DIR [--device cuda] [--workers 4]

STILLS_DIR holds ``N.png`` and ``N_mask.png``. To compare two simulators, run it in two checkouts.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from angioseg.cine import read_cine
from angioseg.metrics import dice
from angioseg.simulation import simulate_clip
from monai.data import DataLoader, Dataset
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import (
    CastToTyped,
    Compose,
    NormalizeIntensityd,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    Resize,
)
from monai.utils import set_determinism
from torch.utils.data import RandomSampler

SIDE = 256


def frames_of(seed: int, frames: int) -> list[dict[str, torch.Tensor]]:
    """Frames of a clip that show vessels, and of every second clip one that shows none."""
    torch.set_num_threads(1)
    clip = simulate_clip(seed, frames=frames, size=(SIDE, SIDE))
    full = np.flatnonzero(clip.vessels.any(axis=(1, 2)))
    chosen = [*full, *([0] if seed % 2 else [])]
    return [
        {"image": torch.from_numpy(clip.frames[i])[None], "label": torch.from_numpy(clip.vessels[i])[None]}
        for i in chosen
    ]


def make_pool(clips: int, frames: int, first_seed: int, workers: int) -> list[dict[str, torch.Tensor]]:
    with ProcessPoolExecutor(max(workers, 1), mp_context=get_context("spawn")) as pool:
        seeds = range(first_seed, first_seed + clips)
        return [item for items in pool.map(partial(frames_of, frames=frames), seeds) for item in items]


def train(pool: list, options: argparse.Namespace) -> torch.nn.Module:
    set_determinism(options.seed)
    network = UNet(2, 1, 1, channels=(12, 24, 48, 96, 192), strides=(2, 2, 2, 2), num_res_units=1).to(options.device)
    augment = Compose(
        [
            CastToTyped(["image", "label"], torch.float32),
            RandFlipd(["image", "label"], prob=0.5, spatial_axis=1),
            RandAdjustContrastd("image", prob=0.4, gamma=(0.6, 1.7)),
            RandAffined(
                ["image", "label"],
                prob=1.0,
                rotate_range=0.35,
                scale_range=0.35,
                translate_range=24,
                mode=["bilinear", "nearest"],
                padding_mode="border",
            ),
            NormalizeIntensityd("image"),
        ]
    )
    drawn = RandomSampler(pool, replacement=True, num_samples=options.iterations * options.batch_size)
    loader = DataLoader(
        Dataset(pool, augment), batch_size=options.batch_size, sampler=drawn, num_workers=options.workers
    )
    loss_of = DiceCELoss(sigmoid=True, batch=True)
    optimizer = torch.optim.AdamW(network.parameters(), options.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, options.iterations, pct_start=0.1)
    for iteration, batch in enumerate(loader):
        loss = loss_of(network(batch["image"].to(options.device)), batch["label"].to(options.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if iteration % 500 == 0:
            print(f"  iteration {iteration} of {options.iterations}, loss {loss.item():.3f}", flush=True)
    return network.cpu().eval()


@torch.inference_mode()
def score(network: torch.nn.Module, stills: Path) -> list[float]:
    scores = []
    for path in sorted(stills.glob("*_mask.png")):
        truth = read_cine(path).frames[0] > 127
        image = torch.from_numpy(read_cine(path.with_name(path.name.replace("_mask", ""))).frames).float()
        image = Resize((SIDE, SIDE), mode="bilinear")(image).as_tensor()
        image = (image - image.mean()) / image.std()
        logits = Resize(truth.shape, mode="bilinear")(network(image[None])[0]).as_tensor()[0]
        scores.append(dice(logits.numpy() > 0, truth))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stills", type=Path)
    parser.add_argument("--clips", type=int, default=150)
    parser.add_argument("--frames", type=int, default=8, help="a clip")
    parser.add_argument("--iterations", type=int, default=6000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pool = make_pool(options.clips, options.frames, 200_000, options.workers)
    print(f"{len(pool)} simulated frames of {options.clips} clips", flush=True)
    scores = score(train(pool, options), options.stills)
    resampled = np.random.default_rng(0).choice(scores, (2000, len(scores))).mean(axis=1)
    low, high = np.percentile(resampled, (2.5, 97.5))
    print(f"{len(scores)} stills: mean vessel Dice {np.mean(scores):.3f} (95 % interval {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
