"""MONAI Label's endpoints as a web application that keeps its promises.

The platform's own application runs an inference on the event loop (every other request waits for it), answers many bad
requests with a 500, and allows every web page in a browser to call it. None of this can be mended from an app folder,
so its endpoints are served from here: in threads, with one clear line for what is wrong, closed to foreign pages.
"""

import asyncio
import base64
import errno
import functools
import hmac
import inspect
import ipaddress
import json
import logging
import shutil
import tempfile
import threading
import traceback
from collections.abc import Collection
from contextlib import asynccontextmanager
from contextvars import ContextVar
from urllib.parse import urlsplit

from angioseg.atomic import WriteError
from angioseg.errors import AngioSegError, is_full

__all__ = ["client_gone", "create_app"]

logger = logging.getLogger("angioseg.server")

client_gone: ContextVar[threading.Event | None] = ContextVar("client_gone", default=None)
"""Set once the client of the request that is being answered has hung up; None outside of a request."""

_MAX_NAME = 200
_JSON_OBJECTS = ("params", "info")


def create_app(instance, token: str | None = None, max_upload: int = 4 << 30, names: Collection[str] | None = None):
    """The web application around a MONAI Label app.

    Args:
        instance: the ``MONAILabelApp`` that ``monailabel.interfaces.utils.app.app_instance`` gives.
        token: what every request must carry, as ``Authorization: Bearer TOKEN`` or as the password of HTTP Basic with
            any user; None asks for nothing.
        max_upload: bytes that a request may send.
        names: of this server; requests that call it by another one are refused, unless they use its address or
            localhost. A page from elsewhere can have its own name lead here, and the browser then takes both for one.
            None asks for no name: enough where every request must say who sends it.

    Returns:
        A ``fastapi.FastAPI`` with the platform's endpoints for the parts that the app has, and the app's own
        ``routers()``.
    """
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.middleware.cors import CORSMiddleware
    from fastapi.responses import JSONResponse
    from monailabel.config import settings
    from monailabel.endpoints import activelearning, datastore, infer, info, login, session

    @asynccontextmanager
    async def lifespan(app):
        instance.server_mode(True)
        instance.on_init_complete()
        yield

    app = FastAPI(title="AngioSeg", version=instance.version, lifespan=lifespan, docs_url="/", redoc_url=None)
    modules = [info, infer, activelearning, datastore, session]
    if settings.MONAI_LABEL_AUTH_ENABLE:
        modules.append(login)
    # Of two with the same path the first one answers.
    for router in [*instance.routers(), *(module.router for module in modules)]:
        for route in router.routes:
            app.add_api_route(
                settings.MONAI_LABEL_API_STR + route.path,
                _in_thread(route.endpoint),
                methods=sorted(route.methods),
                tags=route.tags,
                summary=route.summary,
                deprecated=route.deprecated,
                include_in_schema=route.include_in_schema,
                responses=route.responses,
            )

    @app.exception_handler(RequestValidationError)
    async def one_line(request: Request, error: RequestValidationError):
        parts = ((".".join(map(str, item["loc"][1:])), item["msg"]) for item in error.errors())
        lines = [f"{where}: {what}" if where else what for where, what in parts]
        if any(item["loc"] == ("body",) for item in error.errors()) and "json" not in request.headers.get(
            "content-type", ""
        ):
            lines.append("send it as JSON, with the header Content-Type: application/json")
        return JSONResponse({"detail": "; ".join(lines)}, status_code=422)

    origins = [str(origin).rstrip("/") for origin in settings.MONAI_LABEL_CORS_ORIGINS]
    app.add_middleware(_Bounded, most=max_upload)
    if token is not None:
        app.add_middleware(_TokenOnly, token=token)
    app.add_middleware(_KnownPagesOnly, origins=origins, names=names)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(_Watched)
    return app


def _in_thread(endpoint):
    """A synchronous form of an endpoint, which FastAPI runs in a thread, with its errors told in one line each.

    The platform's endpoints are coroutines that await nothing: each can be run to its end in any thread. The app's own
    are no coroutines.
    """
    from fastapi import HTTPException
    from starlette.datastructures import UploadFile

    # Not functools.wraps alone: FastAPI looks through `__wrapped__`, finds the coroutine, and would run it on the loop.
    @functools.wraps(endpoint)
    def run(*args, **kwargs):
        done, uploaded = False, 0
        try:
            for name, value in kwargs.items():
                if name in _JSON_OBJECTS and isinstance(value, str):
                    _check_json_object(name, value)
                elif isinstance(value, dict | list):
                    _check_can_be_told(name, value)
                for upload in value if isinstance(value, list) else [value]:
                    if isinstance(upload, UploadFile):
                        upload.filename = _plain_name(upload.filename)
                        uploaded += upload.size or 0
            _check_room(uploaded)
            result = endpoint(*args, **kwargs)
            result = asyncio.run(result) if inspect.iscoroutine(result) else result
            done = True
            return result
        except HTTPException as error:
            # The platform's own 500s are requests that cannot be met, such as one without any image.
            raise (HTTPException(400, error.detail) if error.status_code == 500 else error) from None
        except WriteError as error:
            # The server's disk, not the request; and the paths on it are nobody's business.
            status, line = _describe(error.__cause__ or error)
            raise HTTPException(status, line) from error
        except AngioSegError as error:
            raise HTTPException(400, str(error)) from error
        except Exception as error:
            status, line = _describe(error)
            raise HTTPException(status, line) from error
        finally:
            if not done and "background_tasks" in kwargs:
                # They remove what was uploaded; after an error nobody else runs them.
                asyncio.run(kwargs["background_tasks"]())

    del run.__wrapped__
    run.__signature__ = inspect.signature(endpoint)
    return run


def _check_room(size: int) -> None:
    """The platform copies an upload, and leaves half a copy where there is no room for a whole one."""
    if size and shutil.disk_usage(tempfile.gettempdir()).free <= size:
        raise OSError(errno.ENOSPC, "no room for an upload")


def _check_json_object(name: str, text: str) -> None:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise AngioSegError(f"`{name}` is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise AngioSegError(f"`{name}` is nested too deeply.") from error
    if not isinstance(value, dict):
        raise AngioSegError(f"`{name}` must be a JSON object, as {{}}.")
    _check_can_be_told(name, value)


def _check_can_be_told(name: str, value: dict | list) -> None:
    """What is kept comes back in replies, and one that cannot be written as JSON would fail for every client."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except RecursionError as error:
        raise AngioSegError(f"`{name}` is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise AngioSegError(f"`{name}` holds half a character (a lone surrogate).") from error
    except ValueError as error:
        raise AngioSegError(f"`{name}` holds a number that is not finite.") from error
    except TypeError:  # uploads are no JSON
        pass


def _plain_name(name: str | None) -> str | None:
    """The last part of the path that a client calls its upload by: the platform makes paths of it, or of its ending."""
    name = name and name.replace("\\", "/").rpartition("/")[2]
    if name and (name in (".", "..") or not name.isprintable() or len(name.encode()) > _MAX_NAME):
        raise AngioSegError(f"The name of the uploaded file must be a plain one of at most {_MAX_NAME} bytes.")
    return name


def _describe(error: Exception) -> tuple[int, str]:
    from monailabel.interfaces.exception import (
        ImageNotFoundException,
        LabelNotFoundException,
        MONAILabelError,
        MONAILabelException,
    )

    if isinstance(error, ImageNotFoundException | LabelNotFoundException):
        return 404, error.msg
    if isinstance(error, MONAILabelException) and error.error in (
        MONAILabelError.INVALID_INPUT,
        MONAILabelError.APP_INIT_ERROR,
    ):
        return 400, error.msg
    if is_full(error):
        return 507, "The server's disk is full: what is stored there is as it was before. Make room, and try again."
    # Where it happened, not what it said: messages quote file names, and those can name a patient.
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    logger.error("%s at %s", type(error).__name__, " < ".join(reversed(places)))
    return 500, f"The server failed ({type(error).__name__}). Its log says where."


class _Watched:
    """Sets :data:`client_gone` when the client hangs up, also while nobody reads the request."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        gone = threading.Event()
        client_gone.set(gone)
        # One message at a time: an upload is not taken in faster than it is read.
        messages = asyncio.Queue(maxsize=1)

        async def watch():
            while not gone.is_set():
                message = await receive()
                if message["type"] == "http.disconnect":
                    gone.set()
                await messages.put(message)

        watching = asyncio.create_task(watch())
        try:
            await self.app(scope, messages.get, send)
        finally:
            watching.cancel()


class _KnownPagesOnly:
    """Refuses requests that a browser sends for a page from elsewhere (it names the page's ``Origin``)."""

    def __init__(self, app, origins, names):
        self.app = app
        self.origins = origins
        self.names = None if names is None else {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and (line := self._refusal(scope["headers"])):
            from fastapi.responses import JSONResponse

            return await JSONResponse({"detail": line}, 403)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _refusal(self, headers) -> str | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin and _place(origin) != host and origin not in self.origins:
            return f"Pages of {origin[:200]} may not call this server."
        if self.names is not None and not self._is_called(host):
            return f"This server is not called {host[:200]}: use its address, the name given by --host, or a token."
        return None

    def _is_called(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or bool(ipaddress.ip_address(name))
        except ValueError:
            return False


def _place(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:  # a bracket that does not close
        return ""


class _TokenOnly:
    """Refuses requests without the token; what it compares takes the same time, however much of it is right."""

    def __init__(self, app, token):
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and not self._knows(dict(scope["headers"]).get(b"authorization", b"")):
            from fastapi.responses import JSONResponse

            response = JSONResponse(
                {"detail": "This server asks for its token: as a bearer token, or as the password of any user."},
                401,
                {"WWW-Authenticate": 'Basic realm="AngioSeg", charset="UTF-8"'},
            )
            return await response(scope, receive, send)
        return await self.app(scope, receive, send)

    def _knows(self, authorization: bytes) -> bool:
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() == b"basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except ValueError:
                return False
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(given.strip(), self.token)


class _Bounded:
    """Refuses requests that send too much, at once where they say so, else when they have."""

    def __init__(self, app, most):
        self.app = app
        self.most = most

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        from fastapi import HTTPException
        from fastapi.responses import JSONResponse

        line = f"The request is too large: this server takes {self.most / 2**20:g} MB at once."
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.most:
            return await JSONResponse({"detail": line}, 413)(scope, receive, send)
        received = 0

        async def receive_some():
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most:
                raise HTTPException(413, line)
            return message

        return await self.app(scope, receive_some, send)
