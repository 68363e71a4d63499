"""Taking a run back: remove exactly what it created, restore what it changed, keep what people did since."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql as psql
from psycopg.types.json import Jsonb

from migrator import run_store
from migrator.errors import LeaseLost, Refused, Stopped
from migrator.events import Observer, PhaseStarted, RunClosed, tell
from migrator.lease import Lease
from migrator.migration import Context, Mismatch, Step
from migrator.preflight import preflight
from migrator.retry import retrying
from migrator.run_store import Run
from migrator.states import RunState
from migrator.stop import StopSignal
from sql.database import Database, Row, Transaction
from sql.errors import DatabaseError

#: Table blocks (8 KiB) scanned by one transaction, adapted to time below.
FIRST_BLOCKS, MOST_BLOCKS = 512, 16_384
TARGET_SECONDS = 0.25

#: A table up to this many blocks (256 MiB) is scanned under an exclusive lock within some 100 ms.
MOST_BLOCKS_LOCKED = 32_768
#: How long to ask for that lock; everybody who comes after us in the queue waits as long.
LOCK_WAIT_MS = 100


@dataclass
class RolledBack:
    """What a rollback did, or in a dry run would do."""

    run_id: int
    status: RunState
    removed: dict[str, int] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    conflicts: list[Mismatch] = field(default_factory=list)
    seconds: float = 0.0


class Rollback:
    """Rolls one run back; what is done is checkpointed, so that a killed rollback goes on when it is called again.

    Args:
        database: where.
        run: which run.
        step: of its migration.
        schema: the application's.
        on_conflict: `keep` tags that people use or have edited, `force` them away with those uses, or `abort`.
    """

    def __init__(
        self,
        database: Database,
        run: Run,
        step: Step,
        schema: str,
        on_conflict: str,
        stop: StopSignal,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self.database = database
        self.quick = database.waiting_at_most(LOCK_WAIT_MS)
        self.schema = schema
        self.run = run
        self.step = step
        self.on_conflict = on_conflict
        self.stop = stop
        self.observers = observers
        self.context: Context = run.context
        self.names = {name: psql.Identifier(schema, name) for name in step.targets}

    def rehearse(self) -> RolledBack:
        """Return what the rollback would remove, and its conflicts; changes nothing."""
        preflight(self.database, self.schema)
        self._require_possible()
        result = RolledBack(self.run.id, self.run.status)
        with self.database.transaction(repeatable_read=True) as transaction:
            for name in reversed(self.step.targets):
                row = transaction.one("rollback.count_rows", {"target": self.names[name]}, run_id=self.run.id)
                result.removed[name] = row["found"]
            changed = transaction.all("rollback.count_changed", run_id=self.run.id)
            result.restored = {row["table_name"]: row["found"] for row in changed}
            result.conflicts = self.step.conflicts(transaction, self.context)
            if self.on_conflict != "force":
                result.removed[self.step.targets[0]] -= len(result.conflicts)
        return result

    def execute(self) -> RolledBack:
        """Roll the run back.

        Raises:
            Refused: it is rolled back already, a live process works on it, or there are conflicts under `abort`.
            Stopped: by a signal; call again to go on.
        """
        started = time.monotonic()
        preflight(self.database, self.schema)
        self._require_possible()
        result = RolledBack(self.run.id, RunState.ROLLED_BACK)
        with Lease(self.database, self.run, self.stop) as lease, self._aborting():
            self.run = self._begin(lease)
            tell(self.observers, PhaseStarted(self.run.id, "rolling back"))
            result.removed = dict(self.run.row["rollback"]["removed"])
            result.conflicts = [Mismatch(**conflict) for conflict in self.run.row["rollback"].get("conflicts", [])]
            for name in reversed(self.step.targets):
                if name not in self.step.shared:
                    self._delete_rows(name, lease, result)
            for name in reversed(self.step.shared):
                self._delete_shared(name, lease, result)
            result.restored = self.step.restore(self.context, self._transact)
            self._end(lease, result)
            result.seconds = lease.work_seconds = time.monotonic() - started
        tell(self.observers, RunClosed(self.run.id, RunState.ROLLED_BACK, result.seconds))
        return result

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """A statement that the second signal cancelled is a stop, not a failure."""
        try:
            yield
        except DatabaseError as error:
            if not self.stop.is_aborting:
                raise
            raise Stopped(self.stop.reason or "signal") from error

    def _require_possible(self) -> None:
        if self.run.status is RunState.ROLLED_BACK:
            raise Refused(f"run {self.run.id} is already rolled back; nothing was changed")

        def look() -> Row | None:
            with self.database.transaction() as transaction:
                return transaction.first("runs.find_later_run", migration=self.run.migration, run_id=self.run.id)

        later = retrying(look, self.run.id, self.observers, self.stop)
        if later is not None:
            raise Refused(
                f"run {later['id']} builds on run {self.run.id}; roll that back first: segue rollback {later['id']}"
            )

    def _begin(self, lease: Lease) -> Run:
        def begin() -> Run:
            with self.database.transaction() as transaction:
                run = run_store.find(transaction, self.run.id)
                if self.on_conflict == "abort" and (conflicts := self.step.conflicts(transaction, self.context)):
                    raise Refused(
                        f"run {run.id} has {len(conflicts)} conflicts, first: tag {conflicts[0].key}: "
                        f"{conflicts[0].problem}; nothing was changed; "
                        "see 'segue rollback --dry-run', then choose --on-conflict keep or force"
                    )
                if run.status is not RunState.ROLLING_BACK:
                    run_store.move(
                        transaction,
                        run,
                        RunState.ROLLING_BACK,
                        token=lease.token,
                        detail={"on_conflict": self.on_conflict},
                    )
                    begun = RolledBack(run.id, run.status)
                    begun.conflicts = [] if self.step.shared else self._yield_to_people(transaction)
                    self._save(transaction, lease, begun)
                return run_store.find(transaction, self.run.id)

        return retrying(begin, self.run.id, self.observers, self.stop)

    def _delete_rows(self, name: str, lease: Lease, result: RolledBack) -> None:
        """Delete a table's rows of the run in passes over its blocks, until a whole look finds none."""
        target = {"target": self.names[name], "target_name": psql.Literal(self.names[name].as_string(None))}
        result.removed.setdefault(name, 0)
        self._empty_at_once(name, target, lease, result)
        while self._one("rollback.has_rows", target)["found"]:
            first, step = 0, FIRST_BLOCKS
            blocks = int(self._one("rollback.count_blocks", target)["blocks"])
            while first < blocks:
                if self.stop.is_set:
                    raise Stopped(self.stop.reason or "stop")
                started = time.monotonic()
                end = min(first + step, blocks)
                result.removed = self._delete_range(name, target, first, end, lease, result)
                first = end
                pace = TARGET_SECONDS / max(time.monotonic() - started, 1e-3)
                step = int(max(16, min(step * min(pace, 2.0), MOST_BLOCKS)))

    def _empty_at_once(self, name: str, target: dict[str, psql.Composable], lease: Lease, result: RolledBack) -> None:
        """Empty a table of ours that holds nothing but the run's rows; leave it be when it is large or in use.

        Nobody waits long: the lock is given up when it is not had at once, and held for one scan of a bounded table.
        """
        if name not in self.step.own_tables(self.context):
            return
        with suppress(DatabaseError), self.quick.transaction() as transaction:
            blocks = transaction.one("rollback.count_blocks", target)["blocks"]
            if blocks > MOST_BLOCKS_LOCKED or not transaction.one("rollback.can_be_emptied", target)["found"]:
                return
            transaction.run("rollback.lock_target", target)
            rows = transaction.one("rollback.count_all", target, run_id=self.run.id)
            if rows["found"] == 0 or rows["of_others"]:
                return
            transaction.run("rollback.empty_target", target)
            after = RolledBack(result.run_id, result.status, self._counted(transaction, result, name, rows["found"]))
            self._save(transaction, lease, after)
        self._reload(result)

    def _reload(self, result: RolledBack) -> None:
        """Take the counts that are stored, whatever this process remembers."""

        def read() -> dict[str, int]:
            with self.database.transaction() as transaction:
                return dict(run_store.find(transaction, self.run.id).row["rollback"]["removed"])

        result.removed = {**result.removed, **retrying(read, self.run.id, self.observers, self.stop)}

    def _delete_range(
        self, name: str, target: dict[str, psql.Composable], first: int, end: int, lease: Lease, result: RolledBack
    ) -> dict[str, int]:
        def delete() -> dict[str, int]:
            with self.database.transaction() as transaction:
                removed = transaction.run(
                    "rollback.delete_block_range", target, first=f"({first},0)", end=f"({end},0)", run_id=self.run.id
                )
                after = RolledBack(result.run_id, result.status, self._counted(transaction, result, name, removed))
                self._save(transaction, lease, after)
                return after.removed

        return retrying(delete, self.run.id, self.observers, self.stop)

    def _delete_shared(self, name: str, lease: Lease, result: RolledBack) -> None:
        """Delete rows that others may point to: look, release and delete under one lock, so that no use slips in."""

        def delete() -> RolledBack:
            with self.database.transaction() as transaction:
                conflicts = self._yield_to_people(transaction)
                removed = transaction.run("rollback.delete_rows", {"target": self.names[name]}, run_id=self.run.id)
                after = RolledBack(result.run_id, result.status, self._counted(transaction, result, name, removed))
                after.conflicts = conflicts or result.conflicts
                self._save(transaction, lease, after)
                return after

        after = retrying(delete, self.run.id, self.observers, self.stop)
        result.removed, result.conflicts = after.removed, after.conflicts

    def _counted(self, transaction: Transaction, result: RolledBack, name: str, removed: int) -> dict[str, int]:
        """Add to what is stored, not to what is remembered: the reply to an earlier COMMIT may have been lost."""
        stored = run_store.find(transaction, self.run.id).row["rollback"]["removed"]
        return {**result.removed, **stored, name: stored.get(name, 0) + removed}

    def _yield_to_people(self, transaction: Transaction) -> list[Mismatch]:
        conflicts = self.step.conflicts(transaction, self.context)
        if conflicts and self.on_conflict == "keep":
            self.step.release(transaction, self.context, [conflict.key for conflict in conflicts])
        return conflicts

    def _end(self, lease: Lease, result: RolledBack) -> None:
        def end() -> None:
            with self.database.transaction() as transaction:
                for query in ("delete_quarantine", "delete_vocabulary", "mark_journal"):
                    transaction.run(f"rollback.{query}", run_id=self.run.id)
                detail = {"removed": result.removed, "conflicts": len(result.conflicts)}
                run_store.move(transaction, self.run, RunState.ROLLED_BACK, token=lease.token, detail=detail)

        retrying(end, self.run.id, self.observers, self.stop)

    def _save(self, transaction: Transaction, lease: Lease, result: RolledBack) -> None:
        """Write the progress into the run, fenced: a superseded process finds no row and rolls back."""
        record = {"removed": result.removed, "conflicts": [vars(conflict) for conflict in result.conflicts]}
        if transaction.run("runs.save_rollback", run_id=self.run.id, rollback=Jsonb(record), token=lease.token) != 1:
            raise LeaseLost(f"run {self.run.id} was taken over by another process")

    def _one(self, query: str, target: dict[str, psql.Composable]) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            with self.database.transaction() as transaction:
                return transaction.one(query, target, **({"run_id": self.run.id} if "has" in query else {}))

        return retrying(look, self.run.id, self.observers, self.stop)

    def _transact(self, action: Callable[[Transaction], None]) -> None:
        def run() -> None:
            with self.database.transaction() as transaction:
                action(transaction)

        retrying(run, self.run.id, self.observers, self.stop)
