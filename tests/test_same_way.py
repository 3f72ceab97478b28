"""One way, three doors: library and command line, bundle, and server give a cine the same mask."""

import json
import subprocess
import sys
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP

import numpy as np
import pytest
import requests
import torch
from angioseg.cine import read_cine, read_label
from angioseg.inferers import ClipInferer
from angioseg.paths import bundle_dir
from angioseg.segmentation import Segmenter
from angioseg.serve import start_server
from angioseg.simulation import simulate_clip, write_xa_dicom
from monai.bundle import ConfigParser

FRAMES = 6


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    write_xa_dicom(folder / "cine.dcm", simulate_clip(21, frames=FRAMES, size=(320, 352)))
    return folder


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(device="cpu")


@pytest.fixture(scope="module")
def whole(studies, segmenter):
    segmentation = segmenter(studies / "cine.dcm")
    assert segmentation.mask.shape == (FRAMES, 320, 352)
    assert segmentation.mask.any(), "an empty mask would agree with anything"
    return segmentation


def by_command_line(studies, out):
    command = [
        sys.executable,
        "-m",
        "angioseg",
        "segment",
        str(studies / "cine.dcm"),
        "-o",
        str(out),
        "--device",
        "cpu",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return read_label(out / "cine_seg.nrrd")


def by_bundle(studies, out):
    config = bundle_dir() / "configs" / "inference.json"
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config), "--bundle_root"]
    command += [str(bundle_dir()), "--cine", str(studies / "cine.dcm"), "--output_dir", str(out)]
    subprocess.run([*command, "--device", "$torch.device('cpu')"], check=True, capture_output=True)
    return read_label(out / "cine_seg.nrrd")


def by_server(studies, out):
    with start_server(studies, device="cpu") as url:
        _, image = infer(url, {"frames": "all"})
        part, part_image = infer(url, {"frames": [2, 4]})
    assert part["frames"] == [2, 3, 4]
    (out / "cine_seg.nrrd").write_bytes(image)
    (out / "part.nrrd").write_bytes(part_image)
    mask, annotated = read_label(out / "cine_seg.nrrd")
    assert np.array_equal(read_label(out / "part.nrrd")[0][2:5], mask[2:5])
    return mask, annotated


def infer(url, params):
    answer = requests.post(
        f"{url}/infer/angioseg", params={"image": "cine"}, files={"params": (None, json.dumps(params))}, timeout=300
    )
    answer.raise_for_status()
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message: EmailMessage = BytesParser(policy=HTTP).parsebytes(head + answer.content)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
    image = next(p for n, p in parts.items() if n not in ("params",))
    return json.loads(parts["params"].get_payload(decode=True)), image.get_payload(decode=True)


@pytest.mark.parametrize("door", [by_command_line, by_bundle, by_server])
def test_every_door_gives_the_same_mask(door, studies, whole, tmp_path):
    mask, annotated = door(studies, tmp_path)
    assert annotated == list(range(FRAMES))
    assert np.array_equal(mask, whole.mask)


@pytest.mark.parametrize(("frames", "expected"), [(0, [0]), ([3, 5], [3, 4, 5]), (FRAMES - 1, [FRAMES - 1])])
def test_a_range_is_the_whole_clip_there(frames, expected, studies, segmenter, whole):
    part = segmenter(studies / "cine.dcm", frames)
    assert part.frames == expected
    assert np.array_equal(part.mask[expected], whole.mask[expected])
    assert not np.delete(part.mask, expected, axis=0).any()
    assert part.measures == [whole.measures[frame] for frame in expected]


def logits(clip, batch_size):
    config = ConfigParser()
    config.read_config(bundle_dir() / "configs" / "inference.json")
    config.update({"bundle_root": str(bundle_dir()), "batch_size": batch_size, "device": "$torch.device('cpu')"})
    config.update({"inferer#out_dtype": "$torch.float32"})
    steps = config["frame_postprocessing#transforms"]
    config.update({"frame_postprocessing#transforms": steps[:1]})  # back to the cine's grid, and no further
    config.parse()
    inferer: ClipInferer = config.get_parsed_content("inferer")
    return inferer(clip, config.get_parsed_content("network"))


def test_batches_differ_by_rounding_only(studies):
    clip = torch.from_numpy(read_cine(studies / "cine.dcm").frames[-4:])[None]
    one = logits(clip, 1)
    three = logits(clip, 3)
    assert one.std() > 0.1
    # Float32 rounds on the scale of the largest logit, whatever the scale that a training has given them.
    largest = one.abs().max()
    torch.testing.assert_close(three / largest, one / largest, atol=1e-5, rtol=0)
