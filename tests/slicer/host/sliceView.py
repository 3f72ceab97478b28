"""The slice view: Slicer's own slice logic, and the segmentations drawn over it as their display nodes say."""

import numpy as np
import slicer
import vtk
from AngioSegLib.images import arrayFromImage
from AngioSegLib.pictures import outline

__all__ = ["SliceView"]


class SliceView:
    """Draws one slice view off screen.

    Args:
        application: the scene's vtkMRMLApplicationLogic.
        size: (width, height) in pixels.
    """

    def __init__(self, application, size=(512, 512)):
        # The logics keep no reference of their own to it.
        self._application = application
        application.SetMRMLScene(slicer.mrmlScene)
        self._colours = slicer.vtkMRMLColorLogic()
        self._colours.SetMRMLApplicationLogic(application)
        self._colours.SetMRMLScene(slicer.mrmlScene)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self._size = size
        self._add()

    def _add(self):
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene)
        self.logic.AddSliceNode("Red")
        self.logic.GetSliceNode().SetDimensions(*self._size, 1)

    def close(self):
        """Before the scene goes."""
        for logic in (self.logic, self._colours, self._application):
            logic.SetMRMLScene(None)

    def picture(self) -> np.ndarray:
        """(height, width, 3) uint8 of what the user sees."""
        if slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode") == 0:
            self._add()
        seen = np.zeros((self._size[1], self._size[0], 3), np.float64)
        if self.logic.GetSliceCompositeNode().GetBackgroundVolumeID():
            producer = self.logic.GetImageDataConnection().GetProducer()
            producer.Update()
            seen = arrayFromImage(producer.GetOutput())[..., :3].astype(np.float64)
            for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
                self._overlay(seen, node)
        # Rows of a view count from the bottom.
        return np.rint(seen).astype(np.uint8)[::-1]

    def _overlay(self, seen: np.ndarray, node) -> None:
        display = node.GetDisplayNode()
        if display is None or not display.GetVisibility():
            return
        grid = slicer.vtkOrientedImageData()
        grid.SetDimensions(*self._size, 1)
        matrix = vtk.vtkMatrix4x4()
        matrix.DeepCopy(self.logic.GetSliceNode().GetXYToRAS())
        grid.SetGeometryFromImageToWorldMatrix(matrix)
        for segmentId in node.GetSegmentation().GetSegmentIDs():
            labelmap, onView = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
            if not node.GetBinaryLabelmapRepresentation(segmentId, labelmap):
                continue
            slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(labelmap, grid, onView)
            mask = arrayFromImage(onView) != 0
            colour = 255 * np.array(node.GetSegmentation().GetSegment(segmentId).GetColor())
            if display.GetVisibility2DFill():
                share = display.GetOpacity2DFill() * display.GetOpacity()
                seen[mask] = (1 - share) * seen[mask] + share * colour
            if display.GetVisibility2DOutline():
                share = display.GetOpacity2DOutline() * display.GetOpacity()
                edge = outline(mask)
                seen[edge] = (1 - share) * seen[edge] + share * colour
