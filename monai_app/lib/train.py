"""The train task: the bundle's training on the labelled frames of the studies folder.

MONAI Label's own bundle task splits its data by image, not by patient, knows no frames, and ends a training by killing
it. Here a training is a process of its own that is asked to stop, and tells its progress in numbers.
"""

import json
import logging
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from angioseg.cine import CineError, read_label
from angioseg.data import count_frames, patient_key, split_by_patient
from angioseg.errors import AngioSegError
from angioseg.versions import Versions
from fastapi import HTTPException
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.train import TrainTask

from lib.cines import NoCine
from lib.datastore import CineDatastore
from lib.options import check_options
from lib.runs import Runs

__all__ = ["CineTrainTask", "TrainingRuns"]

logger = logging.getLogger("angioseg.server")

# name: (least, most, default); whole numbers where the default is one
_NUMBERS = {
    "max_epochs": (1, 10_000, 20),
    "iterations_per_epoch": (1, 100_000, 50),
    "learning_rate": (1e-7, 1.0, 1e-4),
    "batch_size": (1, 256, 4),
    "crop": (64, 2048, 256),
    "val_split": (0.0, 0.5, 0.2),
    "seed": (0, 2**31 - 1, 0),
}
_STARTS = ("last", "first")


class CineTrainTask(TrainTask):
    """Trains on the frames listed in the final labels.

    Request: see ``config``; ``start`` is "last" (the model in use) or "first" (the one the server began with), and with
    ``accept_worse`` the new model is taken without comparing it on the validation frames. Other keys are ignored, but
    for those that are nearly one of these.

    Args:
        versions: where models come from and go to.
        device: "cpu", "cuda"; a GPU where there is one when None.
    """

    def __init__(self, versions: Versions, device: str | None):
        super().__init__("Trains the model in use further on the labelled frames")
        self._versions = versions
        self._device = device

    def config(self):
        numbers = {name: default for name, (_, _, default) in _NUMBERS.items()}
        return {**numbers, "start": list(_STARTS), "accept_worse": False}

    def stats(self):
        current = self._versions.current()
        return {"version": current.name, "trained_versions": current.number}

    def job(self, request: dict, datastore: CineDatastore) -> dict:
        """The arguments of the training, as JSON can hold them.

        Raises:
            HTTPException: 400, when the request or the labels do not do.
        """
        check_options(request, (*_NUMBERS, "start", "accept_worse"))
        options = {name: _number(request, name) for name in _NUMBERS}
        crop, val_split = options.pop("crop"), options.pop("val_split")
        start = request.get("start", _STARTS[0])
        start = start[0] if start == list(_STARTS) else start  # a client that sends back what `config` offered
        if start not in _STARTS:
            raise HTTPException(400, f'`start` must be "last" or "first", not {str(start)[:60]!r}.')
        accept_worse = request.get("accept_worse", False)
        if not isinstance(accept_worse, bool):
            raise HTTPException(400, "`accept_worse` must be true or false.")
        clips = _labelled_clips(datastore)
        try:
            train_clips, val_clips = split_by_patient(clips, val_split)
        except AngioSegError as error:
            raise HTTPException(400, str(error)) from error
        return {
            "root": str(self._versions.root),
            "first": str(self._versions.first.weights),
            "train_clips": train_clips,
            "val_clips": val_clips,
            "from_first": start == "first",
            "accept_worse": accept_worse,
            "device": self._device,
            "crop": [crop, crop],
            **options,
        }

    def __call__(self, request, datastore):
        """Train in this process, which the platform's own server has started for that."""
        job = self.job(request, datastore)
        del job["root"], job["first"]
        result = self._versions.train(**job, progress=lambda now: print(now, flush=True))
        print(result, flush=True)
        return self.stats()


class TrainingRuns(Runs):
    """Trainings in processes of their own, one at a time.

    Args:
        studies: folder whose path is left out of messages.
    """

    def __init__(self, studies: str):
        super().__init__("training", "train")
        self._studies = str(Path(studies).resolve())
        self._process: subprocess.Popen | None = None

    def start(self, job: dict, request: dict) -> dict:
        """Begin a training with these arguments; see :meth:`lib.runs.Runs.begin`."""
        with self.changed:
            task = self.begin(request)
            try:
                self._process = _process(job)
            except OSError as error:
                task["details"].append(f"The training could not be started ({error.strerror}).")
                self.end(task, "ERROR")
            else:
                threading.Thread(target=self._follow, args=(task, self._process), daemon=True).start()
            return self.copy(task)

    def ask_to_stop(self):
        with self.changed:
            if self._process is not None and not self._process.stdin.closed:
                self._process.stdin.close()

    def _follow(self, task: dict, process: subprocess.Popen):
        told: dict = {}
        for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = None
            if not isinstance(said, dict):  # a library's word from before the lines were its own, or a line cut short
                continue
            told = said
            with self.changed:
                if "line" in told:
                    task["details"].append(self._without_folder(told["line"]))
                if "progress" in told:
                    task["progress"] = told["progress"]
        process.wait()
        Path(process.args[-1]).unlink(missing_ok=True)
        with self.changed:
            self.ask_to_stop()
            process.stdout.close()
            self._process = None
            if "result" in told:
                self.end(task, "STOPPED" if told["result"]["stopped"] else "DONE", told["result"])
            else:
                task["details"].append(self._without_folder(told.get("error", "The training was killed.")))
                self.end(task, "ERROR")

    def _without_folder(self, line: str) -> str:
        return line.replace(f"{self._studies}/", "")


def _process(job: dict) -> subprocess.Popen:
    # By a file: a command line is bounded, and other users of this machine can read it.
    handle, arguments = tempfile.mkstemp(prefix="angioseg-training-", suffix=".json")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(job, file)
        command = [sys.executable, "-m", "angioseg.versions", arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, **pipes, text=True, encoding="utf-8")
    except OSError:
        Path(arguments).unlink(missing_ok=True)
        raise


def _labelled_clips(datastore: CineDatastore) -> list[dict]:
    clips = []
    for image in sorted(datastore.get_labeled_images()):
        try:
            path, label = datastore.get_image_uri(image), datastore.get_label_uri(image, DefaultLabelTag.FINAL)
        except NoCine as error:
            logger.warning("A labelled cine is left out: %s", error.detail)
            continue
        if not path or not label:
            continue  # removed a moment ago
        if problem := datastore.get_label_info(image, DefaultLabelTag.FINAL).get("problem"):
            logger.warning("A label is left out: %s", problem)
            continue
        try:
            mask, frames = read_label(label)
        except CineError:
            continue  # put there by hand; the label's info says what is wrong with it
        clip = {"image": path, "label": label, "name": image, "patient": patient_key(path)}
        clips.append(count_frames(clip, mask, frames))
    return clips


def _number(request: dict, name: str) -> int | float:
    least, most, default = _NUMBERS[name]
    value = request.get(name, default)
    kinds = int if isinstance(default, int) else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most
    if not fits:
        what = "a whole number" if isinstance(default, int) else "a number"
        raise HTTPException(400, f"`{name}` must be {what} from {least:g} to {most:g}, not {str(value)[:60]!r}.")
    return value
