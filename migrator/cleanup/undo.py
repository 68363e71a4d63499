"""Bringing a dropped legacy column back: filled under another name, then given its own, then its indexes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from psycopg import sql as psql

from migrator import run_store
from migrator.chunk_size import ChunkSize
from migrator.cleanup import restored
from migrator.cleanup.archive import LOCK_WAIT_MS, Archive, stopping
from migrator.cleanup_record import CleanupState, Record
from migrator.errors import Refused, Stopped
from migrator.events import ChunkCommitted, Observer, PhaseStarted, tell
from migrator.lease import Lease
from migrator.migration import Step
from migrator.repair import restate_all
from migrator.retry import retrying
from migrator.run_store import Run
from migrator.source import KeyRange
from migrator.stop import StopSignal
from sql.database import Database, Transaction

Result = TypeVar("Result")


@dataclass
class Undone:
    """What came back, or in a dry run would.

    Attributes:
        record: the cleanup that was undone.
        rows: that have their archived value again.
        made_since, deleted_since: rows without an archived value, and values without a row.
    """

    record: Record
    rows: int = 0
    made_since: int = 0
    deleted_since: int = 0
    seconds: float = 0.0


class Undo:
    """Undoes one cleanup; a killed one goes on when it is called again.

    The column is filled under a name of Segue's, so that nobody ever sees it half full, and nobody's write can be
    overwritten: it gets its own name when every row has its value.
    """

    def __init__(
        self,
        database: Database,
        run: Run,
        step: Step,
        record: Record,
        stop: StopSignal,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self.database = database
        self.run = run
        self.step = step
        self.record = record
        self.stop = stop
        self.observers = observers
        self._token = ""

    def rehearse(self) -> Undone:
        """Return what would come back; changes nothing."""
        self._require_possible()
        return self._measure(Undone(self.record))

    def execute(self) -> Undone:
        """Bring the column back.

        Raises:
            Refused: something is in the way; nothing was changed.
            Stopped: by a signal; call again to go on.
        """
        started = time.monotonic()
        result = Undone(self.record)
        with Lease(self.database, self.run, self.stop) as lease, stopping(self.stop):
            self._token = lease.token
            tell(self.observers, PhaseStarted(self.run.id, "restoring", self.run.row["total_rows"]))
            if self._reread().state is CleanupState.DROPPED:
                self._require_possible()
                self._transact(self._begin)
            if self._reread().state is CleanupState.RESTORING:
                self._fill()
                if self.record.description["is_not_null"]:
                    self._transact(self._prove_not_null)
                self._transact(self._give_name)
            if self._reread().state is CleanupState.BACK:
                self._measure(result)
                self._make_the_rest()
                if self.record.row["caught_up"]:
                    restate_all(self.database, self.step, self.run.context, self._token)
                self._transact(self._end)
            result.seconds = lease.work_seconds = time.monotonic() - started
        return result

    # -- the parts

    def _require_possible(self) -> None:
        record = self.record
        with self.database.transaction() as transaction:
            place = transaction.one(
                "cleanup_undo.describe_place",
                table_name=restored.table_name(record),
                archive_name=record.fragments["archive"].as_string(None),
                column=record.row["column_name"],
            )
        table = f"{record.row['schema_name']}.{record.row['table_name']}"
        if not place["has_archive"]:
            raise Refused(f"{record.archive} is gone, and with it the values of {record.column}; restore a backup")
        if not place["has_table"]:
            raise Refused(f"table {table} is gone; the values of its column are in {record.archive}")
        if place["has_column"] and record.state is not CleanupState.BACK:
            name = record.row["column_name"]
            raise Refused(f"{table} has a column {name!r} again; rename that one: ALTER TABLE {table} RENAME COLUMN …")
        if not place["may_alter"]:
            raise Refused(f"the role may not alter {table}; run it as the table's owner")

    def _measure(self, result: Undone) -> Undone:
        with self.database.transaction() as transaction:
            row = transaction.one("cleanup_undo.measure", self.record.fragments)
        result.rows, result.made_since, result.deleted_since = row["archived"], row["made_since"], row["deleted_since"]
        return result

    def _begin(self, transaction: Transaction) -> None:
        if self._found(transaction).state is not CleanupState.DROPPED:
            return  # the reply to an earlier COMMIT was lost
        restored.add_hidden(transaction, self.record)
        self._move(transaction, CleanupState.RESTORING)

    def _fill(self) -> None:
        size, is_done = ChunkSize(1_000), False
        while not is_done:
            if self.stop.is_set:
                raise Stopped(self.stop.reason or "stop")
            started = time.monotonic()
            rows = self._retrying(lambda: self._fill_chunk(size.size))
            is_done = rows < size.size
            seconds = time.monotonic() - started
            size.learn(rows, seconds)
            tell(self.observers, ChunkCommitted(self.run.id, 0, rows, seconds, size.size))

    def _fill_chunk(self, limit: int) -> int:
        with self.database.transaction() as transaction:
            run_store.require_lease(transaction, self.run.id, self._token)
            names, source = self.record.fragments, self.record.source
            triggers = transaction.all("cleanup_undo.list_update_triggers", table_name=restored.table_name(self.record))
            for row in triggers:  # filling is no edit: it must not touch an `updated_at`, nor tell anybody
                self._switch(transaction, row["name"], "DISABLE")
            transaction.one("cleanup.see_all_rows")
            cursor = self._found(transaction).row["cursor"]
            key = source.fragments["key"]
            within = KeyRange(cursor, None)
            row = transaction.one(
                "cleanup_undo.fill_chunk",
                {**names, "conditions": source.in_range(within, key)},
                **vars(within),
                limit=limit,
            )
            if row["filled"] < row["looked_at"] and restored.filler(self.record):
                within = KeyRange(cursor, row["last_key"])
                conditions = source.in_range(within, psql.SQL("legacy.{}").format(key))
                transaction.run("cleanup_undo.fill_others", {**names, "conditions": conditions}, **vars(within))
            for trigger in triggers:
                self._switch(transaction, trigger["name"], trigger["enabling"])
            transaction.run("cleanup_undo.save_cursor", run_id=self.run.id, cursor=row["last_key"])
            return int(row["looked_at"])

    def _switch(self, transaction: Transaction, trigger: str, enabling: str) -> None:
        names = {**self.record.fragments, "name": psql.Identifier(trigger), "enabling": restored.verbatim(enabling)}
        transaction.run("cleanup_undo.alter_trigger", names)

    def _prove_not_null(self, transaction: Transaction) -> None:
        transaction.run(
            "cleanup_undo.alter_validity", {**self.record.fragments, "name": self.record.fragments["check"]}
        )

    def _give_name(self, transaction: Transaction) -> None:
        if self._found(transaction).state is not CleanupState.RESTORING:
            return
        restored.give_name(transaction, self.record)
        self._move(transaction, CleanupState.BACK)

    def _make_the_rest(self) -> None:
        record = self.record
        for index in record.description["indexes"]:
            self._make_index(index["name"], index["definition"])
            self._transact(partial(restored.finish_index, record=record, index=index))
        for guard in record.description["constraints"]:
            if guard["kind"] in restored.LATER:
                self._transact(partial(restored.add_constraint, record=record, constraint=guard))
        for guard in record.description["constraints"]:
            self._transact(partial(restored.validate_constraint, record=record, constraint=guard))

    def _make_index(self, name: str, definition: str) -> None:
        """Build an index beside the writers; one that was left half-built is dropped first."""
        whole = psql.Identifier(self.record.row["schema_name"], name)

        def build() -> None:
            with self.database.session() as connection:
                session = Transaction(connection)
                found = session.first("cleanup_undo.find_index", index_name=whole.as_string(None))
                if found and not found["is_valid"]:
                    session.run("cleanup_undo.drop_half_index", {"name": whole})
                if not found or not found["is_valid"]:
                    session.run("cleanup_undo.create_index", {"definition": restored.concurrent(definition)})

        self._retrying(build)

    def _end(self, transaction: Transaction) -> None:
        if self._found(transaction).state is CleanupState.UNDONE:
            return
        transaction.run("cleanup.drop_archive", self.record.fragments)
        transaction.run("cleanup.forget_changes", run_id=self.run.id)
        self._move(transaction, CleanupState.UNDONE)
        run_store.note(transaction, self.run.id, "column restored", detail={"column": self.record.column})

    # -- small things

    def _move(self, transaction: Transaction, to: CleanupState) -> None:
        transaction.run("cleanup_undo.save_state", run_id=self.run.id, state=to)

    def _found(self, transaction: Transaction) -> Record:
        record = Record.find(transaction, self.run.id)
        assert record is not None, "nobody deletes it"
        return record

    def _reread(self) -> Record:
        def read() -> Record:
            with self.database.transaction() as transaction:
                return self._found(transaction)

        return self._retrying(read)

    def _transact(self, action: Callable[[Transaction], None]) -> None:
        def run() -> None:
            with self.database.waiting_at_most(LOCK_WAIT_MS).transaction() as transaction:
                run_store.require_lease(transaction, self.run.id, self._token)
                action(transaction)

        self._retrying(run)

    def _retrying(self, action: Callable[[], Result]) -> Result:
        return retrying(action, self.run.id, self.observers, self.stop)


def give_up(
    database: Database, run: Run, step: Step, record: Record, stop: StopSignal, observers: tuple[Observer, ...]
) -> None:
    """Take away what a cleanup that never came to its end has made; the column is in place."""
    with Lease(database, run, stop) as lease:
        Archive(database, run, step, record.source, lease.token, stop, observers).abandon()
