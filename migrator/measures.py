"""A run's metrics, kept by an observer of its events; the names are those of monitoring/metrics.py."""

import threading
import time
from math import nan

from migrator.events import (
    ChunkCommitted,
    ChunkRetried,
    Compared,
    Event,
    PhaseStarted,
    RowsRemoved,
    RunClosed,
    Throttled,
)
from monitoring.recorder import Counter, Gauge, Recorder

#: Gauges that say something only while chunks are converted.
_OF_CONVERSION = (
    "segue_migration_chunk_size",
    "segue_migration_checkpoint_age_seconds",
    "segue_migration_eta_seconds",
)


class RunMeasures:
    """Counts what happens to the runs of one migration in this process.

    Args:
        recorder: of this process.
        migration: the label of its series.
    """

    def __init__(self, recorder: Recorder, migration: str) -> None:
        self._recorder, self._migration = recorder, migration
        self._lock = threading.Lock()
        self._started, self._total, self._before, self._rows, self._quarantined = 0.0, 0, 0, 0, 0
        self._waited = 0.0

    def __call__(self, event: Event) -> None:
        """Take in an event."""
        with self._lock:
            match event:
                case PhaseStarted():
                    self._enter(event)
                case ChunkCommitted():
                    self._count(event)
                case ChunkRetried():
                    self._recorder.counter("segue_migration_retries_total", event.sqlstate or "none").inc()
                case Throttled():
                    self._wait(event)
                case Compared():
                    self._counter("segue_validation_mismatches_total").inc(event.mismatches)
                case RowsRemoved():
                    self._counter("segue_rollback_rows_total").inc(event.rows)
                case RunClosed():
                    self._leave()
                case _:
                    pass

    def lease_lost(self) -> None:
        """Count a run that went to another worker, or came from a dead one."""
        self._counter("segue_migration_leases_lost_total").inc()

    def rest(self) -> None:
        """Take away what is true only while a run goes on: this process does not work on it any more."""
        with self._lock:
            self._leave()

    def _enter(self, event: PhaseStarted) -> None:
        self._leave()
        if event.phase != "migrating":
            return
        self._started, self._rows, self._waited = time.monotonic(), 0, 0.0
        self._total, self._before, self._quarantined = event.total or 0, event.done or 0, event.quarantined or 0
        self._gauge("segue_migration_checkpoint_age_seconds").set(time.time())
        self._gauge("segue_migration_quarantined_rows").set(self._quarantined)

    def _count(self, event: ChunkCommitted) -> None:
        self._rows += event.rows
        self._quarantined += event.quarantined
        rows, migration = "segue_migration_rows_total", self._migration
        self._recorder.counter(rows, migration, "processed").inc(event.rows)
        self._recorder.counter(rows, migration, "quarantined").inc(event.quarantined)
        self._recorder.histogram("segue_migration_chunk_duration_seconds", migration).observe(event.seconds)
        self._gauge("segue_migration_quarantined_rows").set(self._quarantined)
        self._gauge("segue_migration_chunk_size").set(event.chunk_size)
        self._gauge("segue_migration_checkpoint_age_seconds").set(time.time())
        if self._rows:
            left = max(self._total - self._before - self._rows, 0)
            seconds = left * (time.monotonic() - self._started) / self._rows
            self._gauge("segue_migration_eta_seconds").set(seconds)

    def _wait(self, event: Throttled) -> None:
        # Told again while it lasts, each time with the whole wait so far; a shorter one is a new wait.
        since = event.seconds - self._waited if event.seconds >= self._waited else event.seconds
        self._waited = event.seconds
        load = event.reason.partition(" ")[0]
        self._recorder.counter("segue_migration_throttle_seconds_total", load).inc(since)

    def _leave(self) -> None:
        for name in _OF_CONVERSION:
            self._gauge(name).set(nan)

    def _counter(self, name: str) -> Counter:
        return self._recorder.counter(name, self._migration)

    def _gauge(self, name: str) -> Gauge:
        return self._recorder.gauge(name, self._migration)
