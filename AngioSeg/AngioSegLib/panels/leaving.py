"""Nobody leaves unsent work behind unasked."""

import qt
import slicer
from slicer.i18n import tr as _

__all__ = ["Leaving"]


class Leaving:
    """Asks when Slicer is closed, and offers to send when the scene is.

    Args:
        window: see :class:`~AngioSegLib.panels.window.Window`.
    """

    def __init__(self, window):
        self._window = window
        self._filter = _CloseFilter(self.mayQuit)
        self._main = slicer.util.mainWindow()
        if self._main is not None:
            self._main.installEventFilter(self._filter)

    def unsent(self) -> int:
        """Accepted frames of all cines that the server does not have."""
        return sum(len(reading.states.unsent()) for reading in self._window.readings())

    def mayQuit(self) -> bool:
        """Whether Slicer may be closed now."""
        count = self.unsent()
        if not count:
            return True
        question = _("{count} accepted frames are not sent, and are lost unless the scene is saved. Quit all the same?")
        return slicer.util.confirmYesNoDisplay(question.format(count=count), windowTitle="AngioSeg")

    def beforeSceneCloses(self) -> None:
        """The scene's end cannot be stopped, but what is in it can still be sent."""
        count = self.unsent()
        if not count or not self._window.connection.ready:
            return
        question = _("{count} accepted frames are not sent. Send them before the scene is closed?").format(count=count)
        if slicer.util.confirmYesNoDisplay(question, windowTitle="AngioSeg"):
            for reading in self._window.readings():
                if reading.states.unsent():
                    self._window.correct.submit(reading)

    def close(self) -> None:
        """Ask no more."""
        if self._main is not None:
            self._main.removeEventFilter(self._filter)


class _CloseFilter(qt.QObject):
    def __init__(self, mayQuit):
        qt.QObject.__init__(self)
        self._mayQuit = mayQuit

    def eventFilter(self, watched, event) -> bool:
        if event.type() == qt.QEvent.Close and not self._mayQuit():
            event.ignore()
            return True
        return False
