"""The OpenAPI document says what the interface does: complete, valid, and nothing in it can be broken."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from monitoring.metrics import METHODS, ROUTES
from service.http.app import all_operations
from service.http.problems import KINDS
from service.settings import Limits
from tests.conftest import Server, _fresh
from tests.http.conftest import Inside, _make, fill
from tests.http.tokens import tokens


@pytest.fixture(scope="module")
def scribbled(server: Server, template: str) -> Iterator[tuple[Inside, str]]:
    """The interface over a database that anything may be written to, and a token for all of it."""
    for url in _fresh(server, template):
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection)
            token = tokens(connection)["all"]
        for make in _make(url):
            yield make(limits=Limits(stream_seconds=0)), token


@pytest.fixture(scope="module")
def api(scribbled: tuple[Inside, str]) -> Any:
    """The document, as schemathesis reads it."""
    return schemathesis.openapi.from_asgi("/openapi.json", scribbled[0].asgi)


OFFERED = [
    (operation.path, method)
    for operation in all_operations(None, 10, None, "0")  # type: ignore[arg-type]
    for method in operation.methods
]


@pytest.mark.parametrize(("path", "method"), OFFERED)
def test_nothing_breaks_the_interface(path: str, method: str, api: Any, scribbled: tuple[Inside, str]) -> None:
    """Whatever fits the document, and whatever does not, is answered as the document says.

    That no operation forgets its token is shown in test_curating.py, for every state of one.
    """
    headers = {"authorization": f"Bearer {scribbled[1]}"}

    @settings(max_examples=20)
    @given(case=api[path][method].as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    def fitting(case: Any) -> None:
        # A schema cannot say which cursors this list made, what a tag may be called, or what can be undone.
        case.query.pop("cursor", None)
        if "name" in case.path_parameters:
            case.path_parameters["name"] = "themes"
        rules = [] if method in ("GET", "HEAD") else [positive_data_acceptance]
        case.call_and_validate(headers=headers, excluded_checks=[*rules, ignored_auth])

    @settings(max_examples=20)
    @given(case=api[path][method].as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def not_fitting(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=[ignored_auth])

    fitting()
    if method != "HEAD" and (api[path][method].query or api[path][method].body or "{" in path):
        not_fitting()


def test_every_route_is_documented_and_measured(served: Inside) -> None:
    """The document, the routes and the metrics' labels name the same paths."""
    document = served.get("/openapi.json").json
    known = {operation.path for operation in served.operations}

    assert known == set(document["paths"])
    assert known <= set(ROUTES), "a route that metrics do not know is counted under other"
    assert {operation.method for operation in served.operations} <= set(METHODS)
    assert "/v1/tags/autocomplete" in known


def test_the_document_is_complete(served: Inside) -> None:
    """Every operation has an id of its own, a summary, problems, and a scope where a token is needed."""
    document = served.get("/openapi.json").json
    operations = [operation for path in document["paths"].values() for operation in path.values()]

    assert len(operations) == len({operation["operationId"] for operation in operations})
    for operation in operations:
        assert operation["summary"]
        assert any(status.startswith("2") for status in operation["responses"])
        assert "500" in operation["responses"]
        if "security" in operation:
            assert operation["x-scope"] in {"read", "curate", "operate"}
            assert {"401", "403"} <= set(operation["responses"])
    assert "bearer" == document["components"]["securitySchemes"]["token"]["scheme"]
    row = document["components"]["schemas"]["SuggestedTag"]["properties"]
    assert {"type", "id", "name", "category", "color", "usage_count", "antecedent", "match"} <= set(row)


def test_references_lead_somewhere(served: Inside) -> None:
    """Every $ref of the document names a schema that it has."""
    text = served.get("/openapi.json").body.decode()
    schemas = served.get("/openapi.json").json["components"]["schemas"]

    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(schemas)


def test_the_page_is_whole_by_itself(served: Inside) -> None:
    """/docs shows every operation and problem, loads nothing, runs nothing, and its links lead to places on it."""
    got = served.get("/docs")
    text = got.body.decode()
    document = served.get("/openapi.json").json

    for path in document["paths"]:
        assert f"<code>{path}</code>" in text
    ids = set(re.findall(r"id='([^']+)'", text))
    assert set(re.findall(r"href='#([^']+)'", text)) <= ids
    assert {kind.type.partition("#")[2] for kind in KINDS} <= ids, "a problem's type leads to its explanation"
    assert not re.search(r"<script|src=|https?://|@import|url\(| on\w+=|style='", text)
    assert "script-src" not in got.headers["content-security-policy"]
    assert "text/html; charset=utf-8" == got.headers["content-type"]


def test_operations_do_not_depend_on_a_process() -> None:
    """The list of operations, which the reference is checked against, can be made without a server."""
    assert len(all_operations(None, 10, None, "0")) > 15  # type: ignore[arg-type]
