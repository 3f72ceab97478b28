"""Whether training waits for the simulator: frames a second beside the network's training step, in one run.

    uv run python tests/benchmarks/simulation_speed.py [--size 512] [--device cuda]

Machines differ and are shared: the ratio of the two is what counts.
"""

import argparse
import time
from collections.abc import Callable

import torch
from angioseg.nets import CENet3D2D
from angioseg.simulation import simulate_clip
from monai.losses import DiceCELoss


def seconds(work: Callable[[], object], times: int) -> float:
    """The fastest of some runs, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(times):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="rows and columns of a simulated frame")
    parser.add_argument("--grid", type=int, default=448, help="of the network")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device, size = torch.device(options.device), (options.size, options.size)

    frames = 48
    simulated = frames / seconds(lambda: simulate_clip(1, frames=frames, size=size, device=device), 3)
    print(f"simulator, {options.size}x{options.size}, {device}: {simulated:.1f} frames/s", flush=True)

    batch = 4
    network = CENet3D2D(in_channels=1, out_channels=1, num_neighbors=1).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters())
    loss = DiceCELoss(sigmoid=True, batch=True)
    image = torch.randn(batch, 1, 3, options.grid, options.grid, device=device)
    label = (torch.rand(batch, 1, options.grid, options.grid, device=device) > 0.95).float()

    def step() -> None:
        optimizer.zero_grad()
        loss(network(image), label).backward()
        optimizer.step()

    trained = batch / seconds(step, 3)
    print(f"training step, {options.grid}x{options.grid}, batch {batch}, {device}: {trained:.1f} frames/s")
    print(f"the simulator is {simulated / trained:.1f} times as fast as the training step")


if __name__ == "__main__":
    main()
