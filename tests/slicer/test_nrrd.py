"""NRRD in memory against itself and against SimpleITK."""

import json

import numpy as np
import pytest
from AngioSegLib.errors import NrrdError
from AngioSegLib.nrrd import NrrdImage, readNrrd, writeNrrd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DTYPES = ("uint8", "uint16", "int16")
LINE = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)
NAME = st.text("abcdefghijklmnopqrstuvwxyz_ ", min_size=1, max_size=9).filter(str.strip)


@settings(deadline=None, max_examples=60)
@given(
    array=st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)),
    spacing=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    values=st.dictionaries(NAME, LINE, max_size=3),
)
def test_what_is_written_is_read(array, spacing, values):
    back = readNrrd(writeNrrd(NrrdImage(array, spacing, values)))
    assert back.array.dtype == array.dtype
    np.testing.assert_array_equal(back.array, array)
    assert back.spacing == pytest.approx(spacing, rel=1e-12)
    assert back.values == values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compressed", [True, False])
def test_simpleitk_reads_ours_and_we_read_its(dtype, compressed, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    array = np.arange(2 * 3 * 4, dtype=dtype).reshape(2, 3, 4) - np.array(5, dtype)
    path = tmp_path / "a.nrrd"
    path.write_bytes(writeNrrd(NrrdImage(array, (0.3, 0.2), {"frame_times_ms": "[0, 66.7]"})))
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    assert image.GetSpacing() == pytest.approx((0.2, 0.3, 1.0))
    assert json.loads(image.GetMetaData("frame_times_ms")) == [0, 66.7]
    sitk.WriteImage(image, str(path), compressed)
    back = readNrrd(path.read_bytes())
    np.testing.assert_array_equal(back.array, array)
    assert back.spacing == pytest.approx((0.3, 0.2))


GOOD = writeNrrd(NrrdImage(np.zeros((2, 3, 4), np.uint8)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an NRRD"),
        (b"<html>", "not an NRRD"),
        (GOOD[:40], "header does not end"),
        (GOOD[:-9], "do not unpack"),
        (GOOD.replace(b"sizes: 4 3 2", b"sizes: 4 3 3"), "promises 36"),
        (GOOD.replace(b"sizes: 4 3 2", b"sizes: 4 3"), "three sizes"),
        (GOOD.replace(b"sizes: 4 3 2", b"sizes: 4 3 x"), "damaged header"),
        (GOOD.replace(b"sizes: 4 3 2", b"sizes: 4000000 3000000 2"), "no cine has"),
        (GOOD.replace(b"type: uint8", b"type: float"), "of a type"),
        (GOOD.replace(b"encoding: gzip", b"encoding: bzip2"), "bzip2"),
    ],
)
def test_bad_files_say_so(data, says):
    with pytest.raises(NrrdError, match=says):
        readNrrd(data)


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (np.zeros((2, 3), np.uint8), {}),
        (np.zeros((2, 3, 4), np.float32), {}),
        (np.zeros((0, 3, 4), np.uint8), {}),
        (np.zeros((2, 3, 4), np.uint8), {"a": "two\nlines"}),
        (np.zeros((2, 3, 4), np.uint8), {"a:": "b"}),
    ],
)
def test_what_nrrd_does_not_hold_is_refused(array, values):
    with pytest.raises(NrrdError):
        writeNrrd(NrrdImage(array, (1.0, 1.0), values))


def test_big_endian_and_raw():
    head = b"NRRD0004\n# a remark\ntype: short\ndimension: 3\nsizes: 2 1 1\nspacings: 0.5 0.25 1\n"
    head += b"endian: big\nencoding: raw\n\n"
    image = readNrrd(head + b"\x00\x01\xff\xff")
    assert image.array.tolist() == [[[1, -1]]]
    assert image.spacing == (0.25, 0.5)
