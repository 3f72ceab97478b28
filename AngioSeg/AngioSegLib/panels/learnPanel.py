"""Which frame to label next."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from AngioSegLib.cine import CineSequence
from AngioSegLib.client import Client
from AngioSegLib.loading import cineFromNrrd, forgetImageId, imageIdOn
from AngioSegLib.nrrd import NrrdImage
from AngioSegLib.panels.panel import Panel
from AngioSegLib.panels.viewing import setWindow
from AngioSegLib.worker import Task

__all__ = ["LearnPanel"]


class LearnPanel(Panel):
    """The upper part of the section "Active learning"."""

    def __init__(self, window):
        super().__init__(window)
        self._labelled: dict[str, list[int]] = {}
        self._sample: dict | None = None
        self._noneLeft = False
        self._server = ""
        self._asking: Task | None = None
        self.click(self.ui.nextSampleButton, self.nextSample)
        self.click(self.ui.skipButton, self._skip)
        self.ui.strategyCombo.currentIndexChanged.connect(lambda: self._onStrategy())

    def nextSample(self) -> None:
        """Ask for the frame to label next; accepted frames that are not sent are asked about first."""
        # An answer that comes while the user is asked may change the cine on screen.
        reading = self.reading
        unsent = reading.states.unsent() if reading else []
        if unsent:
            question = _("{count} accepted frames of this cine are not sent. Send them first?").format(
                count=len(unsent)
            )
            if slicer.util.confirmYesNoDisplay(question, windowTitle="AngioSeg"):
                self.window.correct.submit(reading, then=self._ask)
                return
        self._ask()

    def askProgress(self) -> None:
        """Ask what is labelled so far."""
        asked = self.connection.client

        def got(labelled) -> None:
            if self.connection.client is asked:
                self._labelled = labelled

        if asked is not None:
            self.window.ask(lambda client: client.labelled(), got, lambda error: None)

    def onCine(self) -> None:
        # Another scene may want another strategy.
        if self.connection.ready:
            self._showStrategy()

    def onServer(self) -> None:
        # What was asked of another server, or of this one while it hung, is waited for no more.
        if self._asking is not None:
            self._asking.drop()
        self._asking = None
        if self.connection.ready and self.connection.url != self._server:
            self._server = self.connection.url
            self._sample, self._noneLeft, self._labelled = None, False, {}
        self._showStrategy()
        if self.connection.ready:
            self.askProgress()

    def _showStrategy(self) -> None:
        self.fill(self.ui.strategyCombo, self.connection.names("strategies"), self.parameters.strategy)
        self._onStrategy()

    def refresh(self) -> None:
        ui = self.ui
        why = "" if self.connection.ready else _("Connect to a server first.")
        if not why and not self.connection.names("strategies"):
            why = _("This server offers no strategies.")
        if self._asking:
            why = _("The server is choosing.")
        self.offer(ui.strategyCombo, why, self._about())
        self.offer(ui.nextSampleButton, why, _("Load the frame that teaches the model most. Key: Shift+N"))
        nothing = "" if self._sample else _("There is no sample to skip.")
        self.offer(ui.skipButton, why or nothing, _("Leave this frame and take another; it comes back in ten minutes."))
        self.tell(ui.whyLabel, self._why())
        self.tell(ui.labelledLabel, self._progress())

    def _why(self) -> str:
        if self._asking:
            return _("The server is choosing; the first time that takes a while.")
        if self._noneLeft:
            return _(
                "Every frame is labelled, or was given to somebody in the last ten minutes. Train, or add cines to the "
                "server's folder."
            )
        if self._sample:
            return _("Frame {frame} of {id}: {why}").format(**self._sample)
        return ""

    def _progress(self) -> str:
        if not self._labelled:
            return ""
        frames = sum(map(len, self._labelled.values()))
        done = sum(map(bool, self._labelled.values()))
        text = _("Labelled frames: {frames}, in {done} of {total} cines.")
        return text.format(frames=frames, done=done, total=len(self._labelled))

    def _about(self) -> str:
        strategy = self.connection.offer.get("strategies", {}).get(self.ui.strategyCombo.currentText, {})
        return strategy.get("description", _("How the next frame is chosen."))

    def _onStrategy(self) -> None:
        if self.ui.strategyCombo.currentText:
            self.parameters.strategy = self.ui.strategyCombo.currentText

    def _skip(self) -> None:
        self._sample = None
        self.nextSample()

    def _ask(self) -> None:
        strategy, server = self.ui.strategyCombo.currentText, self.connection.url

        def work(client: Client):
            sample = client.nextSample(strategy)
            return sample, client.image(sample["id"]) if sample else None

        self._noneLeft = False
        self._asking = self.window.ask(work, lambda answer: self._got(answer, server), self._failed)
        self.window.refreshSoon()

    def _inScene(self, imageId: str, image: NrrdImage, server: str) -> CineSequence | None:
        """The cine of that id that is here already; its pixels decide, for a server may have another folder by now."""
        for reading in self.window.readings():
            if imageIdOn(reading.cine, server) == imageId:
                if np.array_equal(reading.uploaded.take()[0], image.array):
                    return reading.cine
                forgetImageId(reading.cine)
        return None

    def _failed(self, error) -> None:
        self._asking = None
        self.window.say(str(error))

    def _got(self, answer, server: str) -> None:
        sample, image = answer
        self._asking = None
        self._sample, self._noneLeft = sample, sample is None
        if sample is None:
            return
        cine = self._inScene(sample["id"], image, server)
        if cine is None:
            cine = cineFromNrrd(image, sample["id"], server)
            setWindow(cine)
        self.window.choose(cine)
        if not 0 <= sample["frame"] < cine.numFrames:
            self.window.say(_("The server named frame {frame}, which the cine has not.").format(frame=sample["frame"]))
            return
        self.window.see.goTo(sample["frame"])
