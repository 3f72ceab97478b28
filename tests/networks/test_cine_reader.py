"""Cines in MONAI's transforms, and what reading and importing cost."""

import json
import subprocess
import sys

import av
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from angioseg.cine import Cine, CineError, CineReader, write_cine, write_label
from monai.data import Dataset, MetaTensor, list_data_collate
from monai.transforms import LoadImage, LoadImaged
from PIL import Image


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_load_imaged_gives_the_files_integers(dtype, tmp_path, moving_pattern):
    frames = moving_pattern(dtype=dtype)
    path = tmp_path / "run.nrrd"
    write_cine(path, Cine(frames, np.array([0.0, 40, 90]), "FrameTime", (0.4, 0.3), "imager"))
    image = LoadImaged(keys="image", reader=CineReader, dtype=None, ensure_channel_first=True)({"image": path})["image"]
    assert isinstance(image, MetaTensor)
    assert image.shape == (1, 3, 48, 64)
    assert image.dtype == {"uint8": torch.uint8, "uint16": torch.int32, "int16": torch.int16}[dtype]
    np.testing.assert_array_equal(image.numpy()[0], frames)
    assert image.affine.diagonal().tolist() == [1, 0.4, 0.3, 1]
    assert image.meta["frame_times_ms"].tolist() == [0, 40, 90]
    assert (list(image.meta["spacing"]), image.meta["spacing_source"]) == ([0.4, 0.3], "imager")
    assert image.meta["name"] == "run"
    assert image.meta["filename_or_obj"] == str(path)


def test_by_its_name_in_a_bundle_config(tmp_path, moving_pattern):
    frames = moving_pattern()
    Image.fromarray(frames[0]).save(tmp_path / "0.png")
    load = LoadImage(reader="angioseg.cine.CineReader", dtype=None)
    np.testing.assert_array_equal(load(tmp_path).numpy(), frames[:1])


def test_dicom(write_dicom, moving_pattern):
    frames = moving_pattern(dtype="uint16", high=4000)
    image = LoadImage(reader=CineReader, dtype=None)(write_dicom(frames, BitsStored=12, FrameTime=50))
    np.testing.assert_array_equal(image.numpy(), frames)
    assert list(image.meta["warnings"]) == []


def test_label_brings_its_frames(tmp_path, moving_pattern):
    write_label(tmp_path / "label.nrrd", moving_pattern() // 128, np.arange(3) * 40.0, [0, 2])
    label = LoadImage(reader=CineReader, dtype=None)(tmp_path / "label.nrrd")
    assert list(label.meta["annotated_frames"]) == [0, 2]


def test_cines_make_a_batch(tmp_path, moving_pattern):
    for name in ("a.nrrd", "b.nrrd"):
        write_cine(tmp_path / name, Cine(moving_pattern(), np.arange(3) * 40.0, "FrameTime"))
    load = LoadImaged(keys="image", reader=CineReader, dtype=None, ensure_channel_first=True)
    data = Dataset([{"image": tmp_path / "a.nrrd"}, {"image": tmp_path / "b.nrrd"}], load)
    batch = list_data_collate([data[0], data[1]])
    assert batch["image"].shape == (2, 1, 3, 48, 64)


@pytest.mark.parametrize(
    ("header", "said"),
    [({"Modality": "CT"}, "is a CT, not an X-ray angiography cine"), ({"Rows": None}, "without pixels")],
)
def test_no_other_reader_takes_over(header, said, write_dicom, moving_pattern):
    path = write_dicom(moving_pattern(), **header)
    with pytest.raises(CineError, match=said):
        LoadImage(reader=CineReader, dtype=None)(path)


def test_a_list_of_files_is_refused(tmp_path, moving_pattern):
    with pytest.raises(CineError, match="not a list of 2"):
        LoadImage(reader=CineReader, dtype=None)([tmp_path / "a.nrrd", tmp_path / "b.nrrd"])


@pytest.mark.parametrize(
    ("name", "expected"), [("run.dcm", True), ("run.txt", False), (["run.dcm", "run.dcm"], False), ("none.dcm", False)]
)
def test_verify_suffix(name, expected, tmp_path):
    for file in ("run.dcm", "run.txt"):
        (tmp_path / file).write_bytes(b"x")
    paths = [tmp_path / n for n in name] if isinstance(name, list) else tmp_path / name
    assert CineReader().verify_suffix(paths) is expected


def python(code: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True).stdout


def test_import_is_light():
    heavy = {"torch", "monai", "av", "SimpleITK", "pydicom", "gdcm", "PIL"}
    loaded = python("import json, sys, angioseg.cine; print(json.dumps(list(sys.modules)))")
    assert not heavy & set(json.loads(loaded))


MEASURE = """
import resource, sys
import av, gdcm, pydicom, SimpleITK, PIL.Image
import angioseg.cine.dicom, angioseg.cine.video, angioseg.cine.volumes, angioseg.cine.pictures
from angioseg.cine import read_cine, write_cine
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
out, small, *files = sys.argv[1:]
read_cine(small)
before = peak()
for file in files:
    cine = read_cine(file)
    write_cine(out, cine)
    print((peak() - before) / cine.frames.nbytes)
    del cine
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
def test_memory_is_the_cines_own_size(tmp_path, write_dicom, transcode):
    frames = np.random.default_rng(0).integers(0, 64, (1, 512, 512), np.uint8).repeat(100, axis=0)
    frames += np.arange(100, dtype=np.uint8)[:, None, None]
    files = {"uncompressed": write_dicom(frames), "small": write_dicom(frames[:2], name="small.dcm")}
    files["JPEG lossless"] = transcode(files["uncompressed"], "JPEGLosslessProcess14_1")
    files["NRRD"] = tmp_path / "run.nrrd"
    write_cine(files["NRRD"], Cine(frames, np.arange(100) * 40.0))
    files["MetaImage"] = tmp_path / "run.mha"
    sitk.WriteImage(sitk.GetImageFromArray(frames), str(files["MetaImage"]))
    files["folder"] = tmp_path / "folder"
    files["folder"].mkdir()
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(files["folder"] / f"{t}.bmp")
    files["video"] = tmp_path / "run.mkv"
    with av.open(str(files["video"]), "w") as container:
        stream = container.add_stream("ffv1", rate=15)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))
    small = files.pop("small")
    shares = python(MEASURE, str(tmp_path / "out.nrrd"), str(small), *map(str, files.values())).split()
    assert {kind: share for kind, share in zip(files, map(float, shares)) if share > 1.15} == {}
    assert len(shares) == len(files)
