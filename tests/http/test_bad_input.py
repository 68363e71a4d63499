"""Bad input is answered 4xx with a problem that says where it is; never 5xx, never something made up."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.http.shapes import ProblemDetails
from tests.http.conftest import Inside
from tests.http.tokens import Token

ID = "0190b0a4-7c1e-7d30-9a53-0b7c4a2f4f11"


def problem(got: Any, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of a status and return it."""
    assert (status, "application/problem+json") == (got.status, got.headers["content-type"]), got.body[:300]
    assert "no-store" == got.headers["cache-control"]
    msgspec.json.decode(got.body, type=ProblemDetails)
    found: dict[str, Any] = got.json
    assert status == found["status"]
    assert got.headers["x-request-id"] == found["request_id"]
    return found


@pytest.mark.parametrize(
    ("target", "parameter"),
    [
        ("/v1/tags/autocomplete", "q"),
        ("/v1/tags/autocomplete?q=", "q"),
        ("/v1/tags/autocomplete?q=%20%20", "q"),
        ("/v1/tags/autocomplete?q=%E3%80%80", "q"),
        ("/v1/tags/autocomplete?q=a%00b", "q"),
        ("/v1/tags/autocomplete?q=%FF", "q"),
        ("/v1/tags/autocomplete?q=%C3%28", "q"),
        ("/v1/tags/autocomplete?q=" + "a" * 201, "q"),
        ("/v1/tags/autocomplete?q=a&limit=0", "limit"),
        ("/v1/tags/autocomplete?q=a&limit=1000000000", "limit"),
        ("/v1/tags/autocomplete?q=a&limit=ten", "limit"),
        ("/v1/tags/autocomplete?q=a&q=b", "q"),
        ("/v1/tags/autocomplete?q=a&limt=5", "limt"),
        ("/v1/tags/autocomplete?q=a&explain=maybe", "explain"),
        ("/v1/tags/autocomplete?q=a&context=,", "context"),
        ("/v1/tags/autocomplete?q=a&category=", "category"),
        ("/v1/tags/popular?limit=0", "limit"),
        ("/v1/tags/popular?limit=101", "limit"),
        ("/v1/tags/popular?n=1", "n"),
        ("/v1/tags?cursor=xyz", "cursor"),
        ("/v1/tags?cursor=", "cursor"),
        ("/v1/tags?limit=1001", "limit"),
        ("/v1/tags/no-uuid", "id"),
        (f"/v1/tags/{ID}?q=a", "q"),
        ("/v1/songs/search?match=some", "match"),
        ("/v1/songs/search?cursor=AAAA", "cursor"),
        ("/v1/songs/search?tags=a,,b", "tags"),
        ("/v1/songs/search?limit=101", "limit"),
        ("/v1/songs/search?q=%00", "q"),
        ("/livez?x=1", "x"),
        ("/docs?x=1", "x"),
    ],
)
def test_parameters(served: Inside, target: str, parameter: str) -> None:
    """422 that names the parameter, for every route."""
    found = problem(served.get(target), 422)

    assert [parameter] == [fault["parameter"] for fault in found["errors"]]
    assert "?" not in found["instance"], "what was typed is not repeated"


def test_long_queries(served: Inside) -> None:
    """A megabyte of query is refused before anything looks at it."""
    found = problem(served.get("/v1/tags/autocomplete", query=b"q=" + b"a" * 1_000_000), 422)
    assert "1,000,002 bytes" in found["detail"]
    problem(served.get("/v1/songs/search", query=b"q=" + b"a" * 5_000), 422)


@pytest.mark.parametrize(
    "target", ["/", "/v1", "/v1/tags/", "/v2/tags", "/docs/", f"/v1/tags/{ID}/", "/v1/%00", "/\ud800"]
)
def test_unknown_paths(served: Inside, target: str) -> None:
    """404 as a problem, whatever the path."""
    problem(served.get(target), 404)


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", "/v1/tags/autocomplete", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/tags", "GET, HEAD, OPTIONS, POST"),
        ("PUT", f"/v1/tags/{ID}", "GET, HEAD, OPTIONS, PATCH"),
        ("GET", f"/v1/tags/{ID}/merge", "OPTIONS, POST"),
        ("BREW", "/livez", "GET, HEAD, OPTIONS"),
    ],
)
def test_other_methods(served: Inside, method: str, target: str, allowed: str) -> None:
    """405 with Allow; OPTIONS says the same."""
    got = served.ask(method, target)
    problem(got, 405)
    assert allowed == got.headers["allow"]
    asked = served.ask("OPTIONS", target)
    assert (204, allowed, b"") == (asked.status, asked.headers["allow"], asked.body)


@pytest.fixture
def curator(known_tokens: dict[str, Token]) -> Token:
    """A token that may curate."""
    return known_tokens["curate"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 415, None),
        (b"{", 400, None),
        (b'{"name": "\xff"}', 400, None),
        (b'{"name": "\\ud800"}', 400, None),
        (b"[" * 60_000, 422, ""),
        (b"null", 422, ""),
        (b"[]", 422, ""),
        (b"{}", 422, "/name"),
        (b'{"name": 5}', 422, "/name"),
        (b'{"name": ""}', 422, "/name"),
        (b'{"name": "   "}', 422, "/name"),
        (b'{"name": "a\\u0000b"}', 422, "/name"),
        (b'{"name": "' + b"a" * 51 + b'"}', 422, "/name"),
        (b'{"name": "x", "colour": "#ffffff"}', 422, "/colour"),
        (b'{"name": "x", "color": "red"}', 422, "/color"),
        (b'{"name": "x", "category": "nonsense"}', 422, "/category"),
    ],
)
def test_bodies(served: Inside, curator: Token, body: bytes, status: int, pointer: str | None) -> None:
    """400 for what is no JSON, 415 for another media type, 422 with a JSON Pointer for another shape."""
    headers = {"authorization": f"Bearer {curator}"} | ({"content-type": "application/json"} if body else {})

    found = problem(served.ask("POST", "/v1/tags", headers=headers, body=body), status)

    assert pointer is None or [pointer] == [fault["pointer"] for fault in found["errors"]]


def test_media_types(served: Inside, curator: Token) -> None:
    """415 unless it is JSON; parameters of the media type do not matter."""
    headers = {"authorization": f"Bearer {curator}", "content-type": "text/plain"}
    problem(served.ask("POST", "/v1/tags", headers=headers, body=b"{}"), 415)
    headers["content-type"] = "application/json; charset=utf-8"
    assert 201 == served.ask("POST", "/v1/tags", headers=headers, body=b'{"name": "New"}').status


def test_large_bodies(served: Inside, curator: Token) -> None:
    """413 by the declared length, and by what comes when none is declared."""
    headers = {"authorization": f"Bearer {curator}", "content-type": "application/json"}
    body = json.dumps({"name": "x" * 70_000}).encode()
    got = served.ask("POST", "/v1/tags", headers=headers, body=body)
    problem(got, 413)
    assert "close" == got.headers["connection"], "the rest of the body is not read"
    problem(served.ask("POST", "/v1/tags", headers={**headers, "content-length": "x"}, body=body), 413)


@settings(max_examples=60)
@given(
    st.sampled_from(["/v1/tags/autocomplete", "/v1/tags/popular", "/v1/tags", "/v1/songs/search", "/v1/moderation"]),
    st.binary(max_size=40),
)
def test_no_query_is_a_mistake_of_ours(served: Inside, path: str, raw: bytes) -> None:
    """Whatever bytes follow the question mark, the answer is no 5xx."""
    assert served.get(path, query=b"q=" + raw).status < 500
    assert served.get(path, query=raw).status < 500
