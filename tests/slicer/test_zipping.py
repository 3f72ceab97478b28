"""A folder of frames on its way to the server."""

import io
import zipfile

import pytest
from angioseg.cine.suffixes import PICTURE
from AngioSegLib.errors import CineUnusable
from AngioSegLib.zipping import PICTURES, zipFolder


@pytest.mark.parametrize(
    "names",
    [
        [f"frame_{number}.png" for number in range(1, 13)],
        [f"{number:04}.JPG" for number in range(12)],
        ["a2b9.png", "a2b10.png", "a10b1.png"],
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_frames_go_in_the_order_of_their_numbers(tmp_path, names, inside):
    folder = tmp_path / "images" if inside else tmp_path
    folder.mkdir(exist_ok=True)
    for name in reversed(names):
        (folder / name).write_text(name)
    with zipfile.ZipFile(io.BytesIO(zipFolder(tmp_path))) as archive:
        assert [archive.read(name).decode() for name in sorted(archive.namelist())] == names
        assert sorted(archive.namelist())[0].startswith("000000.")


DICOM = b"\0" * 128 + b"DICM"


@pytest.mark.parametrize(
    ("files", "sent"),
    [
        ({"f1.png": b"1", "._f1.png": b"x", ".DS_Store": b"x", "Thumbs.db": b"x", "letter.docx": b"x"}, [b"1"]),
        ({"f1.PNG": b"1", "f2.bmp": b"2", "images/logo.png": b"x"}, [b"1", b"2"]),
        ({"notes.txt": b"x", "images/f1.png": b"1", "labels/f1.png": b"x"}, [b"1"]),
        ({"1.2.840.7": DICOM, "IM2": DICOM + b"2", "DICOMDIR.txt": b"x"}, [DICOM, DICOM + b"2"]),
    ],
)
def test_frames_go_and_nothing_else(tmp_path, files, sent):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(io.BytesIO(zipFolder(tmp_path))) as archive:
        assert [archive.read(name) for name in sorted(archive.namelist())] == sent


def test_a_folder_without_frames_is_told(tmp_path):
    (tmp_path / "letter.docx").touch()
    with pytest.raises(CineUnusable, match="holds neither pictures nor DICOM files"):
        zipFolder(tmp_path)


def test_pictures_are_those_that_the_server_reads():
    assert sorted(PICTURES) == sorted(PICTURE)
