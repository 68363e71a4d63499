"""The bridge from Granian's interface to an ASGI application, over a real server: bodies, streams, the client's end."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from service.http.boundary import App, Message, Receive, Scope, Send
from service.http.rsgi import serve
from service.server.granian_server import GranianServer, bind, listen


async def ask(app: App, exchange: Callable[[Any], Awaitable[bytes]]) -> bytes:
    """Serve an ASGI application, and let a client exchange bytes with it."""

    async def front(scope: Any, protocol: Any) -> None:
        await serve(app, scope, protocol, marked="yes")

    with bind("127.0.0.1", 0) as listener, socket.socket() as client:
        listen(listener)
        server = GranianServer(front, listener)
        server.start()
        client.settimeout(0)
        await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
        try:
            return await asyncio.wait_for(exchange(client), 10)
        finally:
            await server.finish(5)


def sending(request: bytes, until: bytes) -> Callable[[Any], Awaitable[bytes]]:
    """Return an exchange: send, then read until some bytes have come."""

    async def exchange(client: Any) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, request)
        got = b""
        while until not in got:
            got += await loop.sock_recv(client, 65_536)
        return got

    return exchange


def test_scope_and_body_arrive_whole() -> None:
    """Path and query decoded as ASGI wants them, every header, the addresses, and a body of many parts."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-size", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body[-3:]})

    head = b"POST /a%20b/%C3%A9?q=%FF HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 300003\r\n\r\n"
    got = asyncio.run(ask(app, sending(head + b"x" * 300_000 + b"end", b"\r\n\r\nend")))

    assert got.startswith(b"HTTP/1.1 201")
    assert b"x-size: 300003\r\n" in got
    scope = seen[0]
    assert ("POST", "/a b/é", b"q=%FF", "1.1", "yes") == tuple(
        scope[name] for name in ("method", "path", "query_string", "http_version", "marked")
    )
    assert [b"1", b"2"] == [value for name, value in scope["headers"] if name == b"x-a"]
    assert "127.0.0.1" == scope["client"][0]
    assert isinstance(scope["client"][1], int)


def test_an_answer_may_come_in_parts() -> None:
    """Each part is sent when the application sends it, and the answer ends after the last."""
    gate = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"stream")]})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"second", "more_body": True})
        await send({"type": "http.response.body"})

    async def exchange(client: Any) -> bytes:
        got = await sending(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"first\r\n")(client)
        assert b"second" not in got
        gate.set()
        return got + await sending(b"", b"0\r\n\r\n")(client)

    got = asyncio.run(ask(app, exchange))

    assert b"transfer-encoding: chunked" in got
    assert got.endswith(b"6\r\nsecond\r\n0\r\n\r\n")


def test_the_application_hears_that_the_client_has_gone() -> None:
    """After the body, `receive` waits for the end of the connection."""
    heard: list[Message] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        heard.append(await receive())

    async def exchange(client: Any) -> bytes:
        got = await sending(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"begun")(client)
        assert [] == heard
        client.close()
        while not heard:
            await asyncio.sleep(0.01)
        return got

    asyncio.run(ask(app, exchange))

    assert [{"type": "http.disconnect"}] == heard


def test_answers_without_a_body() -> None:
    """204 has none; HEAD has the length of what GET would give."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        else:
            await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    head = asyncio.run(ask(app, sending(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\n\r\n")))
    none = asyncio.run(ask(app, sending(b"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\n\r\n")))

    assert b"content-length: 5\r\n" in head
    assert none.startswith(b"HTTP/1.1 204")
    assert b"transfer-encoding" not in none
