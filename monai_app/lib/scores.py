"""Scores of frames for active learning, computed while nobody waits for a segmentation."""

import dataclasses
import hashlib
import json
import logging
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from angioseg.atomic import replacing
from angioseg.cine import CineError
from angioseg.errors import AngioSegError
from angioseg.selection import FrameScore, candidate_frames
from fastapi import HTTPException

from lib.cines import CineCache, NoCine, file_state
from lib.infer import SharedSegmenter

__all__ = ["ScoreBoard", "Scored"]

logger = logging.getLogger("angioseg.server")

"""Status when no cine can be scored: there is no model, or the server is stopping."""


@dataclass(frozen=True)
class Scored:
    """A cine's scores.

    Attributes:
        weights: digest of the model that gave them.
        state: of the cine's file.
        times_ms: its frame times.
        scores: of evenly spread frames; empty when the cine cannot be read.
    """

    weights: str
    state: str
    times_ms: tuple[float, ...]
    scores: tuple[FrameScore, ...]


class ScoreBoard:
    """Scores of all cines by the newest model; those of the model before are used until they are there.

    Args:
        segmenter: the model.
        cines: reads them.
        folder: where scores are kept over a restart, a folder for each model.
    """

    def __init__(self, segmenter: SharedSegmenter, cines: CineCache, folder: Path):
        self._segmenter = segmenter
        self._cines = cines
        self._folder = folder
        self._scored: dict[str, Scored] = {}
        self._wanted: dict[str, str] = {}
        self._done: set[str] = set()
        self._worker: threading.Thread | None = None
        self._closed = False
        self._problem: HTTPException | None = None
        self._changed = threading.Condition()

    def want(self, paths: dict[str, str]):
        """Score these cines, id -> path, in this order, in the background.

        Raises:
            HTTPException: 503, when the model cannot be loaded.
        """
        weights = self._segmenter.weights()
        states = {id: _digest(path) for id, path in paths.items()}
        with self._changed:
            self._wanted, self._problem = dict(paths), None
            self._scored = {id: scored for id, scored in self._scored.items() if id in paths}
            current = {id for id, one in self._scored.items() if one.weights == weights and one.state == states[id]}
            self._done = current
            if len(current) < len(paths) and self._worker is None and not self._closed:
                self._worker = threading.Thread(target=self._work, daemon=True)
                self._worker.start()

    def get(self, id: str) -> Scored | None:
        """What is known of a cine."""
        return self._scored.get(id)

    def progress(self) -> dict[str, int]:
        """How many of the wanted cines the newest model has scored."""
        with self._changed:
            return {"done": len(self._done), "total": len(self._wanted)}

    def wait(self) -> bool:
        """Wait for one more cine; False when there is none to wait for.

        Raises:
            HTTPException: what ended the scoring before all cines were through.
        """
        with self._changed:
            if self._worker is None:
                if self._problem is not None:
                    raise self._problem
                return False
            done = len(self._done)
            self._changed.wait_for(lambda: len(self._done) != done or self._worker is None)
            return True

    def close(self):
        """Stop scoring."""
        self._closed = True

    def _work(self):
        try:
            while not self._closed:
                with self._changed:
                    id = next((id for id in self._wanted if id not in self._done), None)
                    if id is None:
                        self._worker = None  # under the same lock: who wants more from now on starts another
                        return
                    path = self._wanted[id]
                scored = self._try(id, path)
                with self._changed:
                    if self._wanted.get(id) == path:
                        if scored is not None:
                            self._scored[id] = scored
                        self._done.add(id)
                    self._changed.notify_all()
        except HTTPException as error:
            logger.warning("Scoring stopped: %s", error.detail)
            with self._changed:
                self._problem, self._worker = error, None
        finally:
            with self._changed:
                if self._worker is threading.current_thread():
                    self._worker = None
                self._changed.notify_all()

    def _try(self, id: str, path: str) -> Scored | None:
        """Score a cine; None where that failed: the others come all the same, and it is tried when wanted again."""
        try:
            return self._score(id, path)
        except NoCine as error:
            logger.warning("A cine was not scored: %s", error.detail)
        except HTTPException:
            raise
        except Exception as error:
            # Its text may quote the name of a file, and that can name a patient.
            logger.warning("A cine was not scored (%s).", type(error).__name__)
        return None

    def _score(self, id: str, path: str) -> Scored:
        weights, state = self._segmenter.weights(), _digest(path)
        kept = self._load(id, weights, state)
        if kept is not None:
            return kept
        try:
            cine = self._cines.read(path)
        except CineError:
            return Scored(weights, state, (), ())
        while True:
            answers = [self._segmenter.score(cine, frame) for frame in candidate_frames(cine.num_frames)]
            if len({weights for weights, _ in answers}) == 1:
                break  # else a new model has come in between
        scored = Scored(
            answers[0][0], _digest(path), tuple(cine.times_ms.tolist()), tuple(score for _, score in answers)
        )
        self._save(id, scored)
        return scored

    def _load(self, id: str, weights: str, state: str) -> Scored | None:
        try:
            values = json.loads((self._folder / weights / f"{id}.json").read_text(encoding="utf-8"))
            scores = tuple(FrameScore(**{**score, "layout": tuple(score["layout"])}) for score in values["scores"])
            scored = Scored(weights, values["state"], tuple(values["times_ms"]), scores)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return scored if scored.state == state else None

    def _save(self, id: str, scored: Scored):
        folder = self._folder / scored.weights
        # Without them everything works; they only save time after a restart.
        with suppress(OSError, AngioSegError):
            for old in self._folder.glob("*"):
                if old != folder:
                    shutil.rmtree(old)
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / f"{id}.json") as temporary:
                temporary.write_text(json.dumps(dataclasses.asdict(scored)), encoding="utf-8")


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(repr(file_state(path)).encode()).hexdigest()[:16]
    except OSError:
        return ""
