"""What happens to the whole scene: it is closed, and another one comes."""

from collections.abc import Callable

import slicer
from slicer.util import VTKObservationMixin

__all__ = ["SceneEvents"]


class SceneEvents(VTKObservationMixin):
    """Keeps the window with the scene that is open.

    Args:
        window: see :class:`~AngioSegLib.panels.window.Window`.
        leaving: asks about unsent work.
        getParameters: gives the parameter node of the scene that is open.
    """

    def __init__(self, window, leaving, getParameters: Callable):
        VTKObservationMixin.__init__(self)
        self._window = window
        self._leaving = leaving
        self._getParameters = getParameters
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onStartClose)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onOther)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onRemoved)
        # After the Segment Editor, which then takes what its hidden lists of nodes show.
        self.addObserver(scene, scene.EndBatchProcessEvent, self._onEndBatch, priority=-100.0)

    def close(self) -> None:
        """Watch no more."""
        self.removeObservers()

    def _onStartClose(self, caller, event) -> None:
        try:
            self._leaving.beforeSceneCloses()
        finally:
            self._window.forgetCines()

    def _onOther(self, caller, event) -> None:
        self._window.setParameters(self._getParameters())

    def _onRemoved(self, caller, event) -> None:
        if slicer.mrmlScene.IsClosing():
            return
        self._window.forgetCines()
        # Was it what shows the masks, Slicer makes another one when this event is over.
        self._window.refreshSoon()

    def _onEndBatch(self, caller, event) -> None:
        self._window.correct.hold()
