"""One thread that waits for the server, so that the window never does.

What it gets is handed over by :meth:`Worker.process`, on the thread that calls it: the main one, which alone may touch
a scene.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

from AngioSegLib.client import Client
from AngioSegLib.errors import AngioSegLibError

__all__ = ["Task", "Worker"]


class Task:
    """Something asked of a worker."""

    def __init__(self, work: Callable[[], Any], onDone: Callable[[Any], None], onError: Callable[[Exception], None]):
        self.work = work
        self.onDone = onDone
        self.onError = onError
        self.dropped = False

    def drop(self) -> None:
        """Nobody wants the answer any more: it is not begun, or its answer is thrown away."""
        self.dropped = True


class Worker:
    """Does one thing after the other, in the order asked for.

    Attributes:
        pending: how many answers are still to be handed over.
    """

    def __init__(self):
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.pending = 0

    @property
    def busy(self) -> bool:
        """Whether an answer is still to be handed over."""
        return self.pending > 0

    def ask(
        self,
        work: Callable[[], Any],
        onDone: Callable[[Any], None],
        onError: Callable[[AngioSegLibError], None],
        client: Client | None = None,
    ) -> Task:
        """Have something done; returns at once.

        Args:
            work: runs on the thread; touches no scene and no widget.
            onDone: gets what it returned.
            onError: gets what it raised; what is no :class:`AngioSegLibError` is a fault, and told as one.
            client: the server that is asked, for those who watch how it is.
        """
        task = Task(work, onDone, onError)
        self.pending += 1
        self._tasks.put(task)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(self._tasks,), name="AngioSeg worker", daemon=True)
            self._thread.start()
        return task

    def process(self, wait: float = 0.02) -> bool:
        """Hand over what is there.

        Args:
            wait: seconds to wait for something to arrive. Not 0 when a timer calls this: an event loop in C++ may
                keep Python's lock all the time, and the thread runs only while this waits.

        Returns:
            Whether there is more to come.
        """
        while self.pending:
            try:
                task, value, error = self._answers.get(timeout=wait) if wait else self._answers.get_nowait()
            except queue.Empty:
                break
            wait = 0.0
            self.pending -= 1
            if not task.dropped:
                task.onDone(value) if error is None else task.onError(error)
        return self.busy

    def close(self, wait: float = 2.0) -> None:
        """End the thread when it has done what was asked.

        Args:
            wait: seconds to wait for that at most; it goes on by itself afterwards.
        """
        if self._thread is not None:
            thread, self._thread = self._thread, None
            self._tasks.put(None)
            thread.join(wait)

    def _beginAnew(self) -> None:
        """Wait no more for what is under way: its thread ends by itself, and another does what is asked from now on."""
        self.close(0.0)
        self._tasks = queue.SimpleQueue()

    def _run(self, tasks: queue.SimpleQueue) -> None:
        while (task := tasks.get()) is not None:
            value = error = None
            if not task.dropped:
                try:
                    value = task.work()
                except AngioSegLibError as caught:
                    error = caught
                except Exception as caught:
                    # A thread that dies in silence leaves a progress bar that never moves.
                    error = AngioSegLibError(f"stopped by a fault in AngioSeg: {caught!r}")
            self._answers.put((task, value, error))
