"""The HTTP client against a real server that misbehaves."""

import json
import threading
import time

import numpy as np
import pytest
from AngioSegLib.client import Client
from AngioSegLib.errors import (
    BadReply,
    NrrdError,
    RequestRefused,
    ServerAbsent,
    ServerError,
    ServerTimeout,
    SessionLost,
    TokenRefused,
)
from AngioSegLib.multipart import parseMultipart
from AngioSegLib.nrrd import NrrdImage, writeNrrd
from littleServer import INFO

FRAMES = np.random.default_rng(0).integers(0, 4000, (5, 6, 8), np.uint16)
TIMES = np.arange(5) * 66.7


@pytest.fixture
def client(server):
    return Client(server.url, readTimeout=5)


def test_the_whole_conversation(client, server):
    assert client.info()["name"] == "AngioSeg"
    session = client.upload(FRAMES, TIMES, (0.3, 0.2), "imager")
    reply = client.infer(session, 1, 3, threshold=0.4)
    np.testing.assert_array_equal(reply.mask[1:4], FRAMES[1:4] > np.median(FRAMES))
    assert not reply.mask[[0, 4]].any()
    assert reply.frames == (1, 2, 3)
    keyFrames = client.rank(session, reply.measures)
    assert [key["frame"] for key in keyFrames] == sorted((1, 2, 3), key=lambda frame: -int(reply.mask[frame].sum()))[:2]
    client.deleteSession(session)
    client.deleteSession(session)
    assert [(method, path) for method, path, _ in server.asked] == [
        ("GET", "/info/"),
        ("PUT", "/session/"),
        ("POST", "/infer/angioseg"),
        ("POST", "/infer/angioseg"),
        ("DELETE", "/session/session-1"),
        ("DELETE", "/session/session-1"),
    ]
    assert server.asked[2][2] == {"frames": [1, 3], "threshold": 0.4}


def test_what_is_uploaded(client, server):
    bodies = []

    def listen(handler, method, path):
        bodies.append(handler.headers)

    server.rude = listen
    client.upload(FRAMES, TIMES, (0.3, 0.2), "imager")
    image = server.uploads[0]
    np.testing.assert_array_equal(image.array, FRAMES)
    assert image.spacing == (0.3, 0.2)
    assert {key: json.loads(value) for key, value in image.values.items()} == {
        "frame_times_ms": TIMES.tolist(),
        "pixel_size_source": "imager",
    }


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("http://127.0.0.1:8000", "секрет"),
        ("http://127.0.0.1:8000", "s€kret"),
        ("http://me:s€kret@127.0.0.1:8000", ""),
        ("http://s€kret@[::1", ""),
    ],
)
def test_what_is_secret_is_not_repeated(url, token):
    with pytest.raises(ServerAbsent) as caught:
        Client(url, token=token)
    assert not any(secret in str(caught.value) for secret in ("секрет", "kret"))
    assert "password" in str(caught.value)


ASK = {
    "info": lambda client: client.info(),
    "upload": lambda client: client.upload(FRAMES, TIMES),
    "infer": lambda client: client.infer("session-1", 0, 1),
    "rank": lambda client: client.rank("session-1", [{"frame": 0}]),
    "delete": lambda client: client.deleteSession("session-1"),
    "decode": lambda client: client.decode(b"bytes", "run.dcm"),
    "sample": lambda client: client.sample(3),
    "overlay": lambda client: client.overlay("session-1", np.zeros((5, 6, 8), np.uint8), [1]),
    "next sample": lambda client: client.nextSample("first"),
    "image": lambda client: client.image("a"),
    "save image": lambda client: client.saveImage("a", FRAMES, TIMES),
    "save label": lambda client: client.saveLabel("a", np.zeros((5, 6, 8), np.uint8), [1]),
    "labelled": lambda client: client.labelled(),
    "train": lambda client: client.train({}),
    "training": lambda client: client.training(),
    "stop training": lambda client: client.stopTraining(),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_nobody_there(freeUrl, ask):
    with pytest.raises(ServerAbsent, match="nobody answers") as caught:
        ask(Client(freeUrl))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "inClear"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://LocalHost:8000/", False),
        ("http://[::1]:8000", False),
        ("https://hospital", False),
        ("http://hospital", True),
        ("http://127.0.0.1.hospital", True),
    ],
)
def test_which_lines_others_can_read(url, inClear):
    assert Client(url).inClear is inClear


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host",
        "http://",
        "not a url",
        "http://[::1",
        "http://host:99999",
        "http://host/?a=1",
    ],
)
def test_addresses_that_are_none(url):
    with pytest.raises(ServerAbsent, match="no server address"):
        Client(url)


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("stall", ["before", "within"])
def test_too_slow(server, ask, stall):
    given_up = threading.Event()

    def slow(handler, *_):
        if stall == "within":
            handler.send_response(200)
            handler.send_header("Content-Length", "9")
            handler.end_headers()
            handler.wfile.write(b"{")
            handler.wfile.flush()
        given_up.wait(30)
        return True

    server.rude = slow
    begin = time.monotonic()
    with pytest.raises(ServerTimeout, match=r"said nothing for 0\.2 s"):
        ask(Client(server.url, readTimeout=0.2))
    given_up.set()
    assert time.monotonic() - begin < 20


def test_the_line_breaks(client, server):
    def hangUp(handler, *_):
        handler.send_response(200)
        handler.send_header("Content-Length", "99")
        handler.end_headers()
        handler.wfile.write(b"{")
        return True

    server.rude = hangUp
    with pytest.raises(ServerAbsent):
        client.info()


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, b'{"detail": "frames 9 to 12 are not in the cine"}', "frames 9 to 12 are not in the cine"),
        (403, b"", "Forbidden"),
        (422, b'{"detail": [{"msg": "wrong"}]}', "wrong"),
        (500, b"<html>oops</html>", "Internal Server Error"),
        (503, b'{"detail": "the model\\ncannot be loaded"}', "the model cannot be loaded"),
        (302, b"", "Found"),
    ],
)
def test_the_server_says_no(client, server, ask, status, body, says):
    def refuse(handler, *_):
        server.answer(handler, status, body)
        return True

    server.rude = refuse
    with pytest.raises(RequestRefused, match=says) as caught:
        ask(client)
    assert caught.value.status == status
    assert not isinstance(caught.value, SessionLost)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("page", [b"<html>oops</html>", b"", b"[]"])
def test_a_gateway_whose_server_does_not_answer(client, server, ask, status, page):
    server.rude = lambda handler, *_: server.answer(handler, status, page) or True
    with pytest.raises(ServerAbsent, match=f"does not answer now \\({status}: ") as caught:
        ask(client)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", ".example", "a" * 70 + ".com"])
def test_hosts_that_are_none(host):
    with pytest.raises(ServerAbsent, match=r"no server address|nobody answers") as caught:
        Client(f"http://{host}").info()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "offer",
    [
        {"models": None},
        {"models": ["angioseg"]},
        {"strategies": ["first"]},
        {"strategies": {"first": None}},
        {"trainers": None},
    ],
)
def test_an_offer_in_another_form(client, server, offer):
    server.rude = lambda handler, *_: server.json(handler, 200, {**INFO, **offer}) or True
    with pytest.raises(BadReply, match="is it another version"):
        client.info()


@pytest.mark.parametrize("ask", ["infer", "rank", "overlay"])
def test_a_session_the_server_forgot(client, ask):
    with pytest.raises(SessionLost, match="Upload the cine again"):
        ASK[ask](client)


def test_an_unknown_model_is_no_lost_session(client, server):
    def refuse(handler, *_):
        server.json(handler, 404, {"detail": "no model 'angioseg'"})
        return True

    server.rude = refuse
    with pytest.raises(RequestRefused) as caught:
        client.infer("session-1", 0, 1)
    assert not isinstance(caught.value, SessionLost)


IMAGE = writeNrrd(NrrdImage(np.zeros((5, 6, 8), np.uint8)))
PARAMS = b'{"frames": [0, 1], "measures": []}'


def body(params: bytes | None = PARAMS, image: bytes | None = IMAGE) -> bytes:
    parts = b""
    for name, content in (("params", params), ("image", image)):
        if content is not None:
            parts += f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
    return parts + b"--b--\r\n"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("application/json", PARAMS),
        ("text/html", b"<html>"),
        ("multipart/form-data", body()),
        ("multipart/form-data; boundary=c", body()),
        ("multipart/form-data; boundary=b", body()[:-20]),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", body(image=None)),
        ("multipart/form-data; boundary=b", body(params=None)),
        ("multipart/form-data; boundary=b", body(params=b"{")),
        ("multipart/form-data; boundary=b", body(params=b"[]")),
        ("multipart/form-data; boundary=b", body(params=b'{"measures": []}')),
        ("multipart/form-data; boundary=b", body(params=b'{"frames": [0, 1]}')),
        ("multipart/form-data; boundary=b", body(params=b'{"frames": [0, 1], "measures": [{}]}')),
        ("multipart/form-data; boundary=b", body(image=b"")),
        ("multipart/form-data; boundary=b", body(image=IMAGE[:-5])),
        ("multipart/form-data; boundary=b", body(image=writeNrrd(NrrdImage(FRAMES)))),
    ],
)
def test_replies_in_another_form(client, server, kind, data):
    def reply(handler, *_):
        server.answer(handler, 200, data, kind)
        return True

    server.rude = reply
    with pytest.raises(BadReply) as caught:
        client.infer("session-1", 0, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("DOE^JANE.dcm", "cine.dcm"),
        ("/data/DOE/JANE", "cine"),
        ("DOE.JANE.DCM", "cine.dcm"),
        ("doe.jane.nii.gz", "cine.nii.gz"),
        ("doe.seq.nrrd", "cine.seq.nrrd"),
        ("DOE.frames.zip", "cine.zip"),
    ],
)
def test_of_a_files_name_only_its_ending_is_sent(client, server, name, sent):
    data = writeNrrd(NrrdImage(FRAMES))
    np.testing.assert_array_equal(client.decode(data, name).array, FRAMES)
    assert server.files == [(sent, data)]


def test_a_label_is_sent_with_its_list(client, server):
    mask = (FRAMES > 2000).astype(np.uint8)
    client.saveImage("a", FRAMES, TIMES)
    client.saveLabel("a", mask, [np.int64(1), 3])
    (name, frames, labelled) = server.labels[0]
    assert (name, frames) == ("a", [1, 3])
    np.testing.assert_array_equal(labelled, mask)
    assert client.labelled() == {"a": [1, 3]}
    np.testing.assert_array_equal(client.image("a").array, FRAMES)


@pytest.mark.parametrize("ask", ["save label", "save image", "overlay", "upload", "labelled", "info"])
@pytest.mark.parametrize("page", [b"<html>Please log in</html>", b""])
def test_a_log_in_page_in_the_servers_place_is_no_answer(client, server, ask, page):
    server.rude = lambda handler, *_: server.answer(handler, 200, page, "text/html") or True
    with pytest.raises(BadReply):
        ASK[ask](client)


@pytest.mark.parametrize(
    ("kind", "data"), [("video/mp4", b"anything"), ("application/octet-stream", b"\0\0\0\x20ftypisom")]
)
def test_a_video_is_told_by_its_type_or_its_bytes(client, server, kind, data):
    server.rude = lambda handler, *_: server.answer(handler, 200, data, kind) or True
    assert ASK["overlay"](client) == data


def test_a_video_is_asked_for_with_the_list_of_the_segmented_frames(client, server):
    session = client.upload(FRAMES, TIMES)
    client.overlay(session, np.zeros(FRAMES.shape, np.uint8), [np.int64(2), 3])
    assert [frames for frames, _ in server.drawn] == [[2, 3]]


def test_a_token_is_sent_as_a_bearer_token(server):
    server.token = "secret"
    for token in ("", "other"):
        with pytest.raises(TokenRefused, match="asks for a token or password"):
            Client(server.url, token=token).info()
    assert Client(server.url, token=" secret ").info()["name"] == "AngioSeg"


@pytest.mark.parametrize("answer", [[], {"id": "a"}, {"id": "a", "why": "so", "frame": "x"}, {"frame": 1, "why": "so"}])
def test_a_sample_that_names_no_frame(client, server, answer):
    server.rude = lambda handler, method, path: server.json(handler, 200, answer) or True
    with pytest.raises(BadReply):
        client.nextSample("first")


def test_no_training_so_far_is_no_error(client):
    assert client.training() is None
    client.train({"max_epochs": 2})
    assert client.training()["request"] == {"max_epochs": 2}


@pytest.mark.parametrize("ask", ["info", "upload", "rank", "sample", "labelled"])
@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"session_id": 3, "key_frames": [{}], "objects": 3, "id": 1}',
        b'{"key_frames": [3], "id": 1}',
        b'{"key_frames": [{"frame": "2", "score": 1, "why": ""}]}',
    ],
)
def test_json_of_another_program(client, server, ask, data):
    def reply(handler, *_):
        server.answer(handler, 200, data)
        return True

    server.rude = reply
    with pytest.raises(BadReply):
        ASK[ask](client)


def test_frames_of_a_type_that_cannot_be_sent(client, server):
    with pytest.raises(NrrdError):
        client.upload(FRAMES.astype(float), TIMES)
    assert server.asked == []


def test_binary_parts_keep_every_byte():
    data = bytes(range(256)) + b"\r\n--\r\n\r\n\n\r"
    assert parseMultipart('multipart/form-data; boundary="b"', body(image=data)) == {"params": PARAMS, "image": data}


def test_every_error_is_told_apart_from_a_fault():
    for kind in (ServerAbsent, ServerTimeout, BadReply, RequestRefused, SessionLost):
        assert issubclass(kind, ServerError)
