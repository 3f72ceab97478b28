"""Where the server is, and how it is."""

import qt
from slicer.i18n import tr as _

from AngioSegLib.panels.panel import Panel

__all__ = ["ServerPanel"]

_ADDRESS = "AngioSeg/serverAddress"
_DEFAULT = "http://127.0.0.1:8000"


class ServerPanel(Panel):
    """The section "Server"."""

    def __init__(self, window):
        super().__init__(window)
        self.ui.addressEdit.text = qt.QSettings().value(_ADDRESS, _DEFAULT)
        self.ui.addressEdit.returnPressed.connect(lambda: self.window.do(self.connect))
        self.ui.tokenEdit.returnPressed.connect(lambda: self.window.do(self.connect))
        self._state = ""
        self.click(self.ui.connectButton, self.connect)
        self.ui.modelCombo.currentIndexChanged.connect(lambda: self._useModel())

    def connect(self) -> None:
        """Try the address; it is remembered, the password is not."""
        address = self.ui.addressEdit.text.strip()
        self.connection.connect(address, self.ui.tokenEdit.text, self.window.onServer)
        if self.connection.state == "connecting":
            qt.QSettings().setValue(_ADDRESS, address)
        self.window.wait()

    def refresh(self) -> None:
        state = self.connection.state
        # Also while it is asked: it may hang.
        again = _("It is being asked; press to try once more.")
        self.offer(self.ui.connectButton, "", again if state == "connecting" else _("Ask the server."))
        short = {
            "none": _("○ Not connected"),
            "connecting": _("… Connecting"),
            "connected": _("● Connected, ready"),
            "busy": _("◐ Connected, working"),
            "lost": _("✕ Not reached"),
        }[state]
        inClear = self.connection.ready and self.connection.client.inClear
        if inClear:
            short += ", " + _("not encrypted")
        self.ui.serverSection.toolTip = _("Images and password can be read on their way there.") if inClear else ""
        self.ui.serverStateLabel.text = f"{short}: {self.connection.problem}" if state == "lost" else short
        self.ui.serverStateLabel.visible = state == "lost"
        self.ui.serverSection.text = _("Server") + f"   {short}"
        if state == "lost" and self._state != "lost":
            self.ui.serverSection.collapsed = False
        self._state = state
        ready = self.connection.ready
        self.offer(self.ui.modelCombo, "" if ready else _("Connect first."), _("The model that segments."))

    def onCine(self) -> None:
        # Another scene may want another model.
        if self.connection.ready:
            self._showModel()

    def onServer(self) -> None:
        self._showModel()
        # Connected, it only takes room.
        self.ui.serverSection.collapsed = self.connection.ready

    def _showModel(self) -> None:
        self.fill(self.ui.modelCombo, self.connection.names("models"), self.parameters.model)
        self._useModel()

    def _useModel(self) -> None:
        chosen = self.ui.modelCombo.currentText
        if chosen and self.connection.client is not None:
            self.parameters.model = self.connection.client.model = chosen
