"""Granian on a socket that it was given: what waits there is not lost when one server on it ends."""

import asyncio
import socket
from typing import Any

from service.server.granian_server import GranianServer, bind, listen

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def app_saying(text: bytes) -> Any:
    """Return an application that always answers the same."""

    async def app(_scope: Any, protocol: Any) -> None:
        protocol.response_bytes(200, [], text)

    return app


async def answer_of(client: socket.socket) -> bytes:
    """Return what arrives on a connection."""
    loop = asyncio.get_running_loop()
    return await asyncio.wait_for(loop.sock_recv(client, 1_000), 5)


def test_the_next_server_answers_what_waited() -> None:
    """A client that connects after one server has ended waits in the socket's queue, and is answered by the next."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with bind("127.0.0.1", 0) as listener, socket.socket() as early, socket.socket() as late:
            listen(listener)
            early.settimeout(0)
            late.settimeout(0)
            first, second = (GranianServer(app_saying(text), listener) for text in (b"first", b"second"))
            first.start()
            await loop.sock_connect(early, listener.getsockname())
            await loop.sock_sendall(early, REQUEST)
            assert (await answer_of(early)).endswith(b"first")
            assert await first.finish(5)
            await loop.sock_connect(late, listener.getsockname())
            await loop.sock_sendall(late, REQUEST)
            await asyncio.sleep(0.1)
            second.start()
            assert (await answer_of(late)).endswith(b"second")
            assert await second.finish(5)

    asyncio.run(scenario())


def test_what_was_begun_is_finished() -> None:
    """`finish` waits for a slow answer, and says when it took too long."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        async def slow(scope: Any, protocol: Any) -> None:
            await asyncio.sleep(0.4)
            await app_saying(b"late")(scope, protocol)

        with bind("127.0.0.1", 0) as listener, socket.socket() as client:
            listen(listener)
            client.settimeout(0)
            server = GranianServer(slow, listener)
            server.start()
            await loop.sock_connect(client, listener.getsockname())
            await loop.sock_sendall(client, REQUEST)
            await asyncio.sleep(0.1)
            assert not await server.finish(0.05)
            assert (await answer_of(client)).endswith(b"late")

    asyncio.run(scenario())


def test_a_taken_port_is_an_error() -> None:
    """Two servers cannot have one port."""
    with bind("127.0.0.1", 0) as listener:
        listen(listener)
        try:
            bind("127.0.0.1", listener.getsockname()[1]).close()
        except OSError:
            return
    raise AssertionError("the port was given twice")
