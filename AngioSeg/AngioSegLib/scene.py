"""A Slicer scene outside the Slicer program, saved so that the program can open it.

Inside 3D Slicer none of this is needed: its own scene, and File > Save, do it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer

from AngioSegLib.errors import SceneError

__all__ = ["createScene", "loadScene", "saveScene"]

# What serves the one scene of the process lives as long as it does.
_logics: list = []
_cache: list[tempfile.TemporaryDirectory] = []
_UNSAFE = str.maketrans(dict.fromkeys('<>:"/\\|?*%', "_"))


def createScene():
    """Make an empty scene that knows sequences and segmentations, and make it ``slicer.mrmlScene``.

    Returns:
        The vtkMRMLScene. One at a time: an earlier one is no longer kept up to date.
    """
    for logic in _logics:
        logic.SetMRMLScene(None)
    _logics.clear()
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    application = slicer.vtkMRMLApplicationLogic()
    # The others keep no reference of their own to it.
    _logics.append(application)
    remote = slicer.vtkMRMLRemoteIOLogic()
    for logic in (remote, slicer.vtkSlicerSegmentationsModuleLogic(), slicer.vtkSlicerSequencesLogic()):
        logic.SetMRMLApplicationLogic(application)
        # Registers its classes of nodes, and watches the scene from here on.
        logic.SetMRMLScene(scene)
        _logics.append(logic)
    remote.AddDataIOToScene()
    _cache[:] = [tempfile.TemporaryDirectory(prefix="angioseg-scene-")]
    # Sequences of segmentations are zip files that Slicer unpacks there.
    remote.GetCacheManager().SetRemoteCacheDirectory(_cache[0].name)
    return scene


def saveScene(scene, folder) -> Path:
    """Save a scene and its data into a folder, by relative paths: the folder can be moved.

    Args:
        scene: the vtkMRMLScene.
        folder: made when missing; files of the same names are replaced, others stay.

    Returns:
        The ``scene.mrml`` in it, which 3D Slicer opens.

    Raises:
        SceneError: when a node cannot be saved or the folder not written to; nothing half-written stays.
    """
    folder = Path(folder).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".scene-", dir=folder) as temporary:
            with _keepingWorkingFolder():
                storages = _writeData(scene, Path(temporary))
            _writeScene(scene, Path(temporary))
            # The scene goes last: while it is missing or old, nobody opens half of a new one.
            for name in sorted(os.listdir(temporary), key="scene.mrml".__eq__):
                os.replace(Path(temporary, name), folder / name)
    except OSError as error:
        raise SceneError(f"{folder}: the scene cannot be saved there: {error.strerror or error}") from error
    for storage, name in storages.items():
        storage.SetFileName(str(folder / name))
    scene.SetRootDirectory(str(folder))
    scene.SetURL(str(folder / "scene.mrml"))
    return folder / "scene.mrml"


def loadScene(path):
    """Read a saved scene into a new one, as :func:`createScene` makes it.

    Raises:
        SceneError: when the file is missing, or it or its data cannot be read.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise SceneError(f"{path}: no such scene")
    scene = createScene()
    scene.SetRootDirectory(str(path.parent))
    scene.SetURL(str(path))
    with _keepingWorkingFolder():
        connected = scene.Connect()
    if not connected:
        storages = slicer.util.getNodesByClass("vtkMRMLStorageNode", scene)
        files = [Path(node.GetFileName()).name for node in storages if node.GetUserMessages().GetNumberOfMessages()]
        culprits = ", ".join(files) or path.name
        raise SceneError(f"{path}: the scene cannot be read whole: {culprits} is missing or damaged")
    return scene


@contextmanager
def _keepingWorkingFolder() -> Iterator[None]:
    """Slicer packs and unpacks archives from inside a folder, and does not come back when it fails."""
    before = os.getcwd()
    try:
        yield
    finally:
        os.chdir(before)


def _writeData(scene, folder: Path) -> dict:
    storages = {}
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode", scene):
        if _isProxy(scene, node):
            # A proxy shows what its sequence holds, and is filled from it on loading: it has no file to read.
            node.SetAndObserveStorageNodeID(None)
            continue
        if not node.GetSaveWithScene():
            continue
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode():
            continue
        storage = node.GetStorageNode()
        name = _fileName(node.GetName(), storage.GetDefaultWriteFileExtension(), set(storages.values()))
        storage.SetFileName(str(folder / name))
        if not storage.WriteData(node):
            raise SceneError(f"{node.GetName()}: cannot be saved as {name}; is the disk full?")
        storages[storage] = name
    return storages


def _writeScene(scene, folder: Path) -> None:
    scene.SetRootDirectory(str(folder))
    scene.SetURL(str(folder / "scene.mrml"))
    if not scene.Commit():
        raise SceneError("scene.mrml cannot be written; is the disk full?")


def _isProxy(scene, node) -> bool:
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene)
    return any(browser.IsProxyNodeID(node.GetID()) for browser in browsers)


def _fileName(name: str, extension: str, taken: set[str]) -> str:
    stem = name.translate(_UNSAFE).strip(". ") or "node"
    candidates = (f"{stem}{number}.{extension}" for number in ("", *(f" {i}" for i in range(1, len(taken) + 2))))
    return next(candidate for candidate in candidates if candidate not in taken)
