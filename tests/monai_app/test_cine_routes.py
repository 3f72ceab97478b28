"""What the server does for a client that cannot: decode a cine, draw a mask over it, simulate one."""

import io
import json
import re
import sys
import zipfile

import numpy as np
import pytest
from angioseg.cine import Cine, read_cine, write_cine, write_label
from angioseg.keyframes import KeyFrame
from angioseg.paths import slicer_dir
from angioseg.pictures import save_overlay_video

sys.path.append(str(slicer_dir()))


def decode(server, name, content):
    return server.send("POST", "/angioseg/decode", files={"file": (name, content)})


def read(reply):
    """The answer as the Slicer side reads it."""
    from AngioSegLib.nrrd import readNrrd

    assert reply.status_code == 200, reply.text
    image = readNrrd(reply.content)
    return image, {key: json.loads(value) for key, value in image.values.items()}


def files_of(server):
    sessions = server.home.rglob("*")
    return {path for path in sessions if path.is_file() and path.name != "server.log"}


def zipped(folder, inside):
    """A folder of frames as one archive, as file managers make them."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path in sorted((folder / "images").iterdir()):
            archive.write(path, f"{inside}{path.name}")
        archive.writestr("__MACOSX/x", "")
    return made.getvalue()


@pytest.mark.parametrize(
    ("file", "source", "name"),
    [
        ("run.dcm", "imager", r"(LAO|RAO) \d+ (CRA|CAU) \d+"),
        ("IM000001", "imager", r"(LAO|RAO) \d+ (CRA|CAU) \d+"),
        ("patient/run.nrrd", "unknown", "cine"),
        ("run.mp4", "unknown", "cine"),
        ("frames.zip", "unknown", "cine"),
        ("run.zip", "imager", r"(LAO|RAO) \d+ (CRA|CAU) \d+"),
    ],
)
def test_any_cine_comes_back_as_an_nrrd_that_the_slicer_side_reads(server, studies, tmp_path, file, source, name):
    path = studies / file
    if file == "run.mp4":
        clip = read_cine(studies / "run.dcm")
        path = tmp_path / file
        save_overlay_video(path, clip, np.zeros(clip.shape, np.uint8), [KeyFrame(1, 1.0, "")])
    if file == "frames.zip":
        path = tmp_path / file
        path.write_bytes(zipped(studies / "frames", "Doe^John/run/"))
    if file == "run.zip":
        path = tmp_path / file
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(studies / "run.dcm", "DICOM/IM1")
    cine = read_cine(studies / "frames" if file == "frames.zip" else studies / "run.dcm" if file == "run.zip" else path)
    before = files_of(server)
    image, values = read(decode(server, f"Doe^John{path.suffix}", path.read_bytes()))
    assert np.array_equal(image.array, cine.frames)
    assert image.array.dtype == cine.frames.dtype
    assert image.spacing == pytest.approx(cine.spacing)
    assert values["frame_times_ms"] == pytest.approx(cine.times_ms)
    assert values["pixel_size_source"] == cine.spacing_source == source
    assert re.fullmatch(name, values["name"])
    assert "Doe" not in str(image.values)
    assert files_of(server) == before


@pytest.mark.parametrize("image", ["run", "IM000001", "frames"])
def test_a_cine_of_the_folder_comes_in_the_same_form(server, studies, image):
    [path] = [path for path in studies.iterdir() if path.stem == image]
    got, values = read(server.send("GET", "/angioseg/cine", params={"image": image}))
    assert np.array_equal(got.array, read_cine(path).frames)
    assert values["frame_times_ms"] == pytest.approx(read_cine(path).times_ms.tolist())


@pytest.mark.parametrize(("image", "status"), [("nobody", 404), ("../run", 400)])
def test_a_cine_that_is_not_there(server, image, status):
    reply = server.send("GET", "/angioseg/cine", params={"image": image})
    assert reply.status_code == status and "\n" not in reply.json()["detail"]


@pytest.mark.parametrize(("image", "file"), [("IM000001", "IM000001"), ("frames", None)])
def test_the_platforms_clients_get_folders_of_frames_too(server, studies, image, file):
    reply = server.send("GET", "/datastore/image", params={"image": image})
    assert reply.status_code == 200
    if file:
        assert reply.content == (studies / file).read_bytes()
    else:
        np.testing.assert_array_equal(read(reply)[0].array, read_cine(studies / image).frames)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("notes.txt", b"hello", "notes.txt: is of no known kind"),
        ("a.dcm", b"hello", "a.dcm: is not DICOM"),
        ("a.mp4", b"hello", "a.mp4: "),
        ("a.nrrd", b"NRRD0004\n", "a.nrrd: is an NRRD file whose header does not end"),
        ("a.mhd", b"NDims = 3\nDimSize = 4 4 1\nElementType = MET_UCHAR\nElementDataFile = /etc/hostname\n", "a.mhd: "),
        ("a.mha", b"NDims = 3\nDimSize = 4 4 1\nElementType = MET_UCHAR\nElementDataFile = LIST\n/etc/x\n", "a.mha: "),
        ("a.zip", b"PK\x05\x06" + bytes(18), "unpacked: is a folder without frames"),
        ("a.zip", b"PK\x03\x04 cut short", "a.zip: "),
    ],
)
def test_what_is_no_cine_is_told_so_in_one_line(server, name, content, line):
    before = files_of(server)
    reply = decode(server, name, content)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(line)
    assert "\n" not in reply.json()["detail"]
    assert files_of(server) == before


def test_an_upload_does_not_show_files_of_the_server(server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef" * 4)
    header = "ObjectType = Image\nNDims = 3\nDimSize = 8 8 1\nElementType = MET_UCHAR\n"
    filler, other = f"Comment = {'x' * 200}\n" * 330, "ElementDataFile = LOCAL\n"
    for key in (
        "ElementDataFile = {}",
        "ElementDataFile={}",
        "ElementDataFile : {}",
        " ElementDataFile = {}",
        "ElementDataFile\0 = {}",
        "ElementDataFile =\n{}",
        "Comment = ElementDataFile = LOCAL\nElementDataFile = {}",
        f"{filler}ElementDataFile = {{}}",
        f"ElementDataFile\0 = {{}}\n{other}",
        # A value that is missing takes the next line in.
        f"Offset =\n{other}{filler}ElementDataFile = {{}}",
        f"Offset = 0 0\n{other}{filler}ElementDataFile = {{}}",
        f"{'x' * 490} = 1\n{other}{filler}ElementDataFile = {{}}",
    ):
        reply = decode(server, "a.mhd", f"{header}{key.format(secret)}\n".encode())
        assert reply.status_code == 400, key
        assert "save it as one .mha file" in reply.json()["detail"]


def test_a_mask_is_drawn_over_the_cine(server, studies, cine, tmp_path):
    session = server.upload(studies / "run.dcm", "run.dcm")
    before = files_of(server)
    mask = np.zeros(cine.shape, np.uint8)
    mask[:, 30:60, 30:40] = 1
    shown = {}
    every = range(cine.num_frames)
    for name, one, frames in (("empty", np.zeros_like(mask), every), ("full", mask, every), ("part", 0 * mask, [2, 3])):
        write_label(tmp_path / "mask.nrrd", one, cine, frames)
        files = {"mask": ("mask.nrrd", (tmp_path / "mask.nrrd").read_bytes())}
        reply = server.send("POST", "/angioseg/overlay", params={"session_id": session}, files=files)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "video/mp4"), reply.text
        (tmp_path / "video.mp4").write_bytes(reply.content)
        shown[name] = read_cine(tmp_path / "video.mp4").frames
    assert len(shown["full"]) == cine.num_frames
    assert (shown["full"] != shown["empty"]).any()
    # Frames that nobody has segmented are told as such, not shown as empty ones.
    part, empty = (shown[name][0].astype(int) for name in ("part", "empty"))
    assert np.abs(part - empty).max() > 60
    assert files_of(server) == before


@pytest.mark.parametrize(
    ("session", "mask", "status", "line"),
    [
        ("nobody", "fits", 404, "Unknown or expired session. Upload the cine again."),
        ("../evil", "fits", 404, "Unknown or expired session."),
        (None, "smaller", 400, "The label is 80 x 96 x 3; its cine is 80 x 96 x 4 (x, y, t)."),
        (None, "garbage", 400, "The label cannot be read"),
        (None, "values", 400, "The label holds values that are not vessel: "),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(server, studies, cine, tmp_path, session, mask, status, line):
    pixels = np.zeros(cine.shape, np.uint8)[: 3 if mask == "smaller" else None]
    pixels[0, 0, :2] = [1, 2] if mask == "values" else 1
    write_cine(tmp_path / "mask.nrrd", Cine(pixels, cine.times_ms[: len(pixels)]))
    content = b"hello" if mask == "garbage" else (tmp_path / "mask.nrrd").read_bytes()
    session = server.upload(studies / "run.dcm", "run.dcm") if session is None else session
    reply = server.send(
        "POST", "/angioseg/overlay", params={"session_id": session}, files={"mask": ("mask.nrrd", content)}
    )
    assert (reply.status_code, reply.json()["detail"][: len(line)]) == (status, line)


def test_a_sample_is_the_same_for_the_same_seed(server):
    first, second = (server.send("POST", "/angioseg/sample", json={"seed": 3}) for _ in range(2))
    assert first.content == second.content
    image, values = read(first)
    assert image.array.shape == (30, 512, 512)
    assert (values["name"], values["pixel_size_source"]) == ("simulated 3", "imager")


@pytest.mark.parametrize("seed", [-1, 2**70, "x", None, 1.5, True])
def test_a_seed_that_is_none_is_refused(server, seed):
    reply = server.send("POST", "/angioseg/sample", json={"seed": seed})
    assert (reply.status_code, reply.json()["detail"][:36]) == (400, "`seed` must be a whole number from 0")


@pytest.mark.parametrize(
    ("body", "kind", "line"),
    [
        ('{"sed": 3}', "application/json", "`sed` is no option; did you mean `seed`?"),
        ('{"seed": 3}', "application/x-www-form-urlencoded", "send it as JSON, with the header Content-Type"),
    ],
)
def test_a_sample_that_was_not_meant_is_refused(server, body, kind, line):
    reply = server.send("POST", "/angioseg/sample", data=body, headers={"Content-Type": kind})
    assert reply.status_code in (400, 422)
    assert line in reply.json()["detail"]
