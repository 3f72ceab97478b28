"""How Slicer shows a cine: one view, upright, all of the frame in it."""

import numpy as np
import slicer

from AngioSegLib.cine import CineSequence
from AngioSegLib.pictures import greyWindow

__all__ = ["setWindow", "showCine", "showVolume"]

_LOOKED_AT = 8


def showCine(cine: CineSequence) -> None:
    """Show a cine in one slice view."""
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    # Turned otherwise, the one slice of a cine is a line.
    slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode").SetOrientation("Axial")
    showVolume(cine.proxy, fit=True)


def showVolume(volume, fit: bool = False) -> None:
    """Show a volume behind the masks."""
    slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=fit)


def setWindow(cine: CineSequence) -> None:
    """Choose grey levels for a cine that brings none along."""
    display = cine.proxy.GetDisplayNode()
    some = np.unique(np.linspace(0, cine.numFrames - 1, _LOOKED_AT).round().astype(int))
    low, high = greyWindow(np.stack([cine.frame(int(frame)) for frame in some]))
    display.AutoWindowLevelOff()
    display.SetWindowLevel(high - low, (high + low) / 2)
