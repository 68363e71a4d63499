"""Around every operation but the hot one: ids, limits, headers, measures, and a problem for whatever goes wrong."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from monitoring import sentry
from monitoring.logs import AccessLog, trace_id
from service.http.headers import NO_STORE, SECURITY, Cors, Header, request_id_of
from service.http.problems import INTERNAL, MEDIA_TYPE, TOO_LARGE, UNAVAILABLE, Problem
from service.http.refusals import of_error
from service.state import State

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Asked by machines that must get an answer however busy the process is; they wait for nothing.
_ALWAYS_ANSWERED: Final = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
_OTHER: Final = "other"


class Boundary:
    """The ASGI application that the server calls for everything but autocomplete.

    Args:
        app: the operations; it may raise anything.
        state: of this process.
        cors: who may read answers from other origins.
        access_log: where requests are noted.
    """

    def __init__(self, app: App, state: State, cors: Cors, access_log: AccessLog) -> None:
        self._app = app
        self._state = state
        self._cors = cors
        self._access_log = access_log
        self._limits = state.settings.limits
        self._in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        exchange = _Exchange(scope, receive, send, self._state, self._cors, self._limits.body_bytes)
        in_progress = self._state.measures.in_progress
        in_progress.inc(1.0)
        try:
            await self._answer(exchange)
        finally:
            in_progress.inc(-1.0)
            self._note(exchange, started)

    async def _answer(self, exchange: "_Exchange") -> None:
        scope = exchange.scope
        try:
            if exchange.is_preflight:
                await exchange.answer_preflight()
            elif scope["path"] in _ALWAYS_ANSWERED:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await self._within_limits(exchange)
        except Exception as error:  # nothing but a problem may reach the client
            problem = of_error(error)
            if problem.kind is INTERNAL:
                sentry.report(error)
                self._state.log.exception("request failed", request_id=exchange.request_id, exc_info=error)
            if exchange.status is None:
                await exchange.refuse(problem)

    async def _within_limits(self, exchange: "_Exchange") -> None:
        if self._in_work >= self._limits.concurrency:
            raise Problem(UNAVAILABLE, "too many requests are in work; ask again", headers=[("retry-after", "1")])
        self._in_work += 1
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        finally:
            self._in_work -= 1

    def _note(self, exchange: "_Exchange", started: float) -> None:
        seconds = time.perf_counter() - started
        scope, code = exchange.scope, exchange.status or 500
        operation = scope.get("segue.operation")
        route = operation.path if operation else _OTHER
        if operation and operation.is_stream and exchange.began is not None:
            seconds = exchange.began - started  # how long somebody listens is no sign of slowness
        self._state.measures.request(scope["method"], route, code).observe(seconds)
        # A probe's 503 is an answer, not a failure, and is asked for every few seconds.
        if scope["path"] not in _ALWAYS_ANSWERED and self._access_log.wants(code, seconds):
            trace = trace_id(exchange.given.get(b"traceparent", b"").decode("latin-1"))
            self._access_log.write(
                method=scope["method"] if operation else _OTHER,
                route=route,
                code=code,
                seconds=seconds,
                request_id=exchange.request_id,
                trace_id=trace,
            )


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, state: State, cors: Cors, most_body_bytes: int
    ) -> None:
        self.scope = scope
        self.given = dict(scope["headers"])
        self.request_id = request_id_of(self.given.get(b"x-request-id", b"")) or uuid4().hex
        self.status: int | None = None
        self.began: float | None = None
        self._receive, self._send = receive, send
        self._state, self._cors = state, cors
        self._body_left = most_body_bytes

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks if it may ask."""
        return (
            self.scope["method"] == "OPTIONS"
            and self._cors.is_on
            and b"origin" in self.given
            and b"access-control-request-method" in self.given
        )

    async def answer_preflight(self) -> None:
        """Say what other origins may do."""
        headers = self._cors.preflight(self.given[b"origin"])
        await self.send({"type": "http.response.start", "status": 204, "headers": list(headers)}, is_preflight=True)
        await self.send({"type": "http.response.body", "body": b""})

    async def receive(self) -> Message:
        """Hand on the request's body, within the limit.

        Raises:
            Problem: 413.
        """
        declared = self.given.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._body_left:
            raise self._too_large()
        message = await self._receive()
        if message["type"] == "http.request":
            self._body_left -= len(message.get("body", b""))
            self.given.pop(b"content-length", None)
            if self._body_left < 0:
                raise self._too_large()
        return message

    def _too_large(self) -> Problem:
        most = self._state.settings.limits.body_bytes
        # The rest of the body is not read, so the connection cannot be used again.
        return Problem(TOO_LARGE, f"a body may have at most {most:,} bytes", headers=[("connection", "close")])

    async def send(self, message: Message, *, is_preflight: bool = False) -> None:
        """Hand on the answer, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status, self.began = message["status"], time.perf_counter()
            own = {name for name, _ in message["headers"]}
            headers: list[Header] = [*message["headers"]]
            headers += [header for header in SECURITY if header[0] not in own]
            headers.append((b"x-request-id", self.request_id.encode()))
            headers += self.scope.get("segue.headers", ())
            if not is_preflight:
                headers += self._cors.headers(self.given.get(b"origin"))
            if self._state.is_closing and b"connection" not in own:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem."""
        body = problem.body(self.scope["path"], self.request_id)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            NO_STORE,
            *((name.encode(), value.encode("latin-1")) for name, value in problem.headers),
        ]
        with suppress(OSError):
            await self.send({"type": "http.response.start", "status": problem.kind.status, "headers": headers})
            await self.send({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})
