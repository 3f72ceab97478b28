"""What is known of the server: where it is, what it offers, and whether it answers."""

from collections.abc import Callable
from typing import Any

from AngioSegLib.client import Client
from AngioSegLib.errors import AngioSegLibError, ServerAbsent, ServerTimeout, TokenRefused
from AngioSegLib.worker import Task, Worker

__all__ = ["STATES", "Connection"]

STATES = ("none", "connecting", "connected", "busy", "lost")


class Connection(Worker):
    """A worker that asks one server, and notices when it is gone.

    Attributes:
        client: the server, or None.
        url: the address of the server that was connected last, also when it is lost; "" before the first one.
        problem: one line on why there is no connection, or "".
        offer: the server's ``/info/``.
    """

    def __init__(self):
        super().__init__()
        self.client: Client | None = None
        self.url = ""
        self.problem = ""
        self.offer: dict[str, Any] = {}
        self._connecting: Task | None = None

    @property
    def state(self) -> str:
        """One of :data:`STATES`."""
        if self._connecting is not None:
            return "connecting"
        if self.client is None:
            return "lost" if self.problem else "none"
        if self.problem:
            return "lost"
        return "busy" if self.busy else "connected"

    @property
    def ready(self) -> bool:
        """Whether something may be asked of the server."""
        return self.state in ("connected", "busy")

    def names(self, kind: str) -> list[str]:
        """What the server offers of a kind: ``"models"``, ``"strategies"`` or ``"trainers"``."""
        return list(self.offer.get(kind, {}))

    def connect(self, url: str, token: str, onDone: Callable[[], None]) -> None:
        """Try a server; ``onDone`` is called when :attr:`state` says how it went.

        Args:
            url: its address.
            token: its token or the user's password; "" when it asks for none.
            onDone: called by :meth:`process`.
        """
        if self._connecting is not None:
            self._connecting.drop()
            self._connecting = None
        self.problem, self.offer = "", {}
        try:
            client = Client(url, token=token)
        except AngioSegLibError as error:
            self.client, self.problem = None, str(error)
            onDone()
            return

        if self.busy:
            # A server that hangs keeps nobody from another one, nor from trying it again.
            self._beginAnew()

        def answered(offer: dict[str, Any]) -> None:
            self._connecting = None
            # What went wrong meanwhile was the last server's.
            self.client, self.url, self.offer, self.problem = client, client.url, offer, ""
            onDone()

        def failed(error: AngioSegLibError) -> None:
            self._connecting = None
            self.client, self.problem = None, str(error)
            onDone()

        self._connecting = super().ask(client.info, answered, failed)

    def ask(self, work, onDone, onError, client: Client | None = None) -> Task:
        """As :meth:`AngioSegLib.worker.Worker.ask`; an answer, or its absence, says how the server is.

        When it comes, another server than ``client`` may be connected, or none.
        """

        def note(problem: str) -> None:
            if client is not None and self.client is client:
                self.problem = problem

        def answered(value: Any) -> None:
            note("")
            onDone(value)

        def failed(error: AngioSegLibError) -> None:
            if isinstance(error, ServerAbsent | ServerTimeout | TokenRefused):
                note(str(error))
            onError(error)

        return super().ask(work, answered, failed, client)
