"""The AngioSeg module of 3D Slicer: a shell around AngioSegLib.

It was built and is tested without the 3D Slicer program: on Slicer's own MRML library (``slicer-core``), and in real Qt
under a small host. README.md beside this file says what is left to check in the program itself.
"""

import numpy as np
import slicer
from AngioSegLib import Client, ClipSegmenter, cineFromNode, createCine, createSegmentation, segmentationOfCine
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class AngioSeg(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("AngioSeg")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        parent.dependencies = ["Sequences", "Segmentations", "SegmentEditor"]
        parent.contributors = ["AngioSeg contributors"]
        parent.helpText = _(
            "Segments the coronary arteries in X-ray angiography cines, on an AngioSeg server that is started with "
            "<code>angioseg serve</code>. Connect, choose a cine, press <b>Whole cine</b>, go to a key frame, correct "
            "it, accept it. Research and education only; not a medical device. "
            '<a href="https://github.com/AngioSeg/AngioSeg/blob/main/AngioSeg/README.md">How to use it</a>.'
        )
        parent.acknowledgementText = _(
            "The network follows CE-Net 3D2D; the server is MONAI Label; the images are shown by 3D Slicer's Sequences."
        )


@parameterNodeWrapper
class AngioSegParameters:
    """What a saved scene brings back, beside the cines and their masks.

    Attributes:
        cine: the volume that shows the cine worked on.
        model: the server's model.
        firstFrame, lastFrame: the range to segment.
        showFill, showOutline, opacity: how masks look.
        strategy: how the next frame to label is chosen.
        epochs: of a training.
    """

    cine: vtkMRMLScalarVolumeNode
    model: str = "angioseg"
    firstFrame: int = 0
    lastFrame: int = 0
    showFill: bool = True
    showOutline: bool = True
    opacity: float = 0.35
    strategy: str = "cine"
    epochs: int = 20


class AngioSegWidget(ScriptedLoadableModuleWidget):
    """The window: see :mod:`AngioSegLib.panels`."""

    def __init__(self, parent=None):
        # Without a parent the next line sets the window up at once.
        self.window = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        from AngioSegLib.panels.leaving import Leaving
        from AngioSegLib.panels.sceneEvents import SceneEvents
        from AngioSegLib.panels.shortcuts import Shortcuts
        from AngioSegLib.panels.window import Window

        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/AngioSeg.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self.logic = AngioSegLogic()
        self.window = Window(self.ui, self.logic.getParameterNode())
        self.leaving = Leaving(self.window)
        self.shortcuts = Shortcuts(self.window)
        self.sceneEvents = SceneEvents(self.window, self.leaving, self.logic.getParameterNode)
        # A reload sets up the window of a module that is open, and does not enter it.
        if getattr(self.parent, "isEntered", False):
            self.enter()

    def enter(self):
        self.window.enter(self.logic.getParameterNode())
        self.shortcuts.enable()

    def exit(self):
        self.window.exit()
        self.shortcuts.disable()

    def cleanup(self):
        if self.window is None:
            return  # a set-up that failed
        self.exit()
        self.sceneEvents.close()
        self.leaving.close()
        self.window.close()


class AngioSegLogic(ScriptedLoadableModuleLogic):
    """The module's work, for scripts: ``slicer.util.getModuleLogic("AngioSeg")`` or ``AngioSegLogic()``."""

    def getParameterNode(self):
        """The typed parameter node of the scene that is open."""
        return AngioSegParameters(ScriptedLoadableModuleLogic.getParameterNode(self))

    def segmenter(self, node, url: str, chunkSize: int = 8, token: str = "") -> ClipSegmenter:
        """Prepare to segment a cine of the scene.

        Args:
            node: the cine's volume, sequence or browser.
            url: the server's address.
            chunkSize: frames asked for at a time.
            token: the server's token or a user's password; "" when it asks for none.

        Returns:
            A segmenter: ``start()`` it and call ``process()`` by a timer, or ``run()`` it in a script.

        Raises:
            AngioSegLibError: when the node is no cine, or the address none.
        """
        cine = cineFromNode(node)
        masks = segmentationOfCine(cine) or createSegmentation(cine)
        return ClipSegmenter(cine, Client(url, token=token), masks, chunkSize)


class AngioSegTest(ScriptedLoadableModuleTest):
    """What Slicer's Reload and Test, and the build's test, run; it needs no server."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_masksStayWithTheirFrames()

    def test_masksStayWithTheirFrames(self):
        frames = np.arange(4 * 6 * 8, dtype=np.uint8).reshape(4, 6, 8)
        cine = createCine(frames, [0.0, 66.7, 133.4, 200.1])
        masks = createSegmentation(cine)
        masks.setMask([0, 2], np.stack([np.zeros((6, 8)), frames[2] > 100]))
        for frame in range(4):
            cine.browser.SetSelectedItemNumber(frame)
            self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(cine.proxy)[0], frames[frame]))
        self.assertEqual(masks.segmentedFrames(), [0, 2])
        self.assertTrue(np.array_equal(masks.mask()[2], frames[2] > 100))
