"""Train the bundle's network further on labelled frames: the same way for the server and the simulated loop.

What training is stands in the bundle's ``train.json``; here is only which clips it gets, where the result goes, what is
told meanwhile, and that a model that validates worse than the one it started from does not come out.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import unwrapped

__all__ = ["Training", "TrainingProgress", "train"]


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        epoch: that is running, from 1; 0 while the model to start from is validated.
        epochs: how many there will be.
        loss: of the last step; None before the first.
        val_dice: at the last validation; None before the first.
        best_dice: the best so far, that of the model to start from included.
        seconds_left: at the pace so far; None before the first step.
    """

    epoch: int
    epochs: int
    loss: float | None = None
    val_dice: float | None = None
    best_dice: float | None = None
    seconds_left: float | None = None

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch} of {self.epochs}"]
        parts += [] if self.loss is None else [f"loss {self.loss:.3f}"]
        parts += [] if self.val_dice is None else [f"validation Dice {self.val_dice:.3f} (best {self.best_dice:.3f})"]
        parts += [] if self.seconds_left is None else [f"{self.seconds_left:.0f} s left"]
        return ", ".join(parts)


@dataclass(frozen=True)
class Training:
    """What came of a training.

    Attributes:
        better: whether there are new weights.
        dice: validation Dice of the best model of this training; None when it was stopped before its first validation.
        dice_before: that of the weights it started from, on the same frames; None when they were not compared.
        train_frames: how many labelled frames it learned from.
        val_frames: how many it was validated on.
        stopped: whether it was ended early.
    """

    better: bool
    dice: float | None
    dice_before: float | None
    train_frames: int
    val_frames: int
    stopped: bool

    def __str__(self) -> str:
        if self.dice is None:
            return "stopped before the first validation: the model stays as it was"
        numbers = f"validation Dice {self.dice:.3f}"
        if self.dice_before is not None:
            numbers += f" (before: {self.dice_before:.3f})"
        learned = f"trained on {self.train_frames} frames, validated on {self.val_frames}"
        return f"{learned}: {numbers}" + ("" if self.better else "; not better, so the model stays as it was")


def train(
    bundle: str | Path,
    start_from: str | Path,
    train_clips: Sequence[dict[str, Any]],
    val_clips: Sequence[dict[str, Any]],
    folder: str | Path,
    *,
    accept_worse: bool = False,
    device: str | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    left_out: Callable[[str], None] | None = None,
    **options: Any,
) -> Training:
    """Train on labelled frames, starting from given weights, in a copy of the bundle.

    Args:
        bundle: bundle folder to copy; nothing in it is written to.
        start_from: file of weights. N is read from it.
        train_clips: see :class:`angioseg.data.FrameDataset`.
        val_clips: the same, of other patients.
        folder: made here: the copy of the bundle. Its ``models/model.pt`` is there only if the model got better.
        accept_worse: take the best model of this training without comparing it with the one it started from.
        device: "cpu", "cuda"; a GPU when there is one when None.
        progress: called after every step and every validation.
        stop: asked after every step; True ends the training with the best model so far.
        left_out: called with a line for each clip that cannot be used, and the others are; when None it is an error.
        options: further values of the bundle's train.json, such as ``max_epochs``, ``iterations_per_epoch``,
            ``learning_rate``, ``batch_size``, ``crop``, ``seed``.

    Returns:
        What came of it.

    Raises:
        AngioSegError: when weights, clips or labels cannot be used, or the validation frames show no vessel.
    """
    from ignite.engine import Events
    from monai.bundle import ConfigWorkflow
    from monai.handlers import from_engine

    from .segmentation import weights_overrides

    folder = Path(folder)
    models = folder / "models"
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("models", "__pycache__"))
    models.mkdir()
    overrides = weights_overrides(Path(start_from), device)
    overrides |= {"progress_bar": False, "tensorboard": False}
    if left_out is not None:
        overrides |= {f"{data}#left_out": left_out for data in ("train#dataset", "validate#all_frames")}
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs" / "train.json"),
        meta_file=str(folder / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(folder),
        start_from=str(start_from),
        train_clips=list(train_clips),
        val_clips=list(val_clips),
        val_interval=1,
        validate_start=not accept_worse,
        **overrides,
        **options,
    )
    with unwrapped():
        workflow.initialize()
        trainer = workflow.parser.get_parsed_content("train#trainer")
        evaluator = workflow.parser.get_parsed_content("validate#evaluator")
    epochs, steps = trainer.state.max_epochs, int(workflow.parser.get_parsed_content("iterations_per_epoch"))
    last_loss = from_engine("loss", first=True)
    dices: dict[int, float] = {}
    state: dict[str, Any] = {"loss": None, "left": None, "stopped": False}
    # Seconds: of all steps so far, and of the last validation.
    clock: dict[str, float] = {"steps": 0.0, "validation": 0.0, "began": 0.0}

    def tell(epoch: int) -> None:
        if progress is not None:
            last = dices[max(dices)] if dices else None
            best = max(dices.values(), default=None)
            progress(TrainingProgress(epoch, epochs, state["loss"], last, best, state["left"]))

    @trainer.on(Events.EPOCH_STARTED)
    @evaluator.on(Events.STARTED)
    def start_clock() -> None:
        clock["began"] = time.monotonic()

    def count_left() -> None:
        done = trainer.state.iteration
        validations = epochs - len([epoch for epoch in dices if epoch > 0])
        if done:
            state["left"] = clock["steps"] / done * (epochs * steps - done) + clock["validation"] * validations

    @trainer.on(Events.ITERATION_COMPLETED)
    def step_done() -> None:
        now = time.monotonic()
        clock["steps"] += now - clock["began"]
        clock["began"] = now
        state["loss"] = float(last_loss(trainer.state.output))
        count_left()
        tell(trainer.state.epoch)
        if stop is not None and stop():
            state["stopped"] = True
            trainer.terminate()

    @evaluator.on(Events.COMPLETED)
    def validated() -> None:
        dices[trainer.state.epoch] = float(evaluator.state.metrics["val_dice"])
        clock["validation"] = time.monotonic() - clock["began"]
        count_left()
        tell(trainer.state.epoch)

    tell(0)
    with unwrapped():
        workflow.run()
    trained = {epoch: dice for epoch, dice in dices.items() if epoch > 0}
    before, best = dices.get(0), max(trained.values(), default=None)
    better = best is not None and (before is None or best > before)
    if better:
        with unwrapped():
            workflow.finalize()
    for checkpoint in ("best.pt", "last.pt"):
        (models / checkpoint).unlink(missing_ok=True)
    return Training(
        better,
        best,
        before,
        len(workflow.parser.get_parsed_content("train#dataset")),
        len(workflow.parser.get_parsed_content("validate#dataset")),
        state["stopped"],
    )
