"""Uploads that live for a while."""

from monailabel.utils.sessions import Sessions

from lib.ids import is_id

__all__ = ["CheckedSessions"]


class CheckedSessions(Sessions):
    """The platform's sessions; a session id that is no plain name is unknown instead of being joined to a path."""

    def get_session(self, session_id, update_ts=True, fetch_cache=True):
        return super().get_session(session_id, update_ts, fetch_cache) if is_id(session_id) else None
