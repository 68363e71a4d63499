"""Taking a run back: remove exactly what it created, restore what it changed, keep what people did since."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg import sql as psql

from migrator import run_store
from migrator.errors import Refused, Stopped
from migrator.events import Observer, PhaseStarted, RowsRemoved, RunClosed, tell
from migrator.lease import Lease
from migrator.migration import Context, Mismatch, Step
from migrator.mirroring import remove as remove_mirror
from migrator.preflight import preflight
from migrator.removal import Removal, RolledBack, edits_of
from migrator.retry import retrying
from migrator.run_store import Run
from migrator.states import RunState
from migrator.stop import StopSignal
from sql.database import Database, Row, Transaction
from sql.errors import DatabaseError


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
        with self.database.transaction(repeatable_read=True, rolled_back=True) as transaction:
            for name in reversed(self.step.targets):
                row = transaction.one("rollback.count_rows", {"target": self.names[name]}, run_id=self.run.id)
                result.removed[name] = row["found"]
            changed = transaction.all("rollback.count_changed", run_id=self.run.id)
            result.restored = {row["table_name"]: row["found"] for row in changed}
            result.edits = edits_of(transaction, self.step, self.context, self.on_conflict)
            while new := self._yield_to_people(transaction):
                result.conflicts += new
                if self.on_conflict != "keep":
                    break  # what is not released would be found again
            for conflict in result.conflicts if self.on_conflict != "force" else ():
                table = conflict.key.partition(" ")[0]
                result.removed[table if table in result.removed else self.step.targets[0]] -= 1
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
            own = self.step.own_tables(self.context)
            removal = Removal(self.database, self.run.id, self.names, own, lease.token, self.stop, self.observers)
            self.run = self._begin(lease, removal)
            remove_mirror(self.database, self.run, lambda drop: retrying(drop, self.run.id, self.observers, self.stop))
            tell(self.observers, PhaseStarted(self.run.id, "rolling back"))
            result.removed = dict(self.run.row["rollback"]["removed"])
            result.conflicts = [Mismatch(**conflict) for conflict in self.run.row["rollback"].get("conflicts", [])]
            for name in reversed(self.step.targets):
                if name not in self.step.shared:
                    removal.delete_rows(name, result)
            for name in reversed(self.step.shared):
                self._delete_shared(name, removal, result)
            result.restored = self.step.restore(self.context, self._transact)
            self._end(lease, result)
            result.seconds = lease.work_seconds = time.monotonic() - started
        tell(self.observers, RunClosed(self.run.id, RunState.ROLLED_BACK, result.seconds))
        return result

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """A statement that the second signal cancelled is a stop, not a failure; so is an outage of the server."""
        try:
            yield
        except DatabaseError as error:
            if not self.stop.is_aborting and not error.is_outage:
                raise
            raise Stopped(self.stop.reason or str(error)) from error

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

    def _begin(self, lease: Lease, removal: Removal) -> Run:
        def begin() -> Run:
            with self.database.transaction() as transaction:
                run = run_store.find(transaction, self.run.id)
                if self.on_conflict == "abort" and (conflicts := self.step.conflicts(transaction, self.context)):
                    raise Refused(
                        f"run {run.id} has {len(conflicts)} conflicts, first: {conflicts[0].key}: "
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
                    removal.save(transaction, begun)
                return run_store.find(transaction, self.run.id)

        return retrying(begin, self.run.id, self.observers, self.stop)

    def _delete_shared(self, name: str, removal: Removal, result: RolledBack) -> None:
        """Delete rows that others may point to: look, release and delete under one lock, so that no use slips in."""

        def delete() -> RolledBack:
            with self.database.transaction() as transaction:
                conflicts = self._yield_to_people(transaction)
                removed = transaction.run("rollback.delete_rows", {"target": self.names[name]}, run_id=self.run.id)
                after = RolledBack(result.run_id, result.status, removal.counted(transaction, result, name, removed))
                # What keeps one row may keep another: a track that stays keeps its user.
                after.conflicts = result.conflicts + [new for new in conflicts if new not in result.conflicts]
                removal.save(transaction, after)
                return after

        after = retrying(delete, self.run.id, self.observers, self.stop)
        gone = after.removed.get(name, 0) - result.removed.get(name, 0)
        tell(self.observers, RowsRemoved(self.run.id, name, gone))
        result.removed, result.conflicts = after.removed, after.conflicts

    def _yield_to_people(self, transaction: Transaction) -> list[Mismatch]:
        conflicts = self.step.conflicts(transaction, self.context)
        if conflicts and self.on_conflict == "keep":
            self.step.release(transaction, self.context, [conflict.key for conflict in conflicts])
        elif conflicts and self.on_conflict == "force":
            self.step.discard(transaction, self.context)
        return conflicts

    def _end(self, lease: Lease, result: RolledBack) -> None:
        def end() -> None:
            with self.database.transaction() as transaction:
                for query in ("delete_quarantine", "delete_vocabulary", "delete_edits", "mark_journal"):
                    transaction.run(f"rollback.{query}", run_id=self.run.id)
                detail = {"removed": result.removed, "conflicts": len(result.conflicts)}
                run_store.move(transaction, self.run, RunState.ROLLED_BACK, token=lease.token, detail=detail)

        retrying(end, self.run.id, self.observers, self.stop)

    def _transact(self, action: Callable[[Transaction], None]) -> None:
        def run() -> None:
            with self.database.transaction() as transaction:
                action(transaction)

        retrying(run, self.run.id, self.observers, self.stop)
