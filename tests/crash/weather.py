"""A TCP proxy before PostgreSQL with weather of its own: it delays, resets, cuts short, or swallows what comes by."""

import random
import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

#: What may happen to a connection.
KINDS = ("delay", "reset", "truncate", "swallow")


class Weather:
    """Forwards bytes; each connection among the first `struck` has its accident after some bytes of the server's.

    Args:
        url: of the server, over TCP and with a password.
        kind: what happens: every piece comes 5 ms late (`delay`); the connection is reset in the middle of a message
            (`reset`), or closed after half of one (`truncate`); or it stays open, and nothing passes (`swallow`).
        seed: of the places where it happens.
        struck: how many connections; the later ones are spared.
        spared: so many first ones are, too.
        is_final: whether, after the first accident, nobody is let in any more.

    Attributes:
        accidents: how many happened.
    """

    def __init__(
        self, url: str, kind: str, seed: int, *, struck: int = 6, spared: int = 0, is_final: bool = False
    ) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._kind, self._random = kind, random.Random(seed)
        self._spared, self._struck, self._is_final = spared, struck, is_final
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        own = parts.netloc.rpartition(":")[0] + f":{self._listener.getsockname()[1]}"
        self.url = parts._replace(netloc=own, query="sslmode=disable&gssencmode=disable").geturl()
        self.accidents = 0

    def __enter__(self) -> "Weather":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._sockets):
            _close(each)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets += [client, server]
                    self._spared -= 1
                    self._struck -= self._spared < 0
                    # Not during the handshake: that the server cannot be reached at the start is another error.
                    is_struck = self._spared < 0 <= self._struck
                    after = self._random.randrange(6_000, 30_000) if is_struck else None
                swallows = threading.Event()
                for source, target, bytes_left in ((client, server, None), (server, client, after)):
                    arguments = (source, target, bytes_left, swallows)
                    threading.Thread(target=self._forward, args=arguments, daemon=True).start()

    def _forward(
        self, source: socket.socket, target: socket.socket, left: int | None, swallows: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if swallows.is_set():
                    continue
                if self._kind == "delay":
                    time.sleep(0.005)
                elif left is not None:
                    left -= len(data)
                    if left < 0:
                        self._strike(target, data, swallows)
                        if self._kind != "swallow":
                            break
                        continue
                target.sendall(data)
        if not swallows.is_set():
            _close(source)
            _close(target)

    def _strike(self, client: socket.socket, data: bytes, swallows: threading.Event) -> None:
        with self._lock:
            self.accidents += 1
        if self._is_final:
            _close(self._listener)
        if self._kind == "swallow":
            swallows.set()
            return
        client.sendall(data[: len(data) // 2])
        if self._kind == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
