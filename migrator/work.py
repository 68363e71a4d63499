"""A process's part in converting a run: its workers, and all that they share."""

from migrator.chunk_size import most_held
from migrator.claims import Desk, Share
from migrator.controls import Controls
from migrator.events import Observer, RunAdvanced, tell
from migrator.locked_rows import must_lock
from migrator.migration import Step
from migrator.request import Request
from migrator.retry import retrying
from migrator.run_store import Run, partitions
from migrator.stop import StopSignal
from migrator.throttle import Throttle
from migrator.worker import Budget, Work
from migrator.worker_process import chunks_of_workers
from sql.database import Database


def convert(
    database: Database,
    request: Request,
    step: Step,
    run: Run,
    token: str,
    stop: StopSignal,
    observers: tuple[Observer, ...],
    controls: Controls,
    shares: list[Share],
) -> None:
    """Convert partitions of a run until none is left, or until this process is to stop.

    Args:
        database: where.
        request: this process's.
        step: of the run's migration.
        run: the run.
        token: of this process's lease, which every checkpoint must show.
        stop: ends it.
        observers: told of chunks, retries and waits.
        controls: what the run was told last.
        shares: partitions that are this process's already.
    """

    def totals() -> tuple[int, int]:
        with database.transaction() as transaction:
            parts = partitions(transaction, run.id)
        return sum(part.counts.rows for part in parts), sum(part.counts.quarantined_rows for part in parts)

    def learn(rows: int, quarantined: int, is_shared: bool) -> None:
        budget.learn(rows, quarantined)
        if is_shared:
            tell(observers, RunAdvanced(run.id, rows, quarantined))

    rows, quarantined = retrying(totals, run.id, observers, stop)
    budget = Budget(request.limits, stop, rows, quarantined, totals)
    tables = [step.fragments[target].as_string(None) for target in step.targets]
    rest = (run.row["total_rows"] - rows) // step.source.smallest_share
    workers = min(request.workers, max(1, len(shares), rest))
    Work(
        run.id,
        chunks_of_workers(database, request, step, run.context, token, workers, stop),
        stop,
        budget,
        observers,
        request.batch_size,
        Throttle(database, run.id, token, tables, stop, observers, controls, budget.watch, learn, workers),
        Desk(database, step.source, run, token, stop, observers, learn, shares),
        most_held=most_held(run.row["total_rows"], workers) if must_lock(run.context) else None,
    ).convert_all(workers)
