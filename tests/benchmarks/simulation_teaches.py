"""What the simulator's cines teach: a small network trained on nothing else, scored on real stills with manual masks.

    uv run python tests/benchmarks/simulation_teaches.py STILLS_DIR

STILLS_DIR holds ``N.png`` and ``N_mask.png``. To compare two simulators, run it in two checkouts.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from angioseg.cine import read_cine
from angioseg.demo import dice
from angioseg.simulation import simulate_clip
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, NormalizeIntensityd, RandAdjustContrastd, RandAffined, RandFlipd, Resize
from monai.utils import set_determinism

SIDE = 256


def make_pool(clips: int, frames: int, first_seed: int) -> list[dict[str, torch.Tensor]]:
    """Frames that show vessels, and one in eight that shows none."""
    pool = []
    for seed in range(first_seed, first_seed + clips):
        clip = simulate_clip(seed, frames=frames, size=(SIDE, SIDE))
        full = np.flatnonzero(clip.vessels.any(axis=(1, 2)))
        for frame in (*full, *([0] if seed % 2 else [])):
            image, label = (torch.from_numpy(stack[frame])[None].float() for stack in (clip.frames, clip.vessels))
            pool.append({"image": image, "label": label})
    return pool


def train(pool: list, iterations: int, batch_size: int, seed: int) -> torch.nn.Module:
    set_determinism(seed)
    network = UNet(2, 1, 1, channels=(12, 24, 48, 96, 192), strides=(2, 2, 2, 2), num_res_units=1)
    augment = Compose(
        [
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
    augment.set_random_state(seed)
    loss_of = DiceCELoss(sigmoid=True, batch=True)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, iterations, pct_start=0.1)
    rng = np.random.default_rng(seed)
    for iteration in range(iterations):
        items = [augment(pool[i]) for i in rng.integers(len(pool), size=batch_size)]
        image, label = (torch.stack([item[key].as_tensor() for item in items]) for key in ("image", "label"))
        loss = loss_of(network(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if iteration % 100 == 0:
            print(f"  iteration {iteration} of {iterations}, loss {loss.item():.3f}", flush=True)
    return network.eval()


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
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pool = make_pool(options.clips, options.frames, 200_000)
    print(f"{len(pool)} simulated frames of {options.clips} clips", flush=True)
    scores = score(train(pool, options.iterations, options.batch_size, options.seed), options.stills)
    resampled = np.random.default_rng(0).choice(scores, (2000, len(scores))).mean(axis=1)
    low, high = np.percentile(resampled, (2.5, 97.5))
    print(f"{len(scores)} stills: mean vessel Dice {np.mean(scores):.3f} (95 % interval {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
