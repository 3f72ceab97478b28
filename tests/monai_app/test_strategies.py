"""Which frames annotators are given, one after the other."""

import shutil

import lib.scores
import pytest
from angioseg.versions import Versions
from lib.cines import CineCache
from lib.datastore import CineDatastore
from lib.infer import SharedSegmenter
from lib.scores import ScoreBoard
from lib.strategies import CineStrategy, Reservations


@pytest.mark.parametrize("name", ["cine", "uncertainty", "temporal_diversity"])
def test_frames_that_have_no_score_are_given_when_the_others_are_gone(studies, weights, tmp_path, monkeypatch, name):
    monkeypatch.setattr(lib.scores, "candidate_frames", lambda num_frames: [1])
    (tmp_path / "studies").mkdir()
    shutil.copyfile(studies / "IM000001", tmp_path / "studies" / "run.dcm")
    cines = CineCache(1 << 20)
    board = ScoreBoard(SharedSegmenter(Versions(tmp_path / "models", weights), "cpu"), cines, tmp_path / "scores")
    strategy = CineStrategy(name, board, cines, Reservations())
    store = CineDatastore(str(tmp_path / "studies"))
    given = [strategy({}, store) for _ in range(4)]
    board.close()
    assert given[0]["frame"] == 1
    assert {answer["frame"] for answer in given[1:3]} == {0, 2}
    assert given[3] is None
