"""What the MONAI model zoo asks of a bundle: its files, metadata, network shapes, properties and exports."""

import json
import os
import re

import numpy as np
import pytest
import torch
from angioseg.nets import CENet3D2D, load_weights
from angioseg.paths import bundle_dir
from angioseg.simulation import write_dataset
from monai.bundle import ConfigWorkflow, ckpt_export, onnx_export, verify_metadata, verify_net_in_out
from monai.bundle.properties import InferProperties, MetaProperties, TrainProperties

BUNDLE = bundle_dir()
CONFIGS = BUNDLE / "configs"
METADATA = json.loads((CONFIGS / "metadata.json").read_text())


@pytest.mark.parametrize(
    "file",
    [
        "LICENSE",
        "docs/README.md",
        "models/model.pt",
        "configs/metadata.json",
        "configs/inference.json",
        "configs/train.json",
        "configs/evaluate.json",
        "configs/multi_gpu_train.json",
        "configs/multi_gpu_evaluate.json",
        "configs/logging.conf",
    ],
)
def test_its_files(file):
    assert (BUNDLE / file).stat().st_size > 0


def test_weights_are_small_enough_to_ship():
    assert (BUNDLE / "models" / "model.pt").stat().st_size < 60e6


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_configs_are_read(config):
    assert json.loads(config.read_text())


def test_the_version_is_in_the_changelog():
    assert re.fullmatch(r"\d+\.\d+\.\d+", METADATA["version"])
    assert METADATA["changelog"][METADATA["version"]]


TEXT, TABLE = str, dict


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        *((name, TEXT) for name in ("schema", "version", "monai_version", "pytorch_version", "numpy_version")),
        *((name, TEXT) for name in ("name", "task", "description", "authors", "copyright", "intended_use")),
        *((name, TABLE) for name in ("changelog", "required_packages_version", "network_data_format")),
    ],
)
def test_metadata_fields(field, kind):
    assert isinstance(METADATA[field], kind)
    assert METADATA[field]


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_network_data_format(side):
    for tensor in METADATA["network_data_format"][side].values():
        assert isinstance(tensor["type"], str) and isinstance(tensor["format"], str)
        assert tensor["num_channels"] == len(tensor["channel_def"])
        assert all(isinstance(length, (int, str)) for length in tensor["spatial_shape"])
        assert getattr(torch, tensor["dtype"]).is_floating_point
        assert isinstance(tensor["is_patch_data"], bool)
        assert isinstance(tensor["value_range"], list)


@pytest.mark.skipif("ANGIOSEG_BUNDLE_SCHEMA" not in os.environ, reason="set ANGIOSEG_BUNDLE_SCHEMA to MONAI's schema")
def test_metadata_against_monais_schema():
    """MONAI downloads the schema that the metadata names, but for a file of it that is there already."""
    verify_metadata(meta_file=str(CONFIGS / "metadata.json"), filepath=os.environ["ANGIOSEG_BUNDLE_SCHEMA"])


def test_input_and_output_of_the_network():
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
        bundle_root=str(BUNDLE),
        device="cpu",
    )


@pytest.mark.parametrize(
    ("kind", "config", "properties"),
    [("inference", "inference.json", InferProperties), ("train", "train.json", TrainProperties)],
)
def test_properties(tmp_path, kind, config, properties):
    write_dataset(tmp_path, [{"seed": seed, "frames": 4, "size": (64, 64)} for seed in (3, 4)])
    workflow = ConfigWorkflow(
        workflow_type=kind,
        config_file=str(CONFIGS / config),
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        bundle_root=str(BUNDLE),
        dataset_dir=str(tmp_path),
        ckpt_dir=str(tmp_path),
        pretrained=False,
        tensorboard=False,
        num_workers=0,
    )
    workflow.initialize()
    workflow.properties = {**MetaProperties, **properties}
    assert not workflow.check_properties()


@pytest.fixture(scope="module")
def windows():
    return torch.rand(1, 1, *METADATA["network_data_format"]["inputs"]["image"]["spatial_shape"])


@pytest.fixture(scope="module")
def logits(windows):
    network = load_weights(CENet3D2D(num_neighbors=windows.shape[2] // 2), BUNDLE / "models" / "model.pt")
    with torch.inference_mode():
        return network(windows)


def export(exporter, path):
    exporter(
        net_id="network_def",
        filepath=str(path),
        ckpt_file=str(BUNDLE / "models" / "model.pt"),
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
        bundle_root=str(BUNDLE),
    )


def test_torchscript_computes_the_same(tmp_path, windows, logits):
    export(ckpt_export, tmp_path / "model.ts")
    exported = torch.jit.load(str(tmp_path / "model.ts"))
    with torch.inference_mode():
        assert torch.allclose(exported(windows), logits, atol=1e-4)


def test_onnx_computes_the_same(tmp_path, windows, logits):
    import onnxruntime

    export(onnx_export, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: windows.numpy()})
    np.testing.assert_allclose(found, logits.numpy(), atol=1e-3)
