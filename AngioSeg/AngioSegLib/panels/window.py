"""The window as a whole: what its parts share, and when they are brought up to date."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from AngioSegLib.cine import CineSequence, cineFromNode
from AngioSegLib.client import Client
from AngioSegLib.connection import Connection
from AngioSegLib.errors import AngioSegLibError, CineUnusable
from AngioSegLib.panels.cinePanel import CinePanel
from AngioSegLib.panels.correctPanel import CorrectPanel
from AngioSegLib.panels.exportPanel import ExportPanel
from AngioSegLib.panels.learnPanel import LearnPanel
from AngioSegLib.panels.nextStep import nextStep
from AngioSegLib.panels.seePanel import SeePanel
from AngioSegLib.panels.segmentPanel import SegmentPanel
from AngioSegLib.panels.serverPanel import ServerPanel
from AngioSegLib.panels.trainPanel import TrainPanel
from AngioSegLib.reading import Reading
from AngioSegLib.segmentation import showOnly
from AngioSegLib.worker import Task, Worker

__all__ = ["Window"]

_POLL_MS = 10
_SOON_MS = 40


class Window(VTKObservationMixin):
    """Joins the widgets, the server and the scene.

    Args:
        ui: the widgets of ``AngioSeg.ui`` by name.
        parameters: the typed parameter node; replaced when the scene is.

    Attributes:
        connection: the server.
        background: computes what takes a while and needs no server.
        reading: the cine that the user works on, or None.
        message: what the user was told last.
    """

    def __init__(self, ui, parameters):
        VTKObservationMixin.__init__(self)
        self.ui = ui
        self.parameters = parameters
        self.connection = Connection()
        self.background = Worker()
        self.reading: Reading | None = None
        self.message = ""
        self._readings: dict[str, Reading] = {}
        self._proxies: tuple = ()
        self._pending = 0
        self._isSoon = False
        self._poll = qt.QTimer()
        self._poll.interval = _POLL_MS
        self._poll.timeout.connect(self._process)
        # Painting changes a mask many times a second.
        self._soon = qt.QTimer()
        self._soon.singleShot = True
        self._soon.interval = _SOON_MS
        self._soon.timeout.connect(self.refresh)
        self.server = ServerPanel(self)
        self.cine = CinePanel(self)
        self.segment = SegmentPanel(self)
        self.see = SeePanel(self)
        self.correct = CorrectPanel(self)
        self.learn = LearnPanel(self)
        self.train = TrainPanel(self)
        self.export = ExportPanel(self)
        self._panels = (
            self.server,
            self.cine,
            self.segment,
            self.see,
            self.correct,
            self.learn,
            self.train,
            self.export,
        )
        self.setParameters(parameters)

    def enter(self, parameters) -> None:
        """The module is opened: what is on screen stays, if it is still the cine worked on."""
        if self.reading is None or parameters.cine is not self.reading.cine.proxy:
            self.setParameters(parameters)
        self.correct.enter()

    def exit(self) -> None:
        """Another module is opened."""
        self.ui.playButton.checked = False
        self.correct.exit()

    def setParameters(self, parameters) -> None:
        """Use the parameters of the scene that is open now."""
        self.parameters = parameters
        for panel in self._panels:
            panel.parameters = parameters
        self.chooseNode(parameters.cine)
        self.see.showIfBlack()

    # The cine.

    def choose(self, cine: CineSequence) -> None:
        """Work on a cine, and show it."""
        self.chooseNode(cine.proxy)
        self.see.show()

    def chooseNode(self, node) -> None:
        """Work on the cine that a node belongs to, or on none; a node that is no cine is told."""
        self.removeObservers()
        self.reading = None
        if node is not None:
            try:
                self._open(cineFromNode(node))
            except CineUnusable as error:
                self.say(str(error))
        # The parameter node does not take a proxy that its scene has lost.
        self.parameters.cine = self.reading.cine.proxy if self.reading else None
        showOnly(self.reading.masks if self.reading else None, slicer.mrmlScene)
        for panel in self._panels:
            panel.onCine()
        self.refresh()

    def _open(self, cine: CineSequence) -> None:
        _lead(cine)
        known = self._readings.get(cine.sequence.GetID())
        same = known is not None and (known.cine.sequence, known.cine.browser) == (cine.sequence, cine.browser)
        if not same or not known.inScene:
            if known is not None:
                self._leave(known)
            known = self._readings[cine.sequence.GetID()] = Reading(cine, self.connection)
        self.reading, self._proxies = known, _proxies(known)
        for node in (known.cine.browser, known.cine.sequence, known.masks.proxy, known.masks.sequence):
            # Slicer makes no proxy anew while the sequence is empty.
            if node is not None:
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onChange)

    def forgetCines(self) -> None:
        """Cines, their masks or the whole scene are gone: nobody waits for their frames any more."""
        closing = slicer.mrmlScene.IsClosing()
        for id, reading in list(self._readings.items()):
            if closing or not reading.inScene:
                del self._readings[id]
                self._leave(reading)
                if not closing:
                    self.say(self._removed(reading))
        if self.reading is not None and self.reading not in self._readings.values():
            self.chooseNode(None)

    def _leave(self, reading: Reading) -> None:
        """Nobody works on a cine any more: its run ends, and the server that is connected may forget it."""
        reading.cancel()
        client = self.connection.client
        if client is not None:
            # After what is under way, which may be its upload. Whether it is done says nothing of how the server is.
            self.connection.ask(lambda: reading.uploaded.forget(client), lambda _: None, lambda _: None)
            self._poll.start()

    def _removed(self, reading: Reading) -> str:
        text = _("{name} was removed from the scene.").format(name=reading.cine.name)
        try:
            kept = self.correct.keep(reading)
        except AngioSegLibError as error:
            return f"{text} {error}"
        if kept:
            text += " " + _("Its {count} accepted frames go with the next Submit.").format(count=kept)
        return text

    def running(self) -> Reading | None:
        """The cine whose frames are being segmented, on screen or not."""
        return next((reading for reading in self._readings.values() if reading.running), None)

    def readings(self) -> list[Reading]:
        """All cines that were worked on and are still in the scene."""
        return [reading for reading in self._readings.values() if reading.inScene]

    # The server.

    def ask(self, work: Callable[[Client], Any], onDone: Callable[[Any], None], onError=None) -> Task:
        """Ask something of the server that is connected, without waiting for it.

        Args:
            work: gets that server; see :meth:`AngioSegLib.worker.Worker.ask`, here and below.
            onDone: gets what it returned.
            onError: gets what it raised; it is told when not given.
        """
        client = self.connection.client
        onError = onError or (lambda error: self.say(str(error)))
        task = self.connection.ask(lambda: work(client), onDone, onError, client)
        self.wait()
        return task

    def compute(self, work: Callable[[], Any], onDone: Callable[[Any], None]) -> None:
        """Have something computed without waiting for it, nor for the server."""
        self.background.ask(work, onDone, lambda error: self.say(str(error)))
        self.wait()

    def onServer(self) -> None:
        """A server answered, or the try to reach one failed."""
        for panel in self._panels:
            panel.onServer()

    def wait(self) -> None:
        """Hand over answers as they come, from now on."""
        self._poll.start()
        self.refresh()

    def do(self, action: Callable[[], None]) -> None:
        """Do what the user asked for, and tell what goes wrong."""
        self.message = ""
        try:
            with slicer.util.tryWithErrorDisplay(_("AngioSeg could not do this."), waitCursor=False):
                self._tell(action)
        finally:
            self.refresh()

    def say(self, text: str) -> None:
        """Tell the user something, at the top of the window."""
        self.message = text
        self.refreshSoon()

    def refreshSoon(self) -> None:
        """Bring all parts up to date in a moment, once for all that changes until then."""
        # What changes again and again, as a cine that plays, must not put it off for ever.
        if not self._isSoon:
            self._isSoon = True
            self._soon.start()

    def refresh(self) -> None:
        """Bring all parts up to date."""
        self._isSoon = False
        reading = self.reading
        if reading is not None and _proxies(reading) != self._proxies:
            # One was removed from the scene, and Slicer made another; or a frame was removed.
            self.chooseNode(reading.cine.proxy)
            self.see.showIfBlack()
            return
        for panel in self._panels:
            panel.refresh()
        self.ui.nextStepLabel.text = nextStep(self)

    def close(self) -> None:
        """The window goes; the server may finish what it is doing."""
        self.removeObservers()
        for panel in (self.see, self.correct, self.train):
            panel.close()
        for reading in self._readings.values():
            self._leave(reading)
        self._readings.clear()
        self._poll.stop()
        self._soon.stop()
        self.connection.close(0.0)
        self.background.close(0.0)

    @property
    def _waiting(self) -> int:
        """How many answers are still to come."""
        return self.connection.pending + self.background.pending

    def _process(self) -> None:
        try:
            with slicer.util.tryWithErrorDisplay(_("AngioSeg could not use the server's answer."), waitCursor=False):
                self._tell(self._handOver)
        finally:
            if not self._waiting:
                self._poll.stop()
            if self._waiting != self._pending or not self._waiting:
                self._pending = self._waiting
                self.refresh()

    def _handOver(self) -> None:
        self.connection.process()
        self.background.process()

    def _tell(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except AngioSegLibError as error:
            self.say(str(error))

    def _onChange(self, caller, event) -> None:
        if self.reading is not None and self.reading.cine.numFrames == self._proxies[-1]:
            self.see.onFrame()
        self.refreshSoon()


def _proxies(reading: Reading) -> tuple:
    """What shows the frame and its mask, and of how many frames: Slicer's Sequences module may remove some."""
    return reading.cine.proxy, reading.masks.proxy, reading.cine.numFrames


def _lead(cine: CineSequence) -> None:
    """Make the cine lead its browser: by a biplane partner's times, not all of its frames and masks can be reached."""
    if cine.browser.GetMasterSequenceNode() is not cine.sequence:
        frame = cine.currentFrame
        cine.browser.SetAndObserveMasterSequenceNodeID(cine.sequence.GetID())
        cine.browser.SetSelectedItemNumber(frame)
