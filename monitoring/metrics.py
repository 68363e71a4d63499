"""Every metric that Segue exports, in one table; labels are bounded, so each series has a fixed place in memory.

A label value that a label does not list is counted under `other`, which every label has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from sql.errors import TRANSIENT

#: Upper bounds of histograms, in seconds: a service that answers in a millisecond, and limits of 100 and 500 ms.
BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
#: The same for what takes seconds: chunks of a migration, the way of a change to every process.
LONG_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Where values go that a label does not list.
OTHER = "other"

#: How a gauge's values of several live processes become one. `age`: each process stores the Unix time of an event;
#: shown is the age of the oldest, which goes on growing when the process that should renew it hangs.
Mode = Literal["sum", "max", "min", "age"]


@dataclass(frozen=True, slots=True)
class Label:
    """A label's name and the values that it may have beside `other`."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: with prefix, base unit, and `_total` for counters.
        kind: Prometheus' type.
        help: what it says, for the reader of a dashboard.
        labels: their product is every series there can be.
        mode: of a gauge alone, how processes add up.
        buckets: of a histogram alone, its upper bounds.
        is_sparse: show only the series that were used, not every one of them from the start at 0.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[Label, ...] = ()
    mode: Mode | None = None
    buckets: tuple[float, ...] = BUCKETS
    is_sparse: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names in order."""
        return tuple(label.name for label in self.labels)

    def series(self) -> Iterator[tuple[str, ...]]:
        """Yield the label values of every series, in the order of their places; `other` is each label's last."""
        return product(*((*label.values, OTHER) for label in self.labels))


METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "PUT", "DELETE")
#: The templates of paths; never a path, which would make a series of every id.
ROUTES = (
    *("/v1/tags/autocomplete", "/v1/tags/popular", "/v1/tags", "/v1/tags/{id}", "/v1/songs/search"),
    *("/v1/tags/{id}/merge", "/v1/tags/{id}/promote", "/v1/tags/{id}/ban", "/v1/tags/{id}/synonyms"),
    *("/v1/moderation", "/v1/moderation/{id}/undo", "/v1/migrations/{name}/runs", "/v1/runs/{id}"),
    *("/v1/runs/{id}/pause", "/v1/runs/{id}/resume", "/v1/runs/{id}/cancel", "/v1/runs/{id}/rollback"),
    *(
        "/v1/runs/{id}/retune",
        "/v1/runs/{id}/events",
        "/livez",
        "/readyz",
        "/startupz",
        "/metrics",
        "/openapi.json",
        "/docs",
    ),
)
CODES = (
    *("200", "201", "202", "204", "206", "304"),
    *("400", "401", "403", "404", "405", "406", "408", "409", "412", "413", "414", "415", "422", "429", "431"),
    *("500", "502", "503", "504"),
)
#: Parts whose loss leaves the service answering, but with less.
PARTS = ("database", "redis", "freshness", "search")

_CACHE = Label("cache", ("suggestions", "tags", "search", "popular"))
_MIGRATION = Label("migration", ("themes", "snapshots", "node-persist"))

TABLE = (
    # Requests: rate, errors and duration in one; its _count is the number of requests.
    Metric(
        "segue_http_request_duration_seconds",
        "histogram",
        "Time from a request's first byte to its answer's last.",
        (Label("method", METHODS), Label("route", ROUTES), Label("code", CODES)),
        is_sparse=True,
    ),
    Metric("segue_http_requests_in_progress", "gauge", "Requests being answered now.", mode="sum"),
    Metric(
        "segue_rate_limited_total",
        "counter",
        "Requests refused because their client had used up its quota.",
        (Label("policy", ("autocomplete", "search", "read", "write")),),
    ),
    Metric("segue_event_loop_lag_seconds", "histogram", "How much later than asked the event loop woke a timer."),
    # Autocomplete: where the time goes, and what people find.
    Metric(
        "segue_autocomplete_stage_duration_seconds",
        "histogram",
        "Time of one stage of an answer that was not in the cache.",
        (Label("stage", ("normalize", "l1", "l2", "index", "db", "fuzzy", "serialize")),),
        is_sparse=True,
    ),
    Metric(
        "segue_autocomplete_results_total",
        "counter",
        "Answers by the band of their first suggestion; none: no suggestion.",
        (Label("match", ("exact", "prefix", "word", "words", "synonym", "initials", "typo", "none")),),
    ),
    # Cache, and what is behind it.
    Metric(
        "segue_cache_lookups_total",
        "counter",
        "Lookups in a cache by tier (l1 memory, l2 Redis) and result.",
        (_CACHE, Label("tier", ("l1", "l2")), Label("result", ("hit", "miss", "stale", "negative"))),
    ),
    Metric(
        "segue_cache_loads_total",
        "counter",
        "Fills of a cache; coalesced: waited for another request's load of the same key.",
        (_CACHE, Label("result", ("ok", "error", "coalesced"))),
    ),
    Metric(
        "segue_cache_load_duration_seconds", "histogram", "Time of a load behind the cache.", (_CACHE,), is_sparse=True
    ),
    Metric(
        "segue_cache_evictions_total",
        "counter",
        "Entries that left a cache, by cause.",
        (_CACHE, Label("cause", ("size", "expired", "explicit", "replaced"))),
    ),
    Metric("segue_cache_entries", "gauge", "Entries in memory, of all processes together.", (_CACHE,), "sum"),
    Metric("segue_cache_size_bytes", "gauge", "Bytes in memory, of all processes together.", (_CACHE,), "sum"),
    # Freshness: from a writer's commit to every process.
    Metric(
        "segue_invalidations_total",
        "counter",
        "Changes applied, by the way on which a process learnt of them.",
        (Label("source", ("outbox", "redis")),),
    ),
    Metric(
        "segue_invalidation_lag_seconds",
        "histogram",
        "Time from a change's commit to its removal from a process's cache.",
        buckets=LONG_BUCKETS,
    ),
    Metric(
        "segue_invalidation_connected", "gauge", "1: every process hears of changes at once; 0: one polls.", (), "min"
    ),
    Metric(
        "segue_staleness_seconds", "gauge", "Time since the worst process last knew that it was up to date.", (), "age"
    ),
    Metric(
        "segue_outbox_age_seconds", "gauge", "Age of the oldest change that no process has relayed; 0: none.", (), "max"
    ),
    # The index in each process.
    Metric("segue_index_built_timestamp_seconds", "gauge", "When the oldest process's index was built.", (), "min"),
    Metric("segue_index_entries", "gauge", "Tags in the smallest index of any process.", (), "min"),
    Metric(
        "segue_index_build_duration_seconds", "gauge", "Time of the latest build, of the slowest process.", (), "max"
    ),
    # What is around it.
    Metric(
        "segue_db_pool_connections",
        "gauge",
        "Connections to PostgreSQL, of all processes together.",
        (Label("state", ("idle", "busy")),),
        "sum",
    ),
    Metric("segue_degraded", "gauge", "1: a process answers without this part.", (Label("part", PARTS),), "max"),
    Metric("segue_workers", "gauge", "Server processes that live.", (), "sum"),
    Metric(
        "segue_log_messages_total",
        "counter",
        "Log messages by level, those of sampled requests left out.",
        (Label("level", ("debug", "info", "warning", "error", "critical")),),
    ),
    # Migrations.
    Metric(
        "segue_migration_rows_total",
        "counter",
        "Rows whose chunk is committed.",
        (_MIGRATION, Label("outcome", ("processed", "quarantined"))),
        is_sparse=True,
    ),
    Metric(
        "segue_migration_chunk_duration_seconds",
        "histogram",
        "Time of one chunk's transaction.",
        (_MIGRATION,),
        buckets=LONG_BUCKETS,
        is_sparse=True,
    ),
    Metric("segue_migration_chunk_size", "gauge", "Rows that the next chunk asks for.", (_MIGRATION,), "max"),
    Metric("segue_migration_checkpoint_age_seconds", "gauge", "Time since the last checkpoint.", (_MIGRATION,), "age"),
    Metric(
        "segue_migration_retries_total",
        "counter",
        "Transactions that ran again after a transient failure.",
        (Label("sqlstate", tuple(TRANSIENT)),),
        is_sparse=True,
    ),
    Metric(
        "segue_migration_throttle_seconds_total",
        "counter",
        "Time that a migration held back for others.",
        (Label("reason", ("lag", "waiters", "sessions", "archive", "vacuum", "sql")),),
        is_sparse=True,
    ),
    Metric("segue_migration_quarantined_rows", "gauge", "Rows in quarantine.", (_MIGRATION,), "max"),
    Metric("segue_migration_eta_seconds", "gauge", "Time to the end at the present rate.", (_MIGRATION,), "max"),
    Metric(
        "segue_validation_mismatches_total",
        "counter",
        "Rows that a validation found wrong.",
        (_MIGRATION,),
        is_sparse=True,
    ),
    Metric("segue_rollback_rows_total", "counter", "Rows that a rollback removed.", (_MIGRATION,), is_sparse=True),
    Metric(
        "segue_migration_leases_lost_total",
        "counter",
        "Runs that a worker lost to another one, or found with a dead one.",
        (_MIGRATION,),
        is_sparse=True,
    ),
)

#: The one metric without a place in memory: its labels are the program's own.
BUILD_INFO = "segue_build_info"

METRICS = {metric.name: metric for metric in TABLE}
