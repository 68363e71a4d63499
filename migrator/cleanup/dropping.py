"""The drop itself: a restore point, then one short transaction under the table's lock."""

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg.types.json import Jsonb

from migrator import run_store
from migrator.cleanup import reasons
from migrator.cleanup.archive import LOCK_WAIT_MS, Archive, StartAgainError, drop_triggers
from migrator.cleanup.cleaned import Cleaned
from migrator.cleanup.mirrors import drop_mirrors
from migrator.cleanup_record import CleanupState, Record
from migrator.errors import Stopped
from migrator.events import PhaseStarted, tell
from migrator.retry import retrying
from sql.errors import DatabaseError

#: Rows noted as changed that are taken in while everybody waits for the table.
MOST_UNDER_LOCK = 100
#: Looks for a moment at which so few rows are noted.
MOST_ROUNDS = 20

_LOCKED = {"55P03", "40P01"}


class _ManyChangesError(Exception):
    """More was written than may be taken in while everybody waits."""


@dataclass(frozen=True)
class Dropping:
    """Drops a column whose archive is copied.

    Attributes:
        archive: of the column; knows run, source and lease.
        cleaned: told of triggers dropped and of what could not be done.
    """

    archive: Archive
    cleaned: Cleaned

    def mark(self) -> None:
        """Make a named restore point, where that is permitted."""
        run = self.archive.run
        tell(self.archive.observers, PhaseStarted(run.id, "dropping"))
        name = f"segue_cleanup_{run.id}_{datetime.now(UTC):%Y%m%dT%H%M%S}"

        def mark() -> None:
            with self.archive.database.transaction() as transaction:
                run_store.require_lease(transaction, run.id, self.archive.token)
                if reasons.look(transaction, run, self.archive.source).why_unmarked is None:
                    lsn = transaction.one("cleanup.mark_restore_point", restore_point=name)["lsn"]
                    transaction.run("cleanup.save_restore_point", run_id=run.id, restore_point=name, lsn=lsn)

        try:
            retrying(mark, run.id, self.archive.observers, self.archive.stop)
        except DatabaseError as error:
            if error.is_transient:
                raise
            self.cleaned.notes.append(f"no restore point was made: {error}")

    def drop(self) -> None:
        """Drop the column as soon as the table is free and few writes are left to take in.

        Raises:
            Stopped: that moment never came; call again.
            CleanupRefused: something has come to depend on the column meanwhile.
        """
        archive, source = self.archive, self.archive.source
        for _ in range(MOST_ROUNDS):
            archive.check_stop()
            try:
                retrying(self._drop_once, archive.run.id, archive.observers, archive.stop)
            except (_ManyChangesError, StartAgainError):
                archive.catch_up()
            except DatabaseError as error:
                if error.sqlstate not in _LOCKED or archive.stop.is_aborting:
                    raise
                raise Stopped(f"{source} was never free for {LOCK_WAIT_MS} ms; {self._holders()}") from error
            else:
                return
        raise Stopped(f"{source}.{source.column} is written too fast to be caught up with; stop what writes it")

    def _drop_once(self) -> None:
        """Under the table's lock: take in the last writes, look once more, and let the column go. All or nothing."""
        archive, run = self.archive, self.archive.run
        with archive.database.waiting_at_most(LOCK_WAIT_MS).transaction() as transaction:
            record = Record.find(transaction, run.id)
            assert record is not None, "begin made it"
            if record.state is CleanupState.DROPPED:
                return  # and the reply to its COMMIT was lost
            transaction.run("cleanup.lock_table", record.fragments)
            if archive.take_in(transaction, MOST_UNDER_LOCK) == MOST_UNDER_LOCK:
                raise _ManyChangesError
            looked = reasons.look(transaction, run, archive.source)
            looked.require_clear(run)
            drop_triggers(transaction, record)
            self.cleaned.mirrors = drop_mirrors(transaction, archive.step, archive.source)
            description = Jsonb({**looked.column, "base_type": archive.source.column_type})
            transaction.run("cleanup.note_dropped", run_id=run.id, description=description)
            transaction.run("cleanup.drop_column", record.fragments)
            detail = {"column": record.column, "archive": record.archive, "mirrors": self.cleaned.mirrors}
            run_store.note(transaction, run.id, "column dropped", detail=detail)

    def _holders(self) -> str:
        name = self.archive.source.fragments["table"].as_string(None)
        with self.archive.database.transaction() as transaction:
            rows = transaction.all("cleanup.list_lock_holders", table_name=name)
        held = ", ".join(f"session {row['pid']} ({row['application']}, {row['seconds']} s)" for row in rows)
        return f"held by {held}" if held else "nobody holds it now"
