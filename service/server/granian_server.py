"""Granian inside a worker, on a listening socket that the worker was given."""

import asyncio
import os
import socket
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

#: Granian's stub is behind its code.
_SOCKET_HOLDER: Any = SocketHolder
#: Connections of one worker; the next ones wait in the socket's queue.
_CONNECTIONS = 8_192
#: Connections that wait to be accepted.
BACKLOG = 2_048
#: Of a request's head, in milliseconds: a client that dribbles is cut off.
_HEAD_MS = 15_000
#: The same, its longest length; a longer one is answered 431, or 414 when its first line is too long, without a body.
_HEAD_BYTES = 65_536


class GranianServer(Server):
    """An HTTP/1.1 server in the running event loop.

    Granian would open a socket of its own for each worker (see supervisor.py for what that loses), so the one place
    where it does is replaced. `tests/http/test_granian_server.py` fails when a new Granian has another such place.
    """

    def __init__(self, app: Any, listener: socket.socket) -> None:
        super().__init__(
            app,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=_HEAD_MS, max_buffer_size=_HEAD_BYTES),
            websockets=False,
            backlog=BACKLOG,
            backpressure=_CONNECTIONS,
            log_enabled=False,
        )
        self._listener = listener
        self._serving: asyncio.Task[None] | None = None

    def _init_shared_socket(self) -> None:
        self._ssp = None
        is_unix = False
        # A holder closes what it holds.
        self._shd = _SOCKET_HOLDER(os.dup(self._listener.fileno()), is_unix, BACKLOG)

    def start(self) -> None:
        """Begin to accept."""
        if self._serving is None:
            self._serving = asyncio.get_running_loop().create_task(self.serve())

    async def finish(self, seconds: float) -> bool:
        """Accept no more and wait until what was begun is answered; False when it was not within this time."""
        if self._serving is None:
            return True
        self.stop()  # type: ignore[no-untyped-call]
        _, unfinished = await asyncio.wait([self._serving], timeout=seconds)
        return not unfinished


def bind(host: str, port: int) -> socket.socket:
    """Take the port for all workers; `listen` opens it.

    Raises:
        OSError: it is taken, or this machine has no such address.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


def listen(listener: socket.socket) -> None:
    """Let clients connect; until a worker accepts they wait.

    Raises:
        OSError: another server has taken the port since.
    """
    listener.listen(BACKLOG)
