"""Ignite handlers that the bundle's training needs and MONAI does not have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch.nn.parallel import DistributedDataParallel

from .atomic import replacing
from .data import FrameSampler
from .errors import AngioSegError, lacks_memory

__all__ = ["EpochSeed", "MemoryAdvice", "TrainingCheckpoint"]


class TrainingCheckpoint:
    """Keeps ``last.pt``, all that a training needs to go on after an epoch, and ``best.pt``, the network that validated
    best; both are whole or not there, whenever the process dies.

    It comes after the validation in the list of handlers: an epoch is kept with what its validation said.

    MONAI's ``CheckpointSaver`` writes in place, so a kill in that moment leaves half a file.

    Args:
        folder: where the files go; made when missing.
        network: the network.
        parts: name -> what else changes while training, each with ``state_dict``: optimizer, schedule.
        validator: its key metric says which network is best, the higher the better.
        plan: name -> what must be the same when the training goes on: numbers, words, lists of these.
        resume: whether to go on from a ``last.pt`` that is there. Without one the training starts from the beginning.
        writes: False on all but one process of a distributed training.

    Raises:
        AngioSegError: when the training starts and ``last.pt`` is not of such a training, or was planned otherwise; or,
            where it is not to go on from one, when there is one.
    """

    def __init__(
        self,
        folder: str | Path,
        network: torch.nn.Module,
        parts: Mapping[str, Any],
        validator: Evaluator,
        plan: Mapping[str, Any] | None = None,
        resume: bool = False,
        writes: bool = True,
    ) -> None:
        self.last, self.best = Path(folder) / "last.pt", Path(folder) / "best.pt"
        self.network = network.module if isinstance(network, DistributedDataParallel) else network
        self.parts = dict(parts)
        self.validator = validator
        self.plan = json.loads(json.dumps(plan or {}))  # a tuple is kept as a list
        self.resume = resume
        self.writes = writes

    def attach(self, engine: Engine) -> None:
        """Add the handlers to a trainer."""
        if self.resume:
            engine.add_event_handler(Events.STARTED, self._load)
        elif found := next((path for path in (self.last, self.best) if path.exists()), None):
            # Now: a validation before the first step writes the best one.
            raise AngioSegError(
                f"{found}: is of another training; go on with that by --resume True, or give another ckpt_dir."
            )
        if self.writes:
            engine.add_event_handler(Events.STARTED, self._sweep)
            self.validator.add_event_handler(Events.COMPLETED, self._keep_best)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._keep_last)

    def _sweep(self, engine: Engine) -> None:
        """Remove what a kill in the middle of writing left."""
        for path in (self.last, self.best):
            for unfinished in path.parent.glob(f".{path.name}.*.part"):
                unfinished.unlink()

    def _keep_best(self, validator: Evaluator) -> None:
        if validator.state.best_metric_epoch == validator.state.epoch:
            self._write(self.best, {"model": self.network.state_dict()})

    def _keep_last(self, engine: Engine) -> None:
        found = self.validator.state
        self._write(
            self.last,
            {
                "model": self.network.state_dict(),
                "plan": self.plan,
                "parts": {name: part.state_dict() for name, part in self.parts.items()},
                "epoch": engine.state.epoch,
                "iteration": engine.state.iteration,
                "best_metric": float(found.best_metric),
                "best_metric_epoch": found.best_metric_epoch,
            },
        )

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            torch.save(content, temporary)

    def _load(self, engine: Engine) -> None:
        if not self.last.is_file():
            return
        try:
            kept = torch.load(self.last, map_location="cpu", weights_only=True)
            # Those begun before it was kept have none.
            # Nobody can give the data's digest.
            others = [
                "other clips, labels, partition or val_share" if name == "dataset" else f"{name} {old}"
                for name, old in kept.get("plan", {}).items()
                if self.plan.get(name) != old
            ]
            if others:
                raise AngioSegError(
                    f"{self.last}: was begun with {', '.join(others)}; give that to go on, or another ckpt_dir."
                )
            self.network.load_state_dict(kept["model"])
            for name, part in self.parts.items():
                planned = getattr(part, "total_steps", None)
                part.load_state_dict(kept["parts"][name])
                if getattr(part, "total_steps", None) != planned:
                    raise AngioSegError(
                        f"{self.last}: was begun with another max_epochs or iterations_per_epoch; give that to go "
                        "on, or another ckpt_dir."
                    )
            engine.state.epoch, engine.state.iteration = kept["epoch"], kept["iteration"]
            found = self.validator.state
            found.best_metric, found.best_metric_epoch = kept["best_metric"], kept["best_metric_epoch"]
        except AngioSegError:
            raise
        except Exception as error:
            raise AngioSegError(
                f"{self.last}: cannot be gone on from with these settings; give those it was begun with, or another "
                "ckpt_dir."
            ) from error
        engine.logger.info(f"Goes on after epoch {engine.state.epoch}.")


class EpochSeed:
    """Tells the sampler which epoch it draws, and seeds torch with it: no epoch depends on those before.

    Args:
        sampler: of the training's frames; None where a stream gives them.
        seed: of the training.
    """

    def __init__(self, sampler: FrameSampler | None, seed: int) -> None:
        self.sampler = sampler
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Add the handler to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        torch.manual_seed(self.seed + engine.state.epoch)
        if self.sampler is not None:
            self.sampler.set_epoch(engine.state.epoch)


class MemoryAdvice:
    """Answers a lack of memory with what to do.

    It comes first in the list of handlers: ignite gives an exception to the first that takes it.

    Args:
        batch_size: windows a step.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def attach(self, engine: Engine) -> None:
        """Add the handler to a trainer."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)

    def __call__(self, engine: Engine, error: BaseException) -> None:
        if not lacks_memory(error):
            raise error
        smaller = f"--batch_size {self.batch_size // 2} or a smaller crop" if self.batch_size > 1 else "a smaller crop"
        raise AngioSegError(
            f"There is not enough memory for a step of {self.batch_size} windows: train with {smaller}."
        ) from error
