"""What every answer has: headers, limits, origins, measures; and what is refused before any work."""

import re
import time
from dataclasses import replace
from ipaddress import ip_network

import psycopg
import pytest

from service.settings import Limits
from tests.http.conftest import Inside, Make

EVERYWHERE = (
    "/v1/tags/autocomplete?q=h",
    "/v1/tags/autocomplete",
    "/v1/tags/popular",
    "/v1/tags",
    "/nowhere",
    "/livez",
    "/docs",
)


@pytest.mark.parametrize("target", EVERYWHERE)
def test_security_headers(served: Inside, target: str) -> None:
    """No answer may be sniffed, framed or run."""
    headers = served.get(target).headers

    assert "nosniff" == headers["x-content-type-options"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "no-referrer" == headers.get("referrer-policy", "no-referrer")
    assert not any(name.startswith("access-control") for name in headers), "no other origin may read it by default"


@pytest.mark.parametrize("target", EVERYWHERE)
def test_origins(inside: Make, target: str) -> None:
    """With CORS for some origins they and no others may read any answer, problems included."""
    served = inside(cors_origins=("https://app.example.org",))

    own = served.get(target, headers={"origin": "https://app.example.org"}).headers
    other = served.get(target, headers={"origin": "https://evil.example.org"}).headers

    assert "https://app.example.org" == own["access-control-allow-origin"]
    assert "retry-after" in own["access-control-expose-headers"]
    assert "origin" in own["vary"]
    assert "access-control-allow-origin" not in other
    assert "origin" in other["vary"]
    assert "access-control-allow-credentials" not in own


def test_every_origin(inside: Make) -> None:
    """* allows any page, without a Vary that would split caches."""
    served = inside(cors_origins=("*",))

    for target in EVERYWHERE:
        headers = served.get(target, headers={"origin": "https://any.example.org"}).headers
        assert "*" == headers["access-control-allow-origin"]
        assert "origin" not in headers.get("vary", "")


def test_preflight(inside: Make) -> None:
    """A browser's question is answered with what is allowed; without CORS it is an ordinary OPTIONS."""
    asked = {"origin": "https://app.example.org", "access-control-request-method": "PATCH"}
    served = inside(cors_origins=("https://app.example.org",))

    got = served.ask("OPTIONS", "/v1/tags/autocomplete", headers=asked)
    assert 204 == got.status
    assert "PATCH" in got.headers["access-control-allow-methods"]
    assert "authorization" in got.headers["access-control-allow-headers"]
    refused = served.ask("OPTIONS", "/v1/tags/autocomplete", headers={**asked, "origin": "https://evil.example.org"})
    assert "access-control-allow-methods" not in refused.headers
    assert "access-control-allow-methods" not in inside().ask("OPTIONS", "/v1/tags", headers=asked).headers


@pytest.mark.parametrize("target", ["/v1/tags/autocomplete?q=h", "/v1/tags/popular", "/v1/songs/search?tags=grace"])
def test_rate_limits(inside: Make, target: str) -> None:
    """Headers count down, the request after the last gets 429 with Retry-After, other clients and policies go on."""
    served = inside(limits=Limits(rate=1, burst=3, exempt=()))

    left = [served.get(target).headers["ratelimit"] for _ in range(3)]
    refused = served.get(target)

    assert [2, 1, 0] == [int(re.search(r";r=(\d+)", text)[1]) for text in left]  # type: ignore[index]
    assert 429 == refused.status
    assert "1" == refused.headers["retry-after"]
    assert refused.json["type"].endswith("quota-exceeded")
    assert ";q=3;w=3" in refused.headers["ratelimit-policy"]
    assert 200 == served.get(target, client="203.0.113.10").status
    assert 200 == served.get("/livez").status
    assert 'segue_rate_limited_total{policy="' in served.get("/metrics").body.decode()


def test_rate_limits_count_the_client_behind_the_proxy(inside: Make) -> None:
    """Behind a trusted proxy each of its clients has a quota of its own; others cannot borrow another address."""
    served = inside(limits=Limits(rate=1, burst=1, exempt=()), trusted_proxies=(ip_network("10.0.0.0/8"),))

    def ask(client: str, forwarded: str) -> int:
        return served.get("/v1/tags/autocomplete?q=h", client=client, headers={"x-forwarded-for": forwarded}).status

    assert [200, 429, 200] == [ask("10.0.0.1", "192.0.2.1"), ask("10.0.0.2", "192.0.2.1"), ask("10.0.0.1", "192.0.2.2")]
    assert [200, 429] == [ask("203.0.113.1", "192.0.2.8"), ask("203.0.113.1", "192.0.2.9")]


def test_too_many_at_a_time(inside: Make, filled_url: str) -> None:
    """Beyond the limit a request is refused at once; probes and autocomplete are not."""
    served = inside(limits=Limits(concurrency=2, request_seconds=1))
    with psycopg.connect(filled_url) as other:
        other.execute("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        got = served.ask_together(*["/v1/tags"] * 5, "/livez", "/v1/tags/autocomplete?q=h")
        assert time.monotonic() - started < 3

    assert [503] * 5 + [200] * 2 == [each.status for each in got]
    assert 3 == sum("too many" in each.json["detail"] for each in got[:5])
    assert 200 == served.get("/v1/tags").status


def test_slow_requests_are_given_up(inside: Make, filled_url: str) -> None:
    """A request that waits too long for the database gets 503."""
    served = inside(limits=Limits(request_seconds=0.3))
    with psycopg.connect(filled_url) as other:
        other.execute("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        got = served.get("/v1/tags")
        took = time.monotonic() - started

    assert 503 == got.status
    assert took < 2
    assert "0.3 s" in got.json["detail"]


def test_requests_are_measured_by_template(inside: Make) -> None:
    """Route, method and code are labels; paths and queries are not."""
    served = inside()
    for target in (
        "/v1/tags/autocomplete?q=h",
        "/v1/tags/autocomplete",
        f"/v1/tags/{served.tag_id('Grace')}",
        "/nowhere/secret",
    ):
        served.get(target)
    served.ask("HEAD", "/v1/tags/autocomplete?q=h")

    text = served.get("/metrics").body.decode()

    counted = re.findall(r"segue_http_request_duration_seconds_count\{(.*)\} (\S+)", text)
    assert {
        'code="200",method="GET",route="/v1/tags/autocomplete"': "1.0",
        'code="200",method="HEAD",route="/v1/tags/autocomplete"': "1.0",
        'code="422",method="GET",route="/v1/tags/autocomplete"': "1.0",
        'code="200",method="GET",route="/v1/tags/{id}"': "1.0",
        'code="404",method="GET",route="other"': "1.0",
    } == dict(counted)
    assert "secret" not in text
    assert 'segue_cache_lookups_total{cache="suggestions"' in text


def test_probes(inside: Make) -> None:
    """Live, started and ready; not ready before the warm-up and when stopping; a lost database degrades."""
    served = inside()
    assert [200, 200, 200] == [served.get(path).status for path in ("/livez", "/startupz", "/readyz")]

    served.state.is_warm = False
    assert [200, 503, 503] == [served.get(path).status for path in ("/livez", "/startupz", "/readyz")]
    served.state.is_warm, served.state.is_stopping = True, True
    assert [200, 200, 503] == [served.get(path).status for path in ("/livez", "/startupz", "/readyz")]


def test_leaving_closes_connections(inside: Make) -> None:
    """A process that leaves tells every client so, on every route."""
    served = inside()
    assert not any("connection" in served.get(target).headers for target in EVERYWHERE)
    served.state.is_closing = True
    assert all("close" == served.get(target).headers["connection"] for target in EVERYWHERE)


def test_settings_are_not_shown_with_secrets() -> None:
    """The representation of settings, which may end in a log, holds no password."""
    from service.settings import Settings

    shown = repr(replace(Settings(database_url="postgresql://u:secret@h/d"), redis_url="redis://:secret@h"))

    assert "secret" not in shown
