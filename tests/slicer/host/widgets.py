"""Stand-ins for the widgets of ctk and of Slicer that AngioSeg uses."""

import numpy as np
import slicer
from AngioSegLib.images import fillImage
from PySide6 import QtCore, QtGui, QtWidgets

__all__ = ["CUSTOM_WIDGETS", "EDITOR_KEYS", "MessageBox", "qMRMLSegmentEditorWidget"]

EDITOR_KEYS = ("Space", "Esc", "Ctrl+Z", "Ctrl+Y", *"0123456789", *"QW/*,.<>ZYI", *(f"Shift+{n}" for n in range(10)))
"""What Slicer's qMRMLSegmentEditorWidget.cxx listens to in the main window."""


class ctkCollapsibleButton(QtWidgets.QFrame):
    """A titled section that folds."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self._head = QtWidgets.QToolButton(self)
        self._head.setToolButtonStyle(QtCore.Qt.ToolButtonTextBesideIcon)
        self._head.setStyleSheet(
            "font-weight: bold; border: none; text-align: left; padding: 3px; background: #dde3ea;"
        )
        self._head.clicked.connect(lambda: self._set(collapsed=not self._collapsed))
        self.setFrameShape(QtWidgets.QFrame.NoFrame)

    def resizeEvent(self, event):
        self._place()

    def showEvent(self, event):
        self._place()

    def _place(self):
        self._head.setGeometry(0, 0, self.width(), 24)
        if self.layout() is not None:
            self.layout().setContentsMargins(6, 30, 6, 6)
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget) and child is not self._head:
                if self._collapsed:
                    child.hide()
                elif child.property("foldedAway"):
                    child.show()
                child.setProperty("foldedAway", self._collapsed)
        self.setMaximumHeight(26 if self._collapsed else 16777215)
        self._head.setArrowType(QtCore.Qt.RightArrow if self._collapsed else QtCore.Qt.DownArrow)

    def _set(self, text=None, collapsed=None):
        self._text = self._text if text is None else text
        self._collapsed = self._collapsed if collapsed is None else collapsed
        self._head.setText(" " + self._text)
        self._place()

    text = QtCore.Property(str, lambda self: self._text, lambda self, value: self._set(text=value))
    collapsed = QtCore.Property(bool, lambda self: self._collapsed, lambda self, value: self._set(collapsed=value))


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """A list of the scene's nodes of given classes."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._scene, self._types, self._none, self._tags = None, [], "None", []
        self._slots, self._current = [], ""
        self._combo.activated.connect(self._onActivated)

    nodeTypes = QtCore.Property("QStringList", lambda s: s._types, lambda s, v: setattr(s, "_types", list(v)))
    noneDisplay = QtCore.Property(str, lambda s: s._none, lambda s, v: setattr(s, "_none", v))
    addEnabled = QtCore.Property(bool, lambda s: False, lambda s, v: None)
    removeEnabled = QtCore.Property(bool, lambda s: False, lambda s, v: None)
    renameEnabled = QtCore.Property(bool, lambda s: False, lambda s, v: None)
    noneEnabled = QtCore.Property(bool, lambda s: True, lambda s, v: None)

    def setMRMLScene(self, scene):
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
        self._tags = [scene.AddObserver(event, lambda *_: self._fill()) for event in events]
        self._fill()

    def connect(self, signal, slot):
        if signal != "currentNodeChanged(vtkMRMLNode*)":
            raise ValueError(f"qMRMLNodeComboBox has no signal {signal}")
        self._slots.append(slot)

    def currentNode(self):
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node):
        new = node.GetID() if node is not None else ""
        changed, self._current = new != self._current, new
        self._fill()
        if changed:
            self._tell()

    def names(self):
        """What the user can choose from."""
        return [self._combo.itemText(number) for number in range(1, self._combo.count())]

    def choose(self, name):
        """As the user does."""
        number = self._combo.findText(name)
        assert number >= 0, f"{name} is not among {self.names()}"
        self._combo.setCurrentIndex(number)
        self._onActivated(number)

    def _nodes(self):
        nodes = [self._scene.GetNthNode(n) for n in range(self._scene.GetNumberOfNodes())] if self._scene else []
        return [n for n in nodes if any(n.IsA(kind) for kind in self._types) and not n.GetHideFromEditors()]

    def _fill(self):
        nodes = self._nodes()
        ids = [node.GetID() for node in nodes]
        self._combo.clear()
        self._combo.addItem(self._none, "")
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        if self._current not in ids and self._current:
            self._current = ""
            self._tell()
        self._combo.setCurrentIndex(ids.index(self._current) + 1 if self._current in ids else 0)

    def _onActivated(self, number):
        chosen = self._combo.itemData(number)
        if chosen != self._current:
            self._current = chosen
            self._tell()

    def _tell(self):
        if not self.signalsBlocked():
            for slot in self._slots:
                slot(self.currentNode())


class qMRMLSegmentEditorWidget(QtWidgets.QFrame):
    """Paints and erases, as the Segment Editor does to a segmentation: that is all it has of it."""

    def __init__(self):
        super().__init__()
        self.segmentationNodeSelectorVisible = self.sourceVolumeNodeSelectorVisible = True
        self.switchToSegmentationsButtonVisible = self.unorderedEffectsVisible = True
        self.listens = self._readOnly = False
        self.activeEffect = None
        self._segmentation = self._volume = self._segmentId = self._node = None
        self._keys = []
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._layout = layout
        for name, slot in (
            ("AddSegment", self._onAddSegment),
            ("RemoveSegment", self._onRemoveSegment),
            ("Show3D", lambda: None),
            ("SpecifyGeometry", lambda: None),
        ):
            button = QtWidgets.QPushButton(name, self)
            button.setObjectName(f"{name}Button")
            button.clicked.connect(slot)
            layout.addWidget(button)

    def setMRMLScene(self, scene):
        assert scene is slicer.mrmlScene

    def setMRMLSegmentEditorNode(self, node):
        assert node is None or node.IsA("vtkMRMLSegmentEditorNode")
        self._node = node

    def _getReadOnly(self):
        return self._readOnly

    def _setReadOnly(self, readOnly):
        self._readOnly = readOnly
        if readOnly:
            self.setActiveEffect(None)

    readOnly = QtCore.Property(bool, _getReadOnly, _setReadOnly)

    def setSegmentationNode(self, node):
        assert node is None or node.IsA("vtkMRMLSegmentationNode")
        assert self._node is not None, "need to set segment editor node first"
        self._segmentation = node

    def segmentationNode(self):
        return self._segmentation

    def setSourceVolumeNode(self, node):
        self._volume = node

    def setMaximumNumberOfUndoStates(self, count):
        assert count >= 0

    def setupViewObservations(self):
        assert not self.listens, "it listens already"
        self.listens = True

    def installKeyboardShortcuts(self):
        main = slicer.util.mainWindow()
        self._keys = [QtGui.QShortcut(QtGui.QKeySequence(key), main) for key in EDITOR_KEYS]

    def setActiveEffect(self, effect):
        assert effect is None
        # As Slicer: without its node the widget lets go of nothing.
        if self._node is not None:
            self.activeEffect = None
            for button in self.findChildren(QtWidgets.QPushButton):
                button.setChecked(False)

    def uninstallKeyboardShortcuts(self):
        for key in self._keys:
            key.setParent(None)
            key.deleteLater()
        self._keys = []

    def removeViewObservations(self):
        self.listens = False

    def setCurrentSegmentID(self, segmentId):
        self._segmentId = segmentId

    def setAddRemoveSegmentButtonsVisible(self, visible):
        self._show(visible, "AddSegmentButton", "RemoveSegmentButton")

    def setShow3DButtonVisible(self, visible):
        self._show(visible, "Show3DButton")

    def setSpecifyGeometryButtonVisible(self, visible):
        self._show(visible, "SpecifyGeometryButton")

    def _show(self, visible, *names):
        for name in names:
            self.findChild(QtWidgets.QPushButton, name).setVisible(visible)

    def _onAddSegment(self):
        self._segmentId = self._segmentation.GetSegmentation().AddEmptySegment()

    def _onRemoveSegment(self):
        self._segmentation.GetSegmentation().RemoveSegment(self._segmentId)
        self._segmentId = None

    def setEffectNameOrder(self, names):
        for name in names:
            button = QtWidgets.QPushButton(name, self)
            button.setCheckable(True)
            button.clicked.connect(lambda checked, name=name: setattr(self, "activeEffect", name if checked else None))
            self._layout.addWidget(button)

    def paint(self, rows: slice, columns: slice, erase: bool = False):
        """A stroke on the frame on screen, over these pixels."""
        assert self.isEnabled(), "the editor is disabled"
        assert not self._readOnly, "the editor is read-only"
        assert self.listens, "another module is open"
        columnCount, rowCount, _ = self._volume.GetImageData().GetDimensions()
        stroke = np.zeros((rowCount, columnCount), np.uint8)
        stroke[rows, columns] = 1
        labelmap = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(self._volume)
        fillImage(labelmap, stroke)
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        if not erase:
            assert logic.SetBinaryLabelmapToSegment(labelmap, self._segmentation, self._segmentId, logic.MODE_MERGE_MAX)
            return
        present = slicer.vtkOrientedImageData()
        assert logic.GetSegmentBinaryLabelmapRepresentation(self._segmentation, self._segmentId, present) or True
        self._segmentation.GetBinaryLabelmapRepresentation(self._segmentId, present)
        whole = slicer.vtkOrientedImageData()
        resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
        resample(present, labelmap, whole)
        from AngioSegLib.images import arrayFromImage

        kept = arrayFromImage(whole).copy()
        kept[rows, columns] = 0
        fillImage(labelmap, kept.astype(np.uint8))
        assert logic.SetBinaryLabelmapToSegment(labelmap, self._segmentation, self._segmentId)


class MessageBox(QtWidgets.QWidget):
    """``ctk.ctkMessageBox``: answered by the test, which must have foreseen it."""

    dialogs = None

    def __init__(self, parent=None):
        super().__init__()
        self.text = self.detailedText = ""
        self.icon = self.standardButtons = None

    def exec_(self):
        return self.dialogs.answer(self.text, self.detailedText)


CUSTOM_WIDGETS = {"ctkCollapsibleButton": ctkCollapsibleButton, "qMRMLNodeComboBox": qMRMLNodeComboBox}
