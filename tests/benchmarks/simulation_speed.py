"""Whether training waits for the simulator: frames a second beside the network's training step, in one run.

    uv run python tests/benchmarks/simulation_speed.py [--size 512] [--device cuda] [--workers 12]

Machines differ and are shared: the ratio of the two is what counts. With --workers, so many processes simulate at once,
as a data loader's do.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

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


def simulate_some(seed: int, frames: int, size: tuple[int, int], device: torch.device) -> None:
    """What a worker of :func:`simulated_by` does."""
    torch.set_num_threads(1)
    simulate_clip(seed, frames=frames, size=size, device=device)


def simulated_by(workers: int, frames: int, size: tuple[int, int], device: torch.device) -> float:
    """Frames a second of so many processes, once each has made its first clip."""
    clips = 6 * workers
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        work = partial(simulate_some, frames=frames, size=size, device=device)
        list(pool.map(work, range(2 * workers)))
        start = time.perf_counter()
        list(pool.map(work, range(100, 100 + clips)))
        return clips * frames / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="rows and columns of a simulated frame")
    parser.add_argument("--grid", type=int, default=448, help="of the network")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that simulate at once; 0: this one")
    options = parser.parse_args()
    device, size = torch.device(options.device), (options.size, options.size)

    frames = 48
    if options.workers > 0:
        simulated = simulated_by(options.workers, frames, size, device)
    else:
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
