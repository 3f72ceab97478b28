"""Uploads that live for a while."""

import os
import shutil
import tempfile
import time
import uuid
import zipfile
import zlib
from pathlib import Path

from angioseg.atomic import replacing
from angioseg.cine.limits import MAX_BYTES
from angioseg.errors import is_full
from fastapi import HTTPException
from monailabel.utils.sessions import Sessions

from lib.ids import is_id

__all__ = ["CheckedSessions", "unzip"]

_COMING_S = 300


class CheckedSessions(Sessions):
    """The platform's sessions, where neither a session's id nor a name in an archive is joined to a path unseen.

    A session id that is no plain name is unknown, and so is one whose time is over. Of archives only zip is taken: the
    platform unpacks tar files too, and those can write outside of their folder.
    """

    def get_session(self, session_id, update_ts=True, fetch_cache=True):
        if not is_id(session_id):
            return None
        try:
            found = super().get_session(session_id, False, fetch_cache)
        except (OSError, ValueError, TypeError):  # damaged: by an older server, which wrote in place
            found = None
        if found is None or time.time() > found.last_access_ts + found.expiry:
            return None
        return super().get_session(session_id, True, fetch_cache) if update_ts else found

    def add_session(self, data_file, expiry=0, uncompress=False, session_id=None):
        session_id = session_id or str(uuid.uuid4())
        try:
            if not uncompress or os.path.isdir(data_file):
                return super().add_session(data_file, expiry, False, session_id)
            with tempfile.TemporaryDirectory() as parent:
                folder = Path(parent, "cine")
                unzip(data_file, folder)
                return super().add_session(str(folder), expiry, False, session_id)
        except BaseException:
            self.remove_session(session_id)
            # The platform removes what it was given when all went well.
            shutil.rmtree(data_file) if os.path.isdir(data_file) else Path(data_file).unlink(missing_ok=True)
            raise

    def remove_expired(self):
        """Remove the sessions whose time is over, and what is none; how many there were."""
        store = Path(self.store_path)
        over = [one.name for one in (store.iterdir() if store.is_dir() else ()) if self._is_over(one.name)]
        for session_id in over:
            self.remove_session(session_id)
        return len(over)

    def _is_over(self, session_id: str) -> bool:
        if self.get_session(session_id, update_ts=False, fetch_cache=False) is not None:
            return False
        try:
            # It may be one that is coming in.
            return time.time() > os.path.getmtime(os.path.join(self.store_path, session_id)) + _COMING_S
        except OSError:
            return False  # gone meanwhile

    def _write_meta_info(self, session_id, session_info):
        # Not in place: who reads it meanwhile would take the session for a broken one.
        with replacing(Path(self.store_path, session_id, "meta.info")) as temporary:
            temporary.write_text(session_info.to_str(), encoding="utf-8")


def unzip(archive: str | Path, folder: Path):
    """Unpack a zip archive.

    Args:
        archive: the file.
        folder: made here.

    Raises:
        HTTPException: 400, when it is no zip archive, is damaged, or holds more than a cine has.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            # No more than the sizes given here is unpacked, whatever the archive holds.
            if sum(member.file_size for member in file.infolist()) > MAX_BYTES:
                raise HTTPException(400, "The archive holds more than any cine has.")
            folder.mkdir()
            file.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        if is_full(error):
            raise
        raise HTTPException(400, "The upload is not a zip archive that can be unpacked.") from error
