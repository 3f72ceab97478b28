"""A server that is killed at any moment loses no label that it has answered 200 to."""

import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from angioseg.cine import Cine, read_label, write_cine, write_label

KILLS = 20
FRAMES = 40


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_labels_outlive_their_server(tmp_path, weights, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "home"))
    studies = tmp_path / "studies"
    studies.mkdir()
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (FRAMES, 64, 64), dtype=np.uint8)
    for name in ("a", "b"):
        write_cine(studies / f"{name}.nrrd", Cine(frames=frames, times_ms=np.arange(FRAMES) * 66.0))
    answered: dict[str, dict[int, int]] = {"a": {}, "b": {}}
    chance = random.Random(0)
    for _ in range(KILLS):
        process, url = start(studies, weights, tmp_path / "log")
        images = requests.get(f"{url}/datastore/?output=all", timeout=60).json()["objects"]
        assert sorted(images) == ["a", "b"]
        check(studies, answered, images)
        clients = [threading.Thread(target=submit, args=(url, tmp_path, name, answered[name])) for name in answered]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.05, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for client in clients:
            client.join()
    process, url = start(studies, weights, tmp_path / "log")
    check(studies, answered, requests.get(f"{url}/datastore/?output=all", timeout=60).json()["objects"])
    process.kill()
    process.wait()
    assert sum(map(len, answered.values())) > KILLS, "hardly a label was submitted"


def start(studies, weights, log):
    command = [sys.executable, "-m", "angioseg", "serve", "--studies", str(studies), "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--model", str(weights), "--device", "cpu"], stdout=output, stderr=subprocess.STDOUT
        )
    while "ready at " not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    return process, log.read_text().split("ready at ")[1].split()[0].rstrip("/")


def submit(url: str, folder: Path, name: str, answered: dict[int, int]):
    """One frame after another with a number of vessel pixels of its own, until nobody answers."""
    for number in range(1, 10_000):
        frame, pixels = number % FRAMES, 1 + (len(answered) * 31 + number) % 4000
        mask = np.zeros((FRAMES, 64, 64), np.uint8)
        mask[frame].flat[:pixels] = 1
        path = folder / f"{name}.nrrd"
        write_label(path, mask, np.arange(FRAMES) * 66.0, [frame])
        was = answered.get(frame)
        # Until it is answered, either may be there.
        answered[frame] = (was, pixels)
        try:
            files = {"label": (path.name, path.read_bytes())}
            reply = requests.put(f"{url}/datastore/label", params={"image": name}, files=files, timeout=60)
        except requests.ConnectionError:
            return
        assert reply.status_code == 200, reply.text
        answered[frame] = pixels


def check(studies, answered, images):
    """Every label that was answered is there, whole, on disk and in the server's list."""
    for name, frames in answered.items():
        if not any(not isinstance(pixels, tuple) for pixels in frames.values()):
            continue
        mask, listed = read_label(studies / "labels" / "final" / f"{name}.nrrd")
        assert images[name]["labels"]["final"]["info"]["annotated_frames"] == listed
        for frame, pixels in frames.items():
            found = int(mask[frame].sum())
            if isinstance(pixels, tuple):
                allowed = flatten(pixels)
                assert (found if frame in listed else None) in allowed
                frames[frame] = found if frame in listed else (None, 0)
            else:
                assert frame in listed
                assert found == pixels
        for version in (studies / "labels" / "final" / "versions").glob(f"{name}.*"):
            read_label(version)


def flatten(pixels):
    """All that may be there of a frame whose last labels were sent and not answered."""
    if not isinstance(pixels, tuple):
        return {pixels}
    return set().union(*(flatten(one) for one in pixels))
