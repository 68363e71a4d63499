"""Probes, metrics and the description of the interface itself."""

from collections.abc import Sequence
from typing import Final

import msgspec

from monitoring.exposition import Exposition
from monitoring.health import Health, liveness, readiness, startup
from service.http import docs_page, openapi
from service.http.operations import JSON, Call, Operation, Reply
from service.http.shapes import Probe

_GROUP: Final = "Operation"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_CACHED: Final = {"cache-control": "public, max-age=300"}


def probes() -> list[Operation]:
    """Return the operations that orchestrators and balancers ask."""
    return [
        Operation(
            method="GET",
            path="/livez",
            name="livez",
            group=_GROUP,
            summary="Whether the process lives",
            description="It looks at nothing: an answer is the answer.",
            handle=lambda _call: _probe(liveness()),
            is_blocking=False,
            answer=Probe,
            policy=None,
        ),
        Operation(
            method="GET",
            path="/startupz",
            name="startupz",
            group=_GROUP,
            summary="Whether index and cache are filled",
            handle=lambda call: _probe(startup(call.state.facts())),
            is_blocking=False,
            answer=Probe,
            policy=None,
            may_fail=True,
        ),
        Operation(
            method="GET",
            path="/readyz",
            name="readyz",
            group=_GROUP,
            summary="Whether requests should be sent here",
            description=(
                "A process that has lost PostgreSQL or Redis still answers from memory: it stays ready, and says "
                "`degraded`."
            ),
            handle=lambda call: _probe(readiness(call.state.facts())),
            is_blocking=False,
            answer=Probe,
            policy=None,
            may_fail=True,
        ),
    ]


def metrics(exposition: Exposition) -> Operation:
    """Return the operation that Prometheus scrapes; any worker answers for all."""

    def handle(call: Call) -> Reply:
        call.state.refresh_measures()
        body, media_type = exposition.answer(call.headers.get("accept", ""))
        return Reply(body, media_type=media_type)

    return Operation(
        method="GET",
        path="/metrics",
        name="metrics",
        group=_GROUP,
        summary="Metrics of all workers for Prometheus",
        handle=handle,
        media_type=_TEXT,
        policy=None,
    )


def description(operations: Sequence[Operation], version: str) -> list[Operation]:
    """Return the operations that describe all others and themselves."""
    made: dict[str, bytes] = {}

    def openapi_json(_call: Call) -> Reply:
        return Reply(made["openapi"], headers=_CACHED)

    def docs(_call: Call) -> Reply:
        headers = {**_CACHED, "content-security-policy": docs_page.POLICY}
        return Reply(made["docs"], headers=headers, media_type="text/html; charset=utf-8")

    own = [
        Operation(
            method="GET",
            path="/openapi.json",
            name="openapi",
            group=_GROUP,
            summary="This interface as an OpenAPI 3.1 document",
            handle=openapi_json,
            is_blocking=False,
            media_type=JSON,
            answer=dict,
            policy=None,
        ),
        Operation(
            method="GET",
            path="/docs",
            name="docs",
            group=_GROUP,
            summary="This interface for people",
            handle=docs,
            is_blocking=False,
            media_type="text/html; charset=utf-8",
            policy=None,
        ),
    ]
    document = openapi.document([*operations, *own], version)
    made["openapi"] = msgspec.json.encode(document)
    made["docs"] = docs_page.page(document)
    return own


def _probe(health: Health) -> Reply:
    return Reply(health.body, health.code)
