"""What the interface offers, described once: for routing, checking, tokens and the OpenAPI document."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from service.http.parameters import Parameter, uuid
from service.http.problems import Kind
from service.state import State

Scope = Literal["read", "curate", "operate"]
#: Whose bucket a request takes from; monitoring/metrics.py lists them.
Policy = Literal["autocomplete", "search", "read", "write"]

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as an operation sees it: checked.

    Attributes:
        state: of this process.
        path: the path's parameters.
        query: the query's parameters, read, with defaults.
        raw_query: as it was sent.
        body: the decoded body, or None.
        actor: who asks, for the moderation log; empty without a token.
        headers: of the request, names in lower case.
        given: the headers that the operation reads, with defaults.
        name: of the operation.
    """

    state: State
    path: Mapping[str, str]
    query: Mapping[str, Any]
    raw_query: bytes
    body: Any
    actor: str
    headers: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation answers.

    Attributes:
        body: a value for JSON, finished bytes, a prepared answer, which has its own headers, or an iterator of pieces.
        status: the HTTP status code.
        headers: further headers; `cache-control` is no-store unless one says otherwise.
        media_type: of the body.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    Attributes:
        method: GET (which includes HEAD), POST, PATCH or DELETE.
        path: the template, such as /v1/tags/{id}.
        name: the operation's id.
        group: the heading that it stands under in the documentation.
        summary: in a few words.
        description: what else there is to know.
        handle: does it.
        quick: may do it from memory, without a thread; returns None where it cannot.
        is_blocking: it waits for the database, so it runs in a thread; else it must answer at once from memory.
        parameters: of the query.
        path_parameters: name -> reader, which raises ValueError.
        request_headers: that it reads, by names in lower case.
        body: the type of the request's body, or None.
        is_body_optional: whether it may be left out.
        status: of success.
        further_answers: status -> what it says, of successes without a body.
        answer: the type of the successful body for the OpenAPI document, or None when there is none or no JSON.
        media_type: of the successful body.
        example: a successful body.
        scope: what a token must allow, or None when none is needed.
        policy: of the rate limit, or None for what is never limited.
        seconds: until it is given up, where that is not the server's usual limit.
        problems: what else can go wrong, beside what can for every request.
        may_fail: answers 503 as a result, with the same body.
    """

    method: str
    path: str
    name: str
    group: str
    summary: str
    description: str = ""
    handle: Callable[[Call], Reply]
    quick: Callable[[Call], Reply | None] | None = None
    is_blocking: bool = True
    parameters: Sequence[Parameter] = ()
    path_parameters: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    request_headers: Sequence[Parameter] = ()
    body: type[msgspec.Struct] | None = None
    is_body_optional: bool = False
    status: int = 200
    further_answers: Mapping[int, str] = field(default_factory=dict)
    answer: Any = None
    media_type: str = JSON
    example: Any = None
    scope: Scope | None = None
    policy: Policy | None = "read"
    seconds: float | None = None
    problems: Sequence[Kind] = ()
    may_fail: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that it answers."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def is_stream(self) -> bool:
        """Whether its answer goes on for as long as somebody listens."""
        return self.media_type == "text/event-stream"


def number(given: str) -> str:
    """Read a path's number.

    Raises:
        ValueError: it is no positive bigint.
    """
    if not (given.isascii() and given.isdigit() and len(given) <= 18 and int(given) > 0):
        raise ValueError("must be a positive whole number")
    return given


TAG_ID: Final = {"id": uuid}
"""The path parameter of one tag."""
