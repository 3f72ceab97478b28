"""Eight clients at one server for two minutes: requests, errors, labels lost, and the server's memory.

    uv run python tests/benchmarks/clients.py [--clients 8] [--seconds 120]

Each client asks for the next frame, has it segmented and submits it as a label, on simulated cines.
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import requests
from angioseg.cine import read_label, write_label
from angioseg.serve import start_server
from angioseg.simulation import simulate_clip, write_xa_dicom

FRAMES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder, "studies")
        studies.mkdir()
        for seed in range(4):
            write_xa_dicom(studies / f"clip{seed}.dcm", simulate_clip(seed, frames=FRAMES, size=(128, 128)))
        with start_server(studies) as url:
            measure(url, studies, Path(folder), options.clients, options.seconds)


def measure(url: str, studies: Path, folder: Path, clients: int, seconds: float) -> None:
    """Run the clients and print what came of it."""
    (server,) = psutil.Process().children()
    replies, labelled, lock = Counter(), {}, threading.Lock()
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        while time.monotonic() < end:
            sample = send("POST", "/activelearning/random", json={})
            if not sample.json():
                return
            image, frame = sample.json()["id"], sample.json()["frame"]
            send("POST", "/infer/angioseg", params={"image": image}, data={"params": f'{{"frames": {frame}}}'})
            mask = np.zeros((FRAMES, 128, 128), np.uint8)
            mask[frame].flat[: 1 + number] = 1
            path = folder / f"{number}.nrrd"
            write_label(path, mask, np.arange(float(FRAMES)), [frame])
            files = {"label": (path.name, path.read_bytes())}
            if send("PUT", "/datastore/label", params={"image": image}, files=files).status_code == 200:
                with lock:
                    labelled[image, frame] = 1 + number

    def send(method: str, path: str, **options) -> requests.Response:
        reply = requests.request(method, url + path, timeout=600, **options)
        with lock:
            replies[method, path, reply.status_code] += 1
        return reply

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    start, told = time.monotonic(), 0.0
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        if time.monotonic() - start >= told:
            told += 10
            print(f"{time.monotonic() - start:5.0f} s: server holds {server.memory_info().rss / 2**20:.0f} MB")
    for (method, path, status), count in sorted(replies.items()):
        print(f"{method} {path}: {count} times {status}")
    lost = 0
    for image in {image for image, _ in labelled}:
        mask, listed = read_label(studies / "labels" / "final" / f"{image}.nrrd")
        mine = {frame: pixels for (name, frame), pixels in labelled.items() if name == image}
        lost += sum(frame not in listed or mask[frame].sum() != pixels for frame, pixels in mine.items())
    print(f"{len(labelled)} labels answered, {lost} lost")


if __name__ == "__main__":
    main()
