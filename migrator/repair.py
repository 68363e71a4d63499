"""Converting rows again: edits that users made while the run went on, mismatches, and quarantine retries."""

import math
from collections.abc import Callable
from dataclasses import replace

from psycopg.types.json import Jsonb

from migrator import aside, run_store
from migrator.bisection import reconvert_in_parts
from migrator.digest import Digest
from migrator.errors import Refused
from migrator.lease import Lease
from migrator.locked_rows import must_lock
from migrator.migration import Context, Step
from migrator.mirroring import drain_late, reconvert_locked
from migrator.run_store import Partition, Run
from migrator.states import RunState
from migrator.stop import StopSignal
from migrator.validation import Validation, validate
from sql.database import Database, Transaction
from sql.errors import DatabaseError

#: Rows converted again in one transaction.
BATCH_ROWS = 1_000
#: Looks at one range while catching up with users who keep editing.
MOST_ROUNDS = 4
#: Rounds of repair before what is left is reported.
MOST_REPAIRS = 5
#: Rows looked for in one range in one round; bounds memory.
MOST_KEYS = 100_000


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
        batch = keys[number : number + BATCH_ROWS]
        while batch:
            try:
                batch = _reconvert(database, step, context, batch, token, _whole)
            except DatabaseError as error:
                if error.refusal is None:
                    raise
                batch = _reconvert(database, step, context, batch, token, reconvert_in_parts)


def _reconvert(
    database: Database,
    step: Step,
    context: Context,
    keys: list[str],
    token: str,
    convert: Callable[[Transaction, Step, Context, list[str]], None],
) -> list[str]:
    """Convert some rows in one transaction; return those of them that others hold, if they have to be locked."""
    is_locking = must_lock(context)
    with database.transaction(repeatable_read=step.source.is_table and not is_locking) as transaction:
        left: list[str] = []
        if is_locking:
            left = reconvert_locked(transaction, step, context, keys, convert)
        else:
            convert(transaction, step, context, keys)
        run_store.require_lease(transaction, context.run_id, token)
    return left


def _whole(transaction: Transaction, step: Step, context: Context, keys: list[str]) -> None:
    aside.forget(transaction, context, keys)
    step.reconvert(transaction, context, keys)


def restate_all(database: Database, step: Step, context: Context, token: str) -> list[Partition]:
    """Take the totals of all partitions anew from source, vocabulary and target."""
    for partition in partitions_of(database, context):
        with database.transaction(repeatable_read=True) as transaction:
            _restate(transaction, step, context, partition, token)
    return partitions_of(database, context)


def partitions_of(database: Database, context: Context) -> list[Partition]:
    """Return the run's partitions as they are stored now."""
    with database.transaction() as transaction:
        return run_store.partitions(transaction, context.run_id)


def catch_up(database: Database, step: Step, context: Context, token: str, *, is_forced: bool) -> int:
    """Convert again what users changed in the source since it was read; return how many rows that were.

    A range whose source digest is still the one that its chunks recorded needs no second look, unless `is_forced`
    says that more than the source may have changed. A range is done when one snapshot shows no difference and gives
    its new totals. Where users never stop writing that moment may not come; after `MOST_ROUNDS`, or when a look finds
    more than half as many as the one before it, every edit from before the last look is in, and the range keeps its
    old source digest, so that the next `migrate` looks again.
    """
    drain(database, step, context, token)
    caught_up = 0
    for partition in partitions_of(database, context):
        must_look, is_settled, before = is_forced, False, math.inf
        for _ in range(MOST_ROUNDS):
            with database.transaction(repeatable_read=True) as transaction:
                recorded = run_store.partition(transaction, context.run_id, partition.ordinal).source
                is_same = step.source_digest(transaction, partition.within) == recorded
                if is_same and not must_look:
                    is_settled = True
                    break
                rest = aside.sound(transaction, context, partition.within)
                found = step.changed(transaction, context, rest, MOST_KEYS)
                found += aside.stale(transaction, step, context, partition.within)
                if not found:
                    _restate(transaction, step, context, partition, token)
                    is_settled = True
                    break
            keys = list(dict.fromkeys(mismatch.key for mismatch in found))
            reconvert(database, step, context, keys, token)
            caught_up += len(keys)
            if 2 * len(keys) > before:
                break
            must_look, before = True, len(keys)
        if not is_settled:
            with database.transaction(repeatable_read=True) as transaction:
                _restate(transaction, step, context, partition, token, source=partition.source)
    if caught_up and not step.source.is_table:
        restate_all(database, step, context, token)  # a changed file may concern another one of the same user
    return caught_up


def drain(database: Database, step: Step, context: Context, token: str) -> int:
    """Convert the rows that a mirror left for us; return how many they were."""
    return drain_late(database, step, context, lambda keys: reconvert(database, step, context, keys, token))


def _restate(
    transaction: Transaction,
    step: Step,
    context: Context,
    partition: Partition,
    token: str,
    source: Digest | None = None,
) -> None:
    recounted = aside.recount(transaction, step, context, partition.within)
    recounted = recounted if source is None else replace(recounted, source=source)
    run_store.restate(transaction, context.run_id, partition.ordinal, recounted, token=token)


def revalidate(database: Database, run: Run, step: Step, *, workers: int, repair: bool, stop: StopSignal) -> Validation:
    """Validate a complete run (or one that failed its validation), and repair it when asked.

    Raises:
        Refused: the run is unfinished or was rolled back.
    """
    context = run.context
    parts = _require_finished(database, run)
    step.source.require()
    if must_lock(context):
        with Lease(database, run, stop) as lease:
            drain(database, step, context, lease.token)
            _settle_counts(database, run, step, context, lease.token)
    result = validate(database, step, context, parts, workers, stop)
    if repair and not result.is_equal:
        with Lease(database, run, stop) as lease:
            for _ in range(MOST_REPAIRS):
                _repair(database, run, step, context, result, lease.token)
                parts = partitions_of(database, run.context)
                result = validate(database, step, context, parts, workers, stop)
                if result.is_equal:
                    break
            _record(database, run, result, "repair", lease.token)
    else:
        _record(database, run, result, "validate", None)
    return result


def retry_quarantine(database: Database, run: Run, step: Step, stop: StopSignal) -> tuple[int, int, int]:
    """Resolve quarantined texts anew and convert their rows again.

    Returns:
        Quarantined elements before and after, and the rows that are left, which may be without an element.
    """
    parts = _require_finished(database, run)
    step.source.require()
    context = run.context
    before = sum(part.counts.quarantined for part in parts)
    with Lease(database, run, stop) as lease:
        with database.transaction() as transaction:
            keys = [row["key"] for row in transaction.all("runs.read_quarantined_keys", run_id=run.id)]
            transaction.run("vocabulary.forget_quarantined", run_id=run.id)
        reconvert(database, step, context, keys, lease.token)
        settled = _settle(database, run, step, context, lease.token)
        after = sum(part.counts.quarantined for part in settled)
        with database.transaction() as transaction:
            run_store.note(transaction, run.id, "quarantine retried", detail={"before": before, "after": after})
    return before, after, sum(part.counts.quarantined_rows for part in settled)


def _repair(database: Database, run: Run, step: Step, context: Context, result: Validation, token: str) -> None:
    keys = list(dict.fromkeys(item.key for item in result.mismatches if item.is_row))
    reconvert(database, step, context, keys, token)
    _settle(database, run, step, context, token)


def _settle(database: Database, run: Run, step: Step, context: Context, token: str) -> list[Partition]:
    restate_all(database, step, context, token)
    _settle_counts(database, run, step, context, token)
    return partitions_of(database, run.context)


def _settle_counts(database: Database, run: Run, step: Step, context: Context, token: str) -> None:
    with database.transaction() as transaction:
        run_store.require_lease(transaction, run.id, token)
        step.settle(transaction, context)


def _record(database: Database, run: Run, result: Validation, kind: str, token: str | None) -> None:
    record = {**result.as_json(), "kind": "full"}
    with database.transaction() as transaction:
        transaction.run("runs.save_validation", run_id=run.id, validation=Jsonb(record))
        run_store.note(transaction, run.id, kind, detail=record)
        if token is not None and run.status is RunState.FAILED and result.is_equal:
            run_store.move(transaction, run, RunState.COMPLETE, token=token)


def _require_finished(database: Database, run: Run) -> list[Partition]:
    parts = partitions_of(database, run.context)
    finished = run.status is RunState.COMPLETE or (
        run.status is RunState.FAILED and bool(parts) and all(part.is_done for part in parts)
    )
    if not finished:
        next_step = f"resume it with: segue migrate {run.migration}"
        if run.status in {RunState.ROLLED_BACK, RunState.ROLLING_BACK, RunState.CANCELLED}:
            next_step = f"there is nothing to validate; start anew with: segue migrate {run.migration}"
        raise Refused(f"run {run.id} is {run.status}, not complete; {next_step}")
    return parts
