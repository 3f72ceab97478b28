"""``qt`` as PythonQt has it, made of PySide6 with its properties read and written as attributes."""

import types
from pathlib import Path

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from shibokensupport import feature

__all__ = ["QtModule", "useProperties"]

_TRUE_PROPERTY = 0x02


def useProperties(names) -> None:
    """Let modules of these names read and write Qt's properties as attributes, as all do in PythonQt."""
    # What ``from __feature__ import true_property`` does in a module, less its search of all modules that are loaded:
    # that reads their sources, and fails on torch.
    feature._is_initialized = True
    feature.pyside_feature_dict.update(dict.fromkeys(names, _TRUE_PROPERTY))
    # The host itself speaks PySide's own way.
    own = [f"{__package__}.{path.stem}" for path in Path(__file__).parent.glob("*.py")]
    feature.pyside_feature_dict.update(dict.fromkeys(own, 0))
    QtCore.__init_feature__()


class QtModule(types.ModuleType):
    """Names of Qt's core, gui and widgets in one module, as in Slicer.

    Args:
        customWidgets: by name, what a .ui file may name besides Qt's own.
        dialogs: answers file dialogs; has ``answer(question)``.
        settings: a folder for QSettings.
    """

    def __init__(self, customWidgets: dict[str, type], dialogs, settings: str):
        super().__init__("qt")
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, settings)

        class Loader(QtUiTools.QUiLoader):
            def __init__(self):
                super().__init__()
                for widget in customWidgets.values():
                    self.registerCustomWidget(widget)

        class FileDialog:
            @staticmethod
            def getOpenFileName(parent=None, caption="", folder="", filters=""):
                return dialogs.answer(caption)

            @staticmethod
            def getExistingDirectory(parent=None, caption="", folder=""):
                return dialogs.answer(caption)

        def settingsOfUser():
            return QtCore.QSettings(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, "AngioSeg", "host")

        self.QUiLoader, self.QFileDialog, self.QSettings = Loader, FileDialog, settingsOfUser

    def __getattr__(self, name: str):
        for module in (QtCore, QtGui, QtWidgets):
            if name.startswith("Q") and hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"qt has no {name}")
