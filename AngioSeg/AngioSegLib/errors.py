"""What can go wrong, each with one line for the person at the screen."""

__all__ = [
    "AngioSegLibError",
    "BadReply",
    "CineUnusable",
    "ExportError",
    "NrrdError",
    "RequestRefused",
    "SceneError",
    "ServerAbsent",
    "ServerError",
    "ServerTimeout",
    "SessionLost",
    "TokenRefused",
]


class AngioSegLibError(RuntimeError):
    """An error whose message is one line: what, where, what to do."""


class CineUnusable(AngioSegLibError):
    """The node chosen, or the arrays given, are not a cine."""


class ExportError(AngioSegLibError):
    """A file that cannot be written."""


class NrrdError(AngioSegLibError):
    """Bytes that are not an NRRD image which can be read here, or an array that NRRD does not hold."""


class SceneError(AngioSegLibError):
    """A scene that cannot be saved or loaded."""


class ServerError(AngioSegLibError):
    """Anything that keeps the server from answering as agreed."""


class ServerAbsent(ServerError):
    """Nobody answers at the address, or the line broke."""


class ServerTimeout(ServerError):
    """The server took longer than allowed."""


class BadReply(ServerError):
    """An answer that is not what the protocol says: another program, or another version."""


class RequestRefused(ServerError):
    """The server understood and said no.

    Args:
        message: one line.
        status: the HTTP status, 400 or more.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class SessionLost(RequestRefused):
    """The server no longer has the uploaded cine; uploading it again mends it."""


class TokenRefused(RequestRefused):
    """The server asks for a token or password, and the right one was not given."""
