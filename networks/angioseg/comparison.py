"""The paper's comparison: 2-D, N = 1 and N = 2 trained and tested under one protocol, as its Table 1 and Figure 2.

Each training depends on N and a seed; the seed also draws which end of each clip tests, so the three networks of a seed
share their frames. The last epoch's weights are taken: nothing is chosen on the frames that are tested.
"""

from __future__ import annotations

import csv
import gc
import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .atomic import replacing
from .data import clip_pairs, clip_title, digest_clips, part_clips, read_clip
from .errors import AngioSegError, unwrapped
from .evaluation import Predictor, figures_of, network_predictor, score_clip
from .intervals import FEWEST_SEEDS, mean_interval, verdict
from .nets import neighbors_of, read_state
from .panels import draw_panels
from .paths import bundle_dir
from .pictures import draw_frame, grey_window
from .segmentation import Segmenter, check_device
from .tables import markdown_table

__all__ = ["COLUMNS", "NEIGHBORS", "RECIPES", "Protocol", "check_inputs", "compare", "model_name", "simulate_data"]

NEIGHBORS = (0, 1, 2)
"""N of the networks compared."""
RECIPES = {"modern": [], "paper": ["recipe_paper.json"]}
"""Ways to train: overrides of the bundle's train.json."""
COLUMNS = {
    "mean_iou": "mean IoU",
    "iou": "vessel IoU",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "cldice": "clDice",
    "change": "change a frame",
    "truth_change": "truth's change",
    "temporal_error": "temporal error",
    "paper_mean_iou": "mean IoU, 448x448",
    "paper_iou": "vessel IoU, 448x448",
    "paper_sensitivity": "sensitivity, 448x448",
    "paper_specificity": "specificity, 448x448",
}
"""The table's columns: key -> heading."""
_PAPER_GRID = (448, 448)
_ROWS = 6


@dataclass(frozen=True)
class Protocol:
    """All that two comparisons must share for their figures to be compared.

    Attributes:
        data: folder of labelled clips.
        clips: how many of them are used, the first ones; all when None.
        partition: "time" (the paper's), "patients", or "all": every clip tests, for weights trained on other data.
        share: of the frames that test, by patients.
        recipe: a key of :data:`RECIPES`.
        simulated: arguments of :func:`angioseg.simulation.simulate_clip` for each clip of ``data``, where they are made
            for the comparison; see :func:`simulate_data`.
        training: further values of the bundle's train.json.
    """

    data: str
    clips: int | None = None
    partition: str = "time"
    share: float = 1 / 6
    recipe: str = "paper"
    simulated: tuple[dict[str, Any], ...] = ()
    training: tuple[tuple[str, Any], ...] = ()

    def sides(self, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Training and testing clips of a seed."""
        pairs = clip_pairs(self.data)[: self.clips]
        return ([], pairs) if self.partition == "all" else part_clips(pairs, self.partition, seed, self.share)

    def described(self, given: Collection[int] = ()) -> str:
        """In a line for those who read the table. Of files their names: where they lie is nobody else's business.

        Args:
            given: N of the networks that were not trained here.
        """
        values = [f"{n} {Path(v).name if isinstance(v, str) else v}" for n, v in self.training if "#" not in n]
        clips = f"clips: {len(clip_pairs(self.data)[: self.clips])}"
        parts = [f"Data: {Path(self.data).name}", clips, f"partition: {self.partition}"]
        if given:
            parts.append(f"weights given for N = {', '.join(map(str, sorted(given)))}")
        if set(given) != set(NEIGHBORS):
            parts.append(f"recipe: {self.recipe} with {', '.join(values) or 'its own values'}")
        return "; ".join(parts)


def model_name(neighbors: int) -> str:
    """A network's name in table and figure."""
    return "2D CE-Net" if neighbors == 0 else f"3D-2D CE-Net, N = {neighbors}"


def check_inputs(protocol: Protocol, seeds: int, weights: dict[int, Sequence[Path]], device: str | None) -> None:
    """Look at all that is given before anything long begins; see :func:`compare`.

    Raises:
        AngioSegError: for the first that cannot be used.
    """
    for neighbors, files in weights.items():
        if neighbors not in NEIGHBORS or len(files) != seeds:
            raise AngioSegError(f"weights for N = {neighbors}: give N 0, 1 or 2, and {seeds} files, one for each seed.")
        for file in files:
            if (found := neighbors_of(file)) != neighbors:
                raise AngioSegError(f"{file}: is a network of N = {found}, not {neighbors}.")
    if protocol.partition == "all" and set(weights) != set(NEIGHBORS):
        raise AngioSegError("partition all leaves nothing to train on: give weights for N = 0, 1 and 2.")
    if device is not None:
        check_device(device)
    encoder = dict(protocol.training).get("pretrained")
    if isinstance(encoder, str) and set(weights) != set(NEIGHBORS):
        read_state(encoder)
    if not protocol.simulated:
        protocol.sides(0)


def simulate_data(protocol: Protocol, out: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the simulated clips of a protocol that are not there yet; see :func:`angioseg.simulation.write_dataset`.

    Raises:
        AngioSegError: when ``out`` holds another protocol's results.
    """
    from .simulation import simulate_clip, write_clip

    _keep_protocol(protocol, out)
    for index, options in enumerate(protocol.simulated):
        target = Path(protocol.data) / f"clip_{index:04d}"
        if not target.is_dir():
            write_clip(target, simulate_clip(**options))
        if progress is not None:
            progress(index + 1, len(protocol.simulated))


def compare(
    protocol: Protocol,
    out: Path,
    seeds: int = 3,
    weights: dict[int, Sequence[Path]] | None = None,
    device: str | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[list[str]]:
    """Train what is not trained yet, test what is not tested yet, and write table and figure.

    Below ``out`` every network has a folder ``N1_seed0``: its weights ``model.pt``, its last checkpoint while it is
    trained, and its figures. A comparison that was ended goes on where it was.

    Args:
        protocol: of all networks.
        out: an existing folder; gets table1.md, table1.csv, runs.csv and figure2.png.
        seeds: trainings of each network.
        weights: N -> a file for each seed, for networks that are not to be trained.
        device: "cpu", "cuda"; a GPU when there is one when None.
        progress: called with a line before each step.

    Returns:
        The table: a heading and a row for each network.

    Raises:
        AngioSegError: when ``out`` holds another protocol's results, or data or weights cannot be used.
    """
    weights = weights or {}
    check_inputs(protocol, seeds, weights, device)
    _keep_protocol(protocol, out)
    figures: dict[tuple[int, int], dict[str, float]] = {}
    models: dict[tuple[int, int], Path] = {}
    for seed in range(seeds):
        for neighbors in NEIGHBORS:
            folder = out / f"N{neighbors}_seed{seed}"
            folder.mkdir(exist_ok=True)
            name = f"{model_name(neighbors)}, seed {seed}"
            if neighbors in weights:
                models[neighbors, seed] = Path(weights[neighbors][seed])
            else:
                models[neighbors, seed] = folder / "model.pt"
                if not models[neighbors, seed].is_file():
                    progress(f"training {name}")
                    _train(protocol, folder, neighbors, seed, device)
            progress(f"testing {name}")
            figures[neighbors, seed] = _test(protocol, folder, models[neighbors, seed], seed, device)
            gc.collect()  # networks and trainers hang in circles, and a GPU's memory with them
    shown = [seed for seed in range(seeds) if not math.isnan(figures[0, seed]["iou"])]
    if not shown:
        raise AngioSegError(f"{protocol.data}: no frame that tests shows a vessel; give more or longer clips.")
    for seed in set(range(seeds)) - set(shown):
        progress(f"seed {seed} is not counted: the frames that test show no vessel")
    progress("drawing the figure")
    _draw(protocol, out, shown[0], {neighbors: models[neighbors, shown[0]] for neighbors in NEIGHBORS}, device)
    table = _table(figures, seeds)
    _write(protocol, out, table, figures, seeds, weights)
    return table


def _keep_protocol(protocol: Protocol, out: Path) -> None:
    """Results of two protocols, or of labels that have changed meanwhile, must not come into one table."""
    path = out / "protocol.json"
    ours = json.loads(json.dumps(asdict(protocol)))
    if protocol.simulated:
        ours["data"] = None  # in the comparison's own folder, which may be moved
    else:
        ours["data"] = str(Path(protocol.data).resolve())
        ours["fingerprint"] = digest_clips(clip_pairs(protocol.data)[: protocol.clips])
    # What was begun and came to nothing binds nobody.
    if path.is_file() and any(
        file.is_file() for folder in ("N?_seed*", "data/*") for file in out.glob(f"{folder}/**/*")
    ):
        kept = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in {*ours, *kept} if ours.get(key) != kept.get(key))
        if changed == ["fingerprint"]:
            raise AngioSegError(f"{protocol.data}: has changed since {out} was begun; give another folder.")
        if changed:
            raise AngioSegError(
                f"{out}: holds a comparison under another protocol ({', '.join(changed)}); give another folder."
            )
        return
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(ours, indent=1), encoding="utf-8")


def _train(protocol: Protocol, folder: Path, neighbors: int, seed: int, device: str | None) -> None:
    """One training by the bundle's configs; it goes on from the last checkpoint in its folder."""
    from monai.bundle import ConfigWorkflow

    configs = bundle_dir() / "configs"
    train, _ = protocol.sides(seed)
    values: dict[str, Any] = {"tensorboard": False, **dict(protocol.training)}
    # Nothing is chosen by validation, so there is none; the config wants clips for it all the same.
    labelled = next(([clip] for clip in train if read_clip(clip)[2]), [])
    values |= {"val_clips": labelled, "validate#all_frames#needs_vessels": False, "val_interval": "$@max_epochs + 1"}
    if device is not None:
        values["device"] = f"$torch.device({device!r})"
    workflow = ConfigWorkflow(
        config_file=[str(configs / name) for name in ("train.json", *RECIPES[protocol.recipe])],
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle_dir()),
        ckpt_dir=str(folder),
        train_clips=train,
        num_neighbors=neighbors,
        seed=seed,
        resume=True,
        final="@module",
        **values,
    )
    with unwrapped():
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    for name in ("best.pt", "last.pt"):
        (folder / name).unlink(missing_ok=True)


def _test(protocol: Protocol, folder: Path, model: Path, seed: int, device: str | None) -> dict[str, float]:
    """The figures of all tested frames together, on their own grid and on the paper's; kept beside the weights."""
    segmenter = Segmenter(model=model, device=device)
    path = folder / "figures.json"
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.pop("weights") == segmenter.model["weights"]:
            return {key: math.nan if value is None else value for key, value in kept.items()}
    predict = network_predictor(segmenter)
    own, paper = [], []
    for clip in protocol.sides(seed)[1]:
        image, truth, frames = read_clip(clip)
        own += score_clip(predict(image, frames), truth, frames)
        image, truth = _on_paper_grid(image, truth)
        paper += score_clip(predict(image, frames), truth, frames)
    if not own:
        raise AngioSegError(f"{protocol.data}: no labelled frame to test on.")
    figures = {**figures_of(own), **{f"paper_{key}": value for key, value in figures_of(paper).items()}}
    if not any(score.confusion[0] + score.confusion[3] for score in own):
        figures = dict.fromkeys(figures, math.nan)  # nothing there to find
    kept = {key: None if math.isnan(value) else value for key, value in figures.items()}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({**kept, "weights": segmenter.model["weights"]}, indent=1), encoding="utf-8")
    return figures


def _on_paper_grid(image: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as the paper resizes them before anything else."""
    from monai.transforms import Resize

    smooth = Resize(_PAPER_GRID, mode="bilinear", anti_aliasing=True)(torch.from_numpy(image.astype(np.float32)))
    sharp = Resize(_PAPER_GRID, mode="nearest-exact")(torch.from_numpy(truth))
    return np.rint(smooth.numpy()).astype(image.dtype), sharp.numpy().astype(np.uint8)


def _draw(protocol: Protocol, out: Path, seed: int, models: dict[int, Path], device: str | None) -> None:
    """Figure 2: the fullest tested frame of six clips; source, truth and each network."""
    predictors: dict[int, Predictor] = {
        neighbors: network_predictor(Segmenter(model=model, device=device)) for neighbors, model in models.items()
    }
    drawn = []
    for clip in protocol.sides(seed)[1]:
        if len(drawn) == _ROWS:
            break
        image, truth, frames = read_clip(clip)
        area = {frame: int(truth[frame].sum()) for frame in frames}
        if not any(area.values()):
            continue
        frame = max(area, key=area.__getitem__)
        window = grey_window(image)
        masks = [truth, *(predict(image, [frame]) for predict in predictors.values())]
        pictures = [draw_frame(image[frame], mask, window) for mask in (None, *(mask[frame] for mask in masks))]
        first = clip.get("part", [0])[0]
        drawn.append((f"{clip_title(clip)}, frame {first + frame}", pictures))
    headings = ["source image", "ground truth", "2D", *(f"3D-2D, N = {n}" for n in NEIGHBORS[1:])]
    with replacing(out / "figure2.png") as temporary:
        draw_panels(headings, drawn).save(temporary, format="PNG", optimize=True)


def _table(figures: dict[tuple[int, int], dict[str, float]], seeds: int) -> list[list[str]]:
    table = [["model", "N", *COLUMNS.values()]]
    for neighbors in NEIGHBORS:
        runs = [figures[neighbors, seed] for seed in range(seeds)]
        cells = [str(mean_interval([run[key] for run in runs])) for key in COLUMNS]
        table.append([model_name(neighbors), str(neighbors), *cells])
    return table


def _order(figures: dict[tuple[int, int], dict[str, float]], seeds: int) -> list[str]:
    """Whether more neighbours are better, seed by seed."""
    lines = []
    for more, fewer in ((1, 0), (2, 1), (2, 0)):
        for key in ("mean_iou", "iou"):
            gaps = [figures[more, seed][key] - figures[fewer, seed][key] for seed in range(seeds)]
            models = (model_name(fewer), model_name(more))
            lines.append(verdict(COLUMNS[key], mean_interval(gaps), True, models, "seeds", FEWEST_SEEDS))
    return lines


def _write(
    protocol: Protocol,
    out: Path,
    table: list[list[str]],
    figures: dict[tuple[int, int], dict[str, float]],
    seeds: int,
    given: Collection[int],
) -> None:
    empty = [str(seed) for seed in range(seeds) if math.isnan(figures[0, seed]["iou"])]
    notes = [
        f"{protocol.described(given)}; seeds: {seeds}.",
        *([f"Not counted, for their tested frames show no vessel: seeds {', '.join(empty)}."] if empty else []),
        "Mean and 95 % interval (Student's t) over seeds. All tested pixels of a seed count together, clDice is the "
        "mean over its frames with vessel. On the cines' own grid unless it says 448x448.",
        *_order(figures, seeds),
    ]
    with replacing(out / "table1.md") as temporary:
        temporary.write_text(markdown_table(table) + "\n" + "".join(f"\n{n}\n" for n in notes), encoding="utf-8")
    with replacing(out / "table1.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["N", *(f"{key}_{what}" for key in COLUMNS for what in ("mean", "low", "high"))])
        for neighbors in NEIGHBORS:
            intervals = [mean_interval([figures[neighbors, s][key] for s in range(seeds)]) for key in COLUMNS]
            values = [value for found in intervals for value in (found.mean, found.low, found.high)]
            writer.writerow([neighbors, *("" if math.isnan(value) else f"{value:.6g}" for value in values)])
    with replacing(out / "runs.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["N", "seed", *COLUMNS])
        for (neighbors, seed), run in sorted(figures.items()):
            writer.writerow([neighbors, seed, *("" if math.isnan(run[k]) else f"{run[k]:.6g}" for k in COLUMNS)])
