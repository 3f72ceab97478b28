"""Keys that work while the module is open."""

from collections.abc import Callable

import qt
import slicer

__all__ = ["Shortcuts"]


class Shortcuts:
    """None of them is a key of Slicer's own, or of its Segment Editor: Qt gives a key that two want to neither.

    Args:
        window: see :class:`~AngioSegLib.panels.window.Window`.
    """

    def __init__(self, window):
        see = window.see
        self._keys: dict[str, Callable[[], None]] = {
            "J": lambda: see.step(-1),
            "K": lambda: see.step(1),
            "Shift+J": lambda: see.goToKeyFrame(-1),
            "Shift+K": lambda: see.goToKeyFrame(1),
            "Shift+A": lambda: window.do(window.correct.accept),
            "Shift+N": lambda: _press(window.ui.nextSampleButton),
        }
        self._shortcuts: list = []

    def enable(self) -> None:
        """Listen to the keys."""
        self.disable()
        main = slicer.util.mainWindow()
        if main is None:
            return
        for key, action in self._keys.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), main)
            shortcut.activated.connect(action)
            self._shortcuts.append(shortcut)

    def disable(self) -> None:
        """Leave the keys to others."""
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []


def _press(button) -> None:
    if button.enabled:
        button.click()
