"""A TCP proxy before PostgreSQL that cuts one connection at a chosen COMMIT, before or after the server sees it."""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

#: What a client without SSL and GSSAPI sends to commit: a simple query.
COMMIT = b"COMMIT\0"


class Proxy:
    """Forwards bytes until the K-th COMMIT of all connections.

    Args:
        url: of the server, over TCP and with a password.
        nth: which COMMIT; 0 is none.
        when: `before` it is forwarded (it never happens), or `after` the server has answered (it has happened, and
            the client does not know).

    Attributes:
        commits: how many came by.
        has_cut: whether the K-th did.
    """

    def __init__(self, url: str, nth: int, when: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._nth, self._when = nth, when
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        own = parts.netloc.rpartition(":")[0] + f":{self._listener.getsockname()[1]}"
        self.url = parts._replace(netloc=own, query="sslmode=disable&gssencmode=disable").geturl()
        self.commits = 0
        self.has_cut = False

    def __enter__(self) -> "Proxy":
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                link = _Link(client, socket.create_connection(self._server))
                self._start(self._forward, link)
                self._start(self._answer, link)

    def _forward(self, link: "_Link") -> None:
        """Client to server, message by message: a first one without a type, then type, length and body."""
        header, stream = 4, link.client.makefile("rb")
        with suppress(OSError, struct.error), stream:
            while True:
                head = stream.read(header)
                (length,) = struct.unpack("!I", head[-4:])
                body = stream.read(length - 4)
                header = 5
                if head[:1] == b"Q" and body == COMMIT and self._is_the_one():
                    link.is_cut = True
                    if self._when == "before":
                        break
                link.server.sendall(head + body)
        if not link.is_cut or self._when == "before":
            link.close()

    def _answer(self, link: "_Link") -> None:
        with suppress(OSError):
            while (data := link.server.recv(65_536)) and not link.is_cut:
                link.client.sendall(data)
        link.close()

    def _is_the_one(self) -> bool:
        with self._lock:
            self.commits += 1
            self.has_cut |= self.commits == self._nth
            return self.commits == self._nth

    @staticmethod
    def _start(target: object, *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()


class _Link:
    """A client's connection and its twin to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server, self.is_cut = client, server, False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        _close(self.client)
        _close(self.server)


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
