"""Turns operations into routes: authorise, read strictly, run, and answer with bytes, entity tag and encoding."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, Router

from service.http.access import Access
from service.http.bodies import decode_body
from service.http.operations import Call, Operation, Reply
from service.http.parameters import Parameter, read_query
from service.http.prepared import NO_BODY, Fixed, Prepared, coding_of
from service.http.problems import METHOD_NOT_ALLOWED, NOT_FOUND, UNAVAILABLE, Fault, Problem, invalid
from service.http.tracing import name_trace
from service.state import State

Endpoint = Callable[[Request], Awaitable[Response]]

_NO_STORE: Final = "no-store"


class PreparedResponse(Response):
    """A finished answer, or 304 for who has it already."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__(prepared.body)
        self._prepared = prepared

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002
        """Send it."""
        coding, known = b"", b""
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                coding = coding_of(value)
            elif name == b"if-none-match":
                known = value
        if known and self._prepared.matches(known, coding):
            await send(self._prepared.not_modified(coding))
            await send(NO_BODY)
            return
        start, body = self._prepared.messages(coding)
        await send(start)
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def application(operations: Sequence[Operation], state: State, access: Access, threads: Executor) -> Router:
    """Return the ASGI application of the operations; it raises Problem for every request that it refuses."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    # Fixed paths come first: /v1/tags/popular is no tag's id.
    paths = sorted(by_path, key=lambda path: "{" in path)
    routes = [Route(path, _Resource(by_path[path], state, access, threads)) for path in paths]
    return Router(routes, redirect_slashes=False, default=_nothing_here)


async def _nothing_here(_scope: Any, _receive: Any, _send: Any) -> None:
    raise Problem(NOT_FOUND, "there is nothing at this path; /docs lists what there is")


class _Resource:
    """All methods of one path."""

    def __init__(self, operations: list[Operation], state: State, access: Access, threads: Executor) -> None:
        self._methods = {
            method: (operation, _endpoint(operation, state, access, threads))
            for operation in operations
            for method in operation.methods
        }
        self._path = operations[0].path
        self._seconds = state.settings.limits.request_seconds
        self._allowed = ", ".join(sorted({*self._methods, "OPTIONS"}))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with the operation of the request's method."""
        name_trace(self._path)
        found = self._methods.get(scope["method"])
        if found is None:
            if scope["method"] == "OPTIONS":
                await Response(status_code=204, headers={"allow": self._allowed})(scope, receive, send)
                return
            raise Problem(
                METHOD_NOT_ALLOWED, f"this resource answers {self._allowed}", headers=[("allow", self._allowed)]
            )
        operation, endpoint = found
        scope["segue.operation"] = operation
        seconds = operation.seconds or self._seconds
        try:
            async with asyncio.timeout(seconds):
                response = await endpoint(Request(scope, receive, send))
        except TimeoutError:
            said = f"not answered within {seconds:g} s"
            if operation.scope == "curate":
                said += "; it may still be done, so look into the moderation log before you ask again"
            if operation.scope == "operate" and operation.method != "GET":
                said += "; it may still be done, so look at the run before you ask again, or send an Idempotency-Key"
            raise Problem(UNAVAILABLE, said, headers=[("retry-after", "1")]) from None
        await response(scope, receive, send)


def _endpoint(operation: Operation, state: State, access: Access, threads: Executor) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        loop = asyncio.get_running_loop()
        access.spend(request.scope, operation.policy)
        actor = ""
        if operation.scope is not None:
            actor = await loop.run_in_executor(threads, access.actor, request.scope, operation.scope)
        raw_query = request.scope["query_string"]
        call = Call(
            state=state,
            path=_path(operation, request),
            query=read_query(raw_query, operation.parameters, most_bytes=state.settings.limits.query_bytes),
            raw_query=raw_query,
            body=await decode_body(request, operation.body, is_optional=operation.is_body_optional),
            actor=actor,
            headers=request.headers,
            given=read_headers(request.headers, operation.request_headers),
            name=operation.name,
        )
        reply = operation.quick(call) if operation.quick else None
        if reply is not None:
            pass
        elif operation.is_blocking:
            reply = await loop.run_in_executor(threads, operation.handle, call)
        else:
            reply = operation.handle(call)
        return _response(reply, is_head=request.method == "HEAD")

    return endpoint


def read_headers(headers: Mapping[str, str], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Read the headers that an operation asks for, as `read_query` reads its parameters.

    Raises:
        Problem: 422 with the header that is wrong.
    """
    found: dict[str, Any] = {}
    for parameter in parameters:
        given = headers.get(parameter.name)
        try:
            found[parameter.name] = parameter.default if given is None else parameter.read(given.strip())
        except ValueError as error:
            raise invalid(Fault(str(error), parameter=parameter.name)) from None
    return found


def _path(operation: Operation, request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, read in operation.path_parameters.items():
        try:
            found[name] = read(request.path_params[name])
        except ValueError as error:
            raise invalid(Fault(str(error), parameter=name)) from None
    return found


def _response(reply: Reply, *, is_head: bool) -> Response:
    if isinstance(reply.body, Prepared):
        return PreparedResponse(reply.body)
    if isinstance(reply.body, AsyncIterable):
        headers = {"cache-control": _NO_STORE, "x-accel-buffering": "no", **reply.headers}
        if is_head:
            return Response(None, reply.status, headers, media_type=reply.media_type)
        return StreamingResponse(reply.body, reply.status, headers, media_type=reply.media_type)
    body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
    headers = {"cache-control": _NO_STORE, **reply.headers}
    if reply.status == 200 and headers["cache-control"] != _NO_STORE:
        return PreparedResponse(Prepared(body, Fixed.of(headers, reply.media_type)))
    return Response(body, reply.status, headers, media_type=reply.media_type)
