"""The hot route: an autocomplete answer from memory, with as little Python as can be.

It answers only what succeeds. Whatever else a request needs (a problem, another method, a preflight) is left to the
application behind it, which reads the request again; such requests are rare and may cost more.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from service.http.answers import Answers
from service.http.boundary import App
from service.http.clients import UNKNOWN, believed
from service.http.headers import Cors, request_id_of
from service.http.prepared import CHOICES, coding_of
from service.http.rate_limit import Quota
from service.http.rsgi import RsgiApp, RsgiProtocol, RsgiScope, as_text, serve
from service.settings import Network
from service.state import State

PATH: Final = "/v1/tags/autocomplete"
#: From here on an answer is slow enough for a line in the log.
_SLOW_SECONDS: Final = 0.1


def hot_route(state: State, answers: Answers, quota: Quota, cors: Cors, behind: App) -> RsgiApp:
    """Return the RSGI application: the hot route in front of an ASGI application that can do everything."""
    known, load, take = answers.known, answers.load, quota.take
    is_limited, trusted, varies = quota.is_on, state.settings.trusted_proxies, cors.is_on and not cors.is_any
    observe = {
        (method, code): state.measures.request(method, PATH, code).observe
        for method in ("GET", "HEAD")
        for code in (200, 304)
    }
    observe_get, clock, choices = observe["GET", 200], time.perf_counter, CHOICES
    note_slow = _slow_noter(state)

    async def app(scope: RsgiScope, protocol: RsgiProtocol) -> None:
        if scope.path != PATH:
            await serve(behind, scope, protocol)
            return
        started = clock()
        method, given = scope.method, scope.headers
        left = take(_address_of(scope, trusted)) if is_limited else None
        prepared = None
        if (method == "GET" or method == "HEAD") and left != -1:
            query = scope.query_string.encode("utf-8", "surrogateescape")
            try:
                prepared = known(query) or load(query)
            except Exception:  # a problem, or our mistake: the application behind says which
                prepared = None
        if prepared is None:
            await serve(behind, scope, protocol, **{"segue.spent": left is not None and left >= 0})
            return
        accepted = given.get("accept-encoding")
        coding = b""
        if accepted is not None:
            asked = accepted.encode()
            coding = choices[asked] if asked in choices else coding_of(asked)
        headers, body = prepared.parts(coding)
        request_id = given.get("x-request-id")
        if request_id is not None and request_id_of(request_id.encode()):
            headers.append(("x-request-id", request_id))
        if varies:
            origin = given.get("origin")
            headers += as_text(cors.headers(None if origin is None else origin.encode()))
        if left is not None:
            headers += as_text(quota.headers(left))
        if state.is_closing:
            headers.append(("connection", "close"))
        held = given.get("if-none-match")
        if method == "GET" and (held is None or not prepared.matches(held.encode(), coding)):
            protocol.response_bytes(200, headers, body)
            seconds = clock() - started
            observe_get(seconds)
            code = 200
        else:
            code = 200 if held is None or not prepared.matches(held.encode(), coding) else 304
            if code == 200:
                headers.append(("content-length", str(len(body))))
            else:
                headers = [header for header in headers if header[0] not in _OF_BODY]
            protocol.response_empty(code, headers)
            seconds = clock() - started
            observe[method, code](seconds)
        if seconds > _SLOW_SECONDS:
            note_slow(method, code, seconds)

    return app


#: Headers that say something of a body, which a 304 has not.
_OF_BODY: Final = frozenset(("content-type", "content-encoding"))


def _address_of(scope: RsgiScope, trusted: tuple[Network, ...]) -> str:
    address = scope.client.rpartition(":")[0] or UNKNOWN
    if not trusted:
        return address
    return believed(address, (value for name, value in scope.headers.items() if name == "x-forwarded-for"), trusted)


def _slow_noter(state: State) -> Callable[[str, int, float], Any]:
    def note(method: str, code: int, seconds: float) -> None:
        state.log.warning("request", method=method, route=PATH, code=code, dur_ms=round(seconds * 1000, 3))

    return note
