"""Reports to Sentry, as a real ingest receives them from a process of its own: nothing personal, no flood."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.sentry import TokenBucket, scrubbed, start, traces_sampler
from tests.monitoring.ingest import Ingest, ingest

ROOT = Path(__file__).parents[2]

#: What a request and an error hold in the service below, and what must not leave it.
SECRETS = {
    *(
        "typed-by-somebody",
        "a.person@example.org",
        "s3cret",
        "t0ken-value",
        "session-cookie",
        "row-value",
        "in-a-local",
    ),
    *("198.51.100.7", "body-value", "crumb-value"),
}

SERVICE = """
import asyncio, logging, os, sys, threading
import httpx
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from monitoring import sentry
from sql.errors import DatabaseError

shares = {"trace_share": 1.0, "hot_share": 0.0}
limits = {"errors_at_once": 5, "errors_per_minute": 0.001}
assert sentry.start(sys.argv[1], release="1.2.3", environment="test", **shares, **limits)

async def fail(request):
    secret = "in-a-local"
    await request.body()
    logging.getLogger("a").warning("crumb-value")
    raise DatabaseError(f"no row 'row-value' in postgresql://app:s3cret@db/m for a.person@example.org {len(secret)}")

async def fine(request):
    return Response("")

PATHS = ("/fail/{id}", "/livez", "/metrics", "/v1/tags/autocomplete", "/v1/tags")
app = Starlette(routes=[Route(path, fail if "fail" in path else fine, methods=["GET", "POST"]) for path in PATHS])

async def main():
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.7", 1))
    headers = {"Authorization": "Bearer t0ken-value", "Cookie": "id=session-cookie", "X-Forwarded-For": "198.51.100.7"}
    async with httpx.AsyncClient(transport=transport, base_url="http://app:s3cret@service", headers=headers) as client:
        await client.post("/fail/typed-by-somebody?q=typed-by-somebody&email=a.person@example.org", content=b"body-value")
        for path in PATHS[1:] + ("/typed-by-somebody",):
            await client.get(path, params={"q": "typed-by-somebody"})
        for number in range(3):
            await client.get("/v1/tags", headers={"sentry-trace": f"{number + 1:032x}-{number + 1:016x}-0"})

asyncio.run(main())
thread = threading.Thread(target=lambda: {}["row-value"])
thread.start()
thread.join()
for number in range(200):
    try:
        exec(compile(f"def f{number}(): raise LookupError('row-value')\\nf{number}()", f"f{number}", "exec"))
    except LookupError as error:
        sentry.report(error)
sentry.flush()
"""


@pytest.fixture(scope="module")
def received() -> Iterator[Ingest]:
    """What the service sent: one failed request, other requests, a failed thread, and a storm of 200 errors."""
    with ingest() as found:
        done = subprocess.run(
            [sys.executable, "-c", SERVICE, found.dsn],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        yield found


def test_an_error_says_what_and_where(received: Ingest) -> None:
    """Type, message without values, frames, release, and which endpoint it was."""
    (event,) = (event for event in received.of("event") if event["exception"]["values"][0]["type"] == "DatabaseError")
    (error,) = event["exception"]["values"]

    assert error["value"] == "no row *** in postgresql://app:***@db/m for *** 10"
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert (event["release"], event["environment"], event["level"]) == ("1.2.3", "test", "error")
    assert event["transaction"] == "__main__.fail"
    assert event["request"]["method"] == "POST"
    assert set(event) >= {"event_id", "timestamp", "platform", "sdk", "contexts"}


def test_nothing_personal_and_no_secret_leaves(received: Ingest) -> None:
    """Neither what people type, nor who they are, nor credentials, nor rows: not in any envelope, in any place."""
    assert received.raw
    assert {secret for secret in SECRETS if secret in received.raw} == set()
    for event in received.events:
        assert not {"user", "breadcrumbs", "extra", "modules", "server_name", "tags"} & set(event)
        assert not {"cookies", "data", "env", "query_string"} & set(event.get("request", {}))


def test_an_error_storm_is_cut(received: Ingest) -> None:
    """Of 202 errors the first five come through; the rest would say the same again."""
    kinds = [event["exception"]["values"][0]["type"] for event in received.of("event")]

    assert kinds == ["DatabaseError", "KeyError", "LookupError", "LookupError", "LookupError"]


def test_what_is_traced(received: Ingest) -> None:
    """Requests by their share: probes never, autocomplete by its own, and a caller's decision is kept."""
    traced = Counter(event["transaction"] for event in received.of("transaction"))

    # `fine` once, for /v1/tags: its three other requests were decided by their caller. The unknown path has no endpoint.
    unknown = "starlette.middleware.exceptions.ExceptionMiddleware"
    assert traced == {"__main__.fail": 1, "__main__.fine": 1, unknown: 1}
    assert all(event["contexts"]["trace"]["trace_id"] for event in received.of("transaction"))


@pytest.mark.parametrize(
    ("path", "parent", "share"),
    [
        ("/v1/tags", None, 0.01),
        ("/v1/tags/autocomplete", None, 0.0001),
        ("/v1/tags/autocomplete", True, 1.0),
        ("/v1/tags", False, 0.0),
        ("/livez", None, 0.0),
        ("/readyz", True, 0.0),
        ("/startupz", None, 0.0),
        ("/metrics", True, 0.0),
    ],
)
def test_the_shares(path: str, parent: bool | None, share: float) -> None:
    """Probes are never traced, whoever asks; else the parent decides, else the route."""
    sample = traces_sampler(0.01, 0.0001)

    assert sample({"asgi_scope": {"path": path}, "parent_sampled": parent}) == share


def test_what_has_no_request_has_the_usual_share() -> None:
    """A background task is sampled like any request."""
    assert traces_sampler(0.25, 0)({"transaction_context": {}, "parent_sampled": None}) == 0.25


@given(st.lists(st.floats(0, 100), max_size=200))
def test_a_bucket_never_gives_more_than_it_says(pauses: list[float]) -> None:
    """In any span of time from its start: no more than the burst and the rate allow."""
    now = 0.0
    bucket = TokenBucket(per_minute=6, burst=3, clock=lambda: now)
    taken = 0
    for pause in pauses:
        now += pause
        taken += bucket.take()

        assert taken <= 3 + now * 0.1 + 1e-6


def test_a_bucket_fills_again() -> None:
    """After a quiet minute there are tokens, but never more than the burst."""
    clock = [0.0]
    bucket = TokenBucket(per_minute=60, burst=2, clock=lambda: clock[0])

    def taken() -> list[bool]:
        return [bucket.take() for _ in range(3)]

    assert taken() == [True, True, False]
    clock[0] = 1.0
    assert taken() == [True, False, False]
    clock[0] = 1000.0
    assert taken() == [True, True, False]


def test_without_a_dsn_nothing_starts() -> None:
    """No DSN, no reports, and not even the import."""
    code = (
        "import sys; from monitoring import sentry; assert not sentry.start(None, release='1');"
        "sentry.report(ValueError()); sentry.flush(); assert 'sentry_sdk' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_a_malformed_dsn_is_refused_and_not_quoted() -> None:
    """The message names the variable; the key that may be in it is not shown."""
    with pytest.raises(ValueError, match="SENTRY_DSN is no DSN") as caught:
        start("https://s3cret-key", release="1")

    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


LEAVES = st.just("row-value") | st.integers() | st.none()
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=5
)


@given(st.dictionaries(st.sampled_from(["user", "extra", "breadcrumbs", "tags", "modules", "new in SDK 9"]), ANYTHING))
def test_a_field_that_nobody_thought_of_stays_here(fields: dict[str, Any]) -> None:
    """What is kept is listed; so what a later SDK adds is left out."""
    scrub: Callable[[Any], Any] = scrubbed
    assert "row-value" not in repr(scrub({"event_id": "1", **fields}))
