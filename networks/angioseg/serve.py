"""Starting the MONAI Label server with the AngioSeg app: in this process, or in one of its own."""

import ipaddress
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from angioseg.ending import on_end
from angioseg.errors import AngioSegError
from angioseg.paths import app_dir

__all__ = ["serve", "start_server"]

logger = logging.getLogger("angioseg.server")

_SHORTEST_TOKEN = 8
_TOKEN = "ANGIOSEG_STARTED_WITH_TOKEN"
_READY = "AngioSeg server ready at "
_FOLDER, _HELD = "angioseg-server-", ".held"

# Optional parts of what the platform imports, unused here, that take a third of the time to start.
_UNUSED = ("mlflow", "sklearn", "pandas", "matplotlib")


def serve(
    studies: str | os.PathLike,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    model: str | os.PathLike | None = None,
    device: str | None = None,
    token: str | None = None,
    max_upload_mb: int = 4096,
) -> None:
    """Run the MONAI Label server on a folder of cines, or those of an archive, until Ctrl-C or SIGTERM.

    Beyond ``monailabel start_server``, it answers other requests while an inference runs, answers bad requests with a
    4xx and one clear line, is closed to web pages from elsewhere, keeps names of files out of its log, and leaves no
    upload behind. Settings of the platform (``MONAI_LABEL_...``) that are set in the environment hold.

    Args:
        studies: folder with the cines; labels are written to its ``labels`` folder. Or the address of a DICOMweb
            service; who may ask it and what for is said by the platform's settings, and labels are kept in a folder of
            this machine (``MONAI_LABEL_DICOMWEB_CACHE_PATH``) and stored in the archive.
        host: address to listen at. The default is this machine only.
        port: port to listen at; 0 takes a free one. The line that says "ready" names it.
        model: weights to use instead of those that come with the package, until a training in ``studies`` has given
            better ones.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default a GPU where there is one.
        token: what requests must carry, as a bearer token or as the password of any user; None asks for nothing.
        max_upload_mb: the most that one request may send.

    Raises:
        AngioSegError: when the server is not installed, the folder is not there or cannot be written to, the archive
            does not answer, the address cannot be listened at, or the model cannot be loaded.
    """
    studies = _check(studies)
    if model is not None and not Path(model).is_file():
        raise AngioSegError(f"{model}: no such weights file.")
    token = token and token.strip()  # as it comes in a request's header
    if token is not None and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise AngioSegError(f"The token must have {_SHORTEST_TOKEN} characters or more, all of them printable ASCII.")
    with _listen(host, port) as listener, _private_folder() as folder:
        port = listener.getsockname()[1]
        conf = {"model": model and str(Path(model).resolve()), "device": device}
        _configure(studies, port, {key: value for key, value in conf.items() if value}, folder)
        if token is None and not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
            logger.warning("Every machine that can reach %s can read these cines and change their labels.", host)
        server = _server(token, max_upload_mb << 20, host)
        server.ready = f"{_READY}http://{f'[{host}]' if ':' in host else host}:{port}/"
        server.run(sockets=[listener])
    if not server.started:
        raise AngioSegError("The server could not start; the lines above say why.")


@contextmanager
def start_server(
    studies: str | os.PathLike,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    timeout: float = 300.0,
    token: str | None = None,
    **options,
) -> Iterator[str]:
    """Run :func:`serve` in a process of its own while the block runs.

    Args:
        studies: see :func:`serve`.
        host: address to listen at.
        port: port to listen at; 0 takes a free one.
        timeout: seconds to wait until the server answers.
        token: see :func:`serve`.
        options: further arguments of :func:`serve`.

    Yields:
        The server's address, as ``http://127.0.0.1:54321``; it answers.

    Raises:
        AngioSegError: as :func:`serve`, or when the server does not answer in time; with the last lines of its log.
    """
    studies = _check(studies)
    arguments = json.dumps({"studies": studies, "host": host, "port": port, **options}, default=str)
    with tempfile.TemporaryDirectory(prefix="angioseg-log-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "server.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "angioseg.serve", arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Not an argument: other users of this machine can read those.
                env={**os.environ, _TOKEN: token or ""},
            )
        try:
            yield _wait_ready(process, log, timeout)
        finally:
            _stop(process)


def _check(studies: str | os.PathLike) -> str:
    if find_spec("monailabel") is None:
        raise AngioSegError('The server is not installed: pip install "angioseg[server]"')
    if str(studies).startswith(("http://", "https://")):
        return str(studies).rstrip("/")
    path = Path(studies).resolve()
    if not path.is_dir():
        raise AngioSegError(f"{studies}: no such folder; --studies takes the folder that holds the cines.")
    if not os.access(path, os.W_OK | os.X_OK):
        raise AngioSegError(f"{studies}: cannot be written to; the server keeps labels and its list of cines there.")
    return str(path)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise AngioSegError(f"Cannot listen at port {port}: give --port a number from 0 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Already now: on Linux two sockets with SO_REUSEADDR may bind one port until one of them listens.
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise AngioSegError(f"Cannot listen at {host} port {port}: {reason}. Choose another with --port.") from error
    return listener


@contextmanager
def _private_folder() -> Iterator[str]:
    """Where uploads and results live: only this user can read it, and it goes when the server does.

    That of a server that was killed goes when the next one starts.
    """
    before = tempfile.tempdir
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(OSError), (left / _HELD).open("rb+") as held:
            if _hold(held):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_FOLDER, ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            with Path(folder, _HELD).open("wb") as held:
                _hold(held)
                yield folder
        finally:
            tempfile.tempdir = before


def _hold(file: BinaryIO) -> bool:
    """Lock a file for as long as it is open and this process lives; False where another one has."""
    try:
        import fcntl
    except ImportError:
        return False  # Windows: what is left stays
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _configure(studies: str, port: int, conf: dict, folder: str) -> None:
    """The platform reads its settings from the environment when it is imported."""
    os.environ.update(
        MONAI_LABEL_APP_DIR=str(app_dir()),
        MONAI_LABEL_STUDIES=studies,
        MONAI_LABEL_SERVER_PORT=str(port),
        MONAI_LABEL_APP_CONF=json.dumps(conf),
    )
    os.environ.setdefault("MONAI_LABEL_SESSION_PATH", os.path.join(folder, "sessions"))
    os.environ.setdefault("MONAI_LABEL_TRACKING_ENABLED", "false")
    os.environ.setdefault("MONAI_LABEL_AUTO_UPDATE_SCORING", "false")
    # The platform logs names of files and whole requests as information: only warnings are let through.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("angioseg").setLevel(logging.INFO)
    # Readers quote what they find in a file.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


def _server(token: str | None, max_upload: int, host: str):
    with _hidden(_UNUSED):
        import uvicorn
        from fastapi import HTTPException
        from monailabel.config import settings
        from monailabel.interfaces.utils.app import app_instance

        from angioseg.guard import create_app

        try:
            instance = app_instance()
        except HTTPException as error:
            raise AngioSegError(f"{error.detail} --studies takes a folder, or the address of DICOMweb.") from error
        instance.segmenter.load()
        # A page's script cannot know the token, nor log in to MONAI Label's OpenID Connect.
        asks = token is not None or settings.MONAI_LABEL_AUTH_ENABLE
        app = create_app(instance, token, max_upload, None if asks else [host, socket.gethostname()])

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets=sockets)
            on_end(self.handle_exit)
            if self.started:
                print(self.ready, flush=True)

        def handle_exit(self, sig, frame):
            # Not uvicorn's own, which sends itself the signal again at the end and so leaves the uploads behind.
            instance.stop()
            self.force_exit = self.should_exit
            self.should_exit = True

    return Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))


@contextmanager
def _hidden(modules: tuple[str, ...]) -> Iterator[None]:
    """While the block runs, importing one of ``modules`` fails as if it were not installed."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _wait_ready(process: subprocess.Popen, log: Path, timeout: float) -> str:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        if ready := re.search(rf"^{re.escape(_READY)}(\S+)/$", text, re.MULTILINE):
            return ready[1]
        if process.poll() is not None:
            raise AngioSegError(_last_lines("The server stopped while starting.", log))
        time.sleep(0.1)
    raise AngioSegError(_last_lines(f"The server did not answer within {timeout:.0f} s.", log))


def _last_lines(what: str, log: Path, count: int = 5) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " | ".join([what, *lines[-count:]])


def _stop(process: subprocess.Popen) -> None:
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _main() -> None:
    def stop(*_):
        sys.exit(0)

    def stop_with_parent():
        # The end of the input is how `start_server` asks to stop, on every system, and how its death is noticed.
        sys.stdin.buffer.read()
        signal.raise_signal(signal.SIGTERM)

    on_end(stop)
    threading.Thread(target=stop_with_parent, daemon=True).start()
    try:
        serve(**json.loads(sys.argv[1]), token=os.environ.pop(_TOKEN, "") or None)
    except AngioSegError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
