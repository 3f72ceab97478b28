"""A folder of frames on its way to the server."""

import io
import zipfile

import pytest
from AngioSegLib.zipping import zipFolder


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
