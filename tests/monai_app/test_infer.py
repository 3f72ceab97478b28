"""POST /infer/angioseg on the real server: what a request asks for is what the reply holds."""

import json
import socket
import threading

import numpy as np
import pytest
import torch
from angioseg.cine import Cine, read_cine, read_label, write_cine, write_label

FRAMES = 4
IMAGES = [
    ("run", "calibrated|imager|unknown", FRAMES),
    ("patient__run", "unknown", FRAMES),
    ("frames", "unknown", FRAMES),
]


@pytest.fixture
def read(server, tmp_path):
    """Params, mask and filled frames of a reply."""

    def read_reply(reply):
        parts = server.parts(reply)
        file = tmp_path / "mask.nrrd"
        file.write_bytes(parts["image"])
        mask, filled = read_label(file)
        return json.loads(parts["params"]), mask, filled

    return read_reply


@pytest.fixture(scope="session")
def whole(server, tmp_path_factory):
    """The mask of the whole cine."""
    file = tmp_path_factory.mktemp("whole") / "mask.nrrd"
    file.write_bytes(server.parts(server.infer(image="run"))["image"])
    return read_label(file)[0]


@pytest.mark.parametrize(
    ("image", "file", "source"),
    [
        ("run", "run.dcm", "imager"),
        ("IM000001", "IM000001", "imager"),
        ("patient__run", "patient/run.nrrd", "unknown"),
        ("frames", "frames", "unknown"),
    ],
)
def test_reply_tells_what_was_done(server, read, studies, image, file, source):
    params, mask, filled = read(server.infer('{"frames": [0, 1]}', image=image))
    cine = read_cine(studies / file)
    assert params["frames"] == filled == [0, 1]
    assert params["num_frames"] == cine.num_frames
    assert params["frame_times_ms"] == pytest.approx(cine.times_ms, abs=1e-3)
    assert params["pixel_size"] == {"row": cine.spacing[0], "column": cine.spacing[1], "source": source}
    assert params["label_names"] == {"vessel": 1}
    assert params["model"]["name"] == "angioseg"
    assert len(params["model"]["weights"]) == 12
    assert set(params["latencies"]) == {"read", "infer", "measure", "write"}
    assert [measure["frame"] for measure in params["measures"]] == filled
    assert {key["frame"] for key in params["key_frames"]} <= set(filled)
    assert all(key["why"] for key in params["key_frames"])
    assert mask.shape == cine.shape
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}


def test_same_mask_as_in_this_process(whole, cine, weights):
    from angioseg.segmentation import Segmenter

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        mask = Segmenter(weights, device="cpu")(cine).mask
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(mask, whole)


@pytest.mark.parametrize(
    ("frames", "filled"),
    [(0, [0]), ([1, 1], [1]), ([0, 2], [0, 1, 2]), ([2, FRAMES - 1], [2, 3]), ("all", list(range(FRAMES)))],
)
def test_a_range_is_those_frames_of_the_whole(server, read, whole, frames, filled):
    params, mask, annotated = read(server.infer(json.dumps({"frames": frames}), image="run"))
    others = [number for number in range(FRAMES) if number not in filled]
    assert params["frames"] == annotated == filled
    assert [measure["frame"] for measure in params["measures"]] == filled
    assert np.array_equal(mask[filled], whole[filled])
    assert not mask[others].any()


def test_an_upload_is_asked_range_after_range(server, read, studies, whole):
    session = server.upload(studies / "run.dcm", "upload.dcm")
    total, measures = np.zeros_like(whole), []
    for frames in ([0, 1], [2, FRAMES - 1]):
        params, mask, _ = read(server.infer(json.dumps({"frames": frames}), session_id=session))
        total |= mask
        measures += params["measures"]
    assert np.array_equal(total, whole)

    ranked = server.infer(json.dumps({"frames": [], "measures": measures}), session_id=session).json()
    at_once = read(server.infer(session_id=session))[0]
    assert ranked == {"frames": [], "key_frames": at_once["key_frames"]}

    assert server.send("DELETE", f"/session/{session}").status_code == 200
    lost = server.infer(session_id=session)
    assert (lost.status_code, lost.json()["detail"]) == (404, "Unknown or expired session. Upload the cine again.")


def test_frames_uploaded_one_file_each_are_one_cine(server, read, studies, whole):
    files = [("files", (file.name, file.read_bytes())) for file in sorted((studies / "frames" / "images").iterdir())]
    session = server.send("PUT", "/session/", files=files).json()["session_id"]
    params, mask, _ = read(server.infer(json.dumps({"frames": 1}), session_id=session))
    assert params["num_frames"] == FRAMES
    assert np.array_equal(mask[1], whole[1])


def test_a_higher_threshold_marks_less(server, read):
    low, high = (
        read(server.infer(json.dumps({"frames": 1, "threshold": threshold}), image="run"))[1]
        for threshold in (0.3, 0.7)
    )
    assert high.sum() < low.sum()


def test_a_mask_is_saved_when_asked_for(server, read, studies):
    params = {"frames": [0, 1], "save_label": True, "label_tag": "original"}
    _, mask, _ = read(server.infer(json.dumps(params), image="IM000001"))
    saved, annotated = read_label(studies / "labels" / "original" / "IM000001.nrrd")
    assert np.array_equal(saved, mask)
    assert annotated == [0, 1]


@pytest.mark.parametrize("tag", ["final", "Final"])
def test_a_mask_of_the_model_never_takes_the_place_of_a_final_label(server, studies, cine, tmp_path, tag):
    mask = np.zeros(cine.shape, np.uint8)
    mask[0, 10:20, 10:20] = 1
    write_label(tmp_path / "label.nrrd", mask, cine, [0])
    files = {"label": ("label.nrrd", (tmp_path / "label.nrrd").read_bytes())}
    assert server.send("PUT", "/datastore/label", params={"image": "run"}, files=files).status_code == 200
    before = {path: path.read_bytes() for path in (studies / "labels").rglob("run.*")}
    reply = server.infer(json.dumps({"frames": 0, "save_label": True, "label_tag": tag}), image="run")
    line = 'What a model says does not become a "final" label: use another `label_tag`.'
    assert (reply.status_code, reply.json()["detail"]) == (400, line)
    assert {path: path.read_bytes() for path in (studies / "labels").rglob("run.*")} == before
    assert server.send("DELETE", "/datastore/label", params={"id": "run", "tag": "final"}).status_code == 200


def test_others_are_answered_while_it_infers(server):
    replies = []
    infer = threading.Thread(target=lambda: replies.append(server.infer(image="frames")))
    infer.start()
    answered = 0
    while infer.is_alive():
        assert server.send("GET", "/info/").status_code == 200
        answered += infer.is_alive()
    assert replies[0].status_code == 200
    assert answered > 2


def test_an_infer_whose_client_has_hung_up_is_given_up(server, tmp_path):
    def segmented():
        return server.send("GET", "/info/").json()["models"]["angioseg"]["frames_segmented"]

    frames = 60
    write_cine(tmp_path / "long.nrrd", Cine(np.zeros((frames, 64, 64), np.uint8), np.arange(frames) * 66.0))
    session, before = server.upload(tmp_path / "long.nrrd", "long.nrrd"), segmented()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"POST /infer/angioseg?session_id={session} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        while segmented() == before:
            pass
    # Asked behind it, and answered long before it would have ended.
    assert server.infer('{"frames": 0}', image="run").status_code == 200
    done = segmented() - before
    assert 1 < done < frames / 2
    assert server.infer('{"frames": 0}', image="run").status_code == 200
    assert segmented() - before == done + 1


@pytest.mark.parametrize(
    ("query", "params", "status", "line"),
    [
        ({"image": "nobody"}, "{}", 404, "There is no image 'nobody' here."),
        ({"image": "../evil"}, "{}", 400, "'../evil' is not a valid image id: use a plain name without folders."),
        ({"image": "/etc/hostname"}, "{}", 400, "'/etc/hostname' is not a valid image id"),
        ({"image": "notes.txt"}, "{}", 404, "There is no image 'notes.txt'"),
        ({"image": "run"}, '{"image": "/etc/hostname"}', 400, "'/etc/hostname' is not a valid image id"),
        ({"image": "run"}, '{"image": 7}', 400, "`image` must be the id of an image."),
        ({}, "{}", 400, "Neither Image nor File not Session ID input is provided"),
        ({"session_id": "gone"}, "{}", 404, "Unknown or expired session. Upload the cine again."),
        ({"session_id": "../../studies"}, "{}", 404, "Unknown or expired session."),
        ({"image": "run", "model": "other"}, "{}", 404, "There is no model 'other' here; there is: angioseg."),
        ({"image": "run"}, '{"model": [1]}', 404, "There is no model '[1]' here"),
        (
            {"image": "run"},
            '{"frames": 0, "save_label": true, "label_tag": "../x"}',
            400,
            "'../x' is not a valid label tag",
        ),
        ({"image": "run"}, '{"frames": 0, "save_label": true, "label_tag": 5}', 400, "'5' is not a valid label tag"),
        ({"image": "run", "output": "poem"}, "{}", 422, "output: "),
        ({"image": "run"}, "{", 400, "`params` is not valid JSON"),
        ({"image": "run"}, "[1]", 400, "`params` must be a JSON object"),
        ({"image": "run"}, '{"frames": 4}', 400, "frames 4 to 4: the cine has frames 0 to 3."),
        ({"image": "run"}, '{"frames": [-1, 2]}', 400, "frames -1 to 2"),
        ({"image": "run"}, '{"frames": [3, 2]}', 400, "frames 3 to 2"),
        ({"image": "run"}, '{"frames": [0, 1, 2]}', 400, "frames [0, 1, 2]"),
        ({"image": "run"}, '{"frames": "some"}', 400, "frames 'some'"),
        ({"image": "run"}, '{"frames": null}', 400, "frames None"),
        ({"image": "run"}, '{"frames": 1.5}', 400, "frames 1.5"),
        ({"image": "run"}, '{"frames": []}', 400, "`frames` is empty"),
        ({"image": "run"}, '{"frmes": 2}', 400, "`frmes` is no option; did you mean `frames`?"),
        ({"image": "run"}, '{"frames": [], "measures": [{}]}', 400, "`measures` must be those of earlier replies"),
        ({"image": "run"}, '{"frames": [], "measures": 3}', 400, "`frames` is empty"),
        ({"image": "run"}, '{"threshold": 0}', 400, "threshold must be a number between 0 and 1, not '0'."),
        ({"image": "run"}, '{"threshold": 1.5}', 400, "threshold must be a number"),
        ({"image": "run"}, '{"threshold": NaN}', 400, "`params` holds a number that is not finite"),
        ({"image": "run"}, '{"threshold": "high"}', 400, "threshold must be a number"),
        ({"image": "run"}, '{"threshold": true}', 400, "threshold must be a number"),
    ],
)
def test_a_bad_request_is_told_so_in_one_line(server, query, params, status, line):
    reply = server.infer(params, **query)
    assert reply.status_code == status
    assert reply.json()["detail"].startswith(line)
    assert "\n" not in reply.json()["detail"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.dcm", b""), ("text.dcm", b"no DICOM at all"), ("cut.nrrd", b"NRRD0004\n"), ("notes.txt", b"hello")],
)
def test_an_unreadable_upload_is_told_so_in_one_line(server, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    reply = server.infer(session_id=server.upload(tmp_path / name, name))
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(f"{name}: ")
    assert "\n" not in reply.json()["detail"]


def test_platform_client_is_served(server, tmp_path):
    from monailabel.client import MONAILabelClient

    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
    assert client.info()["labels"] == ["vessel"]
    file, params = client.infer("angioseg", "IM000001", {"frames": [1, 1]})
    mask, annotated = read_label(file)
    assert params["frames"] == annotated == [1]
    assert mask[1].any()
