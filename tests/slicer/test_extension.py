"""The extension as 3D Slicer will find it: what it imports, what CMake installs, what the module file offers."""

import ast
import importlib.util
import re
import subprocess
import sys
import types
import unittest
from pathlib import Path

import pytest
import slicer
from AngioSegLib.segmentation import segmentationOfCine

SLICER_DIR = Path(__file__).resolve().parents[2] / "AngioSeg"
FILES = sorted(SLICER_DIR.glob("AngioSegLib/**/*.py"))
ALLOWED = {"AngioSegLib", "pydicom", "numpy", "requests", "slicer", "vtk"} | sys.stdlib_module_names


@pytest.mark.parametrize("path", [*FILES, SLICER_DIR / "AngioSeg.py"], ids=lambda path: path.name)
def test_imports_only_what_slicer_brings(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "written out in full"
            names.add(node.module.partition(".")[0])
    assert names <= ALLOWED


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
import AngioSegLib, AngioSegLib.scene
print(sorted(refused & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, str(SLICER_DIR)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


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
    parts = [*FILES, SLICER_DIR / "AngioSeg.py", *(p for p in SLICER_DIR.glob("Resources/**/*") if p.is_file())]
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
        module = importlib.import_module(f"AngioSegLib.{path.stem}" if path.stem != "__init__" else "AngioSegLib")
        assert all(hasattr(module, name) for name in module.__all__)


@pytest.fixture
def moduleFile(monkeypatch, scene):
    """AngioSeg.py, with plain bases where slicer-core has none of Slicer's."""

    class Base:
        def __init__(self, parent=None):
            self.parent = parent

    bases = types.ModuleType("slicer.ScriptedLoadableModule")
    bases.ScriptedLoadableModule = bases.ScriptedLoadableModuleLogic = Base
    bases.ScriptedLoadableModuleTest = unittest.TestCase
    monkeypatch.setitem(sys.modules, bases.__name__, bases)
    spec = importlib.util.spec_from_file_location("AngioSegModuleFile", SLICER_DIR / "AngioSeg.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_module_is_described_and_hidden(moduleFile):
    parent = types.SimpleNamespace()
    moduleFile.AngioSeg(parent)
    assert (parent.title, parent.hidden) == ("AngioSeg", True)
    for text in (parent.categories, parent.contributors, parent.helpText, parent.acknowledgementText):
        assert text


def test_the_modules_own_test_passes(moduleFile):
    moduleFile.AngioSegTest().runTest()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 2


def test_the_modules_logic_segments_and_finds_its_masks_again(moduleFile, makeCine, server):
    cine = makeCine(3)
    logic = moduleFile.AngioSegLogic()
    for _ in range(2):
        segmenter = logic.segmenter(cine.proxy, server.url)
        assert segmenter.run()
        segmenter.close()
    assert segmentationOfCine(cine).segmentedFrames() == [0, 1, 2]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 2
