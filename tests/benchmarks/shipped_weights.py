"""How the weights that ship are made, and a 2-D network of the same kind that they are held against.

    uv run python tests/benchmarks/shipped_weights.py STILLS_DIR -o OUT [--start FILE] [--workers 15] [OVERRIDES]

1. ``OUT/simulated/model.pt``: trained on clips simulated meanwhile, from FILE, which must not have seen the stills, or
   from an ImageNet encoder.
2. ``OUT/fold0/model.pt`` and ``OUT/fold1/model.pt``: trained further on clips and one half of the stills, a window
   in four. ``stills.py STILLS_DIR --folds OUT/fold0/model.pt OUT/fold1/model.pt`` scores each on the half it never saw.
3. ``OUT/model.pt``: the mean of the two.
4. ``OUT/2d_fold0``, ``OUT/2d_fold1`` and ``OUT/model_2d.pt``: steps 2 and 3 of the network of step 1 without what joins
   the neighbours; the encoder's first convolution is summed over its inputs, so that it sees the centre frame alone.

The weights that ship took an H100 with 16 cores eight minutes, with the four folds of steps 2 and 4 beside each other;
here they come one after another. OVERRIDES are for every training, such as ``--bf16 False``.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from angioseg.errors import AngioSegError
from angioseg.nets import CENet3D2D, read_state, save_weights, weights_arguments
from angioseg.paths import bundle_dir
from angioseg.simulation import write_dataset

CONFIGS = "['configs/train.json','configs/stream.json']"
VAL_CLIPS = [{"seed": 900_000 + number, "frames": 6, "size": (512, 512)} for number in range(16)]


def write_halves(stills: Path, out: Path) -> None:
    """The stills as folders of clips: fold i holds what ``stills.py`` does not score it on."""
    paths = [path for path in stills.glob("*.png") if path.with_name(f"{path.stem}_mask.png").is_file()]
    paths.sort(key=lambda path: (len(path.stem), path.stem))
    if not paths:
        raise AngioSegError(f"{stills}: holds no stills; give a folder of N.png with N_mask.png beside each.")
    for number, path in enumerate(paths):
        clip = out / f"stills_fold{1 - number % 2}" / f"still_{path.stem}"
        for kind, picture in (("images", path), ("labels", path.with_name(f"{path.stem}_mask.png"))):
            (clip / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, clip / kind / "frame_0000.png")


def train(folder: Path, overrides: list[str], **values: object) -> Path:
    """One training by the bundle's configs; the file of weights that it writes."""
    options = [text for name, value in values.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", ".", "--config_file", CONFIGS]
    subprocess.run([*command, "--ckpt_dir", str(folder), *options, *overrides], cwd=bundle_dir(), check=True)
    return folder / "model.pt"


def write_mean(out: Path, files: list[Path]) -> None:
    """Weights between those of networks that began as one."""
    states = [read_state(path) for path in files]
    network = CENet3D2D(**weights_arguments(states[0]))
    network.load_state_dict({name: sum(state[name].float() for state in states) / len(states) for name in states[0]})
    save_weights(network, out)


def write_two_dimensional(out: Path, model: Path) -> None:
    """The 2-D network inside a 3D-2D one."""
    state = {name: value.float() for name, value in read_state(model).items() if not name.startswith("fusion.")}
    state["encoder.conv1.weight"] = state["encoder.conv1.weight"].sum(1, keepdim=True)
    network = CENet3D2D(in_channels=1, out_channels=1, num_neighbors=0)
    network.load_state_dict(state)
    save_weights(network, out)


def main() -> None:
    """All steps, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills", type=Path, metavar="STILLS_DIR", help="folder of N.png and N_mask.png")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights to begin with; an ImageNet encoder when left out")
    counts = (2500, 390, 260)
    parser.add_argument("--steps", type=int, nargs=3, default=counts, help="of step 1, of a fold, of a 2-D fold")
    parser.add_argument("--workers", type=int, default=15, help="processes that simulate")
    arguments, overrides = parser.parse_known_args()
    out = arguments.out.resolve()
    common = {"num_workers": arguments.workers, "batch_size": 16, "crop": "[448,448]", "clips_at_once": 4}
    common |= {"frames_per_clip": 64, "dataset_dir": out / "val"}
    steps, fold_steps, flat_steps = arguments.steps
    try:
        write_halves(arguments.stills, out)
        write_dataset(out / "val", VAL_CLIPS)
        start = {} if arguments.start is None else {"start_from": arguments.start.resolve()}
        length = {"max_epochs": 5, "iterations_per_epoch": steps // 5, "val_frames": 48}
        simulated = {**common, **length, **start, "learning_rate": 4e-4, "stream_seed": 1_000_000}
        first = train(out / "simulated", overrides, **simulated)
        write_two_dimensional(out / "start_2d.pt", first)
        for name, begin, neighbors, count, seed in (
            ("", first, 1, fold_steps, 3_000_000),
            ("2d_", out / "start_2d.pt", 0, flat_steps, 5_000_000),
        ):
            halves = []
            for fold in (0, 1):
                beside = {"beside_dir": out / f"stills_fold{fold}", "beside_share": 0.25, "learning_rate": 2e-4}
                length = {"max_epochs": 1, "iterations_per_epoch": count, "stream_seed": seed + fold * 500_000}
                values = {**common, **beside, **length, "start_from": begin, "num_neighbors": neighbors}
                halves.append(train(out / f"{name}fold{fold}", overrides, **values))
            write_mean(out / f"model{'_2d' if name else ''}.pt", halves)
    except AngioSegError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
