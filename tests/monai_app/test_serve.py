"""Starting the server, and what it promises beyond the platform."""

import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from angioseg.errors import AngioSegError
from angioseg.paths import app_dir
from angioseg.serve import serve, start_server


@pytest.mark.parametrize(
    ("studies", "options", "line"),
    [
        ("nowhere", {}, "nowhere: no such folder"),
        ("file", {}, "file: no such folder"),
        (".", {"port": "taken"}, "Cannot listen at 127.0.0.1 port "),
        (".", {"port": 70000}, "Cannot listen at port 70000: give --port a number from 0 to 65535."),
        (".", {"model": "no.pt"}, "no.pt: no such weights file."),
        (".", {"token": "short"}, "The token must have 8 characters or more"),
        (".", {"token": "blanks  "}, "The token must have 8 characters or more"),
        (".", {"token": "pässword with umlaut"}, "The token must have 8 characters or more"),
        (".", {"host": "no.such.host.invalid"}, "Cannot listen at no.such.host.invalid port 8000"),
    ],
)
def test_what_keeps_it_from_starting_is_told_in_one_line(tmp_path, monkeypatch, studies, options, line):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if options.get("port") == "taken":
            options = {"port": taken.getsockname()[1]}
        with pytest.raises(AngioSegError, match=re.escape(line)) as caught:
            serve(studies, **options)
    assert "\n" not in str(caught.value)


def test_a_server_that_cannot_start_says_why():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(AngioSegError, match=r"The server stopped while starting\. \| Cannot listen at"),
        start_server(".", port=taken.getsockname()[1]),
    ):
        pass


def test_pages_from_elsewhere_are_refused(server):
    assert server.send("GET", "/info/", headers={"Origin": server.url}).status_code == 200
    foreign = server.send("GET", "/info/", headers={"Origin": "http://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["detail"]) == (
        403,
        "Pages of http://elsewhere.example may not call this server.",
    )
    rebound = server.send("GET", "/info/", headers={"Host": "elsewhere.example"})
    assert (rebound.status_code, rebound.json()["detail"]) == (
        403,
        "This server is not called elsewhere.example: use its address, the name given by --host, or a token.",
    )
    assert "access-control-allow-origin" not in server.send("OPTIONS", "/info/").headers


def test_listens_to_one_address_of_this_machine(server):
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_names_of_files_stay_out_of_the_log_and_uploads_go(server, studies):
    (studies / "Doe^John.dcm").write_bytes((studies / "IM000001").read_bytes())
    (studies / "labels" / "final").mkdir(parents=True, exist_ok=True)
    (studies / "labels" / "final" / "Doe^Jane.nrrd").write_bytes(b"")
    session = server.upload(studies / "IM000001", "Doe^Jim.dcm")
    assert server.infer('{"frames": 0}', image="Doe^John").status_code == 200
    assert server.infer('{"frames": 0}', session_id=session).status_code == 200
    assert server.infer('{"frames": 9}', session_id=session).status_code == 400
    assert server.infer(image="Doe^Jack").status_code == 404
    assert server.send("DELETE", f"/session/{session}").status_code == 200
    (log,) = server.home.glob("angioseg-log-*/server.log")
    assert "Segmented 1 frames" in log.read_text()
    assert "Doe" not in log.read_text()
    known = (log.name, ".held")
    left = [
        path
        for path in server.home.rglob("*")
        if path.is_file() and path.name not in known and "sessions" not in path.parts
    ]
    assert left == []


def test_the_platforms_own_start_serves_the_app(write_studies, tmp_path, weights):
    studies = write_studies(tmp_path / "studies")
    # It writes into the app folder.
    app = shutil.copytree(app_dir(), tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(studies)]
    options = ["--host", "127.0.0.1", "--port", port, "--conf", "model", str(weights), "--conf", "device", "cpu"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                assert requests.get(f"{url}/info/", timeout=5).json()["name"] == "AngioSeg"
                break
            except requests.ConnectionError:
                assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.2)
        query = f"{url}/infer/angioseg?image="
        assert requests.post(f"{query}run", data={"params": '{"frames": 1}'}, timeout=60).status_code == 200
        upload = {"file": ("cine.nrrd", (studies / "patient" / "run.nrrd").read_bytes())}
        reply = requests.post(query, data={"params": '{"frames": 1}'}, files=upload, timeout=60)
        assert reply.status_code == 200
        for image, status in (("nobody", 404), ("../evil", 400), ("/etc/hostname", 400)):
            assert requests.post(query + image, timeout=60).status_code == status
    finally:
        process.terminate()
        process.wait(30)
