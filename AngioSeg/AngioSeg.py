"""The AngioSeg module of 3D Slicer.

It has no window yet and is hidden; what it can do is called from Slicer's Python console or a script, through
:class:`AngioSegLogic`. Its library, AngioSegLib, is tested on Slicer's own MRML library (``slicer-core``); this file,
and the test that Slicer discovers in it, were never run in the 3D Slicer program itself.
"""

import numpy as np
import slicer
from AngioSegLib import Client, ClipSegmenter, cineFromNode, createCine, createSegmentation, segmentationOfCine
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


class AngioSeg(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "AngioSeg"
        parent.categories = ["Cardiac"]
        parent.dependencies = ["Sequences", "Segmentations"]
        parent.contributors = ["AngioSeg contributors"]
        parent.helpText = (
            "Segments the coronary arteries in X-ray angiography cines, on an AngioSeg server. "
            "The server is started with <code>angioseg serve</code>."
        )
        parent.acknowledgementText = (
            "The network follows CE-Net 3D2D; the server is MONAI Label; the images are shown by 3D Slicer's Sequences."
        )
        parent.hidden = True


class AngioSegLogic(ScriptedLoadableModuleLogic):
    """The module's work, for scripts: ``slicer.util.getModuleLogic`` or ``AngioSegLogic()``."""

    def segmenter(self, node, url: str, chunkSize: int = 8) -> ClipSegmenter:
        """Prepare to segment a cine of the scene.

        Args:
            node: the cine's volume, sequence or browser.
            url: the server's address.
            chunkSize: frames asked for at a time.

        Returns:
            A segmenter: ``start()`` it and call ``process()`` by a timer, or ``run()`` it in a script.

        Raises:
            AngioSegLibError: when the node is no cine, or the address none.
        """
        cine = cineFromNode(node)
        masks = segmentationOfCine(cine) or createSegmentation(cine)
        return ClipSegmenter(cine, Client(url), masks, chunkSize)


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
