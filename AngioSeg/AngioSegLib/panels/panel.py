"""What all parts of the window have in common."""

from collections.abc import Callable

__all__ = ["Panel"]


class Panel:
    """A part of the window.

    Args:
        window: see :class:`~AngioSegLib.panels.window.Window`.
    """

    def __init__(self, window):
        self.window = window
        self.ui = window.ui
        self.connection = window.connection
        self.parameters = window.parameters

    @property
    def reading(self):
        """The cine that the user works on, or None."""
        return self.window.reading

    def refresh(self) -> None:
        """Show how things are now."""

    def onCine(self) -> None:
        """Another cine was chosen, or none."""

    def onServer(self) -> None:
        """A server answered for the first time, or the try to reach one failed."""

    def click(self, button, action: Callable[[], None]) -> None:
        """Have a button do something; what goes wrong is told in the window."""
        button.clicked.connect(lambda: self.window.do(action))

    @staticmethod
    def tell(label, text: str) -> None:
        """Write a text into a label, which takes no room when there is none."""
        label.text = text
        label.visible = bool(text)

    @staticmethod
    def offer(button, why: str, tip: str) -> None:
        """Let a button be pressed, or say in its tooltip why it cannot be.

        Args:
            button: a widget.
            why: the reason against it, or "".
            tip: what it does.
        """
        button.enabled = not why
        button.toolTip = f"{tip}\n{why}" if why else tip

    @staticmethod
    def fill(combo, names: list[str], wanted: str) -> None:
        """List names in a combo box and choose one of them, the first where it is not there, without a signal."""
        combo.blockSignals(True)
        combo.clear()
        for name in names:
            combo.addItem(name)
        combo.currentIndex = names.index(wanted) if wanted in names else 0
        combo.blockSignals(False)
