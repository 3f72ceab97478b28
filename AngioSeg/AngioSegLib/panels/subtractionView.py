"""Digital subtraction on screen: a volume beside the cine that follows the frame the user looks at."""

import numpy as np
import slicer
import vtk

from AngioSegLib.images import fillImage
from AngioSegLib.reading import Reading
from AngioSegLib.subtraction import maskFrames, subtracted

__all__ = ["SubtractionView"]


class SubtractionView:
    """Makes the volume; nothing of it is saved with the scene.

    Args:
        reading: the cine.
    """

    def __init__(self, reading: Reading):
        cine = reading.cine
        areas = {frame: measure.get("area_px", 0) for frame, measure in reading.record.measures.items()}
        self.before = maskFrames(cine.numFrames, areas)
        self._cine = cine
        self._mean = np.mean([cine.frame(frame) for frame in self.before], axis=0)
        self.volume = slicer.vtkMRMLScalarVolumeNode()
        self.volume.SetName(f"{cine.name} subtracted")
        self.volume.SetSaveWithScene(False)
        self.volume.SetHideFromEditors(True)
        self.volume.CopyOrientation(cine.frameNode(0))
        self._image = vtk.vtkImageData()
        fillImage(self._image, self._at(cine.currentFrame))
        self.volume.SetAndObserveImageData(self._image)
        slicer.mrmlScene.AddNode(self.volume)
        self.volume.CreateDefaultDisplayNodes()
        display = self.volume.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.AutoWindowLevelOff()
        middle = self._at(reading.record.mostComplete() or cine.numFrames // 2)
        width = 2 * float(np.percentile(np.abs(middle), 99.5)) or 1.0
        display.SetWindowLevel(width, -width / 8)

    def follow(self) -> None:
        """Show the frame the user looks at."""
        fillImage(self._image, self._at(self._cine.currentFrame))
        self._image.Modified()

    def remove(self) -> None:
        """Take the volume out of the scene."""
        if self.volume.GetScene() is not None:
            display = self.volume.GetDisplayNode()
            slicer.mrmlScene.RemoveNode(self.volume)
            if display is not None and display.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(display)

    def _at(self, frame: int) -> np.ndarray:
        return subtracted(self._cine.frame(frame), self._mean)
