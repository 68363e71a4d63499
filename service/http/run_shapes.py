"""The shapes of runs over HTTP: what an operator sends, and what is told of a run."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.http.curation_shapes import Request

Share = Annotated[
    str, Meta(pattern=r"^([0-9]{1,12}|(100|[0-9]{1,2})(\.[0-9]{1,6})?%)$", max_length=12, examples=["100", "5%"])
]
Workers = Annotated[int, Meta(ge=1, le=64)]
Load = Annotated[float, Meta(ge=0, le=1e9)]
Setting = Annotated[str, Meta(min_length=1, max_length=4_000, pattern="^[^\\u0000]*$")]
SettingName = Annotated[str, Meta(min_length=1, max_length=100)]

#: A limit's name here and on the command line differ in the hyphen.
LIMITS: Final = ("lag", "waiters", "sessions", "archive", "vacuum")


class LoadLimit(Request):
    """Two levels of one load of the database."""

    wait: Annotated[Load, Meta(description="From here on the run waits.")]
    stop: Annotated[Load | None, Meta(description="From here on it stops, resumable; above `wait`.")] = None


class ControlSettings(Request):
    """How hard a run works and at which load it waits; what is left out stays, null switches a limit off."""

    nice: Annotated[float, Meta(ge=0, le=100, description="Seconds to sleep for each of work.")] | UnsetType = UNSET
    chunk_ms: Annotated[int, Meta(ge=1, le=60_000, description="Time a chunk aims at.")] | UnsetType = UNSET
    workers: Workers | UnsetType | None = UNSET
    throttle_lag: LoadLimit | UnsetType | None = UNSET
    throttle_waiters: LoadLimit | UnsetType | None = UNSET
    throttle_sessions: LoadLimit | UnsetType | None = UNSET
    throttle_archive: LoadLimit | UnsetType | None = UNSET
    throttle_vacuum: LoadLimit | UnsetType | None = UNSET


class RunRequest(Request):
    """A run to queue."""

    settings: Annotated[
        dict[SettingName, Setting],
        Meta(max_length=50, description="The migration's own options, as `segue migrate --help` names them."),
    ] = msgspec.field(default_factory=dict)
    fresh: Annotated[bool, Meta(description="Make a new run even when the last one is complete.")] = False
    workers: Workers = 1
    batch_size: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    validation: Literal["quick", "full", "none"] = "quick"
    max_errors: Annotated[Share | None, Meta(description="Stop when more rows are in quarantine.")] = None
    controls: ControlSettings | None = None


class RollbackRequest(Request):
    """How to take a run back."""

    on_conflict: Literal["keep", "force", "abort"] = "keep"


class RetuneRequest(Request):
    """What to change in a run that goes on."""

    controls: ControlSettings


class Queued(msgspec.Struct, frozen=True):
    """What was put into the queue."""

    run_id: Annotated[int, Meta(description="Of the run that is, or will be; see Location.")]
    job_id: int
    kind: Annotated[str, Meta(description="migrate or rollback.")]
    migration: str


class RunRows(msgspec.Struct, frozen=True):
    """A run's rows."""

    total: int
    processed: int
    quarantined: int


class RunElements(msgspec.Struct, frozen=True):
    """A run's elements: each is linked, merged, blank or in quarantine."""

    total: int
    linked: int
    merged: int
    blank: int
    quarantined: int


class RunError(msgspec.Struct, frozen=True):
    """A row in quarantine; its values are not told."""

    key: str
    error: str


class RunJob(msgspec.Struct, frozen=True):
    """The latest job that was about a run."""

    id: int
    kind: str
    state: Annotated[str, Meta(description="queued, working or ended.")]
    outcome: Annotated[str | None, Meta(description="done, stopped, cancelled, refused, failed or expired.")]
    exit_code: Annotated[int | None, Meta(description="Of the same command.")]
    error: str | None
    asked_by: str
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    request: Annotated[str | None, Meta(description="What the worker was asked for: pause or cancel.")]
    worker: str | None
    report: Annotated[dict[str, Any] | None, Meta(description="What the same command prints with --json.")]


class RunStatus(msgspec.Struct, frozen=True):
    """A run."""

    run_id: int
    migration: str
    status: Annotated[
        str, Meta(description="queued until a worker has begun; then the run's state, see the reference.")
    ]
    rows: RunRows
    elements: RunElements
    validated_equal: bool | None
    seconds: Annotated[float, Meta(description="Of work, all processes together.")]
    rows_per_second: float
    error: str | None
    errors: Annotated[tuple[RunError, ...], Meta(description="At most 20 rows in quarantine.")]
    settings: dict[str, str | None]
    controls: Annotated[dict[str, str], Meta(description="Those that differ from their defaults.")]
    throttled: Annotated[str | None, Meta(description="Why it waits.")]
    held_by: Annotated[str | None, Meta(description="The live process that works on it.")]
    request: Annotated[str | None, Meta(description="What it was asked for: pause or cancel.")]
    started_at: datetime | None
    checkpoint_at: datetime | None
    finished_at: datetime | None
    job: RunJob | None
