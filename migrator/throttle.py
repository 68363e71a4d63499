"""Going easy on a database that suffers: sleep beside work, wait while a load is too high, stop when far too high."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from migrator.controls import Controls
from migrator.events import Observer, Throttled, tell
from migrator.stop import StopSignal
from sql.database import Database, Transaction, literal_sql
from sql.errors import DatabaseError

#: The load is looked at this often at most, by whichever worker comes first.
LOOK_SECONDS = 1.0
#: While it is too high.
WAIT_SECONDS = 0.5
#: A load has to fall this far below its limit before the run goes on, so that it does not flutter.
RELIEF = 0.8

Loads = Mapping[str, float | None]


@dataclass
class Throttle:
    """Stands before every chunk of a run, for all its workers together.

    Attributes:
        database: whose load is looked at.
        run_id: the run.
        token: of its lease; only its holder notes a reason.
        tables: qualified names whose vacuum counts.
        stop: what ends a wait, and what is set when a load is at its second level.
        observers: told of every wait.
        controls: what the run was told last.
        watch: called while waiting, to set the stop signal when the call's time is over.
        learn: told how far all workers of the run are, and whether there are others than this process's.
        workers: how many pass through here.
    """

    database: Database
    run_id: int
    token: str
    tables: list[str]
    stop: StopSignal
    observers: tuple[Observer, ...]
    controls: Controls
    watch: Callable[[], None]
    learn: Callable[[int, int, bool], None] = lambda rows, quarantined, is_shared: None  # noqa: ARG005
    workers: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _gate: threading.Condition = field(default_factory=threading.Condition)
    _at_work: int = 0
    _looked: float = field(default_factory=time.monotonic)
    _usual_sessions: float | None = None

    def obey(self, controls: Controls) -> None:
        """Take in what an admin has changed."""
        with self._gate:
            self.controls = controls
            self._gate.notify_all()

    def enter(self) -> None:
        """Wait for a place among the workers and for the database's leave; returns at once when the run is to stop."""
        with self._gate:
            while not self.stop.is_set and self._at_work >= self._places():
                self._gate.wait(WAIT_SECONDS)
            self._at_work += 1
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._wait_while_loaded()
                self._looked = time.monotonic()

    def leave(self) -> None:
        """Give the place back after a chunk."""
        with self._gate:
            self._at_work -= 1
            self._gate.notify()

    def rest(self, worked_seconds: float) -> None:
        """Sleep after a chunk as `nice` says."""
        if self.controls.nice:
            self.stop.sleep(self.controls.nice * worked_seconds)

    def _places(self) -> int:
        """Return how many may be at work at a time: with `nice`, one works while another rests, not all together."""
        workers = self.workers if self.controls.workers is None else min(self.workers, self.controls.workers)
        return math.ceil(workers / (1 + self.controls.nice))

    def _wait_while_loaded(self) -> None:
        started, told = time.monotonic(), ""
        while not self.stop.is_set:
            reason = self._reason(RELIEF if told else 1.0)
            if reason is None:
                break
            if not told:
                self._note(reason)
            told = reason
            tell(self.observers, Throttled(self.run_id, reason, time.monotonic() - started))
            self.stop.sleep(WAIT_SECONDS)
            self.watch()
        if told:
            self._note(None)

    def _reason(self, share: float) -> str | None:
        """Return why to wait, or None; a load at its second level sets the stop signal."""
        try:
            loads = self._loads()
        except DatabaseError as error:
            # A lost connection is the chunk's to retry; a statement of the admin's that fails tells nothing good.
            return None if error.is_transient else f"the load cannot be read: {error}"
        for load, limit in self.controls.limits.items():
            value = loads.get(load)
            if value is None:
                continue
            if limit.stop is not None and value >= limit.stop:
                self.stop.set(f"throttle: {load} {value:g}, limit {limit.stop:g}")
            if value > 0 and value >= limit.wait * share:
                return f"{load} {value:g}, limit {limit.wait:g}"
        return None

    def _loads(self) -> Loads:
        with self.database.transaction() as transaction:
            wishes = transaction.one("throttle.read_controls", run_id=self.run_id)
            self.obey(Controls.of(wishes["controls"]))
            self.learn(wishes["row_count"], wishes["quarantined_rows"], wishes["is_shared"])
            if wishes["request"]:
                self.stop.set(wishes["request"])
            row = transaction.one("throttle.read_load", tables=self.tables)
            if self.controls.throttle_sql is not None:
                row["sql"] = custom_load(transaction, self.controls.throttle_sql)
        if self._usual_sessions is None:
            self._usual_sessions = max(float(row["sessions"]), 2.0)
        return {**row, "sessions": row["sessions"] / self._usual_sessions}

    def _note(self, reason: str | None) -> None:
        with suppress(DatabaseError), self.database.transaction() as transaction:
            transaction.run("throttle.save_reason", run_id=self.run_id, token=self.token, reason=reason)


def custom_load(transaction: Transaction, statement: str) -> float:
    """Return what the admin's own query says; from here on the transaction cannot write.

    Raises:
        DatabaseError: it is no query of one number.
    """
    transaction.run("throttle.forbid_writes")
    fragments = {"statement": literal_sql(statement.replace("%", "%%"))}
    return float(transaction.one("throttle.read_custom", fragments)["value"])
