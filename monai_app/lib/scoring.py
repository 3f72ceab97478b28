"""How well the model in use agrees with the final labels."""

import threading
from collections.abc import Callable

import torch
from angioseg.cine import CineError, read_label
from angioseg.errors import AngioSegError
from angioseg.metrics import compute_cldice
from fastapi import HTTPException
from monai.metrics import compute_dice
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.cines import CineCache
from lib.datastore import CineDatastore
from lib.infer import SharedSegmenter
from lib.runs import Runs

__all__ = ["CineScoring", "ScoringRuns"]

_TAG = DefaultLabelTag.FINAL


class CineScoring(ScoringMethod):
    """Dice and clDice of every labelled frame; 1 where neither model nor label shows a vessel, 0 where one does.

    A label's info keeps the means as ``scores``, by version of the model: what of it a training has changed is there.

    Args:
        segmenter: the model.
        cines: reads cines.
    """

    def __init__(self, segmenter: SharedSegmenter, cines: CineCache):
        super().__init__("Dice and clDice of the model in use against the final labels, frame by frame")
        self._segmenter = segmenter
        self._cines = cines

    def __call__(self, request, datastore: CineDatastore, progress: Callable[[int, int], None] | None = None):
        """Score all labelled cines.

        Args:
            request: nothing in it matters.
            datastore: with the labels.
            progress: called with (cines done, cines to do); an exception raised there ends the work.

        Returns:
            ``images``: id -> ``version`` of the model, ``frames`` (each with ``frame``, ``dice``, ``cldice``), and
            their means ``dice`` and ``cldice``; or ``problem``, where label and cine do not fit.
        """
        images = sorted(datastore.get_labeled_images())
        results = {}
        for done, image in enumerate(images):
            if progress is not None:
                progress(done, len(images))
            results[image] = self._score(image, datastore)
        return {"images": results}

    def _score(self, image: str, datastore: CineDatastore) -> dict:
        label, path = datastore.get_label_uri(image, _TAG), datastore.get_image_uri(image)
        try:
            cine = self._cines.read(path)
            mask, listed = read_label(label)
            if mask.shape != cine.shape or not listed:
                raise CineError("The label is not on the grid of its cine, or names no frame")
            frames = [self._score_frame(cine, mask, frame) for frame in listed]
        except AngioSegError as error:
            return {"problem": str(error).replace(label, "The label").replace(path, "The cine")}
        versions = {frame.pop("version") for frame in frames}
        means = {name: round(sum(frame[name] for frame in frames) / len(frames), 4) for name in ("dice", "cldice")}
        version = ", ".join(sorted(versions))  # two, when a training ended in between
        known = datastore.get_label_info(image, _TAG).get("scores")
        known = known if isinstance(known, dict) else {}  # clients may write to a label's info
        datastore.update_label_info(image, _TAG, {"scores": {**known, version: means}})
        return {"version": version, "frames": frames, **means}

    def _score_frame(self, cine, mask, frame: int) -> dict:
        segmentation = self._segmenter(cine, frame)
        pred, truth = (torch.from_numpy(one[frame] > 0).float()[None, None] for one in (segmentation.mask, mask))
        return {
            "frame": frame,
            "dice": round(compute_dice(pred, truth, ignore_empty=False).item(), 4),
            "cldice": round(compute_cldice(pred, truth, ignore_empty=False).item(), 4),
            "version": segmentation.model["version"],
        }


class ScoringRuns(Runs):
    """Scorings in a thread, one at a time."""

    def __init__(self):
        super().__init__("scoring", "scoring")
        self._stopping = threading.Event()

    def start(self, method: CineScoring, request: dict, datastore: CineDatastore) -> dict:
        """Begin a scoring; see :meth:`lib.runs.Runs.begin`."""
        with self.changed:
            task = self.begin(request)
            self._stopping.clear()
            threading.Thread(target=self._run, args=(task, method, request, datastore), daemon=True).start()
            return self.copy(task)

    def ask_to_stop(self):
        self._stopping.set()

    def _run(self, task: dict, method: CineScoring, request: dict, datastore: CineDatastore):
        def progress(done: int, total: int):
            task["progress"] = {"done": done, "total": total}
            if self._stopping.is_set():
                raise _Stopped

        try:
            result = method(request, datastore, progress)
        except _Stopped:
            self.end(task, "STOPPED")
        except HTTPException as error:
            task["details"].append(error.detail)
            self.end(task, "ERROR")
        except Exception as error:
            task["details"].append(f"The scoring failed ({type(error).__name__}).")
            self.end(task, "ERROR")
        else:
            self.end(task, "DONE", result)


class _Stopped(Exception):
    pass
