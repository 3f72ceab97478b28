"""Training by the bundle's own configs, from a folder and from the simulator's stream: as small as it runs."""

import numpy as np
import pytest
import torch
from angioseg.nets import CENet3D2D, load_weights
from angioseg.paths import bundle_dir
from angioseg.simulation import write_dataset
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor

CONFIGS = bundle_dir() / "configs"


@pytest.mark.parametrize("source", ["folder", "stream", "stream with labelled cines beside"])
def test_training_writes_weights_that_load(source, small_clips, tmp_path):
    small = {"batch_size": 1, "crop": [192, 192], "iterations_per_epoch": 2, "max_epochs": 2, "val_frames": 1}
    configs = ["train.json"]
    if source != "folder":
        configs.append("stream.json")
        small |= {"stream_frames": 3, "stream_size": [64, 64]}
    if "beside" in source:
        small["beside_dir"] = str(small_clips)
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in configs],
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle_dir()),
        dataset_dir=str(small_clips),
        ckpt_dir=str(tmp_path),
        output=str(tmp_path / "model.pt"),
        device="$torch.device('cpu')",
        pretrained=False,
        num_workers=0,
        **small,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    torch.manual_seed(0)
    network = CENet3D2D(in_channels=1, out_channels=1, num_neighbors=1)
    before = network.head[4].weight.clone()
    load_weights(network, tmp_path / "model.pt")
    assert not torch.equal(network.head[4].weight, before)
    assert workflow.parser.get_parsed_content("train#trainer").state.iteration == 4
    if source != "folder":
        beside = workflow.parser.get_parsed_content("train#dataset").beside
        assert (beside is None) == ("beside" not in source)


def configured(folder, names=("train.json",), **values):
    parser = ConfigParser()
    parser.read_config([CONFIGS / name for name in names])
    parser.update({"dataset_dir": str(folder), "num_workers": 0, **values})
    return parser


@pytest.mark.parametrize("neighbors", [0, 2])
def test_frames_are_prepared_as_for_inference(small_clips, neighbors):
    frames = np.random.default_rng(0).integers(0, 255, (2 * neighbors + 1, 96, 128)).astype(np.uint8)
    item = {"image": torch.from_numpy(frames), "label": torch.zeros(frames.shape, dtype=torch.uint8)}
    training = configured(small_clips, num_neighbors=neighbors).get_parsed_content("validate#preprocessing")
    inference = configured(small_clips, ["inference.json"]).get_parsed_content("frame_preprocessing")
    window = training({**item, "frame": neighbors})["image"][0]
    assert torch.equal(window, inference({"image": MetaTensor(item["image"])})["image"].as_tensor())


def test_training_changes_frames_alike_whatever_their_depth(small_clips):
    """Noise of a few grey levels would be none in a cine of 12 bits."""
    preprocessing = configured(small_clips, num_neighbors=1).get_parsed_content("train#preprocessing")
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, 96, 128)).astype(np.int32))
    label = torch.zeros(frames.shape, dtype=torch.uint8)
    for chance in range(20):
        seen = []
        for factor in (1, 16):
            preprocessing.set_random_state(chance)
            seen.append(preprocessing({"image": frames * factor, "label": label, "frame": 1})["image"])
        torch.testing.assert_close(seen[0], seen[1], atol=0.01, rtol=0)


@pytest.mark.parametrize("side", [300, 448, 512, 769], ids=lambda side: f"from {side}")
def test_labels_are_brought_to_the_grid_where_the_image_is(side, small_clips):
    to_grid = configured(small_clips).get_parsed_content("to_grid")
    middle = np.array([0.31 * side, 0.62 * side])
    rows, columns = np.ogrid[:side, :side]
    disc = ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < (side / 10) ** 2).astype(np.uint8)[None]
    out = to_grid({"image": torch.from_numpy(disc * 100), "label": torch.from_numpy(disc)})
    image, label = (np.asarray(out[key])[0].astype(float) for key in ("image", "label"))
    assert image.shape == label.shape == (448, 448)
    grid = np.arange(448)
    for axis in (0, 1):
        at = [(what.sum(1 - axis) * grid).sum() / what.sum() for what in (image, label)]
        # A label half a pixel aside costs a thin vessel several hundredths of Dice.
        assert at[0] == pytest.approx(at[1], abs=0.25)


def test_frames_to_validate_on_are_not_all_of_one_phase(tmp_path):
    """Every T-th frame would be the first of each clip, before contrast: nothing to tell networks apart by."""
    write_dataset(tmp_path, [{"seed": seed, "frames": 6, "size": (64, 64)} for seed in range(3, 11)])
    parser = configured(tmp_path, val_clips="@clips", val_frames=8, grid=[64, 64])
    frames = parser.get_parsed_content("validate#dataset")
    assert len(frames) == 8
    assert sum(bool(frames[index]["label"].any()) for index in range(8)) >= 4


def test_a_stream_brings_each_clip_to_the_grid_once(small_clips):
    parser = configured(
        small_clips, ("train.json", "stream.json"), stream_frames=3, stream_size=[96, 64], grid=[48, 48]
    )
    stream = parser.get_parsed_content("train#dataset")
    shapes = []
    stream.transform = lambda item: shapes.append((item["image"].shape, item["label"].shape))
    next(iter(stream))
    assert shapes == [((3, 48, 48), (3, 48, 48))]


@pytest.mark.parametrize("part", ["train", "validate"])
def test_the_network_and_the_loss_get_plain_tensors(part, small_clips):
    """On a MetaTensor each step of network and loss would copy the meta data, and each item's be sent apart."""
    preprocessing = configured(small_clips, num_neighbors=1).get_parsed_content(f"{part}#preprocessing")
    frames = torch.zeros(3, 64, 64, dtype=torch.uint8)
    item = preprocessing({"image": frames, "label": frames, "frame": 1})
    assert {key: (type(value), value.dtype, value.ndim) for key, value in item.items()} == {
        "image": (torch.Tensor, torch.float32, 4),
        "label": (torch.Tensor, torch.float32, 3),
    }
