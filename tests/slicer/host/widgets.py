"""Stand-ins for the widgets of ctk and of Slicer that AngioSeg uses."""

import numpy as np
import slicer
from AngioSegLib.images import fillImage
from PySide6 import QtCore, QtGui, QtWidgets

__all__ = ["CUSTOM_WIDGETS", "EDITOR_KEYS", "MessageBox", "qMRMLSegmentEditorWidget"]

EDITOR_KEYS = ("Space", "Esc", "Ctrl+Z", "Ctrl+Y", *"0123456789", *"QW/*,.<>ZYI", *(f"Shift+{n}" for n in range(10)))
"""What Slicer's qMRMLSegmentEditorWidget.cxx listens to in the main window."""


_CHANGED, _ACTIVATED = "currentNodeChanged(vtkMRMLNode*)", "nodeActivated(vtkMRMLNode*)"


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
    """A list of the scene's nodes of given classes.

    As Slicer's it shows another node by itself where its own is gone, and "None" when a scene comes.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._scene, self._types, self._none, self._tags = None, [], "None", []
        self._slots, self._current = {_CHANGED: [], _ACTIVATED: []}, ""
        self._combo.activated.connect(self._onActivated)

    nodeTypes = QtCore.Property("QStringList", lambda s: s._types, lambda s, v: setattr(s, "_types", list(v)))
    noneDisplay = QtCore.Property(str, lambda s: s._none, lambda s, v: setattr(s, "_none", v))
    addEnabled = QtCore.Property(bool, lambda s: False, lambda s, v: None)
    removeEnabled = QtCore.Property(bool, lambda s: False, lambda s, v: None)
    renameEnabled = QtCore.Property(bool, lambda s: False, lambda s, v: None)
    noneEnabled = QtCore.Property(bool, lambda s: True, lambda s, v: None)

    def setMRMLScene(self, scene):
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
        self._tags = [scene.AddObserver(event, lambda *_: self._fill()) for event in events]
        self._tags.append(scene.AddObserver(scene.EndImportEvent, lambda *_: self.setCurrentNode(None)))
        self._fill()

    def connect(self, signal, slot):
        self._slots[signal].append(slot)

    def currentNode(self):
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node):
        new = node.GetID() if node is not None else ""
        changed, self._current = new != self._current, new
        self._fill()
        if changed:
            self._tell(_CHANGED)

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
            # Qt chooses the neighbour of a row that goes.
            self._current = ids[0] if ids else ""
            self._tell(_CHANGED)
        self._combo.setCurrentIndex(ids.index(self._current) + 1 if self._current in ids else 0)

    def _onActivated(self, number):
        chosen = self._combo.itemData(number)
        if chosen != self._current:
            self._current = chosen
            self._tell(_CHANGED)
        self._tell(_ACTIVATED)

    def _tell(self, signal):
        if not self.signalsBlocked():
            for slot in self._slots[signal]:
                slot(self.currentNode())


class qMRMLSegmentEditorWidget(QtWidgets.QFrame):
    """Paints and erases, as the Segment Editor does to a segmentation: that is all it has of it.

    What it edits stands in its node. As Slicer's it forgets the segment when that goes, and after a batch (a scene that
    came) it takes what its hidden lists of nodes show.
    """

    def __init__(self):
        super().__init__()
        self.segmentationNodeSelectorVisible = self.sourceVolumeNodeSelectorVisible = True
        self.switchToSegmentationsButtonVisible = self.unorderedEffectsVisible = True
        self.autoShowSourceVolumeNode = True
        self.listens = self._readOnly = False
        self.activeEffect = self._node = None
        self._listed = (None, None)
        self._watched = (None, 0)
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
        scene.AddObserver(scene.EndImportEvent, lambda *_: self._list(rebuilt=True))
        scene.AddObserver(scene.EndBatchProcessEvent, lambda *_: self._onEndBatch())

    def setMRMLSegmentEditorNode(self, node):
        assert node is None or node.IsA("vtkMRMLSegmentEditorNode")
        self._node = node

    def _list(self, rebuilt=False):
        """Bring the lists of nodes up to date: a list without "None" shows the first."""
        if rebuilt:
            segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            self._listed = (segmentations[0] if segmentations else None, None)
        elif not slicer.mrmlScene.IsBatchProcessing():
            self._listed = (self.segmentationNode(), self._volume())

    def _onEndBatch(self):
        if self._node is not None:
            segmentation, volume = self._listed
            if segmentation is not self.segmentationNode():
                self.setSegmentationNode(segmentation)
            if volume is not self._volume():
                self.setSourceVolumeNode(volume)

    def _volume(self):
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def _onSegmentation(self, segmentation):
        if self._node is not None and segmentation.GetSegmentation().GetSegmentIndex(self.currentSegmentID()) < 0:
            self.setCurrentSegmentID("")

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
        if node is self.segmentationNode():
            return
        watched, tag = self._watched
        if watched is not None:
            watched.RemoveObserver(tag)
        self._node.SetAndObserveSegmentationNode(node)
        tag = node.AddObserver("ModifiedEvent", lambda *_: self._onSegmentation(node)) if node is not None else 0
        self._watched = (node, tag)
        self.setActiveEffect(None)
        self._list()

    def segmentationNode(self):
        return self._node.GetSegmentationNode() if self._node is not None else None

    def setSourceVolumeNode(self, node):
        self._node.SetAndObserveSourceVolumeNode(node)
        self._list()

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
        self._node.SetSelectedSegmentID(segmentId)

    def currentSegmentID(self):
        return self._node.GetSelectedSegmentID() or ""

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
        self.setCurrentSegmentID(self.segmentationNode().GetSegmentation().AddEmptySegment())

    def _onRemoveSegment(self):
        self.segmentationNode().GetSegmentation().RemoveSegment(self.currentSegmentID())

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
        segmentation, volume, segmentId = self.segmentationNode(), self._volume(), self.currentSegmentID()
        assert volume is not None, "no volume is chosen, and all effects are disabled"
        assert segmentId, "no segment is selected, and all effects are disabled"
        columnCount, rowCount, _ = volume.GetImageData().GetDimensions()
        stroke = np.zeros((rowCount, columnCount), np.uint8)
        stroke[rows, columns] = 1
        labelmap = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode(volume)
        fillImage(labelmap, stroke)
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        if not erase:
            assert logic.SetBinaryLabelmapToSegment(labelmap, segmentation, segmentId, logic.MODE_MERGE_MAX)
            return
        present = slicer.vtkOrientedImageData()
        assert logic.GetSegmentBinaryLabelmapRepresentation(segmentation, segmentId, present) or True
        segmentation.GetBinaryLabelmapRepresentation(segmentId, present)
        whole = slicer.vtkOrientedImageData()
        resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
        resample(present, labelmap, whole)
        from AngioSegLib.images import arrayFromImage

        kept = arrayFromImage(whole).copy()
        kept[rows, columns] = 0
        fillImage(labelmap, kept.astype(np.uint8))
        assert logic.SetBinaryLabelmapToSegment(labelmap, segmentation, segmentId)


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
