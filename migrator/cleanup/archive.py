"""The archive of a legacy column: copied in chunks, kept true by triggers while people go on writing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from psycopg.types.json import Jsonb

from migrator import run_store
from migrator.chunk_size import ChunkSize
from migrator.cleanup_record import TRIGGERS, Record
from migrator.errors import Stopped
from migrator.events import ChunkCommitted, Observer, tell
from migrator.migration import Step
from migrator.retry import retrying
from migrator.run_store import Run
from migrator.source import KeyRange, TableSource
from migrator.stop import StopSignal
from sql.database import Database, Row, Transaction
from sql.errors import DatabaseError

Result = TypeVar("Result")

#: How long to ask for a lock that users feel; everybody who comes after us in its queue waits as long.
LOCK_WAIT_MS = 200
#: Rows noted as changed that one transaction takes in.
BATCH_ROWS = 1_000


class StartAgainError(Exception):
    """The table was emptied while it was copied: the archive is copied from the start."""


@dataclass(frozen=True)
class Archive:
    """Builds the archive of one run's column, fenced by the lease.

    Attributes:
        database: where.
        run: whose source the column is.
        step: of its migration.
        source: the column.
        token: the lease's.
        stop: why to stop, or not yet.
        observers: told of chunks and retries.
    """

    database: Database
    run: Run
    step: Step
    source: TableSource
    token: str
    stop: StopSignal
    observers: tuple[Observer, ...]

    def begin(self, column: Row) -> Record:
        """Make the archive and the triggers that note later writes; goes on with one that was begun before."""
        names: dict[str, Any] = {
            "schema": self.source.schema,
            "table": self.source.table,
            "column": self.source.column,
            "key": self.source.key,
            "key_type": self.source.key_type,
            "key_collation": self.source.collation,
            "archive": f"archive_{self.run.id}",
        }

        def make() -> Record:
            with self.database.waiting_at_most(LOCK_WAIT_MS).transaction() as transaction:
                run_store.require_lease(transaction, self.run.id, self.token)
                description = Jsonb({**column, "base_type": self.source.column_type})
                if transaction.run("cleanup.begin_record", run_id=self.run.id, **names, description=description):
                    record = self._found(transaction)
                    for query in ("create_archive", "alter_archive", "create_row_trigger", "create_edge_trigger"):
                        transaction.run(f"cleanup.{query}", record.fragments)
                    transaction.run("cleanup.create_truncate_trigger", record.fragments)
                    transaction.run("cleanup.alter_triggers", record.fragments)
                    run_store.note(transaction, self.run.id, "cleanup begun", detail={"column": record.column})
                return self._found(transaction)

        return self._retrying(make)

    def copy(self, record: Record) -> None:
        """Copy what is not copied yet, chunk by chunk, each with its checkpoint."""
        size = ChunkSize()
        is_copied = record.row["is_copied"]
        while not is_copied:
            self.check_stop()
            started = time.monotonic()
            is_copied, rows = self._retrying(lambda: self._copy_chunk(size.size))
            seconds = time.monotonic() - started
            size.learn(rows, seconds)
            tell(self.observers, ChunkCommitted(self.run.id, 0, rows, seconds, size.size))

    def _copy_chunk(self, limit: int) -> tuple[bool, int]:
        """Go on from the stored cursor: the reply to an earlier COMMIT may have been lost."""
        with self.database.transaction() as transaction:
            run_store.require_lease(transaction, self.run.id, self.token)
            record = self._found(transaction)
            within = KeyRange(record.row["cursor"], None)
            fragments = {
                **record.fragments,
                "conditions": self.source.in_range(within, self.source.fragments["key"]),
            }
            transaction.one("cleanup.see_all_rows")
            row = transaction.one("cleanup.copy_chunk", fragments, **vars(within), limit=limit)
            is_copied = row["copied"] < limit
            transaction.run("cleanup.save_progress", run_id=self.run.id, cursor=row["last_key"], is_copied=is_copied)
            return is_copied, row["copied"]

    def catch_up(self) -> int:
        """Take in what people wrote since: into the archive, and into the tags; return how many rows in all.

        Each batch is one snapshot: what is noted in it is written in it.
        """
        total = 0
        while True:
            self.check_stop()
            rows = self._retrying(self._catch_up_batch)
            if rows is None:
                self.copy(self.reread())
            elif not rows:
                return total
            else:
                total += rows

    def _catch_up_batch(self) -> int | None:
        try:
            with self.database.transaction(repeatable_read=True) as transaction:
                return self.take_in(transaction, BATCH_ROWS)
        except StartAgainError:
            with self.database.transaction() as transaction:
                run_store.require_lease(transaction, self.run.id, self.token)
                fragments = self._found(transaction).fragments
                transaction.run("cleanup.forget_changes", run_id=self.run.id)
                transaction.run("cleanup.truncate_archive", fragments)
                transaction.run("cleanup.start_copy_again", run_id=self.run.id)
            return None

    def take_in(self, transaction: Transaction, most: int) -> int:
        """Bring archive and tags up to date with at most so many of the rows noted as changed.

        Raises:
            StartAgainError: the table was emptied.
        """
        run_store.require_lease(transaction, self.run.id, self.token)
        taken = [row["key"] for row in transaction.all("cleanup.take_changes", run_id=self.run.id, most=most)]
        if None in taken:
            raise StartAgainError
        keys = list(dict.fromkeys(taken))
        if keys:
            fragments = self._found(transaction).fragments
            transaction.one("cleanup.see_all_rows")
            transaction.run("cleanup.archive_again", fragments, keys=keys)
            transaction.run("cleanup.forget_gone", fragments, keys=keys)
            self.step.reconvert(transaction, self.run.context, keys)
            transaction.run("cleanup.note_caught_up", run_id=self.run.id, rows=len(keys))
        return len(taken)

    def abandon(self) -> None:
        """Take archive and triggers away again: the column stays, and nothing was changed."""

        def give_up() -> None:
            with self.database.waiting_at_most(LOCK_WAIT_MS).transaction() as transaction:
                run_store.require_lease(transaction, self.run.id, self.token)
                record = Record.find(transaction, self.run.id)
                if record is None:
                    return
                drop_triggers(transaction, record)
                transaction.run("cleanup.drop_archive", record.fragments)
                transaction.run("cleanup.forget_changes", run_id=self.run.id)
                transaction.run("cleanup.forget_record", run_id=self.run.id)
                run_store.note(transaction, self.run.id, "cleanup given up", detail={"column": record.column})

        self._retrying(give_up)

    def reread(self) -> Record:
        """Return the cleanup as it is stored now."""

        def read() -> Record:
            with self.database.transaction() as transaction:
                return self._found(transaction)

        return self._retrying(read)

    def check_stop(self) -> None:
        """Raise Stopped when somebody asked to stop."""
        if self.stop.is_set:
            raise Stopped(self.stop.reason or "stop")

    def _found(self, transaction: Transaction) -> Record:
        record = Record.find(transaction, self.run.id)
        assert record is not None, "begin made it"
        return record

    def _retrying(self, action: Callable[[], Result]) -> Result:
        return retrying(action, self.run.id, self.observers, self.stop)


@contextmanager
def stopping(stop: StopSignal) -> Iterator[None]:
    """A statement that the second signal cancelled is a stop, not a failure."""
    try:
        yield
    except DatabaseError as error:
        if not stop.is_aborting:
            raise
        raise Stopped(stop.reason or "signal") from error


def drop_triggers(transaction: Transaction, record: Record) -> None:
    """Drop the triggers that note writes of the column."""
    for kind in TRIGGERS:
        names = {**record.fragments, "trigger": record.fragments[f"{kind}_trigger"]}
        transaction.run("cleanup.drop_trigger", names)
