"""How a program is told to end."""

import signal
import threading
from collections.abc import Callable

__all__ = ["on_end"]

_SIGNALS = ("SIGTERM", "SIGHUP")  # the second when its terminal is closed; Windows has none


def on_end(handler: Callable) -> None:
    """Have a handler called where a program is asked to end, so that it can tidy up; Ctrl-C is left as it is.

    What is ignored stays ignored: that is how ``nohup`` keeps a program from ending with its terminal.

    Args:
        handler: see :func:`signal.signal`.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # Python allows it nowhere else
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
