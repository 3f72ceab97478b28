"""Uploads live for a while, and nothing of them for longer."""

import json
import os
import threading
import time
import zipfile
from pathlib import Path

import pytest
from fastapi import HTTPException
from lib.sessions import CheckedSessions


@pytest.fixture
def sessions(tmp_path):
    return CheckedSessions(str(tmp_path / "sessions"), 100)


def upload(folder: Path, name: str = "run.dcm") -> str:
    (folder / name).write_bytes(b"pixels")
    return str(folder / name)


def age(sessions, session_id: str, seconds: float) -> None:
    """As if it had come, and been used last, so long ago."""
    folder = Path(sessions.store_path, session_id)
    if (meta := folder / "meta.info").read_text():
        values = json.loads(meta.read_text())
        meta.write_text(json.dumps({**values, "last_access_ts": time.time() - seconds}))
    os.utime(folder, (time.time() - seconds,) * 2)
    sessions.pop(session_id, None)


def break_it(sessions, session_id: str) -> None:
    Path(sessions.store_path, session_id, "meta.info").write_text("")


def test_what_is_over_or_broken_goes_and_the_rest_stays(sessions, tmp_path):
    kept, over, broken, coming = (sessions.add_session(upload(tmp_path))[0] for _ in range(4))
    for session_id in (broken, coming):
        break_it(sessions, session_id)
    for session_id in (over, broken):
        age(sessions, session_id, 1000)
    sessions.pop(coming)
    assert sessions.get_session(kept).name == kept
    assert [sessions.get_session(one) for one in (over, broken, coming)] == [None, None, None]
    assert sessions.remove_expired() == 2
    assert sorted(os.listdir(sessions.store_path)) == sorted([kept, coming])


def test_a_session_in_use_goes_on(sessions, tmp_path):
    session_id, _ = sessions.add_session(upload(tmp_path))
    age(sessions, session_id, 90)
    assert sessions.get_session(session_id) is not None
    again = CheckedSessions(sessions.store_path, 100).get_session(session_id, update_ts=False)
    assert again.last_access_ts == pytest.approx(time.time(), abs=60)


def test_one_that_fails_on_its_way_leaves_nothing(sessions, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(CheckedSessions, "_write_meta_info", full)
        with pytest.raises(OSError, match="No space"):
            sessions.add_session(upload(tmp_path))
    assert os.listdir(sessions.store_path) == []
    assert not (tmp_path / "run.dcm").exists()


def test_what_cannot_be_unpacked_does_not_stay(sessions, tmp_path):
    with pytest.raises(HTTPException):
        sessions.add_session(upload(tmp_path), uncompress=True)
    assert not (tmp_path / "run.dcm").exists()


def test_a_session_is_not_taken_for_a_broken_one_while_it_is_used(sessions, tmp_path):
    session_id, _ = sessions.add_session(upload(tmp_path))
    age(sessions, session_id, 90)
    os.utime(Path(sessions.store_path, session_id), (0, 0))
    over = threading.Event()

    def use():
        while not over.is_set():
            sessions.get_session(session_id)

    user = threading.Thread(target=use)
    user.start()
    try:
        assert [CheckedSessions(sessions.store_path, 100).remove_expired() for _ in range(300)] == [0] * 300
    finally:
        over.set()
        user.join()


@pytest.mark.parametrize("full", [False, True])
def test_a_full_disk_is_not_the_archives_fault(sessions, tmp_path, monkeypatch, full):
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.write(upload(tmp_path), "0.png")
    error = OSError(28 if full else 5, "refused")
    monkeypatch.setattr(zipfile.ZipFile, "extractall", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(OSError if full else HTTPException):
        sessions.add_session(str(tmp_path / "run.zip"), uncompress=True)
