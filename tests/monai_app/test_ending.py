"""However a server ends, no upload of a patient's cine stays behind for long."""

import signal
import subprocess
import sys
import time

import pytest
import requests


@pytest.fixture
def start(tmp_path, weights, monkeypatch):
    """Start a server by the command line; ``nohup`` as that program does. Gives (process, address)."""
    for name in ("home", "studies"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    running = []

    def run():
        command = [sys.executable, "-m", "angioseg", "serve", "--studies", str(tmp_path / "studies"), "--port", "0"]
        log = tmp_path / f"log{len(running)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--model", str(weights), "--device", "cpu"], stdout=output, stderr=subprocess.STDOUT
            )
        running.append(process)
        while "ready at " not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        return process, log.read_text().split("ready at ")[1].split()[0].rstrip("/")

    yield run
    for process in running:
        process.kill()
        process.wait()


def upload(url: str) -> None:
    assert requests.put(f"{url}/session/", files={"files": ("DOE^JOHN.dcm", b"pixels")}, timeout=60).status_code == 200


def test_uploads_go_with_their_terminal_and_those_of_a_killed_server_with_the_next(start, tmp_path):
    home = tmp_path / "home"
    killed, url = start()
    upload(url)
    killed.kill()
    killed.wait()
    assert list(home.rglob("DOE*"))
    beside, url = start()
    upload(url)
    last, url = start()  # what a server that runs has is left alone
    assert len(list(home.rglob("DOE*"))) == 1
    for process in (beside, last):
        process.send_signal(signal.SIGHUP)
        process.wait(60)
    assert list(home.iterdir()) == []
