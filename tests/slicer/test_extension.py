"""The extension as 3D Slicer will find it: what it imports, what CMake installs, what the module file offers."""

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import slicer
from AngioSegLib.segmentation import segmentationOfCine

SLICER_DIR = Path(__file__).resolve().parents[2] / "AngioSeg"
FILES = sorted(SLICER_DIR.glob("AngioSegLib/**/*.py"))
ALLOWED = {"AngioSegLib", "numpy", "requests", "slicer", "vtk"} | sys.stdlib_module_names
# Where more is allowed: Qt in the window, and pydicom, which Slicer has and slicer-core has not, where it is used.
MORE = {"panels": {"qt"}, "exporting.py": {"pydicom"}}


@pytest.mark.parametrize("path", [*FILES, SLICER_DIR / "AngioSeg.py"], ids=lambda path: path.name)
def test_imports_only_what_slicer_brings(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "written out in full"
            names.add(node.module.partition(".")[0])
    assert names <= ALLOWED | MORE.get(path.name, set()) | MORE.get(path.parent.name, set())


def test_loads_where_nothing_else_is_installed():
    # What requests, vtk and slicer-core import is theirs; the rest of a developer's environment is refused.
    code = """
import sys
refused = {"torch", "torchvision", "monai", "monailabel", "angioseg", "SimpleITK", "pydicom", "av", "skimage",
           "scipy", "imageio", "typer", "rich", "nibabel", "cv2", "PIL", "pandas", "qt", "ctk", "pytest", "hypothesis"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ImportError(f"{name} is not in Slicer's library")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import importlib
for name in sys.argv[2:]:
    importlib.import_module(f"AngioSegLib.{name}")
print(sorted(refused & set(sys.modules)))
"""
    names = [path.stem for path in FILES if path.parent.name == "AngioSegLib" and path.stem != "__init__"]
    command = [sys.executable, "-c", code, str(SLICER_DIR), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.slow
def test_works_in_an_environment_of_slicer_core_numpy_and_requests_alone(tmp_path):
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not there to make an environment with")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, tmp_path / "clean"], check=True)
    python = next(path for path in (tmp_path / "clean").glob("*/python*") if path.stem == "python")
    subprocess.run([uv, "pip", "install", "-q", "--python", python, "slicer-core", "numpy", "requests"], check=True)
    names = [path.stem for path in FILES if path.parent.name == "AngioSegLib" and path.stem != "__init__"]
    code = f"""
import importlib, sys
sys.path.insert(0, {str(SLICER_DIR)!r})
for name in {names!r}:
    importlib.import_module("AngioSegLib." + name)
import numpy as np
from AngioSegLib import createCine
from AngioSegLib.exporting import saveMasks, savePicture
from AngioSegLib.reading import Reading
from AngioSegLib.scene import createScene, loadScene, saveScene
from AngioSegLib.worker import Worker
import slicer
createScene()
reading = Reading(createCine(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), [0, 60]), Worker())
reading.beginByHand(1)
reading.accept(1)
saveMasks({str(tmp_path)!r}, "masks", reading.masks)
savePicture({str(tmp_path / "frame.png")!r}, reading.cine, reading.masks, 1)
loadScene(saveScene(slicer.mrmlScene, {str(tmp_path / "scene")!r}))
print("all")
"""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout.strip()) == (0, "all"), done.stderr


def test_slicer_lives_beside_torch_and_simpleitk():
    for name in ("torch", "SimpleITK"):
        pytest.importorskip(name)
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import torch, SimpleITK, slicer
import numpy as np
from AngioSegLib import createCine
from AngioSegLib.scene import createScene
createScene()
frames = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
assert (createCine(frames, [0, 60]).frames() == frames).all()
image = SimpleITK.GetImageFromArray(frames)
assert (torch.from_numpy(SimpleITK.GetArrayFromImage(image)) == torch.from_numpy(frames)).all()
print("both")
"""
    done = subprocess.run([sys.executable, "-c", code, str(SLICER_DIR)], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout.strip()) == (0, "both"), done.stderr


def test_cmake_lists_every_file():
    cmake = (SLICER_DIR / "CMakeLists.txt").read_text()
    listed = set(re.findall(r"^  (\S+\.\w+)$", cmake, re.MULTILINE))
    parts = [
        *FILES,
        SLICER_DIR / "AngioSeg.py",
        *(p for p in SLICER_DIR.glob("Resources/**/*") if p.is_file() and p.parent.name != "Screenshots"),
    ]
    assert listed == {str(path.relative_to(SLICER_DIR).as_posix()) for path in parts}
    scripts = (SLICER_DIR / "Testing/Python/CMakeLists.txt").read_text()
    tests = {path.name for path in SLICER_DIR.glob("Testing/Python/*.py")}
    assert set(re.findall(r"SCRIPT (\S+)", scripts)) == tests


def test_the_icon_is_128_by_128():
    data = (SLICER_DIR / "Resources/Icons/AngioSeg.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)] == [128, 128]


def test_all_is_what_there_is():
    import AngioSegLib

    assert AngioSegLib.__all__ == sorted(AngioSegLib.__all__, key=lambda name: (name[0].islower(), name))
    for path in FILES:
        if path.parent.name == "panels":
            continue
        module = importlib.import_module(f"AngioSegLib.{path.stem}" if path.stem != "__init__" else "AngioSegLib")
        assert all(hasattr(module, name) for name in module.__all__)


def test_the_module_is_described(host):
    parent = types.SimpleNamespace(hidden=False)
    host.module.AngioSeg(parent)
    assert (parent.title, parent.hidden) == ("AngioSeg", False)
    for text in (parent.categories, parent.contributors, parent.helpText, parent.acknowledgementText):
        assert text


def test_the_modules_own_test_passes(host):
    host.module.AngioSegTest().runTest()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 2


def test_the_modules_logic_segments_and_finds_its_masks_again(host, makeCine, server):
    cine = makeCine(3)
    logic = host.module.AngioSegLogic()
    for _ in range(2):
        segmenter = logic.segmenter(cine.proxy, server.url)
        assert segmenter.run()
        segmenter.close()
    assert segmentationOfCine(cine).segmentedFrames() == [0, 1, 2]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 2


def test_parameters_are_typed(host):
    parameters = host.module.AngioSegLogic().getParameterNode()
    assert (parameters.model, parameters.showFill, parameters.opacity, parameters.cine) == (
        "angioseg",
        True,
        0.35,
        None,
    )
    with pytest.raises(TypeError):
        parameters.opacity = "much"
    with pytest.raises(AttributeError):
        parameters.unknown = 1


def test_every_widget_of_the_window_is_used_and_every_one_used_is_there(host):
    named = set(re.findall(r'<widget class="\w+" name="(\w+)">', (SLICER_DIR / "Resources/UI/AngioSeg.ui").read_text()))
    sources = "".join(path.read_text() for path in FILES if path.parent.name == "panels")
    used = set(re.findall(r"\bui\.(\w+)", sources))
    assert used <= named
    unused = {name for name in named - used if not name.endswith(("Label", "Section"))}
    assert unused == {"AngioSeg"}


def test_texts_can_be_translated():
    """No text for the user stands outside of ``_()``: texts are what is written to ``text`` and ``toolTip``."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if path.parent.name == "panels" and isinstance(node, ast.Assign):
                targets = [target.attr for target in node.targets if isinstance(target, ast.Attribute)]
                if {"text", "toolTip"} & set(targets):
                    assert not (isinstance(node.value, ast.Constant) and node.value.value), (path.name, node.lineno)


def test_the_description_for_the_extensions_index():
    description = json.loads((SLICER_DIR.parent / "AngioSeg.json").read_text())
    assert set(description) >= {"build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url"}
    cmake = (SLICER_DIR.parent / "CMakeLists.txt").read_text()
    for url in re.findall(r'"?https://raw\.githubusercontent\.com/AngioSeg/AngioSeg/main/([^" ]+)', cmake):
        assert (SLICER_DIR.parent / url).is_file(), f"{url} is not there"
