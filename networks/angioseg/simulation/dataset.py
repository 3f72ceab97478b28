"""Data sets of simulated clips, laid out as the paper's set: one folder a clip, images and labels in time order."""

import json
import numbers
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .clip import SimulatedClip, simulate_clip
from .errors import SimulationError

__all__ = ["clip_seed", "write_clip", "write_dataset"]

_PNG_LEVEL = 1


def clip_seed(seed: int, index: int) -> int:
    """The seed of clip ``index`` of the data set of ``seed``: neighbours, so that sets of far seeds share no clip."""
    return int(seed) + int(index)


def write_dataset(
    folder: str | os.PathLike,
    clips: int,
    seed: int,
    *,
    frames: int | None = None,
    size: tuple[int, int] = (512, 512),
    fps: float = 15.0,
    device: str = "cpu",
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write simulated clips as ``clip_0000/images/frame_0000.png`` and ``clip_0000/labels/frame_0000.png`` (0 or 255).

    Clip ``i`` is ``simulate_clip(seed + i)``; beside its images lies ``clip.json`` with its ``meta``, frame times and
    best frame. Seeds below 100,000 are for tests and demos; train with seeds from 100,000 on, so that what is shown
    was never trained on. A clip's folder appears when it is whole.

    Args:
        folder: made when it is not there; a clip already in it is replaced.
        clips: how many, 1 or more.
        seed: of the first clip.
        frames: a clip; None draws 28 to 60 for each.
        size: rows and columns.
        fps: frames a second.
        device: where to compute.
        workers: processes beside this one; 0 does the work here.
        progress: called with (clips done, clips) after each clip.

    Returns:
        The clips' folders, in order.

    Raises:
        SimulationError: a parameter no clip can be made from, or a folder that cannot be written.
    """
    if not isinstance(clips, numbers.Integral) or clips < 1:
        raise SimulationError(f"A data set has 1 clip or more, not {clips!r}.")
    if not isinstance(workers, numbers.Integral) or workers < 0:
        raise SimulationError(f"The number of worker processes is 0 or more, not {workers!r}.")
    folder = Path(folder)
    options = {"frames": frames, "size": size, "fps": fps, "device": device}
    targets = [folder / f"clip_{index:04d}" for index in range(clips)]
    jobs = [(target, clip_seed(seed, index), options) for index, target in enumerate(targets)]
    if workers == 0:
        for done, job in enumerate(jobs, start=1):
            _make(*job)
            if progress is not None:
                progress(done, clips)
        return targets
    # Fork would copy torch's threads half-alive.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        running = [pool.submit(_make, *job) for job in jobs]
        try:
            for done, job in enumerate(as_completed(running), start=1):
                job.result()
                if progress is not None:
                    progress(done, clips)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return targets


def write_clip(target: str | os.PathLike, clip: SimulatedClip) -> None:
    """Write one clip's folder; it appears under its name when it is whole.

    Raises:
        SimulationError: the place cannot be written.
    """
    target = Path(target)
    made = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        for name, stack, factor in (("images", clip.frames, 1), ("labels", clip.vessels, 255)):
            (made / name).mkdir()
            for index, frame in enumerate(stack):
                Image.fromarray(frame * np.uint8(factor)).save(
                    made / name / f"frame_{index:04d}.png", compress_level=_PNG_LEVEL
                )
        story = {**clip.meta, "best_frame": clip.best_frame, "times_ms": clip.times_ms.tolist()}
        (made / "clip.json").write_text(json.dumps(story, indent=1), encoding="utf-8")
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


def _make(target: Path, seed: int, options: dict) -> None:
    write_clip(target, simulate_clip(seed, **options))
