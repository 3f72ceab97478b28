"""Training the model on what was sent."""

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from AngioSegLib.panels.chart import BLUE, Chart, Curve
from AngioSegLib.panels.panel import Panel

__all__ = ["TrainPanel"]

_EVERY_MS = 1000
_TOLD_AFTER = 5
"""A gateway that hiccups for a moment worries nobody."""


class TrainPanel(Panel):
    """The lower part of the section "Active learning".

    Attributes:
        options: further parameters of ``POST /train/``, for scripts.
    """

    def __init__(self, window):
        super().__init__(window)
        self.options: dict = {}
        self._chart = Chart(self.ui.curveLabel, _("epoch 0"))
        self._training: dict | None = None
        self._dice: dict[int, float] = {}
        self._server = ""
        self._stopping = False
        self._failures = 0
        self._following = False
        self._timer = qt.QTimer()
        self._timer.interval = _EVERY_MS
        self._timer.timeout.connect(self._follow)
        self.click(self.ui.trainButton, self._start)
        self.click(self.ui.stopTrainingButton, self._stop)
        self.ui.epochsSpin.valueChanged.connect(lambda: self._onEpochs())

    @property
    def running(self) -> bool:
        """Whether the server is training, as far as is known."""
        return self._training is not None and self._training.get("status") == "RUNNING"

    def onServer(self) -> None:
        self._following = self._stopping = False
        if not self.connection.ready:
            return
        if self.connection.url != self._server:
            self._training, self._dice, self._server = None, {}, self.connection.url
        self._follow()

    def onCine(self) -> None:
        self.ui.epochsSpin.blockSignals(True)
        self.ui.epochsSpin.value = self.parameters.epochs
        self.ui.epochsSpin.blockSignals(False)

    def refresh(self) -> None:
        ui = self.ui
        why = "" if self.connection.ready else _("Connect to a server first.")
        if not why and not self.connection.names("trainers"):
            why = _("This server does not train.")
        running = _("A training is running.") if self.running else ""
        self.offer(ui.trainButton, why or running, _("Train the model on all frames that were sent to the server."))
        idle = "" if self.running else _("No training is running.")
        stopping = _("It is being stopped.") if self._stopping else ""
        self.offer(ui.stopTrainingButton, why or idle or stopping, _("Stop; the best model so far is kept."))
        progress = (self._training or {}).get("progress") or {}
        ui.trainingBar.visible = self._training is not None
        ui.trainingBar.maximum = max(int(progress.get("epochs", 1)), 1)
        ui.trainingBar.value = int(progress.get("epoch", 0))
        self.tell(ui.trainingLabel, self._told(progress))
        ui.curveLabel.visible = bool(self._dice)
        if self._dice:
            curve = Curve(
                _("validation Dice (up to {most:.2f})").format(most=max(self._dice.values())), BLUE, self._dice
            )
            self._chart.draw([curve], ui.trainingBar.maximum)

    def close(self) -> None:
        """Follow the training no more; it goes on."""
        self._timer.stop()

    def _onEpochs(self) -> None:
        self.parameters.epochs = self.ui.epochsSpin.value

    def _start(self) -> None:
        params = {**self.options, "max_epochs": self.ui.epochsSpin.value}
        self._dice = {}
        self._ask(lambda client: client.train(params), self._got, lambda error: self.window.say(str(error)))

    def _stop(self) -> None:
        self._stopping = True
        self._ask(lambda client: client.stopTraining(), lambda _nothing: self._follow(), self._notStopped)

    def _notStopped(self, error) -> None:
        self._stopping = False
        self.window.say(str(error))

    def _follow(self) -> None:
        if self.connection.client is not None and not self._following:
            self._following = True
            self._ask(lambda client: client.training(), self._followed, self._notFollowed)

    def _followed(self, training: dict | None) -> None:
        self._following, self._failures = False, 0
        self._got(training)

    def _notFollowed(self, error) -> None:
        self._following = False
        self._failures += 1
        if not self.running or self._failures == _TOLD_AFTER:
            self.window.say(str(error))

    def _ask(self, work, onDone, onError) -> None:
        asked = self.connection.client

        def heed(answer: Callable) -> Callable:
            # A server that is connected no more says nothing of the training of the one that is.
            return lambda value: answer(value) if self.connection.client is asked else None

        self.window.ask(work, heed(onDone), heed(onError))

    def _got(self, training: dict | None) -> None:
        if self.running and training is None:
            self.window.say(_("The server was started anew, and its training is lost. Train again."))
        ended = self.running and training is not None and training.get("status") != "RUNNING"
        self._training = training
        progress = (training or {}).get("progress") or {}
        if progress.get("val_dice") is not None:
            self._dice[int(progress["epoch"])] = float(progress["val_dice"])
        if self.running:
            self._timer.start()
            return
        self._timer.stop()
        self._stopping = False
        if ended and (training.get("result") or {}).get("better"):
            self.window.say(_("A new model is served: the next frames are segmented by it."))

    def _told(self, progress: dict) -> str:
        if self._training is None:
            return ""
        status, details = self._training.get("status"), self._training.get("details") or [""]
        result = self._training.get("result") or {}
        if status == "RUNNING":
            if not progress:
                return _("Training is starting ...")
            if not progress.get("epoch"):
                return _("The model in use is validated first ...")
            text = _("Epoch {epoch} of {total}").format(epoch=progress.get("epoch"), total=progress.get("epochs"))
            seconds = progress.get("seconds_left")
            return text + ("" if seconds is None else ", " + _("about {s:.0f} s left").format(s=seconds))
        if status == "ERROR":
            return _("Training failed: {line}").format(line=details[-1])
        dice = "" if result.get("dice") is None else " " + _("Validation Dice {dice:.3f}.").format(dice=result["dice"])
        if result.get("better"):
            return _("A new model is served.") + dice
        return _("Training ended; no better model came of it, and the old one stays.") + dice
