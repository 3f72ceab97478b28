"""The whole loop on the real server: which frame next, what the model sees there, the corrected label, training."""

import json
import tempfile
import time
from contextlib import ExitStack

import pytest
import requests
from angioseg.cine import Cine, read_label, write_cine, write_label
from angioseg.metrics import dice
from angioseg.serve import start_server
from angioseg.simulation import simulate_clip, write_xa_dicom

FRAMES = 3
TRAINING = {
    "max_epochs": 1,
    "iterations_per_epoch": 3,
    "learning_rate": 1e-3,
    "batch_size": 1,
    "crop": 192,
    "val_split": 0.3,
}


class Requests:
    """The protocol, spoken by hand."""

    def __init__(self, url, folder):
        self.url = url

    def _send(self, method, path, **options):
        reply = requests.request(method, self.url + path, timeout=300, **options)
        assert reply.status_code == 200, reply.text
        return reply

    def next_sample(self, strategy):
        return self._send("POST", f"/activelearning/{strategy}", json={}).json()

    def infer(self, image, frames):
        query = {"image": image, "output": "json"}
        return self._send("POST", "/infer/angioseg", params=query, data={"params": json.dumps(frames)}).json()

    def save_label(self, image, file, params):
        query = {"image": image, "tag": "final"}
        with open(file, "rb") as label:
            files = {"label": (file.name, label)}
            self._send("PUT", "/datastore/label", params=query, data={"params": json.dumps(params)}, files=files)

    def train(self, params):
        self._send("POST", "/train/angioseg", json=params)

    def training(self):
        return self._send("GET", "/train/").json()


class PlatformClient:
    """The class that MONAI Label's Slicer module uses, as it ships."""

    def __init__(self, url, folder):
        from monailabel.client import MONAILabelClient

        self.client = MONAILabelClient(url, tmpdir=str(folder))

    def next_sample(self, strategy):
        return self.client.next_sample(strategy, {})

    def infer(self, image, frames):
        file, params = self.client.infer("angioseg", image, frames)
        assert read_label(file)[1] == params["frames"]
        return params

    def save_label(self, image, file, params):
        self.client.save_label(image, str(file), "final", params)

    def train(self, params):
        self.client.train_start("angioseg", params)

    def training(self):
        return self.client.train_status()


@pytest.fixture(scope="module")
def truth():
    """Six clips, and a seventh that the server's folder does not hold."""
    return {f"clip{seed}": simulate_clip(seed, frames=FRAMES, size=(192, 192)) for seed in range(40, 47)}


@pytest.fixture
def url(tmp_path, truth, spoilt):
    """A server whose model sees vessels nearly everywhere."""
    (tmp_path / "studies").mkdir()
    for name, clip in list(truth.items())[:-1]:
        write_xa_dicom(tmp_path / "studies" / f"{name}.dcm", clip)
    (tmp_path / "home").mkdir()
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path / "home"))
        patch.setattr(tempfile, "tempdir", str(tmp_path / "home"))
        yield running.enter_context(start_server(tmp_path / "studies", model=spoilt, device="cpu"))


@pytest.mark.parametrize("speak", [PlatformClient, pytest.param(Requests, marks=pytest.mark.slow)])
def test_a_few_labelled_frames_make_a_better_model(url, truth, tmp_path, speak):
    server = speak(url, tmp_path)

    def held_out():
        """Dice on the clip that is not in the folder, and the model that was asked."""
        clip = truth["clip46"]
        write_cine(tmp_path / "held_out.nrrd", Cine(frames=clip.frames, times_ms=clip.times_ms))
        files = {"file": ("cine.nrrd", (tmp_path / "held_out.nrrd").read_bytes())}
        reply = requests.post(f"{url}/infer/angioseg?output=image", files=files, timeout=300)
        assert reply.status_code == 200, reply.text
        (tmp_path / "mask.nrrd").write_bytes(reply.content)
        return dice(read_label(tmp_path / "mask.nrrd")[0], clip.vessels)

    before = held_out()
    asked = []
    for strategy in ("cine", "temporal_diversity", "random"):
        sample = server.next_sample(strategy)
        image, frame = sample["id"], sample["frame"]
        assert sample["why"].endswith(".")
        assert sample["path"].endswith(f"{image}.dcm")
        assert (image, frame) not in asked
        asked.append((image, frame))
        params = server.infer(image, {"frames": frame})
        assert params["model"]["version"] == "0.1.0"
        clip = truth[image]
        neighbour = frame - 1 if frame else 1
        write_label(tmp_path / "label.nrrd", clip.vessels, clip.times_ms, range(FRAMES))
        server.save_label(image, tmp_path / "label.nrrd", {"annotated_frames": sorted([frame, neighbour])})
        info = requests.get(f"{url}/datastore/label/info?label={image}&tag=final", timeout=60).json()
        assert {frame, neighbour} <= set(info["annotated_frames"])

    # So that both sides of the split show vessels, whatever was asked.
    for image in ("clip40", "clip41"):
        write_label(tmp_path / "label.nrrd", truth[image].vessels, truth[image].times_ms, [1, 2])
        server.save_label(image, tmp_path / "label.nrrd", {})

    server.train(TRAINING)
    assert requests.post(f"{url}/train/angioseg", json=TRAINING, timeout=60).status_code == 429
    while (training := server.training())["status"] == "RUNNING":
        time.sleep(0.5)
    assert training["status"] == "DONE", training["details"]
    assert training["result"]["better"]
    assert training["progress"]["epoch"] == 1
    assert training["progress"]["val_dice"] == training["result"]["dice"]
    assert training["details"][-1].startswith("trained on ")

    params = server.infer("clip40", {"frames": 1})
    assert params["model"]["version"] == "0.1.0+1"
    assert held_out() > before + 0.1
    info = requests.get(f"{url}/info/", timeout=60).json()
    assert info["train_stats"]["angioseg"] == {"version": "0.1.0+1", "trained_versions": 1}

    # Stopped before there is anything to keep: the model stays, and the next training may begin.
    server.train({**TRAINING, "max_epochs": 1000})
    stopped = requests.delete(f"{url}/train/", timeout=300).json()
    assert (stopped["status"], stopped["result"]["stopped"]) == ("STOPPED", True)
    assert requests.get(f"{url}/train/?check_if_running=true", timeout=60).status_code == 404

    # Whoever asks from now on gets a frame of his own, until none is left.
    given = []
    while sample := requests.post(f"{url}/activelearning/first", json={"client_id": len(given)}, timeout=60).json():
        given.append((sample["id"], sample["frame"]))
    objects = requests.get(f"{url}/datastore/?output=all", timeout=60).json()["objects"]
    labels = {image: one["labels"].get("final", {"info": {"annotated_frames": []}}) for image, one in objects.items()}
    labelled = [(image, frame) for image, label in labels.items() for frame in label["info"]["annotated_frames"]]
    every = [(image, frame) for image in sorted(truth)[:-1] for frame in range(FRAMES)]
    assert given == [one for one in every if one not in labelled and one not in asked]
    assert given
    assert requests.post(f"{url}/activelearning/random", timeout=60).json() == {}
