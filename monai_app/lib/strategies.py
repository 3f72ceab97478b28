"""Which frame to label next: `angioseg.selection` on the studies folder, for several annotators at once."""

import random
import threading
import time

import numpy as np
from angioseg.cine import CineError
from angioseg.selection import Clip, choose, needs_scores
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.strategy import Strategy

from lib.cines import CineCache, NoCine
from lib.datastore import CineDatastore
from lib.scores import ScoreBoard

__all__ = ["CineStrategy", "Reservations"]

_DESCRIPTIONS = {
    "cine": "Where the model is unsure near vessels, unlike what is labelled, and far from it in time",
    "uncertainty": "Where the model is least sure near vessels",
    "temporal_diversity": "Spread over the cines, over time and over the phases of contrast",
    "random": "A frame drawn by chance",
    "first": "The first frame that is not labelled",
}


_RESERVED_S = 600.0


class Reservations:
    """Frames that somebody was given: until ten minutes have passed, nobody is given them again.

    So two who ask at once get different frames, and a skipped frame does not come back at once.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self._until: dict[tuple[str, int], float] = {}

    def add(self, id: str, frame: int):
        """Reserve a frame."""
        self._until[id, frame] = time.monotonic() + _RESERVED_S

    def frames(self) -> dict[str, set[int]]:
        """The reserved frames of each cine."""
        now = time.monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        frames: dict[str, set[int]] = {}
        for id, frame in self._until:
            frames.setdefault(id, set()).add(frame)
        return frames


class CineStrategy(Strategy):
    """Answers ``POST /activelearning/NAME`` with ``id``, ``frame``, ``score`` and ``why``; with {} when none is left.

    A strategy that needs scores waits until one cine has some, and chooses among the cines that have; ``scored`` in its
    answer says how many of them the newest model has seen. Where none of the scored frames is left, it is a frame drawn
    by chance.

    Args:
        name: one of `angioseg.selection.STRATEGIES`.
        scores: of frames.
        cines: reads them.
        reservations: shared by all strategies.
    """

    def __init__(self, name: str, scores: ScoreBoard, cines: CineCache, reservations: Reservations):
        super().__init__(_DESCRIPTIONS[name])
        self._name = name
        self._scores = scores
        self._cines = cines
        self._reservations = reservations
        self._random = random.Random()

    def info(self):
        return {**super().info(), **({"scored": self._scores.progress()} if needs_scores(self._name) else {})}

    def __call__(self, request, datastore: CineDatastore):
        paths = {id: datastore.image_path(id) for id in datastore.list_images()}
        paths = {id: path for id, path in paths.items() if path}
        if not needs_scores(self._name):
            return self._choose(self._name, paths, datastore)
        labelled = {id: len(_labelled(datastore, id)) for id in paths}
        self._scores.want({id: paths[id] for id in sorted(paths, key=lambda id: (labelled[id], id))})
        while not (answer := self._choose(self._name, paths, datastore)):
            if not self._scores.wait():
                # Of long cines not every frame is scored.
                answer = self._choose("random", paths, datastore)
                break
        return answer and {**answer, "scored": self._scores.progress()}

    def _choose(self, name: str, paths: dict[str, str], datastore: CineDatastore) -> dict | None:
        with self._reservations.lock:
            reserved = self._reservations.frames()
            clips = {
                id: self._clip(name, id, path, _labelled(datastore, id) | reserved.get(id, set()))
                for id, path in paths.items()
            }
            choice = choose(name, clips, self._random)
            if choice is None:
                return None
            self._reservations.add(choice.id, choice.frame)
        return {"id": choice.id, "frame": choice.frame, "score": round(choice.score, 4), "why": choice.why}

    def _clip(self, name: str, id: str, path: str, taken: set[int]) -> Clip:
        scored = self._scores.get(id) if needs_scores(name) else None
        if scored is None:
            return Clip(lambda: self._times(path), taken)
        return Clip(
            lambda: np.array(scored.times_ms), {frame for frame in taken if frame < len(scored.times_ms)}, scored.scores
        )

    def _times(self, path: str) -> np.ndarray:
        try:
            return self._cines.read(path).times_ms
        except (NoCine, CineError):
            return np.zeros(0)  # nothing to label in what cannot be read


def _labelled(datastore: CineDatastore, id: str) -> set[int]:
    return set(datastore.get_label_info(id, DefaultLabelTag.FINAL).get("annotated_frames", []))
