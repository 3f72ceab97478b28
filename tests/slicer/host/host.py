"""The host as a whole."""

import contextlib
import importlib.util
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import slicer
import vtk
from AngioSegLib import scene as sceneLibrary
from PySide6 import QtCore, QtGui, QtWidgets

from .qtModule import QtModule, useProperties
from .scripted import parameterNodeWrapperModule, scriptedModule
from .sliceView import SliceView
from .widgets import CUSTOM_WIDGETS, MessageBox, qMRMLSegmentEditorWidget

__all__ = ["Host", "reading", "says", "segmentAll"]

FOLDER = Path(sceneLibrary.__file__).resolve().parents[1]


class Dialogs:
    """Answers questions as the test foresaw; any other question is a failure."""

    def __init__(self):
        self.foreseen: list[tuple[str, object]] = []
        self.asked: list[str] = []

    def foresee(self, words: str, answer) -> None:
        """The next question contains ``words`` and is answered so; a function is what happens until the answer."""
        self.foreseen.append((words, answer))

    def answer(self, text: str, detail: str = ""):
        self.asked.append(text)
        assert self.foreseen, f"nobody foresaw: {text}\n{detail}"
        words, answer = self.foreseen.pop(0)
        assert words in text, f"foreseen was {words!r}, asked was {text!r}\n{detail}"
        return answer() if callable(answer) else answer


class LayoutManager:
    """``slicer.app.layoutManager()``."""

    def __init__(self, view: SliceView):
        self._view = view
        self.layout = None

    def setLayout(self, number):
        self.layout = int(number)

    def mrmlSliceLogics(self):
        logics = vtk.vtkCollection()
        logics.AddItem(self._view.logic)
        return logics


class Application:
    """``slicer.app``."""

    applicationName = "Slicer"

    def __init__(self, main, manager):
        self._main = main
        self._manager = manager

    def testingEnabled(self):
        return False

    def layoutManager(self):
        return self._manager

    def topLevelWidgets(self):
        return [self._main]


class ModulePanel(QtWidgets.QWidget):
    """The qSlicerScriptedLoadableModuleWidget that a module's widget is in."""

    isEntered = False


class Host:
    """Slicer, as far as AngioSeg sees it.

    Attributes:
        dialogs: what the user answers.
        widget: the module's ``AngioSegWidget``, after :meth:`open`.
        ui: its widgets by name.
    """

    def __init__(self, patch, settings: Path):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        self.qapplication = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["host"])
        self.qapplication.setStyle("Fusion")
        self.dialogs = Dialogs()
        MessageBox.dialogs = self.dialogs
        self.main = QtWidgets.QMainWindow()
        self.main.setObjectName("qSlicerMainWindow")
        self.main.resize(980, 860)
        self.view = SliceView(slicer.vtkMRMLApplicationLogic(), (460, 460))
        self.manager = LayoutManager(self.view)
        ctk = types.ModuleType("ctk")
        ctk.ctkMessageBox = MessageBox
        i18n = types.ModuleType("slicer.i18n")
        i18n.tr = lambda text: text
        i18n.translate = lambda context, text: text
        modules = {
            "qt": QtModule(CUSTOM_WIDGETS, self.dialogs, str(settings)),
            "ctk": ctk,
            "slicer.i18n": i18n,
            "slicer.ScriptedLoadableModule": scriptedModule(FOLDER),
            "slicer.parameterNodeWrapper": parameterNodeWrapperModule(),
        }
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        for name in [name for name in sys.modules if name.startswith("AngioSegLib.panels")]:
            patch.delitem(sys.modules, name)
        panels = [f"AngioSegLib.panels.{path.stem}" for path in FOLDER.glob("AngioSegLib/panels/*.py")]
        useProperties(["AngioSeg", "slicer.util", *panels])
        patch.setattr(slicer, "app", Application(self.main, self.manager), raising=False)
        patch.setattr(slicer, "qMRMLSegmentEditorWidget", qMRMLSegmentEditorWidget, raising=False)
        patch.setattr(slicer.util, "childWidgetVariables", _byName)
        patch.setattr(slicer.util, "saveScene", lambda path: slicer.mrmlScene.WriteToMRB(path))
        self.widget = None
        self._hidden: list[QtWidgets.QWidget] = []
        # Qt calls Python and does not pass on what it raises.
        self._faults: list[BaseException] = []
        patch.setattr(sys, "excepthook", lambda kind, fault, trace: self._faults.append(fault))
        patch.setattr(sys, "unraisablehook", lambda told: self._faults.append(told.exc_value))

    def open(self) -> None:
        """Open the module, as the user does."""
        spec = importlib.util.spec_from_file_location("AngioSeg", FOLDER / "AngioSeg.py")
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.picture = QtWidgets.QLabel()
        self.picture.setFixedSize(464, 464)
        self.picture.setStyleSheet("background: black;")
        panel = ModulePanel()
        scroll = QtWidgets.QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(panel)
        scroll.setFixedWidth(500)
        central = QtWidgets.QWidget()
        layout = QtWidgets.QHBoxLayout(central)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(scroll)
        layout.addWidget(self.picture)
        self.main.setCentralWidget(central)
        self.scroll = scroll
        self.widget = self.module.AngioSegWidget(panel)
        self.widget.setup()
        panel.isEntered = True
        self.widget.enter()
        self.ui = self.widget.ui
        self.main.show()
        self.turn()

    def reload(self) -> None:
        """As the developer's *Reload* does, which neither exits nor enters the module, and hides what was there."""
        self.widget.cleanup()
        self._hidden.append(self.scroll.takeWidget())
        panel = ModulePanel()
        panel.isEntered = True
        self.scroll.setWidget(panel)
        self.widget = self.module.AngioSegWidget(panel)
        self.widget.setup()
        self.ui = self.widget.ui
        self.turn()

    def close(self) -> None:
        """Leave the module and the program."""
        if self.widget is not None:
            self.widget.exit()
            self.widget.cleanup()
            self.widget = None
        self.view.close()
        self.main.hide()
        self.main.deleteLater()
        self.turn()
        # No event loop of its own deletes it.
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)

    def turn(self) -> None:
        """One turn of the event loop."""
        self.qapplication.processEvents(QtCore.QEventLoop.AllEvents, 20)
        if self._faults:
            raise self._faults.pop(0)

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let the program run until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain; the window says: {self.ui.nextStepLabel.text()}"
            self.turn()
            time.sleep(0.002)

    def press(self, name: str) -> None:
        """Press a button; one that cannot be pressed is a failure, with its reason."""
        button = getattr(self.ui, name)
        assert button.isEnabled(), f"{name} is disabled: {button.toolTip()}"
        button.click()
        self.turn()

    def connect(self, url: str) -> None:
        """Give a server's address, and connect to it."""
        self.ui.addressEdit.setText(url)
        self.press("connectButton")
        self.idle()
        assert self.ui.serverStateLabel.text() == "● Connected, ready"

    def why(self, name: str) -> str:
        """Why a widget is disabled."""
        widget = getattr(self.ui, name)
        assert not widget.isEnabled(), f"{name} is enabled"
        reason = widget.toolTip().split("\n")
        assert len(reason) == 2, f"{name} does not say why: {widget.toolTip()}"
        return reason[1]

    def idle(self) -> None:
        """Let the program run until nothing is asked of the server any more, or computed."""
        window = self.widget.window
        self.until(lambda: not window.connection.busy and not window.background.busy)
        self.look()

    def look(self) -> None:
        """Let the program run for as long as the window takes to be up to date."""
        for _ in range(4):
            time.sleep(0.02)
            self.turn()

    def key(self, sequence: str) -> None:
        """Press a key."""
        found = [s for s in self.main.findChildren(QtGui.QShortcut) if s.key().toString() == sequence]
        assert found, f"{sequence} is no key here"
        assert len(found) == 1, f"{len(found)} want {sequence}, and Qt gives it to none of them"
        found[0].activated.emit()
        self.turn()

    def grab(self, path: Path, section: str | None = None) -> Path:
        """Take a picture of the whole program, scrolled to a section."""
        self.turn()
        seen = self.view.picture()
        image = QtGui.QImage(
            seen.tobytes(), seen.shape[1], seen.shape[0], 3 * seen.shape[1], QtGui.QImage.Format_RGB888
        )
        self.picture.setPixmap(QtGui.QPixmap.fromImage(image))
        for _ in range(3):
            self.turn()
        if section is not None:
            widget = getattr(self.ui, section)
            top = widget.mapTo(self.scroll.widget(), QtCore.QPoint(0, 0)).y()
            self.scroll.verticalScrollBar().setValue(max(0, top - 4))
        self.turn()
        with contextlib.suppress(OSError):
            path.unlink()
        assert self.main.grab().save(str(path))
        return path


def reading(host: Host):
    """The cine that the user works on."""
    return host.widget.window.reading


def says(host: Host, words: str) -> None:
    """At its top the window says these words."""
    assert words in host.ui.nextStepLabel.text(), host.ui.nextStepLabel.text()


def segmentAll(host: Host) -> None:
    """Segment the whole cine."""
    host.press("allButton")
    host.idle()
    assert host.ui.progressLabel.text().startswith(f"{reading(host).cine.numFrames} frames segmented.")


def _byName(widget):
    """`slicer.util.childWidgetVariables`: PythonQt's ``name`` is Qt's ``objectName``."""
    found = widget.findChildren(QtWidgets.QWidget)
    return types.SimpleNamespace(**{child.objectName(): child for child in found if child.objectName().isidentifier()})
