"""Correcting masks, standing by them, and sending them."""

import slicer
from slicer.i18n import tr as _

from AngioSegLib.panels.panel import Panel
from AngioSegLib.reading import Reading
from AngioSegLib.segmentation import SEGMENT_ID
from AngioSegLib.submitting import Submission

__all__ = ["CorrectPanel"]

_UNDO_STEPS = 10
_EFFECTS = ("Paint", "Erase", "Draw", "Scissors", "Islands")
# A mask is one segment on its frame's grid, and no surface. Older versions of Slicer cannot hide all of the buttons.
_UNWANTED = ("setAddRemoveSegmentButtonsVisible", "setShow3DButtonVisible", "setSpecifyGeometryButtonVisible")


class CorrectPanel(Panel):
    """The section "Correct and submit"."""

    def __init__(self, window):
        super().__init__(window)
        self._sending: list[tuple[Submission, Reading | None]] = []
        self._kept: list[Submission] = []
        self._editor = slicer.qMRMLSegmentEditorWidget()
        # From the beginning: without it the widget takes no mask, and cannot be told to let go of one.
        self._editor.setMRMLSegmentEditorNode(_editorNode())
        self._editor.setMRMLScene(slicer.mrmlScene)
        self._editor.segmentationNodeSelectorVisible = False
        self._editor.sourceVolumeNodeSelectorVisible = False
        self._editor.switchToSegmentationsButtonVisible = False
        for unwanted in _UNWANTED:
            if hasattr(self._editor, unwanted):
                getattr(self._editor, unwanted)(False)
        self._editor.setEffectNameOrder(_EFFECTS)
        self._editor.unorderedEffectsVisible = False
        self._editor.setMaximumNumberOfUndoStates(_UNDO_STEPS)
        # The window says what the view shows; the editor would put the cine in the place of its subtraction.
        self._editor.autoShowSourceVolumeNode = False
        self.ui.editorHolder.layout().addWidget(self._editor)
        self.click(self.ui.blankButton, lambda: self.reading.beginByHand(self.reading.cine.currentFrame))
        self.click(self.ui.carryButton, self._carry)
        self.click(self.ui.acceptButton, self.accept)
        self.click(self.ui.takeBackButton, lambda: self.reading.states.takeBack([self.reading.cine.currentFrame]))
        self.click(self.ui.submitButton, lambda: self.submit(self.reading))

    def enter(self) -> None:
        """The module is opened: the editor listens to the mouse and to its keys."""
        self._editor.setupViewObservations()
        self._editor.installKeyboardShortcuts()

    def exit(self) -> None:
        """Another module is opened."""
        self._editor.setActiveEffect(None)
        self._editor.uninstallKeyboardShortcuts()
        self._editor.removeViewObservations()

    def close(self) -> None:
        """The window goes. After a reload its widgets live on, hidden, and two editors would share the node."""
        self._editor.setMRMLSegmentEditorNode(None)

    def accept(self) -> None:
        """Note that the mask on screen is right."""
        if not self.ui.acceptButton.enabled:
            return
        frame = self.reading.cine.currentFrame
        self.reading.accept(frame)
        self.window.say(_("Frame {frame} is accepted.").format(frame=frame))

    @property
    def kept(self) -> int:
        """How many accepted frames of cines that are no longer in the scene are not sent yet."""
        leaving = [submission for submission, reading in self._sending if reading is None or not reading.inScene]
        return sum(len(submission.frames) for submission in (*self._kept, *leaving))

    def keep(self, reading: Reading) -> int:
        """Remember a cine's accepted frames, for the time when the server is connected; how many there are."""
        submission = self._submission(reading)
        if submission is None:
            return 0
        self._kept.append(submission)
        return len(submission.frames)

    def send(self, reading: Reading, then=lambda: None) -> None:
        """Send a cine's accepted frames.

        Args:
            reading: the cine.
            then: called when the server has them.
        """
        submission = self._submission(reading)
        if submission is None:
            then()
        else:
            self._send(submission, reading, then)

    def submit(self, reading: Reading | None, then=lambda: None) -> None:
        """Send the accepted frames of a cine, and those that are kept.

        Args:
            reading: the cine.
            then: called when the server has the cine's.
        """
        others = {submission.server for submission in self._kept} - {"", self.connection.url}
        refused = {server for server in others if not self._mayGoHere(server)}
        kept, self._kept = self._kept, []
        for submission in kept:
            if submission.server in refused:
                self._kept.append(submission)
            else:
                self._send(submission)
        if reading is not None and reading.inScene:
            self.send(reading, then)
        elif reading is not None:
            then()  # deleted while the user was asked, it is one of those that were kept

    def _mayGoHere(self, server: str) -> bool:
        count = sum(len(submission.frames) for submission in self._kept if submission.server == server)
        question = _(
            "{count} accepted frames of cines that were closed were meant for {server}. Send them to {here} instead?"
        ).format(count=count, server=server, here=self.connection.url)
        return slicer.util.confirmYesNoDisplay(question, windowTitle="AngioSeg")

    def _submission(self, reading: Reading) -> Submission | None:
        """What of a cine waits to be sent, and is not on its way."""
        if not reading.states.unsent():
            return None
        submission = Submission(reading, self.connection.url)
        underWay = any(r is reading and s.digests == submission.digests for s, r in self._sending)
        return None if underWay else submission

    def _send(self, submission: Submission, reading: Reading | None = None, then=lambda: None) -> None:
        server, sending = self.connection.url, (submission, reading)
        self._sending.append(sending)

        def sent(_nothing) -> None:
            self._sending.remove(sending)
            if reading is not None and reading.inScene:
                reading.states.setSent(submission.digests, server)
            frames = ", ".join(map(str, submission.frames))
            self.window.say(_("Sent: frames {frames}.").format(frames=frames))
            self.window.learn.askProgress()
            then()

        def failed(error) -> None:
            self._sending.remove(sending)
            text = _("Not sent, and still here: {error}.")
            if reading is None or not reading.inScene:
                self._kept.append(submission)
                self._kept.sort(key=lambda kept: kept.number)
                text = _("Not sent, and kept until Slicer is closed: {error}. Connect, and press Submit.")
            self.window.say(text.format(error=str(error).rstrip(".")))

        self.window.ask(submission.send, sent, failed)

    def onCine(self) -> None:
        reading = self.reading
        if reading is None:
            self._editor.setActiveEffect(None)
        else:
            # A script that clears the scene may take it along.
            self._editor.setMRMLSegmentEditorNode(_editorNode())
        self._editor.setSegmentationNode(reading.masks.proxy if reading else None)
        self._editor.setSourceVolumeNode(reading.cine.proxy if reading else None)
        if reading:
            self._editor.setCurrentSegmentID(SEGMENT_ID)

    def hold(self) -> None:
        """Have the editor work on the cine that is chosen, where the scene made it change."""
        if self.reading is not None:
            node = _editorNode()
            edited = (node.GetSegmentationNode(), node.GetSourceVolumeNode())
            if edited != (self.reading.masks.proxy, self.reading.cine.proxy):
                self.onCine()

    def refresh(self) -> None:
        ui, reading = self.ui, self.reading
        state = reading.states.of(reading.cine.currentFrame) if reading else "none"
        ui.frameStateLabel.text = self._stateText(state)
        noCine = "" if reading else _("Choose a cine first.")
        noMask = noCine or (
            _("The frame has no mask: segment it, or start with an empty one.") if state == "none" else ""
        )
        has = _("The frame has a mask.") if state != "none" else ""
        self.offer(ui.blankButton, noCine or has, _("Give the frame an empty mask, to paint all vessels by hand."))
        # Slicer's own toolbar plays, too.
        plays = ui.playButton.checked or bool(reading and reading.cine.browser.GetPlaybackActive())
        self._offerEditor(not noMask and not plays)
        notMine = _("Nothing is corrected in this frame.") if state == "model" else ""
        self.offer(
            ui.carryButton,
            noMask or notMine,
            _("Make this frame's correction in its neighbours too, moved as the heart moves."),
        )
        accepted = _("It is accepted.") if state in ("accepted", "sent") else ""
        self.offer(ui.acceptButton, noMask or accepted, _("The mask is right as it is. Key: Shift+A"))
        notAccepted = "" if accepted else _("It is not accepted.")
        self.offer(
            ui.takeBackButton, noMask or notAccepted, _("Stand by this mask no more; the server keeps what it has.")
        )
        unsent = reading.states.unsent() if reading else []
        self.offer(ui.submitButton, self._whyNotSent(unsent), _("Send the accepted frames to the server."))
        ui.unsentLabel.text = self._unsentText(unsent)

    def _offerEditor(self, offered: bool) -> None:
        """Let the user paint, or not: nothing keeps a stroke where there is no mask, or where the frame goes by."""
        self._editor.enabled = offered
        if offered:
            # It forgets the segment on a frame that has none, and offers no brush without.
            self._editor.setCurrentSegmentID(SEGMENT_ID)
        # Its keys and the mouse in the view do not ask whether it is enabled.
        if self._editor.readOnly == offered:
            self._editor.readOnly = not offered

    def _whyNotSent(self, unsent: list[int]) -> str:
        if self.reading is None and not self._kept:
            return _("Choose a cine first.")
        if not unsent and not self._kept:
            return _("No accepted frame waits to be sent.")
        if not self.connection.ready:
            return _("Connect to a server first.")
        return _("They are being sent.") if self._sending else ""

    def _stateText(self, state: str) -> str:
        if self.reading is None:
            return ""
        frame, states = self.reading.cine.currentFrame, self.reading.states
        version, server = states.saidByModel(frame)[1], states.sentTo(frame)
        text = {
            "none": _("Frame {frame}: not segmented."),
            "model": _("Frame {frame}: the mask of model {version}, not accepted."),
            "corrected": _("Frame {frame}: corrected by you, not accepted."),
            "accepted": _("Frame {frame}: accepted, not sent."),
            "sent": _("Frame {frame}: accepted and sent."),
        }[state]
        if state == "sent" and server not in ("", self.connection.url):
            text = _("Frame {frame}: accepted, and sent to {server}.")
        return text.format(frame=frame, version=version or _("of unknown version"), server=server)

    def _unsentText(self, unsent: list[int]) -> str:
        kept = _("Of cines that were closed, not sent: {count} frames.").format(count=self.kept) if self._kept else ""
        others = sum(len(r.states.unsent()) for r in self.window.readings() if r is not self.reading)
        if others:
            kept = " ".join(filter(None, (_("In other cines, not sent: {count} frames.").format(count=others), kept)))
        if self.reading is None:
            return kept
        states = self.reading.states.all()
        counts = {state: states.count(state) for state in ("corrected", "sent")}
        waiting = ", ".join(map(str, unsent)) if unsent else _("none")
        text = _("Accepted, not sent: {waiting}. Sent: {sent}. Corrected, not accepted: {corrected}.")
        return " ".join(filter(None, (text.format(waiting=waiting, **counts), kept)))

    def _carry(self) -> None:
        changed, left = self.reading.carry(self.reading.cine.currentFrame, self.ui.reachSpin.value)
        text = _("Carried to frames {frames}.").format(frames=", ".join(map(str, changed)) or _("none"))
        if left:
            text += " " + _("Left alone, for they are yours: {frames}.").format(frames=", ".join(map(str, left)))
        self.window.say(text)


def _editorNode():
    node = slicer.mrmlScene.GetSingletonNode("AngioSeg", "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag("AngioSeg")
        node.SetSaveWithScene(False)
        node = slicer.mrmlScene.AddNode(node)
    return node
