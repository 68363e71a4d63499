"""The OpenAPI document, made from the operations and shapes that answer, so that it cannot say anything else."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from service.http.operations import JSON, Operation
from service.http.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    INVALID,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    TOO_LARGE,
    TOO_MANY,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    Kind,
    Problem,
)
from service.http.shapes import ProblemDetails

_REF: Final = "#/components/schemas/{name}"
_SCHEME: Final = "token"
_NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.\\-]{0,99}$"}

_DESCRIPTION: Final = """\
Tags of songs: autocomplete, search with facets, and curating; and runs of migrations.
Answers are JSON; every error is problem+json (RFC 9457).
Lists are paged by opaque cursors. Operations that change something need a token: `segue tokens create`."""

#: Of one event; its data is JSON.
_EVENT: Final = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}

Json = dict[str, Any]


def document(operations: Sequence[Operation], version: str) -> Json:
    """Return the OpenAPI 3.1 document."""
    bodies = [operation.body for operation in operations if operation.body]
    answers = [operation.answer for operation in operations if operation.answer is not None]
    kinds = [*dict.fromkeys([*bodies, *answers, ProblemDetails])]
    shown, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of = dict(zip(kinds, shown, strict=True))
    paths: Json = {}
    for operation in operations:
        entry = paths.setdefault(operation.path, {})
        for method in operation.methods:
            entry[method.lower()] = _operation(operation, method, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Segue",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in dict.fromkeys(operation.group for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                _SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token made by `segue tokens create`, with the scope that the operation names.",
                }
            },
        },
    }


def problems_of(operation: Operation) -> list[Kind]:
    """Return every kind of problem that an operation can answer."""
    found = [*operation.problems, INTERNAL]
    if operation.policy is not None:
        found += [INVALID, TOO_MANY, UNAVAILABLE]
    elif not operation.may_fail:
        found.append(INVALID)
    if operation.path_parameters or operation.body or operation.parameters or operation.request_headers:
        found.append(INVALID)
    if operation.scope is not None:
        found += [UNAUTHORIZED, FORBIDDEN]
    if operation.body is not None:
        found += [BAD_REQUEST, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE]
    return sorted(dict.fromkeys(found), key=lambda kind: kind.status)


def _operation(operation: Operation, method: str, schema_of: dict[Any, Json]) -> Json:
    is_head = method == "HEAD"
    shown: Json = {
        "operationId": f"{operation.name}_head" if is_head else operation.name,
        "tags": [operation.group],
        "summary": operation.summary + (" (headers only)" if is_head else ""),
        "responses": _responses(operation, schema_of, is_head=is_head),
    }
    if operation.description:
        shown["description"] = operation.description
    if parameters := _parameters(operation):
        shown["parameters"] = parameters
    if operation.body is not None:
        content = {"schema": schema_of[operation.body]}
        shown["requestBody"] = {"required": not operation.is_body_optional, "content": {JSON: content}}
    if operation.scope is not None:
        shown["security"] = [{_SCHEME: []}]
        shown["x-scope"] = operation.scope
        shown["description"] = f"{operation.description} Needs the scope `{operation.scope}`.".strip()
    return shown


def _parameters(operation: Operation) -> list[Json]:
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"}
            if name == "id" and "tags" in operation.path
            else _NAME
            if name == "name"
            else {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
        }
        for name in operation.path_parameters
    ]
    in_query = []
    for place, parameter in (
        *(("query", parameter) for parameter in operation.parameters),
        *(("header", parameter) for parameter in operation.request_headers),
    ):
        shown: Json = {
            "name": parameter.name,
            "in": place,
            "required": parameter.is_required,
            "description": parameter.description,
            "schema": dict(parameter.schema),
        }
        if parameter.example is not None:
            shown["example"] = parameter.example
        in_query.append(shown)
    return [*in_path, *in_query]


def _responses(operation: Operation, schema_of: dict[Any, Json], *, is_head: bool) -> Json:
    found: Json = {}
    success: Json = {"description": HTTPStatus(operation.status).phrase}
    if operation.answer is not None or operation.media_type != JSON:
        content: Json = {"schema": schema_of[operation.answer] if operation.answer is not None else {"type": "string"}}
        if operation.is_stream:
            content["schema"] = _EVENT
        if operation.example is not None:
            content["example"] = operation.example
        if not is_head:
            success["content"] = {operation.media_type: content}
    found[str(operation.status)] = success
    for status, said in operation.further_answers.items():
        found[str(status)] = {"description": said}
    if operation.may_fail:
        found["503"] = {**success, "description": "Not ready; the body says why."}
    if operation.method == "GET" and operation.scope != "operate":
        found["304"] = {"description": "Not modified: the entity tag in If-None-Match is still right."}
    for kind in problems_of(operation):
        found.setdefault(str(kind.status), _problem(kind, operation, schema_of, is_head=is_head))
    return dict(sorted(found.items()))


def _problem(kind: Kind, operation: Operation, schema_of: dict[Any, Json], *, is_head: bool) -> Json:
    shown: Json = {"description": kind.title}
    if not is_head:
        example = msgspec.json.decode(Problem(kind, "what is wrong, and what to do").body(operation.path))
        shown["content"] = {MEDIA_TYPE: {"schema": schema_of[ProblemDetails], "example": example}}
    headers = {
        UNAUTHORIZED.status: ("WWW-Authenticate", "How to authenticate."),
        METHOD_NOT_ALLOWED.status: ("Allow", "The methods that the resource answers."),
        TOO_MANY.status: ("Retry-After", "Seconds to wait."),
        UNAVAILABLE.status: ("Retry-After", "Seconds to wait."),
    }
    if kind.status in headers:
        name, description = headers[kind.status]
        shown["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return shown
