"""The hot route: an autocomplete answer from memory, with as little Python as can be.

It answers only what succeeds. Whatever else a request needs (a problem, another method, a preflight) is left to the
application behind it, which reads the request again; such requests are rare and may cost more.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from service.http.answers import Answers
from service.http.boundary import App, Receive, Scope, Send
from service.http.clients import address_of
from service.http.headers import Cors, Header, request_id_of
from service.http.prepared import CHOICES, NO_BODY, Message, Prepared, coding_of
from service.http.rate_limit import Quota
from service.state import State

PATH: Final = "/v1/tags/autocomplete"
#: From here on an answer is slow enough for a line in the log.
_SLOW_SECONDS: Final = 0.1
_MOST_MESSAGES: Final = 2_000
#: Request headers that it reads.
_WANTED: Final = frozenset((b"accept-encoding", b"if-none-match", b"origin", b"x-request-id"))


def hot_route(state: State, answers: Answers, quota: Quota, cors: Cors, behind: App) -> App:
    """Return the ASGI application: the hot route in front of `behind`."""
    known, load, take = answers.known, answers.load, quota.take
    is_limited, trusted, varies = quota.is_on, state.settings.trusted_proxies, cors.is_on and not cors.is_any
    observe = {
        (method, code): state.measures.request(method, PATH, code).observe
        for method in ("GET", "HEAD")
        for code in (200, 304)
    }
    observe_get, clock, wanted, choices = observe["GET", 200], time.perf_counter, _WANTED, CHOICES
    note_slow = _slow_noter(state)
    # Messages of the answers that are sent most: a third of a microsecond each time, in a place of bounded size.
    messages: dict[tuple[Prepared, bytes], tuple[Message, Message]] = {}

    def made(prepared: Prepared, coding: bytes) -> tuple[Message, Message]:
        if len(messages) >= _MOST_MESSAGES:
            messages.clear()
        start, body = prepared.messages(coding)
        messages[prepared, coding] = both = start, {"type": "http.response.body", "body": body}
        return both

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != PATH:
            await behind(scope, receive, send)
            return
        started = clock()
        method = scope["method"]
        left = None
        if is_limited:
            peer = scope["client"]
            left = take(address_of(scope, trusted) if trusted or not peer else peer[0])
        prepared = None
        if (method == "GET" or method == "HEAD") and left != -1:
            query = scope["query_string"]
            try:
                prepared = known(query) or load(query)
            except Exception:  # a problem, or our mistake: the application behind says which
                prepared = None
        if prepared is None:
            scope["segue.spent"] = left is not None and left >= 0
            await behind(scope, receive, send)
            return
        coding = held = b""
        origin = None
        extra: list[Header] = []
        for name, value in scope["headers"]:
            if name not in wanted:
                continue
            if name == b"accept-encoding":
                coding = choices[value] if value in choices else coding_of(value)
            elif name == b"if-none-match":
                held = value
            elif name == b"x-request-id":
                if request_id_of(value):
                    extra.append((name, value))
            else:
                origin = value
        if varies:
            extra += cors.headers(origin)
        if left is not None:
            extra += quota.headers(left)
        if state.is_closing:
            extra.append((b"connection", b"close"))
        start, body = messages.get((prepared, coding)) or made(prepared, coding)
        code = 200
        if held and prepared.matches(held, coding):
            start, body, code = prepared.not_modified(coding), NO_BODY, 304
        elif method == "HEAD":
            body = NO_BODY
        if extra:
            start = {**start, "headers": start["headers"] + extra}
        await send(start)
        await send(body)
        seconds = clock() - started
        if code == 200 and method == "GET":
            observe_get(seconds)
        else:
            observe[method, code](seconds)
        if seconds > _SLOW_SECONDS:
            note_slow(method, code, seconds)

    return app


def _slow_noter(state: State) -> Callable[[str, int, float], Any]:
    def note(method: str, code: int, seconds: float) -> None:
        state.log.warning("request", method=method, route=PATH, code=code, dur_ms=round(seconds * 1000, 3))

    return note
