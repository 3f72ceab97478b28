"""Long work that goes on while requests are answered, told of as the platform tells of its tasks."""

import threading
import uuid
from collections import deque
from datetime import datetime

from fastapi import HTTPException

__all__ = ["Runs"]


class Runs:
    """Runs of one kind, one at a time; the last 20 are remembered until the server stops.

    Args:
        what: the work, as "training".
        path: of its endpoint, as "train".
    """

    def __init__(self, what: str, path: str):
        self.changed = threading.Condition()
        self._what = what
        self._path = path
        self._tasks: deque[dict] = deque(maxlen=20)

    def begin(self, request: dict) -> dict:
        """Note a run that begins.

        Raises:
            HTTPException: 429, when one is running.
        """
        with self.changed:
            if self.status(running_only=True):
                raise HTTPException(429, f"A {self._what} is running. Stop it with DELETE /{self._path}/, or wait.")
            task = {
                "id": str(uuid.uuid4()),
                "status": "RUNNING",
                "request": request,
                "start_ts": _now(),
                "details": deque(maxlen=20),
                "progress": None,
                "result": None,
            }
            self._tasks.append(task)
            return task

    def end(self, task: dict, status: str, result: dict | None = None):
        """Note the end of a run."""
        with self.changed:
            task.update(status=status, result=result, end_ts=_now())
            self.changed.notify_all()

    def status(self, running_only: bool = False) -> list[dict]:
        """The runs since the server started, the last one last."""
        with self.changed:
            return [self.copy(task) for task in self._tasks if not running_only or task["status"] == "RUNNING"]

    def stop(self) -> dict | None:
        """Ask the run to end, and wait until it has; None when none runs."""
        running = self.status(running_only=True)
        if not running:
            return None
        self.ask_to_stop()
        return self.wait(running[0]["id"])

    def ask_to_stop(self):
        """Ask the run, if there is one, to end soon."""
        raise NotImplementedError

    def wait(self, task_id: str) -> dict:
        """The run of that id, when it has ended."""
        with self.changed:
            task = next(task for task in self._tasks if task["id"] == task_id)
            self.changed.wait_for(lambda: task["status"] != "RUNNING")
            return self.copy(task)

    def copy(self, task: dict) -> dict:
        """A run as JSON can hold it."""
        return {**task, "details": list(task["details"])}


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")
