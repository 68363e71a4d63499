"""One chunk, one transaction: read from the stored checkpoint, convert, and move the checkpoint with it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from migrator import run_store
from migrator.bisection import Patience, convert_in_parts
from migrator.digest import Digest
from migrator.errors import AccountingError
from migrator.locked_rows import must_lock
from migrator.migration import Context, Converted, Counts, Step
from migrator.run_store import Wishes
from migrator.source import KeyRange
from sql.database import Database, Transaction
from sql.errors import DatabaseError

#: Converts the first rows of a range: so many at most.
Convert = Callable[[Transaction, Context, KeyRange, int], Converted]


@dataclass(frozen=True)
class Chunk:
    """A committed chunk.

    Attributes:
        converted: what it did.
        is_done: whether it was the partition's last.
        wishes: what an admin asks of the run.
    """

    converted: Converted
    is_done: bool
    wishes: Wishes = field(default_factory=Wishes)


@dataclass(frozen=True)
class Chunks:
    """Converts chunks of one run, in this process.

    Attributes:
        database: where.
        step: of the run's migration.
        context: the run.
        token: the lease's.
        patience: with rows that the database refuses.
    """

    database: Database
    step: Step
    context: Context
    token: str
    patience: Patience = field(default_factory=Patience)

    def convert(self, ordinal: int, size: int) -> Chunk:
        """Convert a partition's next chunk; after a lost COMMIT the stored checkpoint says what happened.

        Rows that the database refuses go to quarantine, and the rest of the chunk goes on without them.

        Raises:
            LeaseLost: another worker has gone on from this checkpoint; nothing was changed.
            AccountingError: elements were lost or counted twice; nothing was changed.
            DatabaseError: it failed, and not because of a row.
        """
        try:
            return self._convert(ordinal, size, self.step.convert)
        except DatabaseError as error:
            if error.refusal is None:
                raise
        return self._convert(ordinal, size, self._in_parts)

    def _in_parts(self, transaction: Transaction, context: Context, within: KeyRange, limit: int) -> Converted:
        return convert_in_parts(transaction, self.step, context, within, limit, self.patience)

    def _convert(self, ordinal: int, size: int, convert: Convert) -> Chunk:
        run_id = self.context.run_id
        one_snapshot = self.step.source.is_table and not must_lock(self.context)
        with self.database.transaction(repeatable_read=one_snapshot) as transaction:
            partition = run_store.partition(transaction, run_id, ordinal)
            if partition.is_done:  # by a chunk of ours whose reply to COMMIT was lost
                run_store.require_lease(transaction, run_id, self.token)
                return Chunk(Converted(None, Counts(), Digest(), Digest(), Digest()), is_done=True)
            limit = self.step.source.fitting(transaction, partition.remaining, size)
            converted = convert(transaction, self.context, partition.remaining, limit)
            if not converted.counts.adds_up:
                raise AccountingError(f"run {run_id}, partition {ordinal}: {converted.counts} does not add up")
            is_done = not converted.has_more and converted.counts.rows < limit
            wishes = run_store.save_checkpoint(
                transaction, run_id, partition, converted, is_done=is_done, chunk_size=size, token=self.token
            )
        return Chunk(converted, is_done, wishes)
