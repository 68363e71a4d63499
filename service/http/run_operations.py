"""Runs over HTTP: queue them, look at them, follow them, steer them; a `segue worker` does them."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from service.http import run_shapes as shapes
from service.http.event_stream import EventStream, Places
from service.http.operations import Call, Operation, Reply, number
from service.http.parameters import Parameter
from service.http.problems import CONFLICT, NOT_FOUND
from service.http.run_views import assignments, shown
from service.runs import asking, reading, steering
from service.runs.asking import Asked, Asking
from service.runs.errors import conflict
from sql.database import Transaction
from sql.errors import UniqueViolation

_GROUP: Final = "Runs"
_SECONDS: Final = 30.0
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}"
#: A structured field's string, or the same without its quotes, which many clients send.
_KEY: Final = r"(\"[ !#-\[\]-~]{1,200}\"|[!#-\[\]-~]{1,200})"
_EVENT: Final = "[0-9]{1,18}"

Act = Callable[[Transaction, Call, Asking], Asked]


def migration_name(given: str) -> str:
    """Read a migration's name.

    Raises:
        ValueError: it cannot be one.
    """
    if not re.fullmatch(_NAME, given):
        raise ValueError("must be a migration's name, such as themes")
    return given


def _key(given: str) -> str:
    if not re.fullmatch(_KEY, given):
        raise ValueError("must be 1 to 200 visible ASCII characters, best in double quotes")
    return given.strip('"')


def _event(given: str) -> int:
    if not re.fullmatch(_EVENT, given):
        raise ValueError("must be the id of an event")
    return int(given)


_IDEMPOTENCY: Final = Parameter(
    name="idempotency-key",
    description=(
        "Your own name for this request: sent again with it, also at the same moment, it is done once and answered "
        "the same. With another body it is 422. Kept with the job for good."
    ),
    read=_key,
    schema={"type": "string", "pattern": f"^{_KEY}$"},
    example='"8e03978e-40d5-43dd-bc93-6894a57f9324"',
)
_LAST_EVENT: Final = Parameter(
    name="last-event-id",
    description="Go on after this event; browsers send it by themselves.",
    read=_event,
    schema={"type": "string", "pattern": f"^{_EVENT}$"},
    default=0,
)
_RUN: Final[Mapping[str, Callable[[str], str]]] = {"id": number}


def operations() -> list[Operation]:
    """Return the operations on runs."""
    places = Places()
    return [
        _queueing(
            "/v1/migrations/{name}/runs",
            "queue_run",
            "Queue a run of a migration",
            _ask_run,
            body=shapes.RunRequest,
            path_parameters={"name": migration_name},
            description=(
                "A worker makes it; until then its status is queued. When the last run is complete and has the same "
                "settings, it is brought up to date, unless `fresh`. While one is unfinished or queued: 409."
            ),
        ),
        Operation(
            method="GET",
            path="/v1/runs/{id}",
            name="run",
            group=_GROUP,
            summary="A run's state",
            handle=_status,
            path_parameters=_RUN,
            answer=shapes.RunStatus,
            scope="operate",
            problems=(NOT_FOUND,),
        ),
        Operation(
            method="GET",
            path="/v1/runs/{id}/events",
            name="run_events",
            group=_GROUP,
            summary="A run's events and progress, as server-sent events",
            description=(
                "Events have an id, `progress` has none and comes at most once a second; the stream ends with `end` "
                "when nothing more will happen, and then is 204 for whoever has seen the last event."
            ),
            handle=lambda call: _follow(call, places),
            path_parameters=_RUN,
            request_headers=(_LAST_EVENT,),
            media_type="text/event-stream",
            further_answers={204: "The run has ended, and nothing came after that event."},
            scope="operate",
            problems=(NOT_FOUND,),
        ),
        _steering(
            "pause", "Pause a run", "It stops within a chunk and can be resumed; a job that waits is taken away."
        ),
        _queueing(
            "/v1/runs/{id}/resume",
            "resume_run",
            "Go on with a run",
            lambda transaction, call, who: asking.ask_resume(transaction, who, int(call.path["id"])),
            description="With the settings that it was started with, and without `max_errors`.",
        ),
        _steering("cancel", "Give a run up", "It stops within a chunk and can then only be rolled back."),
        _queueing(
            "/v1/runs/{id}/rollback",
            "rollback_run",
            "Take a run back",
            lambda transaction, call, who: asking.ask_rollback(
                transaction, who, int(call.path["id"]), call.body.on_conflict if call.body else "keep"
            ),
            body=shapes.RollbackRequest,
            description="Removes what it created; what people did since is kept, unless `on_conflict` says otherwise.",
        ),
        Operation(
            method="POST",
            path="/v1/runs/{id}/retune",
            name="retune_run",
            group=_GROUP,
            summary="Change how hard a run works",
            description="Within one chunk; the same as `segue set`.",
            handle=_retune,
            path_parameters=_RUN,
            body=shapes.RetuneRequest,
            answer=shapes.RunStatus,
            scope="operate",
            policy="write",
            seconds=_SECONDS,
            problems=(NOT_FOUND, CONFLICT),
        ),
    ]


def _queueing(path: str, name: str, summary: str, act: Act, **further: Any) -> Operation:
    def handle(call: Call) -> Reply:
        who = Asking(call.actor, call.given["idempotency-key"], _digest(call))
        try:
            with call.state.transaction() as transaction:
                asked = act(transaction, call, who)
        except UniqueViolation:
            # Two requests with one key for two migrations, or a run that was started past the queue at this moment.
            raise conflict("the same was asked for at this moment; ask again") from None
        headers = {"location": f"/v1/runs/{asked.run_id}"}
        if asked.is_repeated:
            headers["idempotency-replayed"] = "true"
        return Reply(shapes.Queued(asked.run_id, asked.job_id, asked.kind, asked.migration), 202, headers)

    settings = {"path_parameters": _RUN, **further}
    return Operation(
        method="POST",
        path=path,
        name=name,
        group=_GROUP,
        summary=summary,
        handle=handle,
        is_body_optional=True,
        request_headers=(_IDEMPOTENCY,),
        answer=shapes.Queued,
        status=202,
        scope="operate",
        policy="write",
        seconds=_SECONDS,
        problems=(NOT_FOUND, CONFLICT),
        **settings,
    )


def _steering(request: str, summary: str, description: str) -> Operation:
    def handle(call: Call) -> Reply:
        run_id = int(call.path["id"])
        with call.state.transaction() as transaction:
            steering.stop(transaction, call.actor, run_id, request)
            seen = reading.read(transaction, run_id, with_errors=True)
        return Reply(shown(run_id, seen), 202)

    return Operation(
        method="POST",
        path=f"/v1/runs/{{id}}/{request}",
        name=f"{request}_run",
        group=_GROUP,
        summary=summary,
        description=description,
        handle=handle,
        path_parameters=_RUN,
        answer=shapes.RunStatus,
        status=202,
        scope="operate",
        policy="write",
        seconds=_SECONDS,
        problems=(NOT_FOUND, CONFLICT),
    )


def _digest(call: Call) -> str:
    asked = [call.name, dict(call.path), call.body]
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def _ask_run(transaction: Transaction, call: Call, who: Asking) -> Asked:
    wanted: shapes.RunRequest = call.body or shapes.RunRequest()
    options: dict[str, Any] = {"workers": wanted.workers, "validation": wanted.validation}
    if wanted.batch_size is not None:
        options["batch_size"] = wanted.batch_size
    if wanted.max_errors is not None:
        options["max_errors"] = wanted.max_errors
    if wanted.controls is not None:
        options["controls"] = [f"{key}={value}" for key, value in assignments(wanted.controls).items()]
    return asking.ask_run(transaction, who, call.path["name"], wanted.settings, options, is_fresh=wanted.fresh)


def _retune(call: Call) -> Reply:
    run_id = int(call.path["id"])
    wanted = assignments(call.body.controls)
    with call.state.transaction() as transaction:
        steering.retune(transaction, call.actor, run_id, wanted)
        seen = reading.read(transaction, run_id, with_errors=True)
    return Reply(shown(run_id, seen))


def _status(call: Call) -> Reply:
    run_id = int(call.path["id"])
    with call.state.transaction() as transaction:
        seen = reading.read(transaction, run_id, with_errors=True)
    return Reply(shown(run_id, seen))


def _follow(call: Call, places: Places) -> Reply:
    run_id, after = int(call.path["id"]), call.given["last-event-id"]
    with call.state.transaction() as transaction:
        seen = reading.read(transaction, run_id)
        has_more = transaction.all("run_status.list_events_after", run_id=run_id, after=after, most=1)
    places.require()
    if after and seen.has_ended and not has_more:
        return Reply(b"", 204)
    return Reply(EventStream(call.state, run_id, after, places), media_type="text/event-stream")
