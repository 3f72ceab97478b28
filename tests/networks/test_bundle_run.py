"""Training by `monai bundle run`: killed and gone on with, evaluated from its checkpoint, by one process or two."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from angioseg.errors import AngioSegError, mendable, unwrapped
from angioseg.handlers import MemoryAdvice, TrainingCheckpoint
from angioseg.nets import CENet3D2D, load_weights
from angioseg.paths import bundle_dir
from ignite.engine import Engine
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.engines import SupervisedEvaluator

CONFIGS = bundle_dir() / "configs"
SMALL = {
    "grid": [192, 192],
    "crop": [192, 192],
    "batch_size": 1,
    "iterations_per_epoch": 1,
    "max_epochs": 3,
    "val_interval": 1,
    "val_frames": 2,
    "pretrained": False,
    "num_workers": 0,
}


def run(names, **values):
    """Run the configs in this process, as `monai bundle run` does in one of its own."""
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in names],
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle_dir()),
        **{"device": "cpu", **SMALL, **values},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow.parser


def command(names, launcher=(), **values):
    given = {**SMALL, **values, "bundle_root": str(bundle_dir())}
    files = [str(CONFIGS / name) for name in names]
    options = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    launcher = launcher or (sys.executable, "-m")
    return [*launcher, "monai.bundle", "run", "--config_file", str(files), *options]


@pytest.fixture(scope="module")
def environment():
    """The same threads here and in other processes, so that sums are the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(small_clips, environment, tmp_path_factory):
    """A training that nobody disturbed."""
    folder = tmp_path_factory.mktemp("trained")
    parser = run(["train.json"], dataset_dir=str(small_clips), ckpt_dir=str(folder))
    return folder, parser.get_parsed_content("validate#evaluator").state


def kept(folder):
    return torch.load(folder / "last.pt", weights_only=True)


def test_what_a_training_leaves(trained):
    folder, validation = trained
    assert sorted(path.name for path in folder.iterdir()) == ["best.pt", "last.pt", "model.pt", "tensorboard"]
    assert any((folder / "tensorboard").iterdir())
    last = kept(folder)
    assert (last["epoch"], last["iteration"]) == (3, 3)
    assert last["best_metric"] == validation.best_metric


def test_a_killed_training_goes_on_as_if_nothing_had_been(trained, small_clips, environment, tmp_path):
    values = {"dataset_dir": str(small_clips), "ckpt_dir": str(tmp_path), "resume": True}
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(command(["train.json"], **values), env=environment, stdout=nowhere, stderr=nowhere)
        while not (tmp_path / "last.pt").is_file():
            assert process.poll() is None, "the training ended before it was killed"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    reached = kept(tmp_path)["epoch"]
    assert reached < 3
    run(["train.json"], **values)
    ours, theirs = kept(tmp_path), kept(trained[0])
    assert (ours["epoch"], ours["best_metric"]) == (theirs["epoch"], theirs["best_metric"])
    assert all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())
    best = [torch.load(folder / "best.pt", weights_only=True)["model"] for folder in (tmp_path, trained[0])]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


def figures(folder):
    with (folder / "metrics.csv").open() as file:
        rows = [row[0].split("\t") if len(row) == 1 else row for row in csv.reader(file)]
    return {name: float(value) for name, value in rows}


@pytest.fixture(scope="module")
def evaluated(trained, small_clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    run(
        ["train.json", "evaluate.json"],
        dataset_dir=str(small_clips),
        ckpt_dir=str(trained[0]),
        model=str(trained[0] / "best.pt"),
        output_dir=str(out),
        val_frames=2,
    )
    return figures(out)


def test_evaluation_gives_the_figure_of_the_training(trained, evaluated):
    assert evaluated["val_dice"] == pytest.approx(trained[1].best_metric, abs=1e-7)
    assert set(evaluated) == {
        *("val_dice", "dice", "iou", "mean_iou", "sensitivity", "specificity"),
        *("auc", "cldice", "hd95_px", "betti0_error"),
    }


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")


def test_two_processes_evaluate_as_one(trained, evaluated, small_clips, environment, tmp_path):
    subprocess.run(
        command(
            ["train.json", "evaluate.json", "multi_gpu_evaluate.json"],
            launcher=TORCHRUN,
            dataset_dir=small_clips,
            ckpt_dir=trained[0],
            model=trained[0] / "best.pt",
            output_dir=tmp_path,
            val_frames=2,
        ),
        env=environment,
        check=True,
    )
    assert figures(tmp_path) == pytest.approx(evaluated, abs=1e-6, nan_ok=True)


def test_two_processes_train_one_network(small_clips, environment, tmp_path):
    values = {"dataset_dir": small_clips, "ckpt_dir": tmp_path, "max_epochs": 2, "tensorboard": False}
    names = ["train.json", "multi_gpu_train.json"]
    subprocess.run(command(names, launcher=TORCHRUN, **values), env=environment, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "last.pt", "model.pt"]
    last = kept(tmp_path)
    assert (last["epoch"], last["iteration"]) == (2, 2)
    # What one process saved is what any can load: no name of the wrapper is in it.
    with unwrapped():
        network = load_weights(CENet3D2D(in_channels=1, out_channels=1, num_neighbors=1), tmp_path / "best.pt")
    assert set(network.state_dict()) == set(last["model"])


def test_figures_are_kept_in_mlflow(small_clips, environment, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason='pip install "angioseg[mlflow]"')
    values = {"dataset_dir": str(small_clips), "ckpt_dir": str(tmp_path / "run"), "max_epochs": 2, "tensorboard": False}
    parser = run(["train.json", "mlflow.json"], **values)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/run/mlruns.db")
    runs = client.search_runs([client.get_experiment_by_name("angioseg").experiment_id])
    metrics = {name: value for one in runs for name, value in one.data.metrics.items()}
    validation = parser.get_parsed_content("validate#evaluator").state
    assert metrics["val_dice"] == pytest.approx(validation.metrics["val_dice"])
    assert metrics["loss"] > 0


@pytest.mark.parametrize(("labelled", "line"), [(False, "no labelled clips here"), (True, "two cines or more")])
def test_a_data_set_that_does_not_do_is_refused_before_the_first_step(small_clips, tmp_path, labelled, line):
    data = tmp_path / "data"
    data.mkdir()
    if labelled:
        shutil.copytree(small_clips / "clip_0000", data / "clip_0000")
    with pytest.raises(RuntimeError) as raised:
        run(["train.json"], dataset_dir=str(data), ckpt_dir=str(tmp_path / "run"))
    assert line in str(mendable(raised.value))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("failing", "line", "code"),
    [
        ("raise RuntimeError('parser') from AngioSegError('no frame')", "error: no frame", 1),
        ("raise KeyboardInterrupt", "goes on from the last checkpoint, where there is one", -signal.SIGINT),
        ("open('/proc/version/run', 'w')", "error: /proc/version/run: Not a directory", 1),
        ("open('nofile.txt')", "Traceback", 1),
        ("1 / 0", "Traceback", 1),
    ],
)
def test_a_run_that_ends_early_says_so_in_one_line(failing, line, code):
    program = f"from angioseg.errors import AngioSegError, mendable, tell_in_one_line; tell_in_one_line(); {failing}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert line in result.stderr.splitlines()[0]
    assert result.returncode == code


def test_what_a_user_can_mend_is_told_where_the_platform_wraps_it():
    with pytest.raises(AngioSegError, match="no frame"), unwrapped():
        raise RuntimeError("parser") from AngioSegError("no frame")
    with pytest.raises(RuntimeError, match="other"), unwrapped():
        raise RuntimeError("other")


@pytest.mark.parametrize(("batch_size", "advice"), [(4, "--batch_size 2"), (1, "with a smaller crop")])
def test_a_lack_of_memory_is_answered_with_a_smaller_batch(batch_size, advice):
    trainer = Engine(lambda engine, batch: torch.empty(2**60))
    MemoryAdvice(batch_size).attach(trainer)
    with pytest.raises(AngioSegError, match=advice):
        trainer.run([0])


@pytest.mark.parametrize("names", [["recipe_paper", "multi_gpu_train"], ["multi_gpu_train", "recipe_paper"]])
def test_the_papers_recipe_chooses_nothing_on_several_gpus_either(names):
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / f"{name}.json") for name in ("train", *names)])
    assert parser["final"] == "@module"
    assert parser["finalize"] == ["$@rank == 0 and save_weights(@final, @output)", "$dist.destroy_process_group()"]


def small_training(folder, width, resume, epochs=0, **plan):
    """A trainer of a network of one layer that does nothing, with its checkpoint; a schedule is planned for epochs."""
    network = torch.nn.Linear(width, width)
    validator = SupervisedEvaluator(device="cpu", val_data_loader=[], epoch_length=1, network=network)
    trainer = Engine(lambda engine, batch: None)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    parts = (
        {"lr_scheduler": torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=2 * epochs)} if epochs else {}
    )
    TrainingCheckpoint(folder, network, parts, validator, plan, resume).attach(trainer)
    return trainer, network


def test_a_checkpoint_is_gone_on_from_only_by_its_own_training(tmp_path):
    trainer, network = small_training(tmp_path, 2, resume=True)
    trainer.run([0, 1], max_epochs=2)
    unfinished = tmp_path / ".last.pt.0123.part"
    unfinished.touch()
    trainer, other = small_training(tmp_path, 2, resume=True)
    trainer.run([0, 1], max_epochs=3)
    assert (trainer.state.epoch, trainer.state.iteration) == (3, 6)
    assert torch.equal(other.weight, network.weight)
    assert not unfinished.exists()
    with pytest.raises(AngioSegError, match="cannot be gone on from"):
        small_training(tmp_path, 3, resume=True)[0].run([0, 1], max_epochs=3)
    kept = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(AngioSegError, match="is of another training; go on with that by --resume True, or give"):
        small_training(tmp_path, 2, resume=False)
    assert (tmp_path / "last.pt").read_bytes() == kept


def test_a_planned_schedule_is_not_lengthened(tmp_path):
    def run(epochs):
        small_training(tmp_path, 2, resume=True, epochs=epochs)[0].run([0, 1], max_epochs=epochs)

    run(1)
    with pytest.raises(AngioSegError, match="was begun with another max_epochs or iterations_per_epoch"):
        run(2)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"seed": 1, "crop": [64, 64]}, "was begun with seed 0; give that to go on"),
        ({"seed": 0, "crop": [32, 64]}, r"was begun with crop \[64, 64\]; give that to go on"),
        ({"seed": 1, "crop": [32, 64]}, r"was begun with seed 0, crop \[64, 64\]; give that to go on"),
        ({"seed": 0, "crop": [64, 64], "dataset": "1"}, "begun with other clips, labels, partition or val_share; give"),
    ],
)
def test_a_training_goes_on_as_it_was_planned(other, said, tmp_path):
    planned = {"seed": 0, "crop": [64, 64], "dataset": "0"}
    small_training(tmp_path, 2, resume=True, **planned)[0].run([0], max_epochs=1)
    kept = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(AngioSegError, match=said):
        small_training(tmp_path, 2, resume=True, **{**planned, **other})[0].run([0], max_epochs=2)
    assert (tmp_path / "last.pt").read_bytes() == kept
    small_training(tmp_path, 2, resume=True, **{**planned, "crop": (64, 64)})[0].run([0], max_epochs=2)
    # Of the time before plans were kept.
    old = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save({name: value for name, value in old.items() if name != "plan"}, tmp_path / "last.pt")
    trainer, _ = small_training(tmp_path, 2, resume=True, **other)
    trainer.run([0], max_epochs=3)
    assert trainer.state.epoch == 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"batch_size": 0}, "batch_size 0: give a whole number of at least 1."),
        ({"max_epochs": 0}, "max_epochs 0: give a whole number of at least 1."),
        ({"iterations_per_epoch": 2.5}, "iterations_per_epoch 2.5: give a whole number"),
        ({"val_frames": 0}, "val_frames 0: give"),
        ({"seed": -1}, "seed -1: give a whole number of at least 0."),
        ({"num_workers": -1}, "num_workers -1: give"),
        ({"num_neighbors": "x"}, "num_neighbors 'x': give"),
        ({"learning_rate": "abc"}, "learning_rate 'abc': give a number above 0."),
        ({"learning_rate": -1}, "learning_rate -1: give"),
        ({"val_share": 7}, "7 of the frames to validate on: give a share from 0 to 0.5."),
        ({"val_share": "abc"}, "'abc' of the frames to validate on: give"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here; try cpu."),
        ({"crop": 96}, r"crop 96: give rows and columns, as \[256,256\]"),
        ({"grid": [192]}, r"grid \[192\]: give rows and columns"),
        ({"grid": [192, -1]}, r"grid \[192, -1\]: give rows and columns"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_numbers_that_nothing_can_be_trained_with_are_told(values, said, small_clips, tmp_path):
    with pytest.raises(AngioSegError, match=said), unwrapped():
        run(["train.json"], dataset_dir=str(small_clips), ckpt_dir=str(tmp_path / "run"), **values)
    assert not (tmp_path / "run").exists()


def test_other_errors_stay_what_they_are():
    trainer = Engine(lambda engine, batch: 1 / 0)
    MemoryAdvice(4).attach(trainer)
    with pytest.raises(ZeroDivisionError):
        trainer.run([0])


def test_the_papers_recipe(small_clips, environment, tmp_path):
    parser = run(
        ["train.json", "recipe_paper.json"],
        dataset_dir=str(small_clips),
        ckpt_dir=str(tmp_path),
        max_epochs=1,
        batch_size=4,
        crop="@grid",
        iterations_per_epoch="$-(-len(@train#dataset) // @batch_size)",
        tensorboard=False,
        seed=1,  # the first clip then tests on its last frame, which shows vessels
    )
    trainer = parser.get_parsed_content("train#trainer")
    group = trainer.optimizer.param_groups[0]
    assert (type(trainer.optimizer).__name__, group["lr"], group["momentum"]) == ("SGD", 2e-4, 0)
    assert group["weight_decay"] > 0
    assert type(trainer.loss_function).__name__ == "DiceLoss"
    # Two clips of 4 frames: 3 train and 1 tests, each frame once an epoch.
    assert (trainer.state.iteration, len(parser.get_parsed_content("train#dataset"))) == (2, 6)
    assert len(parser.get_parsed_content("validate#all_frames")) == 2
    batch = next(iter(parser.get_parsed_content("train#dataloader")))
    assert batch["image"].shape == (4, 1, 3, 192, 192)
    model = torch.load(tmp_path / "model.pt", weights_only=True)
    last = kept(tmp_path)["model"]
    assert all(np.array_equal(value.numpy(), last[name].half().numpy()) for name, value in model.items())
