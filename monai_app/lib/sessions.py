"""Uploads that live for a while."""

import os
import tempfile
import zipfile
import zlib
from pathlib import Path

from angioseg.cine.limits import MAX_BYTES
from fastapi import HTTPException
from monailabel.utils.sessions import Sessions

from lib.ids import is_id

__all__ = ["CheckedSessions", "unzip"]


class CheckedSessions(Sessions):
    """The platform's sessions, where neither a session's id nor a name in an archive is joined to a path unseen.

    A session id that is no plain name is unknown. Of archives only zip is taken: the platform unpacks tar files too,
    and those can write outside of their folder.
    """

    def get_session(self, session_id, update_ts=True, fetch_cache=True):
        return super().get_session(session_id, update_ts, fetch_cache) if is_id(session_id) else None

    def add_session(self, data_file, expiry=0, uncompress=False, session_id=None):
        if not uncompress or os.path.isdir(data_file):
            return super().add_session(data_file, expiry, False, session_id)
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent, "cine")
            unzip(data_file, folder)
            return super().add_session(str(folder), expiry, False, session_id)


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
        raise HTTPException(400, "The upload is not a zip archive that can be unpacked.") from error
