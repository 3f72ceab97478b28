"""Requests to one server over HTTP, and what goes wrong with them in one line each.

Nothing here touches a scene, so it may be called from a worker thread.
"""

from typing import Any
from urllib.parse import urlsplit

import requests

from AngioSegLib.errors import (
    BadReply,
    RequestRefused,
    ServerAbsent,
    ServerError,
    ServerTimeout,
    SessionLost,
    TokenRefused,
)

__all__ = ["Transport"]

_GATEWAY = (502, 503, 504)
"""What a proxy answers when the server behind it does not. The server's own answers of these come with a reason."""


class Transport:
    """The line to a server.

    Args:
        url: such as ``http://127.0.0.1:8000``. Over https the server's certificate is verified.
        token: what the server was started with, or a user's password; "" when it asks for none.
        connectTimeout: seconds to wait for somebody to pick up.
        readTimeout: seconds without a byte of the answer.

    Attributes:
        url: the address, without a slash at its end.
        inClear: whether what is sent can be read on its way: over http to another machine.

    Raises:
        ServerAbsent: when the address is none, or the token cannot be one.
    """

    def __init__(self, url: str, token: str = "", connectTimeout: float = 5.0, readTimeout: float = 300.0):
        url = url.strip().rstrip("/")
        host = _host(url)
        self.url = url
        self._token = token.strip()
        if not self._token.isascii():
            raise ServerAbsent("a token or password is of ASCII letters; is the keyboard set to another language?")
        self._timeout = (connectTimeout, readTimeout)
        self._http = requests.Session()
        here = host in ("localhost", "127.0.0.1", "::1")
        self.inClear = not here and urlsplit(url).scheme == "http"
        # A hospital's proxy settings must not catch calls to this very machine.
        self._http.trust_env = not here
        # Not a plain header: requests puts what it finds in a .netrc file in its place.
        self._http.auth = self._authorize

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """An answer with a status below 300.

        Args:
            method: such as ``"GET"``.
            path: from the server's root on.
            options: those of ``requests.request``.

        Raises:
            ServerError: one of its kinds.
        """
        try:
            response = self._http.request(
                method, self.url + path, timeout=self._timeout, allow_redirects=False, **options
            )
        except requests.exceptions.SSLError as error:
            raise ServerAbsent(f"{self.url} shows a certificate that is not trusted; nothing was sent") from error
        except requests.RequestException as error:
            # A body that stops coming is reported by requests as a broken connection around the time-out.
            stalled = any(type(cause).__name__ == "ReadTimeoutError" for cause in error.args)
            if stalled or isinstance(error, requests.ReadTimeout):
                raise ServerTimeout(f"{self.url} said nothing for {self._timeout[1]:g} s; is it busy?") from error
            if isinstance(error, requests.ConnectTimeout):
                raise ServerTimeout(
                    f"{self.url} did not pick up in {self._timeout[0]:g} s; is it switched on?"
                ) from error
            raise ServerAbsent(
                f"nobody answers at {self.url}, or the line broke; start the server, or correct the address"
            ) from error
        except ValueError as error:
            # urllib3's own, of a host such as a..b, which requests lets through.
            raise ServerAbsent(_noAddress(self.url)) from error
        if response.status_code >= 300:
            raise self._refusal(response, path)
        return response

    def _refusal(self, response: requests.Response, path: str) -> ServerError:
        status = response.status_code
        try:
            detail = str(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = response.reason or "no reason given"
            if status in _GATEWAY:
                return ServerAbsent(f"{self.url} does not answer now ({status}: {detail}); try again in a moment")
        message = f"{self.url} refused ({status}): {' '.join(detail.split())}"
        if status == 401:
            given = "this one is wrong" if self._token else "none is given"
            message = f"{self.url} asks for a token or password, and {given}; enter the one it was started with"
            return TokenRefused(message, status)
        aboutSession = path.startswith("/session/") or any(
            words in detail.lower() for words in ("session", "upload the cine again")
        )
        return (SessionLost if status == 404 and aboutSession else RequestRefused)(message, status)

    def json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """An answer that is a JSON object; see :meth:`request`."""
        return self.object(self.request(method, path, **options))

    def object(self, response: requests.Response) -> dict[str, Any]:
        """The JSON object that an answer is.

        Raises:
            BadReply: when it is none.
        """
        try:
            value = response.json()
        except ValueError as error:
            raise BadReply(f"{self.url} is no AngioSeg server: its answer is not JSON") from error
        if not isinstance(value, dict):
            raise BadReply(f"{self.url} is no AngioSeg server: its answer is not an object")
        return value

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _noAddress(url: str) -> str:
    return f"{url!r} is no server address; write it like http://127.0.0.1:8000"


def _host(url: str) -> str:
    """The host of a server's address.

    An address is kept in settings and in scenes, and shown: a password in it is refused, and not repeated.
    """
    if "@" in url:
        raise ServerAbsent("a server address holds no user or password; enter the password below it")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        usable = False
    if not usable or not parts.hostname:
        raise ServerAbsent(_noAddress(url))
    return parts.hostname
