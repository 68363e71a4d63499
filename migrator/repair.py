"""Converting rows again: edits that users made while the run went on, mismatches, and quarantine retries."""

from migrator import run_store
from migrator.migration import Context, Step
from migrator.run_store import Partition
from sql.database import Database

#: Rows converted again in one transaction.
BATCH_ROWS = 1_000
#: Rounds of catching up with users who keep editing; what is left then shows in validation.
MOST_ROUNDS = 20
#: Rows looked for in one range in one round; bounds memory.
MOST_KEYS = 100_000
#: Differences listed at a time while catching up.
MOST_LISTED = 10_000


def reconvert(database: Database, step: Step, context: Context, keys: list[str], token: str) -> None:
    """Convert rows again and take the totals of all partitions anew, fenced by the lease.

    Args:
        database: where.
        step: of the run's migration.
        context: the run.
        keys: of the rows, as text; a key without a row only loses what the run made of it.
        token: the lease's.
    """
    for number in range(0, len(keys), BATCH_ROWS):
        with database.transaction(repeatable_read=True) as transaction:
            step.reconvert(transaction, context, keys[number : number + BATCH_ROWS])
            run_store.require_lease(transaction, context.run_id, token)


def restate_all(database: Database, step: Step, context: Context, token: str) -> list[Partition]:
    """Take the totals of all partitions anew from source, vocabulary and target."""
    for partition in partitions_of(database, context):
        with database.transaction(repeatable_read=True) as transaction:
            recounted = step.recount(transaction, context, partition.within)
            run_store.restate(transaction, context.run_id, partition.ordinal, recounted, token=token)
    return partitions_of(database, context)


def partitions_of(database: Database, context: Context) -> list[Partition]:
    """Return the run's partitions as they are stored now."""
    with database.transaction() as transaction:
        return run_store.partitions(transaction, context.run_id)


def catch_up(database: Database, step: Step, context: Context, token: str, *, is_forced: bool) -> int:
    """Convert again what users changed in the source since it was read; return how many rows that were.

    A range whose source digest is still the one that its chunks recorded needs no second look, unless `is_forced`
    says that more than the source may have changed.
    """
    caught_up = 0
    for number in range(MOST_ROUNDS):
        keys: list[str] = []
        is_changed = False
        for partition in partitions_of(database, context):
            with database.transaction(repeatable_read=True) as transaction:
                look = (is_forced and number == 0) or step.source_digest(
                    transaction, partition.within
                ) != partition.source
                if look:
                    found = step.differences(transaction, context, partition.within, MOST_KEYS)
                    keys += dict.fromkeys(mismatch.key for mismatch in found)
                    is_changed = True
        if not is_changed:
            break
        reconvert(database, step, context, keys, token)
        restate_all(database, step, context, token)
        caught_up += len(keys)
    return caught_up
