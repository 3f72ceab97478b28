"""Looking at a cine with its masks."""

from collections.abc import Iterator
from contextlib import contextmanager

import qt
import slicer
from slicer.i18n import tr as _

from AngioSegLib.panels.chart import BLUE, VERMILION, Chart, Curve
from AngioSegLib.panels.panel import Panel
from AngioSegLib.panels.subtractionView import SubtractionView
from AngioSegLib.panels.viewing import showCine, showVolume
from AngioSegLib.pictures import ppmBytes, thumbnail

__all__ = ["SeePanel"]

_PICTURE = 180
"""Pixels along the longer side of a key frame's picture."""


class SeePanel(Panel):
    """The section "See"."""

    def __init__(self, window):
        super().__init__(window)
        self._chart = Chart(self.ui.chartLabel, _("frame 0"), lambda frame: self.goTo(frame))
        self._drawn: tuple = ()
        self._pictured: list[tuple] = [(), ()]
        self._subtraction: SubtractionView | None = None
        self._timer = qt.QTimer()
        self._timer.timeout.connect(self._playOn)
        self.ui.playButton.toggled.connect(lambda: self._onPlay())
        self.ui.frameSlider.valueChanged.connect(lambda: self.goTo(self.ui.frameSlider.value))
        self.click(self.ui.previousKeyButton, lambda: self.goToKeyFrame(-1))
        self.click(self.ui.nextKeyButton, lambda: self.goToKeyFrame(1))
        self.click(self.ui.completeButton, lambda: self.goTo(self.reading.record.mostComplete()))
        self.click(self.ui.clearestButton, lambda: self.goTo(self.reading.record.clearest()))
        self.ui.fillCheck.toggled.connect(lambda: self._onOverlay())
        self.ui.outlineCheck.toggled.connect(lambda: self._onOverlay())
        self.ui.opacitySlider.valueChanged.connect(lambda: self._onOverlay())
        self.ui.subtractionCheck.toggled.connect(lambda: self.window.do(self._onSubtraction))

    def show(self) -> None:
        """Bring the cine on screen."""
        if self.reading is not None:
            showCine(self.reading.cine)

    def goTo(self, frame: int) -> None:
        """Show a frame."""
        if self.reading is not None and frame != self.reading.cine.currentFrame:
            self.reading.cine.goTo(frame)

    def step(self, by: int) -> None:
        """Show the next or previous frame; behind the last comes the first."""
        if self.reading is not None:
            self.goTo((self.reading.cine.currentFrame + by) % self.reading.cine.numFrames)

    def goToKeyFrame(self, step: int) -> None:
        """Show the next (1) or previous (-1) key frame."""
        if self.reading is not None:
            frame = self.reading.record.neighbour(self.reading.cine.currentFrame, step)
            if frame is not None:
                self.goTo(frame)

    def onFrame(self) -> None:
        """The user's frame may be another now."""
        if self._subtraction is not None and self.reading is not None:
            self._subtraction.follow()
        self._showFrame()

    def onCine(self) -> None:
        self.ui.playButton.checked = False
        if self._forgetSubtraction() and self.reading is not None:
            showVolume(self.reading.cine.proxy)
        for box, value in (
            (self.ui.fillCheck, self.parameters.showFill),
            (self.ui.outlineCheck, self.parameters.showOutline),
            (self.ui.subtractionCheck, False),
        ):
            box.blockSignals(True)
            box.checked = value
            box.blockSignals(False)
        self.ui.opacitySlider.blockSignals(True)
        self.ui.opacitySlider.value = round(100 * self.parameters.opacity)
        self.ui.opacitySlider.blockSignals(False)
        self.ui.frameSlider.blockSignals(True)
        self.ui.frameSlider.maximum = self.reading.cine.numFrames - 1 if self.reading else 0
        self.ui.frameSlider.blockSignals(False)
        self._applyOverlay()

    def refresh(self) -> None:
        ui, reading = self.ui, self.reading
        why = "" if reading else _("Choose a cine first.")
        record = reading.record if reading else None
        self.offer(ui.playButton, why, _("Play the cine with its masks, at its own speed."))
        self.offer(ui.frameSlider, why, _("The frame on screen. Keys: J and K step by one."))
        at = reading.cine.currentFrame if reading else 0
        for button, step, tip in (
            (ui.previousKeyButton, -1, _("Go to the key frame before this one. Key: Shift+J")),
            (ui.nextKeyButton, 1, _("Go to the key frame after this one. Key: Shift+K")),
        ):
            none = why or (
                _("There are none yet: segment the whole cine.")
                if not record.keyFrames
                else ""
                if record.neighbour(at, step) is not None
                else _("There is none in this direction.")
            )
            self.offer(button, none, tip)
        for box in (ui.fillCheck, ui.outlineCheck, ui.opacitySlider):
            self.offer(box, why, _("How the masks look."))
        tip = _("Show what the contrast changes: the frames before it are subtracted.")
        if self._subtraction is not None:
            tip += " " + _("Subtracted: frames {frames}.").format(frames=self._subtraction.before)
        self.offer(ui.subtractionCheck, why, tip)
        self._showFrame()
        self._showPictures()

    def close(self) -> None:
        """Stop playing."""
        self._timer.stop()
        self._forgetSubtraction()

    def _showFrame(self) -> None:
        ui, reading = self.ui, self.reading
        ui.chartLabel.visible = reading is not None
        if reading is None:
            ui.frameLabel.text, ui.keyFrameLabel.text = "", ""
            self._drawn = ()
            return
        at, last = reading.cine.currentFrame, reading.cine.numFrames - 1
        ui.frameSlider.blockSignals(True)
        ui.frameSlider.value = at
        ui.frameSlider.blockSignals(False)
        ui.frameLabel.text = _("frame {frame} (0 to {last})").format(frame=at, last=last)
        keys = {key["frame"]: (rank, key["why"]) for rank, key in enumerate(reading.record.keyFrames, start=1)}
        if at in keys:
            text = _("Key frame, rank {rank}. {why}").format(rank=keys[at][0], why=keys[at][1])
        elif keys:
            text = _("Key frames, best first: {frames}. Click into the chart to go to a frame.")
            text = text.format(frames=", ".join(str(frame) for frame in keys))
        else:
            text = _("Segment the whole cine to find its key frames.")
        ui.keyFrameLabel.text = text
        self._drawChart(at, last, list(keys))

    def _drawChart(self, at: int, last: int, keys: list[int]) -> None:
        measures = self.reading.record.measures
        drawn = (at, last, tuple(keys), tuple(m["length_px"] for m in measures.values()))
        if drawn != self._drawn:
            self._drawn = drawn
            length = {frame: measure["length_px"] for frame, measure in measures.items()}
            contrast = {frame: measure["contrast"] for frame, measure in measures.items()}
            most = max(length.values(), default=0), max(contrast.values(), default=0)
            curves = [
                Curve(_("length (up to {most:.0f} px)").format(most=most[0]), BLUE, length),
                Curve(_("contrast (up to {most:.1f})").format(most=most[1]), VERMILION, contrast, dashed=True),
            ]
            self._chart.draw(curves if measures else [], last, keys, at)

    # The key frames side by side.

    def _showPictures(self) -> None:
        ui, reading = self.ui, self.reading
        complete, clearest = (reading.record.mostComplete(), reading.record.clearest()) if reading else (None, None)
        # Before all is ranked, the clearest of some frames says nothing.
        clearest = None if complete is None else clearest
        both = complete is not None and complete == clearest
        drawn = self._showPicture(0, complete, ui.completeButton, ui.completeLabel, _both() if both else _complete())
        if drawn:
            # One at a time: two would keep the window still for too long.
            self.window.refreshSoon()
        else:
            self._showPicture(1, None if both else clearest, ui.clearestButton, ui.clearestLabel, _clearest())

    def _showPicture(self, place: int, frame: int | None, button, label, text: str) -> bool:
        """Show a frame's picture; whether it had to be drawn."""
        button.visible = label.visible = frame is not None
        if frame is None:
            return False
        label.text = text.format(frame=frame)
        cine, masks = self.reading.cine, self.reading.masks
        pictured = (cine.sequence.GetID(), cine.indexValue(frame), self.reading.states.digest(frame))
        if pictured == self._pictured[place]:
            return False
        self._pictured[place] = pictured
        pixmap = qt.QPixmap()
        pixmap.loadFromData(qt.QByteArray(ppmBytes(thumbnail(cine.frame(frame), masks.maskOf(frame), _PICTURE))))
        button.icon = qt.QIcon(pixmap)
        button.toolTip = _("Go to this frame.")
        return True

    # Overlay, subtraction, playing.

    def _onOverlay(self) -> None:
        self.parameters.showFill = self.ui.fillCheck.checked
        self.parameters.showOutline = self.ui.outlineCheck.checked
        self.parameters.opacity = self.ui.opacitySlider.value / 100
        self._applyOverlay()

    def _applyOverlay(self) -> None:
        if self.reading is not None and self.reading.masks.proxy is not None:
            display = self.reading.masks.proxy.GetDisplayNode()
            display.SetVisibility2DFill(self.parameters.showFill)
            display.SetVisibility2DOutline(self.parameters.showOutline)
            display.SetOpacity2DFill(self.parameters.opacity)

    def _onSubtraction(self) -> None:
        self._forgetSubtraction()
        if self.reading is not None:
            if self.ui.subtractionCheck.checked:
                self._subtraction = SubtractionView(self.reading)
            showVolume(self._subtraction.volume if self._subtraction else self.reading.cine.proxy)

    @contextmanager
    def cineOnScreen(self) -> Iterator[None]:
        """Show the cine, and not its subtraction, while the block runs: that is not saved with a scene."""
        subtraction = self._subtraction
        if subtraction is not None:
            showVolume(self.reading.cine.proxy)
        try:
            yield
        finally:
            if subtraction is not None:
                showVolume(subtraction.volume)

    def showIfBlack(self) -> None:
        """Show the cine where the view shows nothing, as it does in a scene that was saved with a subtraction."""
        view = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
        if self.reading is None or view is None:
            return
        if slicer.mrmlScene.GetNodeByID(view.GetBackgroundVolumeID() or "") is None:
            showVolume(self.reading.cine.proxy)

    def _forgetSubtraction(self) -> bool:
        """Whether there was one; without it the view shows nothing."""
        subtraction, self._subtraction = self._subtraction, None
        if subtraction is not None:
            subtraction.remove()
        return subtraction is not None

    def _onPlay(self) -> None:
        playing = self.ui.playButton.checked and self.reading is not None
        self.ui.playButton.text = _("Pause") if playing else _("Play")
        if playing:
            self._timer.interval = round(1000 / (self.reading.cine.browser.GetPlaybackRateFps() or 10))
            self._timer.start()
        else:
            self._timer.stop()
        self.window.refreshSoon()

    def _playOn(self) -> None:
        self.step(1)


def _complete() -> str:
    return _("Most complete: frame {frame}")


def _clearest() -> str:
    return _("Clearest: frame {frame}")


def _both() -> str:
    return _("Most complete and clearest: frame {frame}")
