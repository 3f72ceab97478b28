"""Nobody leaves unsent work behind unasked."""

import qt
import slicer
from slicer.i18n import tr as _

from AngioSegLib.errors import AngioSegLibError

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
        """Accepted frames of all cines in the scene that the server does not have."""
        return sum(len(reading.states.unsent()) for reading in self._window.readings())

    def mayQuit(self) -> bool:
        """Whether Slicer may be closed now."""
        count, kept = self.unsent(), self._window.correct.kept
        lost = []
        if count:
            lost.append(_("{count} accepted frames are not sent, and are lost unless the scene is saved."))
        if kept:
            lost.append(_("{kept} accepted frames of cines that were closed are not sent, and are lost."))
        if not lost:
            return True
        question = " ".join((*lost, _("Quit all the same?"))).format(count=count, kept=kept)
        return slicer.util.confirmYesNoDisplay(question, windowTitle="AngioSeg")

    def beforeSceneCloses(self) -> None:
        """The scene's end cannot be stopped, but what is in it can still be sent, or kept until it can be."""
        if not (count := self.unsent()):
            return
        ready, correct = self._window.connection.ready, self._window.correct
        if ready:
            question = _("{count} accepted frames are not sent. Send them before the scene is closed?")
        else:
            question = _(
                "{count} accepted frames are not sent, and no server is connected. Keep them, to be sent when one is?"
            )
        if slicer.util.confirmYesNoDisplay(question.format(count=count), windowTitle="AngioSeg"):
            for reading in self._window.readings():
                try:
                    (correct.send if ready else correct.keep)(reading)
                except AngioSegLibError as error:
                    # The others can still be saved.
                    self._window.say(str(error))

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
