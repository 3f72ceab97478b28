"""Every endpoint, called with garbage drawn from the server's own OpenAPI: a clear no, never a failure."""

import io
import os
import tarfile
import tempfile
import zipfile
from contextlib import ExitStack

import numpy as np
import pytest
import requests
import schemathesis
from angioseg.cine import Cine, write_cine
from angioseg.serve import start_server
from angioseg.simulation import simulate_clip
from hypothesis import HealthCheck, given, settings
from PIL import Image

EXAMPLES = int(os.environ.get("ANGIOSEG_GARBAGE", "3"))
DEEP = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
NAMES = ["run", "../evil", "/etc/hostname", "nobody", "", ".", "a/b", "x" * 300, "\x00", "%2e%2e"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, weights):
    """A server of its own: garbage may remove what other tests need. Its address, and the folder around it."""
    folder = tmp_path_factory.mktemp("garbage")
    (folder / "studies").mkdir()
    (folder / "home").mkdir()
    clip = simulate_clip(5, frames=3, size=(64, 64))
    write_cine(folder / "studies" / "run.nrrd", Cine(frames=clip.frames, times_ms=clip.times_ms))
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder / "home"))
        patch.setattr(tempfile, "tempdir", str(folder / "home"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield running.enter_context(start_server(folder / "studies", model=weights, device="cpu")), folder


def archive(kind, **members):
    """The bytes of a zip or tar archive."""
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
    else:
        with tarfile.open(fileobj=made, mode="w") as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize("inside", ["{outside}/evil", "../../evil", "../../../../../../../../../..{outside}/evil"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_stay_in_their_folder(place, kind, inside):
    url, folder = place
    before = outside(folder)
    content = archive(kind, **{inside.format(outside=folder): b"x"})
    files = {"files": (f"cine.{kind}", content)}
    reply = requests.put(f"{url}/session/", params={"uncompress": True}, files=files, timeout=60)
    assert reply.status_code == (200 if kind == "zip" else 400)
    assert outside(folder) == before


def test_a_cine_comes_in_an_archive(place):
    url, _ = place
    frames = {f"{n}.png": picture(n) for n in range(3)}
    files = {"files": ("cine.zip", archive("zip", **frames))}
    session = requests.put(f"{url}/session/", params={"uncompress": True}, files=files, timeout=60).json()["session_id"]
    query = {"session_id": session, "output": "json"}
    reply = requests.post(f"{url}/infer/angioseg", params=query, data={"params": '{"frames": 0}'}, timeout=60)
    assert (reply.status_code, reply.json()["num_frames"]) == (200, 3)


def picture(number):
    """A small PNG."""
    made = io.BytesIO()
    Image.fromarray(np.full((40, 40), 40 * number, np.uint8)).save(made, "PNG")
    return made.getvalue()


def outside(folder):
    """What lies beside the studies folder and the server's own temporary one."""
    found = set()
    for where, folders, files in os.walk(folder):
        if where == str(folder):
            folders[:] = [name for name in folders if name not in ("studies", "home")]
        found.update(os.path.join(where, name) for name in (*folders, *files))
    return found


def check(reply):
    assert reply.status_code < 500, f"{reply.request.method} {reply.request.url}: {reply.text[:300]}"
    if reply.status_code >= 400 and reply.content:
        assert "\n" not in str(reply.json()["detail"])
        assert "Traceback" not in reply.text


def test_garbage_by_the_schema(place):
    url, folder = place
    before = outside(folder)
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def attack(case):
            reply = case.call(base_url=url, timeout=120)
            assert reply.status_code < 500, f"{case.method} {case.formatted_path}: {reply.text[:300]}"

        attack()
        tried += 1
    assert tried > 20
    assert outside(folder) == before
    assert requests.get(f"{url}/info/", timeout=60).status_code == 200


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/datastore/image", "image"),
        ("HEAD", "/datastore/image", "image"),
        ("GET", "/datastore/image/info", "image"),
        ("GET", "/datastore/label", "label"),
        ("GET", "/datastore/label/info", "label"),
        ("DELETE", "/datastore/label", "id"),
        ("POST", "/infer/angioseg", "image"),
        ("POST", "/infer/angioseg", "session_id"),
        ("POST", "/angioseg/overlay", "session_id"),
        ("GET", "/angioseg/cine", "image"),
        ("GET", "/session/{}", None),
        ("DELETE", "/session/{}", None),
        ("POST", "/infer/{}", None),
        ("POST", "/train/{}", None),
        ("POST", "/scoring/{}", None),
        ("POST", "/batch/infer/{}", None),
        ("POST", "/activelearning/{}", None),
    ],
)
def test_names(place, method, path, query, name):
    url, folder = place
    before = outside(folder)
    params = {"tag": name if name != "run" else "final", **({query: name} if query else {})}
    data = {"data": {"params": '{"frames": 0}'}} if path.startswith("/infer") else {}
    path = path.format(requests.utils.quote(name, safe=""))
    check(requests.request(method, url + path, params=params, timeout=60, **data))
    assert outside(folder) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"a": ' * 2000, b"1" * 5000, DEEP])
@pytest.mark.parametrize(
    "path", ["/train/angioseg", "/activelearning/first", "/scoring/dice", "/batch/infer/other", "/angioseg/sample"]
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_bodies(place, path, body, kind):
    url, _ = place
    reply = requests.post(url + path, data=body, headers={"Content-Type": kind}, timeout=60)
    assert reply.status_code < 500, reply.text[:300]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("NaN", "not finite"),
        ("1e999", "not finite"),
        ('"\\ud800"', "half a character"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
    ids=["NaN", "infinite", "half a character", "deep"],
)
@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("PUT", "/datastore/label?image=run&tag=final", "params"),
        ("PUT", "/datastore/label/info?label=run&tag=final", "info"),
        ("PUT", "/datastore/image/info?image=run", "info"),
        ("POST", "/infer/angioseg?image=run", "params"),
    ],
)
def test_what_cannot_be_told_again_is_not_kept(place, method, path, field, value, line):
    url, _ = place
    label = {"label": b"x"} if path.startswith("/datastore/label?") else {}
    data = {field: f'{{"annotated_frames": [0], "note": {value}}}'}
    reply = requests.request(method, url + path, data=data, files=label, timeout=60)
    assert reply.status_code == 400
    assert line in reply.json()["detail"]
    assert requests.get(f"{url}/datastore/?output=all", timeout=60).status_code == 200


@pytest.mark.parametrize("body", [b'{"foo": 1e999}', b'{"foo": NaN}'])
def test_options_that_are_no_numbers_are_refused(place, body):
    url, _ = place
    reply = requests.post(f"{url}/scoring/dice", data=body, headers={"Content-Type": "application/json"}, timeout=60)
    assert reply.status_code == 400
    assert requests.get(f"{url}/scoring/", timeout=60).status_code < 500


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x--\r\n",
        b"--x\r\n\r\n\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="params"\r\n\r\n{"frames": 0',
        b'--x\r\nContent-Disposition: form-data; name="params"\r\n\r\n\xff\xfe\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="label"\r\n\r\nnot a file\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="label"; filename=""\r\n\r\n\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="label"; filename="../../../evil.nrrd"\r\n\r\nx\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="evil.nrrd"\r\n\r\nNRRD0004\n\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\nx\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="info"\r\n\r\n{"strategy": 5}\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="info"\r\n\r\n[1]\r\n--x--\r\n',
        b"--x\r\n" + b"A" * 100_000,
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/datastore/image?image=new"),
        ("PUT", "/datastore/label?image=run"),
        ("PUT", "/datastore/image/info?image=run"),
        ("PUT", "/datastore/label/info?label=run&tag=final"),
        ("PUT", "/session/"),
        ("POST", "/infer/angioseg"),
        ("POST", "/angioseg/decode"),
        ("POST", "/angioseg/overlay?session_id=x"),
    ],
)
def test_multipart(place, method, path, body):
    url, folder = place
    before = outside(folder)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = requests.request(method, url + path, data=body, headers=headers, timeout=60)
    assert reply.status_code < 500, reply.text[:300]
    assert outside(folder) == before
    # What was taken must not make another endpoint fail.
    check(requests.post(f"{url}/activelearning/first", json={}, timeout=60))
