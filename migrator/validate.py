"""Validating a run that is at rest, repairing it, and retrying its quarantine."""

from psycopg.types.json import Jsonb

from migrator import repair, run_store
from migrator.errors import Refused
from migrator.lease import Lease
from migrator.migration import Context, Step
from migrator.run_store import Partition, Run
from migrator.states import RunState
from migrator.stop import StopSignal
from migrator.validation import Validation, validate
from sql.database import Database

#: Rounds of repair before what is left is reported.
MOST_ROUNDS = 5


def revalidate(database: Database, run: Run, step: Step, *, workers: int, repair: bool, stop: StopSignal) -> Validation:
    """Validate a complete run (or one that failed its validation), and repair it when asked.

    Raises:
        Refused: the run is unfinished or was rolled back.
    """
    context = run.context
    parts = _require_finished(database, run)
    result = validate(database, step, context, parts, workers, stop)
    if repair and not result.is_equal:
        with Lease(database, run, stop) as lease:
            for _ in range(MOST_ROUNDS):
                _repair(database, run, step, context, result, lease.token)
                parts = _partitions(database, run)
                result = validate(database, step, context, parts, workers, stop)
                if result.is_equal:
                    break
            _record(database, run, result, "repair", lease.token)
    else:
        _record(database, run, result, "validate", None)
    return result


def retry_quarantine(database: Database, run: Run, step: Step, stop: StopSignal) -> tuple[int, int]:
    """Resolve quarantined texts anew and convert their rows again; return quarantined elements before and after."""
    parts = _require_finished(database, run)
    context = run.context
    before = sum(part.counts.quarantined for part in parts)
    with Lease(database, run, stop) as lease:
        with database.transaction() as transaction:
            keys = [row["key"] for row in transaction.all("runs.read_quarantine", run_id=run.id, most=None)]
            transaction.run("vocabulary.forget_quarantined", run_id=run.id)
        repair.reconvert(database, step, context, list(dict.fromkeys(keys)), lease.token)
        after = sum(part.counts.quarantined for part in _settle(database, run, step, context, lease.token))
        with database.transaction() as transaction:
            run_store.note(transaction, run.id, "quarantine retried", detail={"before": before, "after": after})
    return before, after


def _repair(database: Database, run: Run, step: Step, context: Context, result: Validation, token: str) -> None:
    keys = list(dict.fromkeys(item.key for item in result.mismatches if item.is_row))
    repair.reconvert(database, step, context, keys, token)
    _settle(database, run, step, context, token)


def _settle(database: Database, run: Run, step: Step, context: Context, token: str) -> list[Partition]:
    repair.restate_all(database, step, context, token)
    with database.transaction() as transaction:
        run_store.require_lease(transaction, run.id, token)
        step.settle(transaction, context)
    return _partitions(database, run)


def _record(database: Database, run: Run, result: Validation, kind: str, token: str | None) -> None:
    record = {**result.as_json(), "kind": "full"}
    with database.transaction() as transaction:
        transaction.run("runs.save_validation", run_id=run.id, validation=Jsonb(record))
        run_store.note(transaction, run.id, kind, detail=record)
        if token is not None and run.status is RunState.FAILED and result.is_equal:
            run_store.move(transaction, run, RunState.COMPLETE, token=token)


def _require_finished(database: Database, run: Run) -> list[Partition]:
    parts = _partitions(database, run)
    finished = run.status is RunState.COMPLETE or (
        run.status is RunState.FAILED and bool(parts) and all(part.is_done for part in parts)
    )
    if not finished:
        next_step = f"resume it with: segue migrate {run.migration}"
        if run.status in {RunState.ROLLED_BACK, RunState.ROLLING_BACK, RunState.CANCELLED}:
            next_step = f"there is nothing to validate; start anew with: segue migrate {run.migration}"
        raise Refused(f"run {run.id} is {run.status}, not complete; {next_step}")
    return parts


def _partitions(database: Database, run: Run) -> list[Partition]:
    with database.transaction() as transaction:
        return run_store.partitions(transaction, run.id)
