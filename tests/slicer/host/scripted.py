"""Stand-ins for ``slicer.ScriptedLoadableModule`` and ``slicer.parameterNodeWrapper``, over the real scene."""

import types
import typing
import unittest
from pathlib import Path

import slicer
from PySide6 import QtWidgets

__all__ = ["parameterNodeWrapperModule", "scriptedModule"]


class _Module:
    def __init__(self, parent):
        self.parent = parent


class _Widget:
    def __init__(self, parent=None):
        self.parent = parent
        self.layout = QtWidgets.QVBoxLayout(parent)
        self.layout.setContentsMargins(0, 0, 0, 0)

    def setup(self):
        pass

    def resourcePath(self, name):
        return str(Path(self.moduleFile).parent / "Resources" / name)


class _Logic:
    moduleName = "AngioSeg"

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


def scriptedModule(folder: Path) -> types.ModuleType:
    """``slicer.ScriptedLoadableModule``; the module's file is in ``folder``."""
    module = types.ModuleType("slicer.ScriptedLoadableModule")
    module.ScriptedLoadableModule = _Module
    module.ScriptedLoadableModuleWidget = type("Widget", (_Widget,), {"moduleFile": str(folder / "AngioSeg.py")})
    module.ScriptedLoadableModuleLogic = _Logic
    module.ScriptedLoadableModuleTest = unittest.TestCase
    return module


def _typed(name: str, kind: type, default):
    def get(self):
        if issubclass(kind, slicer.vtkMRMLNode):
            return self.parameterNode.GetNodeReference(name)
        text = self.parameterNode.GetParameter(name)
        return kind(int(text)) if kind is bool else kind(text)

    def set(self, value):
        if issubclass(kind, slicer.vtkMRMLNode):
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"{name} takes a {kind.__name__}, not {value!r}")
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
            return
        if type(value) is not kind:
            raise TypeError(f"{name} takes a {kind.__name__}, not {value!r}")
        self.parameterNode.SetParameter(name, str(int(value)) if kind is bool else str(value))

    return property(get, set)


def _parameterNodeWrapper(cls):
    kinds = typing.get_type_hints(cls)
    defaults = {name: getattr(cls, name) for name in kinds if hasattr(cls, name)}

    class Wrapped:
        def __init__(self, node):
            object.__setattr__(self, "parameterNode", node)
            for name, value in defaults.items():
                if not node.GetParameter(name):
                    setattr(self, name, value)

        def __setattr__(self, name, value):
            if name not in kinds:
                raise AttributeError(f"{cls.__name__} has no parameter {name}")
            object.__setattr__(self, name, value)

    for name, kind in kinds.items():
        setattr(Wrapped, name, _typed(name, kind, defaults.get(name)))
    return Wrapped


def parameterNodeWrapperModule() -> types.ModuleType:
    """``slicer.parameterNodeWrapper``."""
    module = types.ModuleType("slicer.parameterNodeWrapper")
    module.parameterNodeWrapper = _parameterNodeWrapper
    return module
