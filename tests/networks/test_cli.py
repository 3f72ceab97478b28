"""The command line: what it writes and says, and what it does with bad input."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from angioseg import __version__
from angioseg.cine import Cine, read_cine, read_label, write_cine
from angioseg.cli import main
from angioseg.cli.output import staging_folder
from angioseg.errors import AngioSegError
from PIL import Image


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Untrained weights: what they find means nothing, but the way is the same."""
    import torch
    from angioseg.nets import CENet3D2D, save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "n0.pt"
    save_weights(CENet3D2D(1, 1, 0), path)
    return path


@pytest.fixture
def angioseg(capsys, monkeypatch):
    """Runs a command in this process; gives its exit status, stdout and the lines of stderr."""
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["angioseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return ended.value.code or 0, output.out, output.err.splitlines()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def folder_of(tmp_path):
    """A folder of frames (T, H, W), or of a list of frames of different sizes."""

    def write(frames, name="run") -> Path:
        (tmp_path / name).mkdir(parents=True)
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / name / f"{index}.png")
        return tmp_path / name

    return write


# Help and version


def test_version(angioseg):
    assert angioseg("--version") == (0, f"angioseg {__version__}\n", [])


@pytest.mark.parametrize("command", ["extract", "segment", "info", "simulate", "realism", "serve", "demo"])
def test_every_command_has_help(angioseg, command):
    code, out, err = angioseg(command, "--help")
    assert (code, err) == (0, [])
    assert out.startswith("Usage: ") and f"angioseg {command}" in out.splitlines()[0]


def test_help_imports_nothing_heavy():
    heavy = ["torch", "monai", "numpy", "skimage", "scipy", "av", "pydicom", "SimpleITK", "PIL"]
    code = (
        "import sys; sys.argv = ['angioseg', '--help']\n"
        "from angioseg.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "segment" in done.stdout


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "angioseg", "info", "nothing.dcm"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: nothing.dcm: no such file or folder\n"


# segment


def test_segment(angioseg, write_dicom, moving_pattern, weights, tmp_path):
    path = write_dicom(moving_pattern(5, 48, 64), name="run.dcm", FrameTime=50.0, PatientName="Secret^Patient")
    out = tmp_path / "new" / "out"
    code, printed, err = angioseg("segment", path, "-o", out, "--frames", "1:3", "--model", weights, "--device", "cpu")
    assert code == 0
    assert not any(line.startswith(("error", "warning")) for line in err)
    assert "segmenting: 3 of 3" in err and "writing the video: 5 of 5" in err
    names = ["run_frames.csv", "run_keyframe.png", "run_overlay.mp4", "run_seg.nrrd"]
    assert sorted(os.listdir(out)) == names
    assert all(name in printed for name in names)
    assert printed.startswith("run: 5 frames of 64 x 48; 3 segmented in ")

    mask, frames = read_label(out / "run_seg.nrrd")
    assert mask.shape == (5, 48, 64) and frames == [1, 2, 3]
    assert not mask[[0, 4]].any()
    assert read_cine(out / "run_seg.nrrd").times_ms.tolist() == [0, 50, 100, 150, 200]
    assert read_cine(out / "run_overlay.mp4").times_ms == pytest.approx([0, 50, 100, 150, 200], abs=0.1)
    with open(out / "run_frames.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], int(row["area_px"])) for row in rows] == [(str(t), mask[t].sum()) for t in (1, 2, 3)]
    everything = printed.encode() + b"".join(Path(out, name).read_bytes() for name in names)
    assert b"Secret" not in everything


def test_json_is_all_of_stdout_and_a_second_run_may_replace(angioseg, folder_of, moving_pattern, weights, tmp_path):
    path, out = folder_of(moving_pattern(2, 40, 40)), tmp_path / "out"
    out.mkdir()
    (out / "run_seg.nrrd").write_text("of an earlier run")
    (out / "mine.txt").write_text("kept")
    command = ("segment", path, "-o", out, "--frames", "1", "--model", weights, "--json")
    code, printed, err = angioseg(*command)
    assert (code, printed) == (1, "")
    assert (
        err[-1]
        == f"error: {out / 'run_seg.nrrd'}: is already there; give another folder, or --overwrite to replace it."
    )
    assert (out / "run_seg.nrrd").read_text() == "of an earlier run"
    code, printed, err = angioseg(*command, "--overwrite")
    summary = json.loads(printed)
    assert code == 0
    assert summary["frames"] == [1] and summary["num_frames"] == 2
    assert summary["pixel_size"]["source"] == "unknown"
    assert set(summary["latencies"]) == {"read", "infer", "measure", "write"}
    assert {Path(file).name for file in summary["files"].values()} | {"mine.txt"} == set(os.listdir(out))
    assert [line for line in err if line.startswith("warning")] == [
        f"warning: {path}: {w}" for w in summary["warnings"]
    ]
    assert read_label(out / "run_seg.nrrd")[1] == [1]
    assert (out / "mine.txt").read_text() == "kept"


def test_a_study_is_segmented_cine_by_cine(angioseg, folder_of, moving_pattern, weights, tmp_path):
    frames = moving_pattern(2, 40, 40)
    for name in ("study/a/run", "study/b/run", "study/b/broken", "alone"):
        folder_of(frames, name)
    (tmp_path / "study/b/broken/1.png").write_bytes(b"")
    out = tmp_path / "out"
    command = ("segment", tmp_path / "study", tmp_path / "alone", "-o", out, "--frames", "1", "--model", weights)
    code, printed, err = angioseg(*command, "--json")
    assert code == 1
    told = [json.loads(line) for line in printed.splitlines()]
    expected = {"study/a/run": "a__run", "study/b/run": "b__run", "alone": "alone"}
    assert {one["cine"]: one["files"]["seg"] for one in told} == {
        str(tmp_path / cine): str(out / f"{name}_seg.nrrd") for cine, name in expected.items()
    }
    assert len(os.listdir(out)) == 12
    assert "cine 3 of 4: segmenting: 1 of 1" in err
    assert [line for line in err if line.startswith("warning: left out")] == [
        f"warning: left out: {tmp_path}/study/b/broken/1.png: cannot be read as a picture: it is cut short, damaged or "
        "of another kind"
    ]
    assert err[-1] == "error: 1 of 4 cines were left out."

    # What is there is kept; what is missing comes, under its name, whatever becomes of the others.
    for file in out.glob("b__run*"):
        file.unlink()
    (tmp_path / "study/a/run/0.png").unlink()
    (tmp_path / "study/a/run/1.png").unlink()
    code, printed, err = angioseg(*command, "--json")
    assert code == 1
    assert [json.loads(line)["files"]["seg"] for line in printed.splitlines()] == [str(out / "b__run_seg.nrrd")]
    assert err[-1] == "error: 2 of 3 cines were left out."


def test_names_of_results(angioseg, folder_of, moving_pattern, weights, tmp_path):
    """A cine named twice is one; others of one name are numbered; a folder without cines costs the others nothing."""
    one, other = (folder_of(moving_pattern(1, 40, 40), f"{name}/run") for name in "ab")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    code, printed, err = angioseg("segment", one, tmp_path / "empty", other, one, "-o", out, "--model", weights)
    assert code == 1
    assert sorted(file.name for file in out.glob("*_seg.nrrd")) == ["run_2_seg.nrrd", "run_seg.nrrd"]
    assert f"warning: left out: {tmp_path}/empty: is a folder without cines" in "".join(err)
    assert printed.count("1 frame of 40 x 40") == 2


def test_frames_that_are_no_cine_are_not_taken_for_many(angioseg, write_dicom, moving_pattern, weights, tmp_path):
    (tmp_path / "run").mkdir()
    for t in range(3):
        header = {"SeriesInstanceUID": "1.2.3" if t else "1.2.4", "InstanceNumber": t}
        write_dicom(moving_pattern(1, 40, 40), name=f"IM{t}", **header).rename(tmp_path / "run" / f"IM{t}")
    code, _, err = angioseg("segment", tmp_path / "run", "-o", tmp_path / "out", "--model", weights)
    assert code == 1
    assert err[-1] == f"error: {tmp_path}/run: holds images of 2 series: give a folder with one"


def a_colour_photo(folder_of, **_):
    photo = np.random.default_rng(0).integers(0, 256, (1, 60, 40, 3), dtype=np.uint8)
    return folder_of(photo, "photo") / "0.png", "probably not an X-ray angiogram"


def a_video_with_a_broken_tail(moving_pattern, tmp_path, **_):
    import av

    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"b": "4000000"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in moving_pattern(40, 64, 96):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    path.write_bytes(content[: int(0.7 * len(content))])
    return path, "the video is broken"


def one_frame_of_40_x_40(folder_of, moving_pattern, **_):
    return folder_of(moving_pattern(1, 40, 40)), None


@pytest.mark.parametrize("make", [a_colour_photo, a_video_with_a_broken_tail, one_frame_of_40_x_40])
def test_unusual_cines_are_segmented(make, angioseg, folder_of, moving_pattern, weights, tmp_path):
    path, warning = make(folder_of=folder_of, moving_pattern=moving_pattern, tmp_path=tmp_path)
    code, _, err = angioseg("segment", path, "-o", tmp_path / "out", "--frames", "0:0", "--model", weights)
    assert code == 0
    assert len(os.listdir(tmp_path / "out")) == 4
    warnings = [line for line in err if line.startswith("warning: ")]
    assert any(warning in line for line in warnings) if warning else not warnings


# Bad input: (what makes it, the one line)


def no_such_file(tmp_path, **_):
    return tmp_path / "nothing.dcm", "nothing.dcm: no such file or folder"


def empty_file(tmp_path, **_):
    (tmp_path / "empty.dcm").touch()
    return tmp_path / "empty.dcm", "empty.dcm: is empty"


def text_named_dcm(tmp_path, **_):
    (tmp_path / "text.dcm").write_text("Dear reader,\n" * 50)
    return tmp_path / "text.dcm", "text.dcm: is not DICOM"


def truncated_dicom(write_dicom, moving_pattern, **_):
    path = write_dicom(moving_pattern(4))
    path.write_bytes(path.read_bytes()[:-3000])
    return path, "cut short"


def dicom_without_pixels(write_dicom, moving_pattern, **_):
    return write_dicom(moving_pattern(4), pixels=b""), "has no pixels"


def ct(write_dicom, moving_pattern, **_):
    return write_dicom(moving_pattern(4), Modality="CT"), "not an X-ray angiography cine"


def frames_of_different_sizes(folder_of, **_):
    return folder_of([np.zeros((40, 40), np.uint8), np.zeros((40, 48), np.uint8)]), "run"


def empty_folder(tmp_path, **_):
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder", "is a folder without "


BAD = [
    no_such_file,
    empty_file,
    text_named_dcm,
    truncated_dicom,
    dicom_without_pixels,
    ct,
    frames_of_different_sizes,
    empty_folder,
]


@pytest.mark.parametrize("command", ["segment", "extract", "info"])
@pytest.mark.parametrize("make", BAD)
def test_bad_cines(make, command, angioseg, write_dicom, folder_of, moving_pattern, tmp_path):
    path, message = make(write_dicom=write_dicom, folder_of=folder_of, moving_pattern=moving_pattern, tmp_path=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    options = [] if command == "info" else ["-o", tmp_path / "deep" / "out"]
    code, out, err = angioseg(command, path, *options)
    assert (code, out, len(err)) == (1, "", 1)
    assert err[0].startswith("error: ") and message in err[0] and str(path) in err[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--frames", "a:b"], 2, "'--frames': 'a:b': give FIRST:LAST or one number"),
        (["--frames", "1:2:3"], 2, "'--frames'"),
        (["--frames=-1"], 2, "'--frames'"),
        (["--frames", ""], 2, "'--frames'"),
        (["--frames", "2:9"], 1, "frames 2 to 9: the cine has frames 0 to 2"),
        (["--frames", "2:1"], 1, "frames 2 to 1"),
        (["--threshold", "0"], 2, "'--threshold': give a probability between 0 and 1"),
        (["--threshold", "1.5"], 2, "'--threshold'"),
        (["--threshold", "nan"], 2, "'--threshold'"),
        (["--threshold", "high"], 2, "'--threshold'"),
        (["--device", "toaster"], 1, "device 'toaster' cannot be used here; try cpu"),
        (["--model", "{tmp}/nothing.pt"], 1, "nothing.pt: no such weights file"),
        (["--model", "{tmp}/run/0.png"], 1, "0.png: "),
        (["--model", "{tmp}/linear.pt"], 1, "linear.pt: not weights of AngioSeg's network"),
        (["-o", "{tmp}/file/below"], 1, "file: is a file; give the name of a folder"),
        (["-o", "{tmp}/file"], 1, "file: is a file; give the name of a folder"),
        (["--colour", "red"], 2, "No such option"),
    ],
)
def test_bad_options(options, code, message, angioseg, folder_of, moving_pattern, weights, tmp_path):
    import torch

    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    (tmp_path / "file").touch()
    path = folder_of(moving_pattern(3, 40, 40))
    before = sorted(tmp_path.rglob("*"))
    options = [option.format(tmp=tmp_path) for option in options]
    found, out, err = angioseg("segment", path, "-o", tmp_path / "out", "--model", weights, *options)
    assert (found, out) == (code, "")
    errors = [line for line in err if not line.startswith(("warning", "Usage", "Try")) and line]
    assert len(errors) == 1 and message in errors[0]
    assert errors[0].lower().startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unusable_output_folder_is_told_before_the_cine_is_read(angioseg, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = angioseg("segment", tmp_path / "nothing.dcm", "-o", tmp_path / "file" / "below")
    assert code == 1 and "is a file" in err[0]


def test_a_folder_in_the_place_of_a_result(angioseg, folder_of, moving_pattern, weights, tmp_path):
    path, out = folder_of(moving_pattern(1, 40, 40)), tmp_path / "out"
    (out / "run_seg.nrrd" / "inner").mkdir(parents=True)
    code, _, err = angioseg("segment", path, "-o", out, "--model", weights, "--overwrite")
    assert code == 1
    assert err[-1].startswith(f"error: {out / 'run_seg.nrrd'}: is a folder; move it away.")
    assert not list(out.glob(".*"))


def test_a_full_disk_is_told_with_the_folder(tmp_path):
    line = f"{tmp_path}: cannot be written to: .*; make room"
    with pytest.raises(AngioSegError, match=line), staging_folder(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


# extract


@pytest.mark.parametrize(
    ("dtype", "low", "high", "told"),
    [("uint8", 0, 255, False), ("uint8", 20, 90, False), ("uint16", 3, 255, False), ("uint16", 100, 4000, True)],
)
def test_extract(angioseg, write_dicom, moving_pattern, tmp_path, dtype, low, high, told):
    frames = moving_pattern(3, dtype=dtype, low=low, high=high)
    path = write_dicom(frames, name="run.dcm")
    code, out, err = angioseg("extract", path, "-o", tmp_path / "out")
    assert (code, out) == (0, f"{tmp_path / 'out' / 'run'}: 3 frames\n")
    assert any(line.startswith("note: ") and "grey levels" in line for line in err) == told
    images = tmp_path / "out" / "run" / "images"
    assert sorted(os.listdir(images)) == ["frame_0000.png", "frame_0001.png", "frame_0002.png"]
    found = read_cine(images).frames
    assert found.dtype == np.uint8
    if told:
        assert (found.min(), found.max()) == (0, 255)
        expected = (frames - frames.min()) * (255 / (frames.max() - frames.min()))
        np.testing.assert_allclose(found, expected, atol=0.51)
    else:
        np.testing.assert_array_equal(found, frames)
    assert os.listdir(tmp_path / "out") == ["run"]


def test_extract_keeps_cines_of_one_name_apart(angioseg, folder_of, moving_pattern, tmp_path):
    cines = [folder_of(moving_pattern(count, 40, 40), name) for count, name in ((1, "a/run"), (2, "b/run"), (3, "RUN"))]
    out = tmp_path / "out"
    code, _, _ = angioseg("extract", *cines, "-o", out)
    assert code == 0
    counts = {clip.name: len(os.listdir(clip / "images")) for clip in out.iterdir()}
    assert counts == {"run": 1, "run_2": 2, "RUN_3": 3} or counts == {"run": 1, "run_2": 2, "RUN_2": 3}


def test_extract_never_overwrites(angioseg, folder_of, moving_pattern, tmp_path):
    path, out = folder_of(moving_pattern(2, 40, 40)), tmp_path / "out"
    (out / "run" / "labels").mkdir(parents=True)
    code, _, err = angioseg("extract", path, "-o", out)
    assert code == 1
    assert err[-1] == f"error: {out / 'run'}: is already there; remove it or give another folder."
    assert [p.name for p in out.rglob("*")] == ["run", "labels"]


def test_extract_goes_on_after_a_bad_cine(angioseg, folder_of, moving_pattern, tmp_path):
    good = folder_of(moving_pattern(2, 40, 40))
    code, out, err = angioseg("extract", tmp_path / "nothing.dcm", good, "-o", tmp_path / "out")
    assert code == 1
    assert out == f"{tmp_path / 'out' / 'run'}: 2 frames\n"
    assert sum(line.startswith("error: ") for line in err) == 1
    assert os.listdir(tmp_path / "out") == ["run"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_leaves_nothing(number, status, angioseg, tmp_path):
    path, out = tmp_path / "long.nrrd", tmp_path / "out"
    write_cine(path, Cine(np.zeros((400, 512, 512), np.uint8), np.arange(400) * 66.7))

    def interrupt():
        while not list(out.glob(".angioseg-*/long/images/frame_0001.png")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    deadline = time.monotonic() + 60
    threading.Thread(target=interrupt, daemon=True).start()
    code, printed, _ = angioseg("extract", path, "-o", out)
    assert (code, printed) == (status, "")
    assert os.listdir(tmp_path) == ["long.nrrd"]


# info


@pytest.mark.parametrize(
    ("header", "shown", "not_shown"),
    [
        ({"PixelSpacing": [0.2, 0.25], "PixelSpacingCalibrationType": "FIDUCIAL"}, ["0.25 x 0.2 mm (calibrated)"], []),
        ({"ImagerPixelSpacing": [0.3, 0.3]}, ["0.3 x 0.3 mm at the detector"], ["(calibrated)"]),
        ({}, ["unknown"], [" mm"]),
        ({"FrameTime": 66.6667}, ["15 frames a second", "FrameTime"], []),
        ({"CineRate": 30}, ["30 frames a second", "CineRate"], []),
        ({"PositionerPrimaryAngle": -30.5, "PositionerSecondaryAngle": 20}, ["RAO 30.5 deg", "CRA 20 deg"], []),
        ({"PositionerPrimaryAngle": 45, "PositionerSecondaryAngle": -25}, ["LAO 45 deg", "CAU 25 deg"], []),
        ({"PatientName": "Secret^Patient", "PatientID": "4711"}, ["64 x 48"], ["Secret", "4711"]),
        ({"Manufacturer": "\x1b[31m[bold]Maker"}, ["[bold]Maker"], ["\x1b[31m"]),
    ],
)
def test_info(header, shown, not_shown, angioseg, write_dicom, moving_pattern):
    path = write_dicom(moving_pattern(4, 48, 64), **header)
    code, out, err = angioseg("info", path)
    assert (code, err) == (0, [])
    assert all(text in out for text in shown), out
    assert not any(text in out for text in not_shown), out
    code, out, _ = angioseg("info", path, "--json")
    facts = json.loads(out)
    assert (facts["num_frames"], facts["rows"], facts["columns"]) == (4, 48, 64)
    assert "Secret" not in out


def test_info_shows_warnings(angioseg, folder_of, moving_pattern):
    path = folder_of(moving_pattern(3))
    assert "15 frames/s assumed" in " ".join(angioseg("info", path)[1].split())
    assert any("assumed" in line for line in json.loads(angioseg("info", path, "--json")[1])["warnings"])


# simulate


@pytest.mark.parametrize("form", ["setv", "dicom"])
def test_simulate(form, angioseg, tmp_path):
    options = ["--clips", 2, "--seed", 5, "--frames", 4, "--size", "64x80", "--format", form]
    code, out, err = angioseg("simulate", "-o", tmp_path / "out", *options)
    assert (code, out) == (0, f"{tmp_path / 'out'}: 2 clips\n")
    assert err[-1] == "simulating: 2 of 2"
    names = ["clip_0000", "clip_0001"] if form == "setv" else ["clip_0000.dcm", "clip_0001.dcm"]
    assert sorted(os.listdir(tmp_path / "out")) == names
    assert all(read_cine(tmp_path / "out" / name).shape == (4, 64, 80) for name in names)
    code, out, err = angioseg("simulate", "-o", tmp_path / "out", *options)
    line = f"error: {tmp_path / 'out'}: holds simulated clips already; give another folder."
    assert (code, out, err[-1]) == (1, "", line)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--size", "64"], 2, "'--size'"),
        (["--clips", "0"], 2, "'--clips'"),
        (["--seed", "-1"], 2, "'--seed'"),
        (["--format", "mp4"], 2, "'--format'"),
        (["--frames", "1"], 1, "3 to 10000 frames"),
        (["--fps", "0"], 1, "1 to 120 frames a second"),
        (["--preset", "setx"], 1, "no preset 'setx'"),
        (["--device", "abacus"], 1, "no device 'abacus'"),
        (["--workers", "-1"], 2, "'--workers'"),
        (["--size", "8x8"], 1, "32 to 4096"),
    ],
)
def test_bad_simulations(options, code, message, angioseg, tmp_path):
    found, out, err = angioseg("simulate", "-o", tmp_path / "out", *options)
    assert (found, out) == (code, "")
    assert message in err[-1]
    assert not list(tmp_path.iterdir())


# realism


def test_realism(angioseg, folder_of, moving_pattern, weights, tmp_path):
    folder_of(moving_pattern(2, 40, 64), "real/a/frames")
    folder_of(moving_pattern(4, 40, 64), "real/a/masks_of_somebody")
    folder_of(moving_pattern(3, 64, 40, low=60), "real/b/images")
    out = tmp_path / "out"
    options = ["--clips", 1, "--frames", 4, "--model", weights, "--device", "cpu", "--fps", 7.5]
    code, printed, err = angioseg("realism", "-o", out, "--real", tmp_path / "real", *options)
    assert code == 0
    assert err[-1] == "measuring: 3 of 3"
    assert sum("7.5 frames/s are taken" in line for line in err) == 2
    assert sorted(os.listdir(out)) == ["realism.csv", "realism.md", "sheet.png", "sheet_both.png", "sheet_real.png"]
    assert printed.startswith("measure ") and all(name in printed for name in os.listdir(out))
    with open(out / "realism.csv", newline="") as file:
        rows = {row["measure"]: row for row in csv.DictReader(file)}
    assert float(rows["grey_mean"]["real_max"]) > float(rows["grey_mean"]["real_min"]) > 0
    assert "1 simulated and 2 real cines." in (out / "realism.md").read_text()
    assert [Image.open(out / name).width for name in ("sheet.png", "sheet_both.png")] == [1600, 3200]

    (tmp_path / "alone").mkdir()
    code, printed, err = angioseg("realism", "-o", tmp_path / "alone", *options[:-2])
    assert (code, err) == (0, ["measuring: 1 of 1"])
    assert sorted(os.listdir(tmp_path / "alone")) == ["realism.csv", "realism.md", "sheet.png"]
    assert "real" not in printed.splitlines()[0]
    # The same cine gives the same sheet: no real pixel is in it.
    assert (tmp_path / "alone" / "sheet.png").read_bytes() == (out / "sheet.png").read_bytes()


def nothing(tmp_path, **_):
    return tmp_path / "nothing", "nothing: no such file or folder"


def no_cines(tmp_path, **_):
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "real" / "notes.txt").write_text("Dear reader")
    return tmp_path / "real", "real: is a folder without cines; give one"


def a_bad_cine_among_good_ones(tmp_path, folder_of, moving_pattern):
    folder_of(moving_pattern(1, 40, 40), "real/b")
    (tmp_path / "real" / "a.dcm").write_text("Dear reader,\n" * 50)
    return tmp_path / "real", "a.dcm: is not DICOM"


@pytest.mark.parametrize("make", [nothing, no_cines, a_bad_cine_among_good_ones])
def test_realism_of_bad_folders(make, angioseg, folder_of, moving_pattern, weights, tmp_path):
    real, message = make(tmp_path=tmp_path, folder_of=folder_of, moving_pattern=moving_pattern)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = angioseg("realism", "-o", tmp_path / "deep" / "out", "--real", real, "--model", weights)
    assert (code, out, len(err)) == (1, "", 1)
    assert err[0].startswith("error: ") and message in err[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clips", "0"], "'--clips'"),
        (["--seed", "-1"], "'--seed'"),
        (["--frames", "2"], "'--frames'"),
        (["--fps", "0"], "'--fps'"),
    ],
)
def test_realism_of_bad_options(options, message, angioseg, tmp_path):
    code, _, err = angioseg("realism", "-o", tmp_path / "out", *options)
    assert code == 2 and message in err[-1]
    assert not list(tmp_path.iterdir())


# serve


def test_serve_without_its_folder(angioseg, tmp_path):
    code, _, err = angioseg("serve", "--studies", tmp_path / "nothing", "--port", "0")
    assert (code, len(err)) == (1, 1)
    assert "nothing: no such folder" in err[0]
