"""Data sets of simulated clips, laid out as the paper's set: one folder a clip, images and labels in time order."""

import json
import numbers
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..cine.vessel import CATHETER_GREY, VESSEL_GREY
from .clip import SimulatedClip, random_timing, simulate_clip
from .errors import SimulationError

__all__ = ["PRESETS", "Preset", "clip_seed", "plan_dataset", "write_clip", "write_dataset"]

_PNG_LEVEL = 1


def clip_seed(seed: int, index: int) -> int:
    """The seed of clip ``index`` of the data set of ``seed``: neighbours, so that sets of far seeds share no clip."""
    return int(seed) + int(index)


@dataclass(frozen=True)
class Preset:
    """A data set that somebody has described.

    Attributes:
        clips: how many.
        frames: of all clips together.
        sizes: rows and columns, drawn for each clip.
    """

    clips: int
    frames: int
    sizes: tuple[tuple[int, int], ...]


PRESETS = {
    # The paper's set: 170 clips of 3 to 10 s at 10 to 15 frames a second, 8,835 frames, 512x512 to 769x718.
    "setv": Preset(170, 8835, ((512, 512), (512, 512), (512, 512), (576, 720), (600, 600), (718, 769))),
}
"""Data sets by name."""


def plan_dataset(preset: str, seed: int) -> list[dict]:
    """What to ask :func:`simulate_clip` for, clip by clip.

    Args:
        preset: a name in :data:`PRESETS`.
        seed: of the first clip.

    Returns:
        For each clip ``{"seed", "frames", "size", "fps"}``; the frames add up to the preset's.

    Raises:
        SimulationError: there is no such preset.
    """
    if preset not in PRESETS:
        raise SimulationError(f"There is no preset {preset!r}: say {', '.join(PRESETS)}.")
    plan = PRESETS[preset]
    rng = np.random.default_rng([int(seed), 0x5E7])
    timing = [random_timing(rng) for _ in range(plan.clips)]
    rates = np.array([fps for _, fps in timing]).clip(10.0, 15.0)
    shortest = np.ceil(3.0 * rates)
    beyond = np.array([frames / fps for frames, fps in timing]) * rates - shortest
    counts = shortest + np.floor(beyond.clip(0) * (plan.frames - shortest.sum()) / beyond.clip(0).sum())
    counts[: int(plan.frames - counts.sum())] += 1
    sizes = rng.integers(len(plan.sizes), size=plan.clips)
    return [
        {"seed": clip_seed(seed, index), "frames": int(count), "size": plan.sizes[size], "fps": float(fps)}
        for index, (count, size, fps) in enumerate(zip(counts, sizes, rates))
    ]


def write_dataset(
    folder: str | os.PathLike,
    plan: Sequence[dict],
    *,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write simulated clips as ``clip_0000/images/frame_0000.png`` and ``clip_0000/labels/frame_0000.png``.

    In a label 255 is vessel, 64 the catheter and 0 all else. Beside its images a clip has ``clip.json`` with its
    ``meta``, frame times and best frame, and ``centrelines.npz``. Seeds below 100,000 are for tests and demos; train
    with seeds from 100,000 on, so that what is shown was never trained on. A clip's folder appears when it is whole.

    Args:
        folder: made when it is not there; a clip already in it is replaced.
        plan: for each clip the arguments of :func:`simulate_clip`; :func:`plan_dataset` gives those of a preset.
        workers: processes beside this one; 0 does the work here.
        progress: called with (clips done, clips) after each clip.

    Returns:
        The clips' folders, in order.

    Raises:
        SimulationError: a parameter no clip can be made from, a folder that cannot be written, or a worker process that
            was ended from outside.
    """
    if not plan:
        raise SimulationError("A data set has 1 clip or more.")
    if not isinstance(workers, numbers.Integral) or workers < 0:
        raise SimulationError(f"The number of worker processes is 0 or more, not {workers!r}.")
    targets = [Path(folder) / f"clip_{index:04d}" for index in range(len(plan))]
    if workers == 0:
        for done, job in enumerate(zip(targets, plan), start=1):
            _make(*job)
            if progress is not None:
                progress(done, len(plan))
        return targets
    try:
        _share_out(list(zip(targets, plan)), workers, progress)
    except BrokenProcessPool as error:
        for target in targets:
            for left in target.parent.glob(_unfinished(target) + "?" * 8):
                shutil.rmtree(left, ignore_errors=True)
        raise SimulationError(
            "A worker process was ended, most likely for want of memory: use fewer --workers."
        ) from error
    return targets


def _share_out(jobs: list[tuple], workers: int, progress: Callable[[int, int], None] | None) -> None:
    # Fork would copy torch's threads half-alive.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        try:
            running = [pool.submit(_make, *job) for job in jobs]
            for done, job in enumerate(as_completed(running), start=1):
                job.result()
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def write_clip(target: str | os.PathLike, clip: SimulatedClip) -> None:
    """Write one clip's folder; it appears under its name when it is whole.

    Raises:
        SimulationError: the place cannot be written.
    """
    target = Path(target)
    made = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=_unfinished(target), dir=target.parent))
        labels = clip.vessels * VESSEL_GREY + clip.catheter * CATHETER_GREY
        for name, stack in (("images", clip.frames), ("labels", labels)):
            (made / name).mkdir()
            for index, frame in enumerate(stack):
                Image.fromarray(frame).save(made / name / f"frame_{index:04d}.png", compress_level=_PNG_LEVEL)
        story = {**clip.meta, "best_frame": clip.best_frame, "times_ms": clip.times_ms.tolist()}
        (made / "clip.json").write_text(json.dumps(story, indent=1), encoding="utf-8")
        np.savez_compressed(made / "centrelines.npz", **vars(clip.centrelines))
        made.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        os.replace(made, target)
    except OSError as error:
        raise SimulationError(
            f"Cannot write {target}: {error.strerror or error}. Choose a folder you may write to."
        ) from error
    finally:
        if made is not None and made.exists():
            shutil.rmtree(made, ignore_errors=True)


def _unfinished(target: Path) -> str:
    """How the name of a clip's folder begins until it is whole; eight letters by chance follow."""
    return f".{target.name}-"


def _make(target: Path, options: dict) -> None:
    write_clip(target, simulate_clip(**options))
