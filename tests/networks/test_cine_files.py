"""Cines in NRRD, Slicer sequences, NIfTI, MetaImage, pictures and folders; labels; what is refused."""

import gzip
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from angioseg.cine import (
    Cine,
    CineError,
    read_cine,
    read_label,
    write_cine,
    write_label,
)
from angioseg.cine.nrrd import write_nrrd
from angioseg.cine.pixels import pixel_digest
from angioseg.errors import AngioSegError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def cines(draw) -> Cine:
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)))
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int16]))
    steps = draw(st.lists(st.floats(0, 1e4), min_size=shape[0] - 1, max_size=shape[0] - 1))
    spacing = draw(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)))
    source = draw(st.sampled_from(["calibrated", "imager", "unknown"]))
    return Cine(draw(hnp.arrays(dtype, shape)), np.cumsum([0.0, *steps]), "FrameTime", spacing, source)


@given(cine=cines())
@SETTINGS
def test_a_written_cine_comes_back(cine, tmp_path):
    path = tmp_path / "run.nrrd"
    write_cine(path, cine)
    back = read_cine(path)
    assert back.frames.dtype == cine.frames.dtype
    np.testing.assert_array_equal(back.frames, cine.frames)
    np.testing.assert_array_equal(back.times_ms, cine.times_ms)
    assert (back.times_source, back.name) == ("header", "run")
    assert back.spacing == pytest.approx(cine.spacing, rel=1e-12)
    assert back.spacing_source == cine.spacing_source
    assert back.warnings == ()


@given(cine=cines(), data=st.data())
@SETTINGS
def test_a_written_label_comes_back(cine, data, tmp_path):
    mask = data.draw(hnp.arrays(np.uint8, cine.shape, elements=st.integers(0, 1)))
    frames = data.draw(st.lists(st.integers(0, cine.num_frames - 1), unique=True))
    path = tmp_path / "run.nrrd"
    write_label(path, mask, cine, frames)
    back, annotated = read_label(path)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, mask)
    assert annotated == sorted(frames)


def run(frames: np.ndarray, **values) -> Cine:
    return Cine(frames, np.arange(len(frames)) * 40.0, "FrameTime", **values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_other_programs_read_what_is_written(dtype, tmp_path, moving_pattern):
    frames = moving_pattern(dtype=dtype)
    write_cine(tmp_path / "run.nrrd", run(frames, spacing=(0.4, 0.3), spacing_source="imager"))
    image = sitk.ReadImage(str(tmp_path / "run.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), frames)
    assert image.GetSpacing() == pytest.approx((0.3, 0.4, 1))
    assert json.loads(image.GetMetaData("frame_times_ms")) == [0, 40, 80]
    assert json.loads(image.GetMetaData("pixel_size_source")) == "imager"


def test_frames_that_are_a_view_are_written_right(tmp_path, moving_pattern):
    frames = moving_pattern(dtype="uint16")
    write_cine(tmp_path / "run.nrrd", run(frames[::-1, ::2, ::-3]))
    np.testing.assert_array_equal(read_cine(tmp_path / "run.nrrd").frames, frames[::-1, ::2, ::-3])


def test_same_cine_same_bytes(tmp_path, moving_pattern):
    for name in ("a.nrrd", "b.nrrd"):
        write_cine(tmp_path / name, run(moving_pattern()))
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


def test_assumed_times_stay_assumed(tmp_path, moving_pattern):
    Image.fromarray(moving_pattern()[0]).save(tmp_path / "0.png")
    Image.fromarray(moving_pattern()[1]).save(tmp_path / "1.png")
    write_cine(tmp_path / "run.nrrd", read_cine(tmp_path))
    cine = read_cine(tmp_path / "run.nrrd")
    assert cine.times_source == "assumed"
    assert any("assumed" in line for line in cine.warnings)


@given(
    hnp.arrays(np.uint8, (2, 3, 4)),
    st.integers(1, 128),
    st.integers(-32768, 127),
    st.permutations(range(3)),
)
def test_pixels_have_one_name_whatever_their_scale_and_place_in_memory(frames, scale, offset, axes):
    name = pixel_digest(frames)
    assert pixel_digest((frames.astype(np.int32) * scale + offset).clip(-32768, 32767).astype(np.int16)) == name or (
        255 * scale + offset > 32767
    )
    other = np.ascontiguousarray(frames.transpose(axes)).transpose(np.argsort(axes))
    assert pixel_digest(other) == name


@pytest.mark.parametrize("given_cine", [True, False])
def test_label_header(given_cine, tmp_path, moving_pattern):
    cine = run(moving_pattern(), spacing=(0.4, 0.3), spacing_source="calibrated")
    mask = (cine.frames > 100).astype(np.uint8)
    write_label(tmp_path / "label.nrrd", mask, cine if given_cine else list(cine.times_ms), [2, 0, 2])
    image = sitk.ReadImage(str(tmp_path / "label.nrrd"))
    assert json.loads(image.GetMetaData("annotated_frames")) == [0, 2]
    assert json.loads(image.GetMetaData("frame_times_ms")) == [0, 40, 80]
    assert image.GetSpacing() == pytest.approx((0.3, 0.4, 1) if given_cine else (1, 1, 1))


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_label_without_a_list_counts_the_labelled_frames(suffix, dtype, tmp_path):
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 3] = mask[3] = 1
    path = tmp_path / f"label{suffix}"
    if suffix == ".nrrd" and dtype == np.float32:
        dtype = np.int32
    sitk.WriteImage(sitk.GetImageFromArray(mask.astype(dtype)), str(path))
    back, annotated = read_label(path)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, mask)
    assert annotated == [1, 3]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([("vessel", 1)], 1),
        ([("Segment_1", 2)], 2),  # the first was deleted
        ([("catheter", 1), ("Vessels", 2)], 2),
        ([("Coronary artery", 64), ("catheter", 1)], 64),
        ([("vessel", 1), ("vessel", 2)], "holds the segments vessel, vessel: give the name 'vessel'"),
        ([("catheter", 1), ("wire", 2)], "holds the segments catheter, wire: give the name 'vessel'"),
        ([("vessel 1", 1), ("vessel 2", 2)], "holds the segments vessel 1, vessel 2: give the name 'vessel'"),
    ],
)
def test_segments_of_slicer_are_told_by_their_names(segments, expected, tmp_path):
    labels = np.zeros((3, 4, 5), np.uint8)
    for row, (_, value) in enumerate(segments):
        labels[row, row] = value
    keys = {
        f"Segment{n}_{key}": str(pair[at])
        for n, pair in enumerate(segments)
        for at, key in ((0, "Name"), (1, "LabelValue"))
    }
    write_nrrd(tmp_path / "run.seg.nrrd", labels, (1.0, 1.0), keys, level=1)
    if isinstance(expected, str):
        with pytest.raises(CineError, match=expected):
            read_label(tmp_path / "run.seg.nrrd")
    else:
        np.testing.assert_array_equal(read_label(tmp_path / "run.seg.nrrd")[0], labels == expected)


@pytest.mark.parametrize(
    ("values", "vessel", "only"),
    [([0, 1], 1, True), ([0, 255], 255, True), ([0, 1, 2], 1, False), ([0, 64, 255], 255, False), ([0, 2], 1, False)],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_which_values_of_a_label_are_vessel(values, vessel, only, dtype, tmp_path):
    labels = np.zeros((3, 4, 5), dtype)
    labels[0, 0, : len(values)] = labels[2, 0, : len(values)] = values
    labels[1, 0, 0] = 2 * (len(values) > 2)
    write_cine(tmp_path / "label.nrrd", run(labels))
    mask, annotated = read_label(tmp_path / "label.nrrd")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, labels == vessel)
    assert annotated == ([0, 2] if vessel in values else [])
    if only:
        np.testing.assert_array_equal(read_label(tmp_path / "label.nrrd", vessels_only=True)[0], mask)
    else:
        with pytest.raises(CineError, match="holds values that are not vessel: 0 is background, 1 is vessel"):
            read_label(tmp_path / "label.nrrd", vessels_only=True)


@pytest.mark.parametrize(
    ("mask", "frames", "name", "said"),
    [
        (np.zeros((3, 4, 5), np.uint8), [3], "a.nrrd", "are not in a cine of 3 frames"),
        (np.zeros((3, 4, 5), np.uint8), [-1], "a.nrrd", "are not in a cine of 3 frames"),
        (np.zeros((2, 4, 5), np.uint8), [0], "a.nrrd", "does not fit"),
        (np.zeros((3, 5, 4), np.uint8), [0], "a.nrrd", "does not fit"),
        (np.zeros((3, 4, 5), np.float32), [0], "a.nrrd", "uint8"),
        (np.zeros((3, 4, 5), np.uint8), [0], "a.png", "ends in .nrrd"),
        (np.zeros((3, 4, 5), np.uint8), [0], "missing/a.nrrd", "cannot be written"),
    ],
)
def test_labels_that_are_not_written(mask, frames, name, said, tmp_path):
    with pytest.raises(AngioSegError, match=said):
        write_label(tmp_path / name, mask, run(np.zeros((3, 4, 5), np.uint8)), frames)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path, moving_pattern, monkeypatch):
    path = tmp_path / "run.nrrd"
    write_cine(path, run(moving_pattern()))
    before = path.read_bytes()
    calls = []

    def interrupt(self, data):
        calls.append(data)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return len(data)

    monkeypatch.setattr(gzip.GzipFile, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_cine(path, run(moving_pattern(count=5)))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.nrrd"]


def test_written_files_have_ordinary_rights(tmp_path, moving_pattern):
    write_cine(tmp_path / "run.nrrd", run(moving_pattern()))
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run.nrrd", "plain")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".mha", ".mhd"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_volumes_of_other_programs(suffix, dtype, tmp_path, moving_pattern):
    frames = moving_pattern(dtype=dtype)
    image = sitk.GetImageFromArray(frames)
    image.SetSpacing((0.5, 0.25, 1))
    sitk.WriteImage(image, str(tmp_path / f"run{suffix}"))
    cine = read_cine(tmp_path / f"run{suffix}")
    assert cine.frames.dtype == dtype
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.name == "run"
    assert cine.spacing == (0.25, 0.5)
    assert cine.spacing_source == "unknown"
    assert cine.times_source == "assumed"


@pytest.mark.parametrize("shape", [(48, 64), (1, 48, 64), (3, 1, 48, 64)])
@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_other_numbers_of_axes(shape, suffix, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=False), str(tmp_path / f"run{suffix}"))
    np.testing.assert_array_equal(read_cine(tmp_path / f"run{suffix}").frames, pixels.reshape(-1, 48, 64))


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("colour", [True, False])
def test_colour_volumes(suffix, colour, tmp_path, moving_pattern):
    frames = moving_pattern()
    rgb = np.stack([frames, frames, 255 - frames if colour else frames], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(rgb, isVector=True), str(tmp_path / f"run{suffix}"))
    cine = read_cine(tmp_path / f"run{suffix}")
    assert any("not an X-ray" in line for line in cine.warnings) == colour
    if not colour:
        np.testing.assert_array_equal(cine.frames, frames)


@pytest.mark.parametrize(
    ("written", "dtype"), [("int8", "int16"), ("int32", "uint16"), ("float32", "uint16"), ("float64", "uint16")]
)
def test_wider_numbers_narrow_without_loss(written, dtype, tmp_path, moving_pattern):
    frames = moving_pattern(high=120).astype(written)
    sitk.WriteImage(sitk.GetImageFromArray(frames), str(tmp_path / "run.nrrd"))
    cine = read_cine(tmp_path / "run.nrrd")
    assert cine.frames.dtype == dtype
    np.testing.assert_array_equal(cine.frames, frames)


def slicer_sequence(path: Path, frames: np.ndarray, fields: str, list_first: bool = False) -> Path:
    """As 3D Slicer writes it: list axis last, or first as its older versions do."""
    count, rows, columns = frames.shape
    spatial = "(0.3,0,0) (0,0.4,0) (0,0,1)"
    if list_first:
        axes = f"sizes: {count} {columns} {rows} 1\nspace directions: none {spatial}\nkinds: list domain domain domain"
        pixels = np.ascontiguousarray(np.moveaxis(frames, 0, -1))
    else:
        axes = f"sizes: {columns} {rows} 1 {count}\nspace directions: {spatial} none\nkinds: domain domain domain list"
        pixels = frames
    head = f"NRRD0004\n# a comment\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\n{axes}\n{fields}"
    path.write_bytes(
        f"{head}encoding: gzip\nspace origin: (0,0,0)\n\n".encode() + gzip.compress(pixels.tobytes(), mtime=0)
    )
    return path


@pytest.mark.parametrize("list_first", [False, True])
@pytest.mark.parametrize(
    ("label", "unit", "values", "source", "times"),
    [
        ("time", "s", "0.000 0.067 0.133", "header", [0, 67, 133]),
        ("time", "ms", "5 25 90", "header", [0, 20, 85]),
        ("frame", "", "0 1 2", "assumed", [0, 1000 / 15, 2000 / 15]),
    ],
)
def test_slicer_sequences(label, unit, values, source, times, list_first, tmp_path, moving_pattern):
    frames = moving_pattern()
    at = 0 if list_first else 3
    quoted = [['""'] * 4, ['""'] * 4]
    quoted[0][at], quoted[1][at] = f'"{label}"', f'"{unit}"'
    fields = f"labels: {' '.join(quoted[0])}\nunits: {' '.join(quoted[1])}\naxis {at} index type:=numeric\n"
    fields += f"axis {at} index values:={values}\nDataNodeClassName:=vtkMRMLScalarVolumeNode\n"
    cine = read_cine(slicer_sequence(tmp_path / "run.seq.nrrd", frames, fields, list_first))
    np.testing.assert_array_equal(cine.frames, frames)
    assert (cine.name, cine.times_source) == ("run", source)
    np.testing.assert_allclose(cine.times_ms, times)
    assert cine.spacing == pytest.approx((0.4, 0.3))


def test_a_sequence_that_slicer_saved(tmp_path, moving_pattern):
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    frames = moving_pattern(count=5)
    scene = slicer.vtkMRMLScene()
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for t, frame in enumerate(frames):
        image = vtk.vtkImageData()
        image.SetDimensions(frame.shape[1], frame.shape[0], 1)
        image.GetPointData().SetScalars(numpy_to_vtk(frame.ravel(), deep=True))
        volume = slicer.vtkMRMLScalarVolumeNode()
        volume.SetAndObserveImageData(image)
        volume.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
        volume.SetSpacing(0.3, 0.4, 1)
        sequence.SetDataNodeAtValue(volume, f"{t * 0.0667:.3f}")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "run.seq.nrrd"))
    assert storage.WriteData(sequence)
    cine = read_cine(tmp_path / "run.seq.nrrd")
    np.testing.assert_array_equal(cine.frames, frames)
    np.testing.assert_allclose(cine.times_ms, [0, 67, 133, 200, 267])
    assert cine.times_source == "header"
    assert cine.spacing == pytest.approx((0.4, 0.3))


@pytest.mark.parametrize("name", ["run.png", "run.tif", "run.bmp"])
def test_one_lossless_picture_is_one_frame(name, tmp_path, moving_pattern):
    frame = moving_pattern(count=1)[0]
    Image.fromarray(frame).save(tmp_path / name)
    cine = read_cine(tmp_path / name)
    np.testing.assert_array_equal(cine.frames, frame[None])
    assert (cine.name, cine.times_ms.tolist(), cine.warnings) == ("run", [0], ())


@pytest.mark.parametrize("name", ["run.png", "run.tif"])
def test_sixteen_bit_pictures(name, tmp_path, moving_pattern):
    frame = moving_pattern(count=1, dtype="uint16", high=60000)[0]
    Image.fromarray(frame).save(tmp_path / name)
    cine = read_cine(tmp_path / name)
    assert cine.frames.dtype == np.uint16
    np.testing.assert_array_equal(cine.frames, frame[None])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_picture_modes(mode, tmp_path, moving_pattern):
    frame = moving_pattern(count=1)[0]
    if mode == "1":
        frame = np.where(frame > 128, 255, 0).astype(np.uint8)
    Image.fromarray(frame).convert(mode).save(tmp_path / "run.png")
    cine = read_cine(tmp_path / "run.png")
    np.testing.assert_array_equal(cine.frames[0], frame)
    assert cine.warnings == ()


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_colour_photo_is_read_with_a_warning(name, tmp_path, moving_pattern):
    red, green = moving_pattern(count=2)
    Image.fromarray(np.stack([red, green, 255 - red], axis=-1)).save(tmp_path / name)
    cine = read_cine(tmp_path / name)
    assert cine.shape == (1, 48, 64)
    assert [line for line in cine.warnings if "probably not an X-ray angiogram" in line]


def test_pages_of_a_tiff_are_frames(tmp_path, moving_pattern):
    frames = moving_pattern(count=4)
    pages = [Image.fromarray(frame) for frame in frames]
    pages[0].save(tmp_path / "run.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_cine(tmp_path / "run.tif").frames, frames)


@pytest.mark.parametrize(
    "pattern", ["frame_{}.png", "{}.png", "{:04d}.tif", "f{}.bmp", "p1_run2_frame{}.png", "{}x{}.png"], ids=str
)
@pytest.mark.parametrize("inner", ["", "images"])
def test_folder_of_frames_in_natural_order(pattern, inner, tmp_path, moving_pattern):
    frames = moving_pattern(count=12)
    clip = tmp_path / "clip_0003"
    (clip / inner).mkdir(parents=True)
    (clip / "labels").mkdir()
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(clip / inner / pattern.format(t, t))
        Image.fromarray(frame * 0).save(clip / "labels" / f"{t}.png")
    (clip / inner / "notes.txt").write_text("not a frame")
    (clip / inner / ".0.png").write_bytes(b"a hidden thing")
    cine = read_cine(clip)
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.name == "clip_0003"
    assert cine.times_source == "assumed"


@pytest.mark.parametrize("name", ["images", "frames"])
def test_folder_of_frames_is_named_after_its_clip(name, tmp_path, moving_pattern):
    folder = tmp_path / "clip_0003" / name
    folder.mkdir(parents=True)
    Image.fromarray(moving_pattern()[0]).save(folder / "0.png")
    assert read_cine(folder).name == "clip_0003"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (np.zeros((20, 30), np.uint8), "0.png is 64 x 48 pixels of 8 bits but 1.png is 30 x 20 pixels of 8 bits"),
        (np.zeros((48, 64), np.uint16), "0.png is 64 x 48 pixels of 8 bits but 1.png is 64 x 48 pixels of 16 bits"),
    ],
)
def test_frames_that_differ_are_named(other, said, tmp_path, moving_pattern):
    Image.fromarray(moving_pattern()[0]).save(tmp_path / "0.png")
    Image.fromarray(other).save(tmp_path / "1.png")
    with pytest.raises(CineError) as caught:
        read_cine(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def nrrd(content: bytes = b"\0" * 60, **fields) -> bytes:
    fields = {"type": "uint8", "dimension": "3", "sizes": "5 4 3", "encoding": "raw"} | fields
    lines = "".join(f"{key.replace('_', ' ')}: {value}\n" for key, value in fields.items())
    return f"NRRD0005\n{lines}\n".encode() + content


def cut_short(path: Path, frames: np.ndarray, share: float) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(frames), str(path), useCompression=path.suffix == ".nrrd")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def test_spacings_that_are_no_numbers_are_unknown(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(spacings="0.3 x 1"))
    assert read_cine(tmp_path / "a.nrrd").spacing_source == "unknown"


NOISY = np.random.default_rng(0).integers(0, 255, (5, 40, 40)).astype(np.uint8)
CT = np.random.default_rng(0).integers(-1024, 1500, (5, 40, 40)).astype(np.int16)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.dcm", b"", "is empty"),
        ("a.nrrd", b"", "is empty"),
        ("a.dcm", b"Dear colleague, enclosed you find the angiogram of last week.\n" * 20, "is not DICOM"),
        ("a.dcm", b"hi", "is not DICOM"),
        ("a.txt", b"Dear colleague", "is of no known kind"),
        ("a", b"Dear colleague", "is of no known kind"),
        ("a.png", b"Dear colleague", "cannot be read as a picture"),
        ("a.nrrd", b"Dear colleague", "is not an NRRD file"),
        ("a.nii", b"Dear colleague", "cannot be read as an image"),
        ("a.mha", b"Dear colleague", "cannot be read as an image"),
        ("a.nrrd", b"NRRD0005\ntype: uint8\n", "header does not end"),
        ("a.nrrd", nrrd(type="block"), "of a type that no cine has"),
        ("a.nrrd", nrrd(sizes="5 4"), "damaged header"),
        ("a.nrrd", nrrd(sizes="5 4 0"), "damaged header"),
        ("a.nrrd", nrrd(encoding="hex"), "save it as one gzip NRRD"),
        ("a.nrrd", nrrd(data_file="a.raw"), "save it as one gzip NRRD"),
        ("a.nrrd", nrrd(byte_skip="x"), "skipped bytes"),
        ("a.nrrd", nrrd(byte_skip="-1"), "skipped bytes"),
        ("a.nrrd", nrrd(content=b"\0" * 59), "holds 59 of the 60 bytes"),
        ("a.nrrd", nrrd(encoding="gzip"), "do not unpack"),
        ("a.nrrd", nrrd(encoding="gzip", content=gzip.compress(bytes(60), mtime=0)[:-9]), "do not unpack"),
        ("a.nrrd", nrrd(encoding="gzip", content=gzip.compress(bytes(59), mtime=0)), "holds 59 of the 60 bytes"),
        ("a.nrrd", nrrd(sizes="50000 50000 50000"), "more than any cine has"),
        ("a.nrrd", nrrd(sizes="20000 1 3", content=bytes(60000)), "more than any cine has"),
        ("a.nrrd", nrrd(dimension="4", sizes="5 2 2 3"), "a cine has two axes and time"),
        ("a.nrrd", nrrd(dimension="1", sizes="60"), "a cine has two axes and time"),
        ("a.nrrd", nrrd(type="float", content=np.full(60, 0.5, "<f4").tobytes()), "no whole numbers"),
        ("a.nrrd", nrrd(type="float", content=np.full(60, np.nan, "<f4").tobytes()), "no whole numbers"),
        ("a.nrrd", nrrd(type="int", content=np.full(60, 70000, "<i4").tobytes()), "at most 16 bits"),
        ("a.nrrd", (NOISY, 0.5), "cut short"),
        ("a.mha", (NOISY, 0.5), "cannot be read as an image"),
        ("a.nii", (NOISY, 0.5), "cannot be read as an image"),
        ("a.nii.gz", (NOISY, 0.5), "cannot be read as an image"),
        ("a.nii.gz", (NOISY, 0.99), "cannot be read as an image"),
        ("a.png", (NOISY[0], 0.5), "cut short"),
        ("a.tif", (NOISY[0], 0.5), "cut short"),
    ],
)
def test_refused_in_one_line(name, content, said, tmp_path):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        cut_short(path, *content)
    with pytest.raises(CineError) as caught:
        read_cine(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("thickness", [1.0, 2.5])
def test_ct_volume_is_refused(suffix, thickness, tmp_path):
    volume = CT.copy()
    volume[:, :20] = -1000
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((0.7, 0.7, thickness))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    with pytest.raises(CineError, match="looks like a CT volume"):
        read_cine(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    ("name", "said"), [("none.dcm", "no such file"), ("none", "no such file"), (".", "folder without frames")]
)
def test_nothing_there(name, said, tmp_path):
    with pytest.raises(CineError, match=said):
        read_cine(tmp_path / name)


def test_no_name_is_not_the_working_folder(tmp_path, monkeypatch):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "1.png")
    monkeypatch.chdir(tmp_path)
    assert read_cine(".").num_frames == 1
    with pytest.raises(CineError, match="no file or folder is named"):
        read_cine("")


def test_nifti_beside_its_unpacked_self_is_refused(tmp_path, moving_pattern):
    for name in ("a.nii", "a.nii.gz"):
        sitk.WriteImage(sitk.GetImageFromArray(moving_pattern()), str(tmp_path / name))
    assert read_cine(tmp_path / "a.nii").num_frames == 3
    with pytest.raises(CineError, match=r"a.nii lies beside it"):
        read_cine(tmp_path / "a.nii.gz")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read everything")
def test_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(CineError, match="cannot be read"):
        read_cine(path)


@pytest.mark.parametrize(
    "values",
    [
        {"frames": np.zeros((3, 4), np.uint8)},
        {"frames": np.zeros((0, 4, 5), np.uint8), "times_ms": np.zeros(0)},
        {"frames": np.zeros((3, 4, 5), np.float32)},
        {"times_ms": np.zeros(2)},
        {"spacing_source": "guessed"},
    ],
)
def test_parts_that_do_not_fit_make_no_cine(values):
    with pytest.raises(ValueError):
        Cine(**{"frames": np.zeros((3, 4, 5), np.uint8), "times_ms": np.zeros(3)} | values)
