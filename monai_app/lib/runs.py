"""Long work that goes on while requests are answered, told of as the platform tells of its tasks."""

import threading
import uuid
from collections import deque
from collections.abc import Callable
from datetime import datetime

from fastapi import HTTPException

__all__ = ["Runs", "ThreadRuns"]


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


class ThreadRuns(Runs):
    """Runs in a thread of this process.

    Args:
        what: see :class:`Runs`.
        path: see there.
    """

    def __init__(self, what: str, path: str):
        super().__init__(what, path)
        self._stopping = threading.Event()

    def start(self, work: Callable[[Callable[[int, int], None]], dict], request: dict) -> dict:
        """Begin a run; see :meth:`Runs.begin`.

        Args:
            work: called with a function that it tells (steps done, steps to do) before each step, and that ends it by
                an exception when it is to stop. What it returns is the run's result.
            request: remembered with the run.
        """
        with self.changed:
            task = self.begin(request)
            self._stopping.clear()
            threading.Thread(target=self._run, args=(task, work), daemon=True).start()
            return self.copy(task)

    def ask_to_stop(self):
        self._stopping.set()

    def _run(self, task: dict, work: Callable):
        def progress(done: int, total: int):
            task["progress"] = {"done": done, "total": total}
            if self._stopping.is_set():
                raise _Stopped

        try:
            result = work(progress)
        except _Stopped:
            self.end(task, "STOPPED")
        except HTTPException as error:
            task["details"].append(error.detail)
            self.end(task, "ERROR")
        except Exception as error:
            task["details"].append(f"The {self._what} failed ({type(error).__name__}).")
            self.end(task, "ERROR")
        else:
            if task["progress"] is not None:
                task["progress"] = {**task["progress"], "done": task["progress"]["total"]}
            self.end(task, "DONE", result)


class _Stopped(Exception):
    pass


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")
