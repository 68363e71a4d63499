"""`segue cleanup`: prove, archive, mark, drop."""

import time
from collections.abc import Callable
from typing import TypeVar

from psycopg import sql as psql

from migrator import run_store
from migrator.cleanup import reasons
from migrator.cleanup.archive import Archive, stopping
from migrator.cleanup.cleaned import Cleaned
from migrator.cleanup.dropping import Dropping
from migrator.cleanup.mirrors import list_mirrors
from migrator.cleanup.reasons import CleanupRefused
from migrator.cleanup_record import TAKEN, CleanupState, Record
from migrator.errors import Refused
from migrator.events import Observer, PhaseStarted, tell
from migrator.lease import Lease
from migrator.migration import Step
from migrator.repair import partitions_of, restate_all
from migrator.retry import retrying
from migrator.run_store import Run
from migrator.source import TableSource
from migrator.stop import StopSignal
from migrator.validation import validate
from sql.database import Database, Row

Result = TypeVar("Result")


class Cleaning:
    """Cleans up the legacy column of one run; a killed one goes on when it is called again.

    Args:
        database: where.
        run: the latest of its migration.
        step: of its migration; its source is the column.
        stop: why to stop, or not yet.
        observers: told of phases, chunks and retries.
        accepts_differences: whether the column goes although tags differ from it.
        workers: partitions compared at a time.
    """

    def __init__(
        self,
        database: Database,
        run: Run,
        step: Step,
        stop: StopSignal,
        observers: tuple[Observer, ...] = (),
        *,
        accepts_differences: bool = False,
        workers: int = 2,
    ) -> None:
        assert isinstance(step.source, TableSource), "only a table has a column"
        self.database = database
        self.run = run
        self.step = step
        self.source = step.source
        self.stop = stop
        self.observers = observers
        self.accepts_differences = accepts_differences
        self.workers = workers
        self._started = time.monotonic()

    def rehearse(self) -> Cleaned:
        """Return what the cleanup would do; changes nothing.

        Raises:
            CleanupRefused: with every reason.
        """
        cleaned = Cleaned(self.run, self.source)
        if self._is_done(cleaned):
            return cleaned
        self._examine(cleaned)
        self._prove()
        with self.database.transaction() as transaction:
            measured = transaction.one("cleanup_look.measure_column", self._names)
        cleaned.rows, cleaned.bytes = measured["row_count"], measured["bytes"]
        return self._timed(cleaned)

    def execute(self) -> Cleaned:
        """Archive and drop the column.

        Raises:
            CleanupRefused: with every reason; nothing was changed.
            Stopped: by a signal, or because the table was never free; call again to go on.
        """
        cleaned = Cleaned(self.run, self.source)
        if self._is_done(cleaned) and cleaned.record and cleaned.record.row["is_settled"]:
            return cleaned
        with Lease(self.database, self.run, self.stop) as lease, stopping(self.stop):
            self.run = self._retrying(self._reread)
            archive = Archive(self.database, self.run, self.step, self.source, lease.token, self.stop, self.observers)
            if not cleaned.is_unchanged:
                self._archive_and_drop(archive, cleaned)
            cleaned.record = self._settle(archive)
        return self._timed(cleaned)

    def _archive_and_drop(self, archive: Archive, cleaned: Cleaned) -> None:
        try:
            # Noting begins before the proof: whatever is written after what the proof read is in the notes.
            archive.begin(self._examine(cleaned))
            self._settle(archive)  # a killed one may have left counts behind
            self._prove()
            tell(self.observers, PhaseStarted(self.run.id, "archiving", self.run.row["total_rows"]))
            archive.copy(archive.reread())
            if archive.catch_up():
                restate_all(self.database, self.step, self.run.context, archive.token)
            dropping = Dropping(archive, cleaned)
            dropping.mark()
            dropping.drop()
        except CleanupRefused:
            archive.abandon()
            raise

    # -- looking

    @property
    def _names(self) -> dict[str, psql.Composable]:
        return {**self.source.fragments, "column": psql.Identifier(self.source.column)}

    def _is_done(self, cleaned: Cleaned) -> bool:
        """Whether the column is gone already; refuses while an undo of that is under way."""
        with self.database.transaction() as transaction:
            record = Record.find(transaction, self.run.id)
        if record is None or record.state not in TAKEN:
            self.source.require()
            return False
        if record.state is not CleanupState.DROPPED:
            raise Refused(f"{record.column} is being brought back; finish that first: segue rollback {self.run.id}")
        cleaned.record, cleaned.is_unchanged = record, True
        cleaned.column = reasons.own_parts(dict(record.description))
        return True

    def _examine(self, cleaned: Cleaned) -> Row:
        """Return the column's description; refuse with every reason that can be had without reading rows."""
        with self.database.transaction() as transaction:
            looked = reasons.look(transaction, self.run, self.source)
            looked.require_clear(self.run)
            mirrors = list_mirrors(transaction, self.step, self.source)
            named = reasons.mentions(transaction, self.source, looked.table["oid"])
        cleaned.mirrors = [f"{name} on {table}" for name, table in mirrors]
        cleaned.column = reasons.own_parts(looked.column)
        cleaned.notes = [
            f"{row['name']} names {self.source.column!r} in its text; see that it does without" for row in named
        ]
        if why := looked.why_unmarked:
            cleaned.notes.append(why)
        return looked.column

    def _prove(self) -> None:
        """Refuse unless the tags are what the column says, as far as the caller does not accept that they differ."""
        if self.accepts_differences:
            return
        tell(self.observers, PhaseStarted(self.run.id, "validating"))
        parts = partitions_of(self.database, self.run.context)
        result = self._retrying(
            lambda: validate(self.database, self.step, self.run.context, parts, self.workers, self.stop)
        )
        with self.database.transaction() as transaction:
            found = list(reasons.of_validation(transaction, self.run, result))
        if found:
            raise CleanupRefused(self.run.id, found)

    def _settle(self, archive: Archive) -> Record:
        """Bring the tags' counts up to what the last writes left."""
        record = archive.reread()
        if not record.row["is_settled"]:

            def settle() -> None:
                with self.database.transaction() as transaction:
                    run_store.require_lease(transaction, self.run.id, archive.token)
                    self.step.settle(transaction, self.run.context)
                    transaction.run("cleanup.note_settled", run_id=self.run.id)

            self._retrying(settle)
        return archive.reread()

    def _reread(self) -> Run:
        with self.database.transaction() as transaction:
            return run_store.find(transaction, self.run.id)

    def _timed(self, cleaned: Cleaned) -> Cleaned:
        cleaned.seconds = time.monotonic() - self._started
        return cleaned

    def _retrying(self, action: Callable[[], Result]) -> Result:
        return retrying(action, self.run.id, self.observers, self.stop)
