"""The door of the server alone: who comes in, and with how much."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from angioseg.atomic import replacing
from angioseg.guard import create_app
from fastapi import APIRouter, Request, UploadFile

TOKEN = "a-secret-of-some-length"


class App:
    """What the door needs to know of the app behind it."""

    version = "0"

    def routers(self):
        router = APIRouter()

        @router.put("/echo")
        def echo(request: Request, body: dict | None = None):
            return {"keys": len(body or {})}

        @router.get("/full")
        def full():
            raise OSError(errno.ENOSPC, "No space left on device", "/studies/somebody.dcm")

        @router.get("/unwritable/{name}")
        def unwritable(name: str):
            with replacing(Path("/studies/somebody.nrrd")):
                raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

        @router.put("/upload")
        def upload(file: UploadFile):
            return file.size

        return [router]


@pytest.fixture
def client():
    from starlette.testclient import TestClient

    # Without its `with`, the app's start-up (which looks for a real app) does not run.
    return lambda **options: TestClient(create_app(App(), **options), base_url="http://127.0.0.1")


@pytest.mark.parametrize(
    ("headers", "auth", "status"),
    [
        ({}, None, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, None, 200),
        ({"Authorization": f"bearer {TOKEN}"}, None, 200),
        ({}, ("anyone", TOKEN), 200),
        ({}, ("", TOKEN), 200),
        ({}, (TOKEN, ""), 401),
        ({}, ("anyone", TOKEN[:-1]), 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, None, 401),
        ({"Authorization": "Bearer "}, None, 401),
        ({"Authorization": TOKEN}, None, 401),
        ({"Authorization": "Basic ???"}, None, 401),
        ({"Authorization": "Basic " + "=" * 5}, None, 401),
        ({"Authorization": b"Basic \xff\xfe"}, None, 401),
    ],
)
@pytest.mark.parametrize("path", ["/echo", "/nothing", "/openapi.json"])
def test_a_token_opens_every_door_and_nothing_else_does(client, headers, auth, status, path):
    reply = client(token=TOKEN).request("PUT" if path == "/echo" else "GET", path, headers=headers, auth=auth)
    if status == 200:
        assert reply.status_code == (404 if path == "/nothing" else 200)
    else:
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")
        assert reply.json()["detail"].startswith("This server asks for its token")
        assert TOKEN not in reply.text


def test_without_a_token_nothing_is_asked(client):
    assert client().put("/echo").status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "names", "status"),
    [
        ("127.0.0.1:8000", None, [], 200),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", [], 200),
        ("localhost", None, [], 200),
        ("[::1]:8000", None, [], 200),
        ("192.168.1.20:8000", None, [], 200),
        ("lab:8000", None, ["lab"], 200),
        ("LAB:8000", None, ["Lab"], 200),
        ("lab:8000", None, ["127.0.0.1"], 403),
        ("evil.example:8000", None, [], 403),
        ("evil.example:8000", "http://evil.example:8000", ["lab"], 403),
        ("localhost.evil.example", None, [], 403),
        ("127.0.0.1.evil.example", None, [], 403),
        ("", None, [], 403),
        ("[::1", None, [], 403),
        ("archive.example", "http://archive.example", None, 200),
        ("archive.example", "http://evil.example", None, 403),
        ("archive.example", "http://[evil", None, 403),
        ("archive.example", "null", None, 403),
    ],
)
def test_a_page_from_elsewhere_is_kept_out_whatever_its_name_leads_to(client, host, origin, names, status):
    headers = {"Host": host, **({} if origin is None else {"Origin": origin})}
    reply = client(names=names).put("/echo", headers=headers)
    assert reply.status_code == status, reply.text


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(900, 200), (2000, 413)])
def test_a_request_is_bounded_whether_it_says_its_length_or_not(client, chunked, size, status):
    text = b'{"' + b"a" * size + b'": 1}'
    content = iter([text[:500], text[500:]]) if chunked else text
    headers = {"Content-Type": "application/json"}
    reply = client(max_upload=1024).put("/echo", content=content, headers=headers)
    assert reply.status_code == status
    if status == 413:
        assert reply.json()["detail"] == "The request is too large: this server takes 0.000976562 MB at once."


@pytest.mark.parametrize(("error", "status"), [("ENOSPC", 507), ("EDQUOT", 507), ("EACCES", 500), ("EROFS", 500)])
def test_a_file_that_cannot_be_written_is_the_servers_fault_and_its_path_is_not_told(client, error, status):
    reply = client().get(f"/unwritable/{error}")
    assert (reply.status_code, "somebody" in reply.text) == (status, False)


@pytest.mark.parametrize(("free", "status"), [(5, 507), (6, 507), (7, 200)])
def test_an_upload_that_does_not_fit_is_refused_before_half_of_it_is_kept(client, free, status, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10 - free, free))
    reply = client().put("/upload", files={"file": ("run.dcm", b"pixels")})
    assert reply.status_code == status


def test_a_full_disk_is_told(client):
    reply = client().get("/full")
    assert reply.status_code == 507
    assert reply.json()["detail"].startswith("The server's disk is full:")
    assert "somebody" not in reply.text
