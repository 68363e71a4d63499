"""Converting rows again: edits that users made while the run went on, mismatches, and quarantine retries."""

from migrator import run_store
from migrator.migration import Context, Step
from migrator.run_store import Partition
from migrator.source import KeyRange
from sql.database import Database

#: Rows converted again in one transaction.
BATCH_ROWS = 1_000
#: Rounds of catching up with users who keep editing; what is left then shows in validation.
MOST_ROUNDS = 5
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
    with database.transaction() as transaction:
        known = run_store.partitions(transaction, context.run_id)
    for partition in known:
        with database.transaction(repeatable_read=True) as transaction:
            recounted = step.recount(transaction, context, partition.within)
            run_store.restate(transaction, context.run_id, partition.ordinal, recounted, token=token)
    with database.transaction() as transaction:
        return run_store.partitions(transaction, context.run_id)


def catch_up(database: Database, step: Step, context: Context, token: str) -> int:
    """Convert again what users changed in the source since it was read; return how many rows that were.

    A range whose source digest is still the one that its chunks recorded needs no second look.
    """
    caught_up = 0
    for _ in range(MOST_ROUNDS):
        with database.transaction() as transaction:
            known = run_store.partitions(transaction, context.run_id)
        changed = []
        for partition in known:
            with database.transaction(repeatable_read=True) as transaction:
                if step.source_digest(transaction, partition.within) != partition.source:
                    changed.append(partition)
        if not changed:
            break
        for partition in changed:
            caught_up += _catch_up_range(database, step, context, partition.within, token)
        restate_all(database, step, context, token)
    return caught_up


def _catch_up_range(database: Database, step: Step, context: Context, within: KeyRange, token: str) -> int:
    seen: dict[str, None] = {}
    while True:
        with database.transaction(repeatable_read=True) as transaction:
            found = step.differences(transaction, context, within, MOST_LISTED)
        keys = dict.fromkeys(mismatch.key for mismatch in found)
        reconvert(database, step, context, list(keys), token)
        # A full list may not be all; one that brings nothing new will never be shorter.
        if len(found) < MOST_LISTED or keys.keys() <= seen.keys():
            return len(seen | keys)
        seen |= keys
