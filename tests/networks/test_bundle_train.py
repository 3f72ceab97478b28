"""Training by the bundle's own configs, from a folder and from the simulator's stream: as small as it runs."""

import pytest
import torch
from angioseg.nets import CENet3D2D, load_weights
from angioseg.paths import bundle_dir
from angioseg.simulation import write_dataset
from monai.bundle import ConfigWorkflow

CONFIGS = bundle_dir() / "configs"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_dataset(folder, [{"seed": seed, "frames": 4, "size": (64, 64)} for seed in (3, 4)])
    return folder


@pytest.mark.parametrize("source", ["folder", "stream", "stream with labelled cines beside"])
def test_training_writes_weights_that_load(source, clips, tmp_path):
    small = {"batch_size": 1, "crop": [192, 192], "iterations_per_epoch": 2, "max_epochs": 2, "val_frames": 1}
    configs = ["train.json"]
    if source != "folder":
        configs.append("stream.json")
        small |= {"stream_frames": 3, "stream_size": [64, 64]}
    if "beside" in source:
        small["beside_dir"] = str(clips)
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / name) for name in configs],
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle_dir()),
        dataset_dir=str(clips),
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
