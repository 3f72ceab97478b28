"""Segmenting frames, and what stops, goes on with or undoes it."""

import time

import slicer
from slicer.i18n import tr as _

from AngioSegLib.panels.panel import Panel

__all__ = ["SegmentPanel"]


class SegmentPanel(Panel):
    """The section "Segment"."""

    def __init__(self, window):
        super().__init__(window)
        self._started = 0.0
        self.click(self.ui.thisFrameButton, lambda: self.segment([self.reading.cine.currentFrame]))
        self.click(self.ui.allButton, lambda: self.segment(range(self.reading.cine.numFrames)))
        self.click(self.ui.rangeButton, self._segmentRange)
        self.click(self.ui.cancelButton, self._cancel)
        self.click(self.ui.goOnButton, self._goOn)
        self.click(self.ui.undoButton, self._undo)
        self.ui.firstSpin.valueChanged.connect(lambda: self._onRange())
        self.ui.lastSpin.valueChanged.connect(lambda: self._onRange())

    def segment(self, frames) -> None:
        """Begin to segment frames; asks before what the user made is replaced."""
        # An answer that comes while the user is asked may change the cine on screen.
        reading = self.reading
        mine = reading.madeByUser(frames)
        replace = []
        if mine:
            question = _(
                "You corrected or accepted {count} of these frames ({frames}).\n\n"
                "Yes: replace them by the model's masks.\nNo: keep them, and segment the others."
            ).format(count=len(mine), frames=_list(mine))
            replace = mine if slicer.util.confirmYesNoDisplay(question, windowTitle="AngioSeg") else []
        wanted = [frame for frame in frames if frame not in mine or frame in replace]
        if not wanted:
            self.window.say(_("Nothing to segment: all of these frames are yours."))
            return
        reading.segment(self.connection.client, wanted, replace)
        self._follow()

    def refresh(self) -> None:
        ui, reading, run = self.ui, self.reading, self.reading and self.reading.progress
        why = self.whyNot()
        self.offer(ui.thisFrameButton, why, _("Segment the frame on screen."))
        self.offer(ui.allButton, why, _("Segment every frame, from the one on screen outwards."))
        self.offer(ui.rangeButton, why, _("Segment the frames from the first to the last number, both included."))
        running = reading is not None and reading.running
        idle = "" if running else _("Nothing is being segmented.")
        self.offer(ui.cancelButton, idle, _("Stop; the frames that are finished stay."))
        left = reading.left if reading else []
        whyNotOn = why or ("" if left else _("No frames are left from the last run."))
        self.offer(ui.goOnButton, whyNotOn, _("Segment the frames that the last run did not come to."))
        last = reading.history.last if reading else ""
        whyNotUndo = _("Cancel first.") if running else "" if last else _("There is nothing to undo.")
        tip = _("Undo the last {action}. What you painted has the editor's own undo.").format(
            action=last or _("action")
        )
        self.offer(ui.undoButton, whyNotUndo, tip)
        ui.progressBar.visible = run is not None
        ui.progressBar.maximum = max(run.total, 1) if run else 1
        ui.progressBar.value = run.done if run else 0
        self.tell(ui.progressLabel, self._progress(run))

    def whyNot(self) -> str:
        """Why no frame can be segmented now, or ""."""
        if self.reading is None:
            return _("Choose a cine first.")
        if not self.connection.ready:
            return _("Connect to a server first.")
        if self.window.running() is not None:
            return _("Frames are being segmented.")
        return ""

    def onCine(self) -> None:
        last = self.reading.cine.numFrames - 1 if self.reading else 0
        first, end = self.parameters.firstFrame, self.parameters.lastFrame
        for spin, value in ((self.ui.firstSpin, first), (self.ui.lastSpin, end if 0 < end <= last else last)):
            spin.blockSignals(True)
            spin.maximum = last
            spin.value = min(value, last)
            spin.blockSignals(False)

    def _segmentRange(self) -> None:
        first, last = sorted((self.ui.firstSpin.value, self.ui.lastSpin.value))
        self.segment(range(first, last + 1))

    def _onRange(self) -> None:
        self.parameters.firstFrame, self.parameters.lastFrame = self.ui.firstSpin.value, self.ui.lastSpin.value

    def _cancel(self) -> None:
        self.reading.cancel()

    def _goOn(self) -> None:
        self.reading.goOn(self.connection.client)
        self._follow()

    def _follow(self) -> None:
        self._started = time.monotonic()
        self.window.wait()

    def _undo(self) -> None:
        undone, left = self.reading.undo()
        text = _("Undone in {count} frames.").format(count=len(undone))
        if left:
            text += " " + _("Left as you painted or accepted them: {frames}.").format(frames=_list(left))
        self.window.say(text)

    def _progress(self, run) -> str:
        if run is None:
            return ""
        kept = self.reading.kept
        yours = " " + _("Kept as you made them: {frames}.").format(frames=_list(kept)) if kept else ""
        if run.running and run.done == run.total:
            return _("All {total} frames are segmented; ranking them ...").format(total=run.total) + yours
        if run.running:
            text = _("{done} of {total} frames").format(done=run.done, total=run.total)
            if run.done:
                seconds = (time.monotonic() - self._started) * (run.total - run.done) / run.done
                text += ", " + _("about {seconds:.0f} s left").format(seconds=max(1, seconds))
            return text + yours
        if run.error is not None:
            text = _("Stopped after {done} of {total} frames: {error}. What is finished is kept; press Go on.")
            if not run.left:
                text = _("Stopped after {done} of {total} frames: {error}. What is finished is kept.")
            return text.format(done=run.done, total=run.total, error=str(run.error).rstrip(".")) + yours
        if run.cancelled:
            text = _("Cancelled after {done} of {total} frames; they are kept. Go on does the rest.")
            if not run.left:
                text = _("Cancelled after {done} of {total} frames; they are kept.")
            return text.format(done=run.done, total=run.total) + yours
        warnings = "".join(f" {warning}" for warning in run.warnings)
        return _("{total} frames segmented.").format(total=run.total) + yours + warnings


def _list(frames: list[int]) -> str:
    shown = ", ".join(str(frame) for frame in frames[:12])
    return shown + " ..." if len(frames) > 12 else shown
