"""How well the model in use agrees with the final labels."""

from collections.abc import Callable

import numpy as np
import torch
from angioseg.cine import CineError, read_label
from angioseg.metrics import compute_cldice
from monai.metrics import compute_dice
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.cines import CineCache, NoCine
from lib.datastore import CineDatastore
from lib.infer import SharedSegmenter
from lib.predictions import Predictions

__all__ = ["CineScoring"]

_TAG = DefaultLabelTag.FINAL
_GONE = {"problem": "The cine or its label was removed meanwhile."}


class CineScoring(ScoringMethod):
    """Dice and clDice of every labelled frame; 1 where neither model nor label shows a vessel, 0 where one does.

    A label's info keeps the means as ``scores``, by version of the model: what of it a training has changed is there.
    With them is ``agreement``: the Dice of this version's masks and of those that the version before gave when it was
    scored, over the frames that both have seen.

    Args:
        segmenter: the model.
        cines: reads cines.
        predictions: of the version before, and of this one.
    """

    def __init__(self, segmenter: SharedSegmenter, cines: CineCache, predictions: Predictions):
        super().__init__("Dice and clDice of the model in use against the final labels, frame by frame")
        self._segmenter = segmenter
        self._cines = cines
        self._predictions = predictions

    def __call__(self, request, datastore: CineDatastore, progress: Callable[[int, int], None] | None = None):
        """Score all labelled cines.

        Args:
            request: nothing in it matters.
            datastore: with the labels.
            progress: called with (cines done, cines to do); an exception raised there ends the work.

        Returns:
            ``images``: id -> ``version`` of the model, ``frames`` (each with ``frame``, ``dice``, ``cldice``), their
            means ``dice`` and ``cldice``, and where the version before has seen these frames the ``agreement`` with
            it and its name, ``agrees_with``; or ``problem``, where label and cine do not fit.
        """
        images = sorted(datastore.get_labeled_images())
        results = {}
        for done, image in enumerate(images):
            if progress is not None:
                progress(done, len(images))
            results[image] = self._score(image, datastore)
        return {"images": results}

    def _score(self, image: str, datastore: CineDatastore) -> dict:
        try:
            path, label = datastore.get_image_uri(image), datastore.get_label_uri(image, _TAG)
        except NoCine as error:
            return {"problem": error.detail}
        if not path or not label:
            return _GONE
        try:
            cine = self._cines.read(path)
            mask, listed = read_label(label, cine=cine)
            if mask.shape != cine.shape or not listed:
                raise CineError("The label is not on the grid of its cine, or names no frame")
            predicted = np.zeros_like(mask)
            frames = [self._score_frame(cine, mask, frame, predicted) for frame in listed]
        except CineError as error:
            return {"problem": str(error).replace(label, "The label").replace(path, "The cine")}
        versions = {frame.pop("version") for frame in frames}
        means = {name: round(sum(frame[name] for frame in frames) / len(frames), 4) for name in ("dice", "cldice")}
        version = ", ".join(sorted(versions))  # two, when a training ended in between
        agreed = {}
        if len(versions) == 1:
            before, agreement = self._predictions.compare(version, image, predicted, cine, listed)
            agreed = {} if before is None else {"agreement": agreement, "agrees_with": before}
            self._predictions.keep(version, image, predicted, cine, listed)
        known = datastore.get_label_info(image, _TAG).get("scores")
        known = known if isinstance(known, dict) else {}  # clients may write to a label's info
        try:
            datastore.update_label_info(image, _TAG, {"scores": {**known, version: {**means, **agreed}}})
        except NoCine:
            return _GONE
        return {"version": version, "frames": frames, **means, **agreed}

    def _score_frame(self, cine, mask, frame: int, predicted: np.ndarray) -> dict:
        segmentation = self._segmenter(cine, frame)
        predicted[frame] = segmentation.mask[frame]
        pred, truth = (torch.from_numpy(one[frame]).float()[None, None] for one in (segmentation.mask, mask))
        return {
            "frame": frame,
            "dice": round(compute_dice(pred, truth, ignore_empty=False).item(), 4),
            "cldice": round(compute_cldice(pred, truth, ignore_empty=False).item(), 4),
            "version": segmentation.model["version"],
        }
