"""The life of a run: claim or create it, plan, convert, finish, prove, close."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from psycopg.types.json import Jsonb

from migrator import repair, run_store
from migrator.chunk_size import FIRST_SIZE
from migrator.errors import LeaseLost, Refused, RunHeld, SettingsDiffer, Stopped
from migrator.events import Observer, PhaseStarted, RunClosed, tell
from migrator.lease import Lease
from migrator.migration import Context, Migration, Mismatch, Step
from migrator.preflight import preflight
from migrator.retry import retrying
from migrator.run_store import Partition, Run
from migrator.states import RESUMABLE, RunState
from migrator.stop import StopSignal
from migrator.validation import Validation, validate
from migrator.worker import Budget, Limits, Work
from sql.database import Database, Transaction
from sql.errors import UniqueViolation

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """What `segue migrate` was asked to do.

    Attributes:
        migration: which conversion.
        settings: its options' values; they are the run's fingerprint.
        schema: the application's.
        workers: how many partitions are converted at a time.
        batch_size: rows of every chunk; None adapts to time.
        is_fresh: start a new run even when the last one is complete.
        validation: `quick` reads back what was written, `full` recomputes everything, `none` trusts the checkpoints.
        limits: when to stop early.
    """

    migration: Migration
    settings: Mapping[str, str | None]
    schema: str = "public"
    workers: int = 1
    batch_size: int | None = None
    is_fresh: bool = False
    validation: str = "quick"
    limits: Limits = field(default_factory=Limits)


@dataclass
class Outcome:
    """What became of the request; `report.migrate_report` turns it into the JSON of the command line."""

    run_id: int
    status: RunState
    is_resumed: bool = False
    is_unchanged: bool = False
    caught_up: int = 0
    validation: Validation | None = None
    seconds: float = 0.0


class Runner:
    """Runs one request; the object lives as long as the command."""

    def __init__(
        self, database: Database, request: Request, stop: StopSignal, observers: tuple[Observer, ...] = ()
    ) -> None:
        self.database = database
        self.request = request
        self.stop = stop
        self.observers = observers

    def migrate(self) -> Outcome:
        """Run or resume the migration.

        Raises:
            Refused: a precondition is not met; nothing was changed.
            Stopped: by a signal, a request or a limit; resumable.
            DatabaseError, MigratorError: it failed; resumable once the cause is mended.
        """
        started = time.monotonic()
        preflight(self.database)
        step = self._open()
        run, is_resumed = self._choose()
        if run.status is RunState.COMPLETE and self._is_still_true(step, run):
            return Outcome(run.id, run.status, is_unchanged=True)
        outcome = Outcome(run.id, run.status, is_resumed=is_resumed)
        with Lease(self.database, run, self.stop) as lease:
            try:
                self._work(step, self._reread(run), lease, outcome)
            except Stopped as stopped:
                self._close(
                    run, lease, RunState.CANCELLED if stopped.reason == "cancel" else RunState.PAUSED, stopped.reason
                )
                raise
            except LeaseLost:
                raise
            except BaseException as error:
                if self.stop.is_aborting:
                    self._close(run, lease, RunState.PAUSED, self.stop.reason)
                    raise Stopped(self.stop.reason or "signal") from error
                self._fail(run, lease, error)
                raise
            finally:
                outcome.seconds = lease.work_seconds = time.monotonic() - started
        return outcome

    # -- choosing the run

    def _open(self) -> Step:
        with self.database.transaction() as transaction:
            return self.request.migration.open(transaction, self.request.settings, self.request.schema)

    def _choose(self) -> tuple[Run, bool]:
        with self.database.transaction() as transaction:
            last = run_store.latest(transaction, self.request.migration.name)
        if last is not None and last.status is RunState.ROLLING_BACK:
            raise Refused(f"run {last.id} is being rolled back; finish that first: segue rollback {last.id}")
        if last is not None and last.status in RESUMABLE:
            if self.request.is_fresh:
                raise Refused(
                    f"run {last.id} is unfinished ({last.status}); "
                    f"resume it without --fresh, or 'segue rollback {last.id}' first"
                )
            self._require_same_settings(last)
            return last, True
        if last is not None and last.status is RunState.COMPLETE and self._may_go_on(last):
            return last, True
        try:
            with self.database.transaction() as transaction:
                return run_store.create(transaction, self.request.migration.name, self.request.settings), False
        except UniqueViolation:
            with self.database.transaction() as transaction:
                rival = run_store.latest(transaction, self.request.migration.name)
            assert rival is not None
            since = (rival.row["held_since"] or rival.row["created_at"]).isoformat(timespec="seconds")
            raise RunHeld(rival.id, rival.row["holder"] or "another process", since) from None

    def _reread(self, run: Run) -> Run:
        """Look at the run again now that it is ours: its last holder may have moved it meanwhile."""
        with self.database.transaction() as transaction:
            current = run_store.find(transaction, run.id)
        if current.status not in RESUMABLE | {RunState.COMPLETE}:
            raise Refused(f"run {run.id} has become {current.status} meanwhile; see: segue status {run.id}")
        return current

    def _may_go_on(self, run: Run) -> bool:
        """Whether a complete run is to be brought up to date, rather than a new one started."""
        same = run.row["fingerprint"] == run_store.fingerprint(run.migration, self.request.settings)
        return same and not self.request.is_fresh

    def _require_same_settings(self, run: Run) -> None:
        if run.row["fingerprint"] == run_store.fingerprint(run.migration, self.request.settings):
            return
        names = sorted({*run.settings, *self.request.settings})
        raise SettingsDiffer(
            run.id,
            {
                name: (run.settings.get(name), self.request.settings.get(name))
                for name in names
                if run.settings.get(name) != self.request.settings.get(name)
            },
        )

    def _is_still_true(self, step: Step, run: Run) -> bool:
        """Whether nothing that the complete run depends on has changed: neither decisions nor source."""
        with self.database.transaction(repeatable_read=True) as transaction:
            if run.plan.get("decisions") != run_store.decisions_digest(transaction):
                return False
            parts = run_store.partitions(transaction, run.id)
            return all(step.source_digest(transaction, part.within) == part.source for part in parts)

    # -- the phases

    def _work(self, step: Step, run: Run, lease: Lease, outcome: Outcome) -> None:
        if run.status is RunState.COMPLETE:
            self._refresh(step, run, lease)
        else:
            self._convert(step, self._plan(step, run, lease), lease)
            self._move(run, lease, RunState.VALIDATING)
        context = self._reread(run).context
        self._finish(step, context, lease, outcome)
        self._prove(step, run, context, lease, outcome)

    def _refresh(self, step: Step, run: Run, lease: Lease) -> None:
        """Take in what changed beside the source since the run was completed, and have every row looked at again."""

        def refresh(transaction: Transaction) -> None:
            step.refresh(transaction, run.context)
            plan = {**run.plan, "decisions": run_store.decisions_digest(transaction), "recheck": True}
            run_store.save_plan(transaction, run.id, plan, step.source.count(transaction), token=lease.token)
            run_store.move(transaction, run, RunState.VALIDATING, token=lease.token)

        self._retrying(run.id, lambda: self._in_transaction(refresh))

    def _convert(self, step: Step, run: Run, lease: Lease) -> None:
        partitions = self._partitions(run)
        if run.status is not RunState.MIGRATING:
            self._move(run, lease, RunState.MIGRATING)
        tell(self.observers, PhaseStarted(run.id, "migrating", run.row["total_rows"]))
        budget = Budget(
            self.request.limits,
            self.stop,
            sum(part.counts.rows for part in partitions),
            sum(part.counts.quarantined_rows for part in partitions),
        )
        work = Work(
            self.database, step, run.context, self.stop, budget, self.observers, self.request.batch_size, lease.token
        )
        work.convert_all(partitions, self.request.workers)
        self._check_stop()

    def _plan(self, step: Step, run: Run, lease: Lease) -> Run:
        """Store the plan, the vocabulary and the partitions in one transaction; a resumed run has them already."""
        if run.plan:
            return run
        self._check_stop()
        tell(self.observers, PhaseStarted(run.id, "planning"))

        def plan() -> Run:
            with self.database.transaction() as transaction:
                current = run_store.find(transaction, run.id)
                if current.plan:
                    return current
                context = current.context
                total = step.source.count(transaction)
                decided = {**step.prepare(transaction, context), "decisions": run_store.decisions_digest(transaction)}
                for ordinal, within in enumerate(step.source.cut(transaction, total, self.request.workers)):
                    transaction.run(
                        "runs.create_partition",
                        run_id=run.id,
                        ordinal=ordinal,
                        after_key=within.after,
                        upto_key=within.upto,
                        chunk_size=self.request.batch_size or FIRST_SIZE,
                        token=lease.token,
                    )
                run_store.save_plan(transaction, run.id, decided, total, token=lease.token)
                run_store.move(transaction, current, RunState.MIGRATING, token=lease.token)
                return run_store.find(transaction, run.id)

        return self._retrying(run.id, plan)

    def _finish(self, step: Step, context: Context, lease: Lease, outcome: Outcome) -> None:
        tell(self.observers, PhaseStarted(context.run_id, "finishing"))

        def transact(action: Callable[[Transaction], None]) -> None:
            self._check_stop()
            self._retrying(context.run_id, lambda: self._in_transaction(action))

        step.finish(context, transact)
        is_forced = bool(context.plan.get("recheck"))
        outcome.caught_up = self._retrying(
            context.run_id, lambda: repair.catch_up(self.database, step, context, lease.token, is_forced=is_forced)
        )
        step.seal(context, transact)

    def _prove(self, step: Step, run: Run, context: Context, lease: Lease, outcome: Outcome) -> None:
        """Settle derived columns, compare, and close the run: the last transaction that may still say no."""
        self._check_stop()

        def settle(transaction: Transaction) -> None:
            run_store.require_lease(transaction, run.id, lease.token)
            step.settle(transaction, context)

        self._retrying(run.id, lambda: self._in_transaction(settle))
        if self.request.validation != "none":
            tell(self.observers, PhaseStarted(run.id, "validating"))
            outcome.validation = self._retrying(run.id, lambda: self._compare(step, context))
        self._check_stop()
        ok = outcome.validation is None or outcome.validation.is_equal
        outcome.status = RunState.COMPLETE if ok else RunState.FAILED

        def close(transaction: Transaction) -> None:
            if outcome.validation is not None:
                record = {**outcome.validation.as_json(), "kind": self.request.validation}
                transaction.run("runs.save_validation", run_id=run.id, validation=Jsonb(record))
            run_store.move(
                transaction, run, outcome.status, token=lease.token, error=None if ok else "validation found a mismatch"
            )

        self._retrying(run.id, lambda: self._in_transaction(close))
        tell(self.observers, RunClosed(run.id, outcome.status, outcome.seconds))

    def _compare(self, step: Step, context: Context) -> Validation:
        with self.database.transaction() as transaction:
            partitions = run_store.partitions(transaction, context.run_id)
        if self.request.validation == "quick":
            quick = quick_check(self.database, step, context, partitions)
            if quick.is_equal:
                return quick
        # Users may have made links of the run their own, so a quick no is not the last word.
        return validate(self.database, step, context, partitions, self.request.workers, self.stop)

    # -- small things

    def _partitions(self, run: Run) -> list[Partition]:
        with self.database.transaction() as transaction:
            return run_store.partitions(transaction, run.id)

    def _in_transaction(self, action: Callable[[Transaction], None]) -> None:
        with self.database.transaction() as transaction:
            action(transaction)

    def _retrying(self, run_id: int, action: Callable[[], Result]) -> Result:
        return retrying(action, run_id, self.observers, self.stop)

    def _check_stop(self) -> None:
        if self.stop.is_set:
            if self.stop.reason == "lease lost":
                raise LeaseLost("another process has taken this run over; see: segue status")
            raise Stopped(self.stop.reason or "stop")

    def _move(self, run: Run, lease: Lease, to: RunState) -> None:
        self._retrying(run.id, lambda: self._in_transaction(lambda tx: run_store.move(tx, run, to, token=lease.token)))

    def _close(self, run: Run, lease: Lease, to: RunState, reason: str | None) -> None:
        self.stop.is_aborting = False
        with self.database.transaction() as transaction:
            run_store.move(transaction, run, to, token=lease.token, detail={"reason": reason})
        tell(self.observers, RunClosed(run.id, to, 0.0))

    def _fail(self, run: Run, lease: Lease, error: BaseException) -> None:
        """Record the failure where the database still answers; its absence is recorded by the lease's expiry."""
        try:
            with self.database.transaction() as transaction:
                run_store.move(transaction, run, RunState.FAILED, token=lease.token, error=str(error)[:1_000])
        except Exception as second:
            error.add_note(f"(and the failure could not be recorded: {second})")


def quick_check(database: Database, step: Step, context: Context, partitions: list[Partition]) -> Validation:
    """Read back what the run stored and compare it with what its chunks were due to write.

    Links that others had made before are part of the expected image; the chunk that met them found them in place,
    and a full validation reads them again.
    """
    started = time.monotonic()
    with database.transaction(repeatable_read=True) as transaction:
        stored = step.stored(transaction, context, step.source.everything)
        kept = step.stored_quarantine(transaction, context, step.source.everything)
    result = Validation(checked_rows=sum(part.counts.rows for part in partitions))
    created = sum((part.created for part in partitions), start=type(stored)())
    result.expected = sum((part.expected for part in partitions), start=type(stored)())
    result.stored = stored + (result.expected - created)
    if result.stored != result.expected:
        result.mismatches.append(
            Mismatch("run", "the stored digest is not the one that the chunks wrote", is_row=False)
        )
    if kept != sum(part.counts.quarantined for part in partitions):
        result.mismatches.append(Mismatch("run", "quarantine does not hold what the chunks put there", is_row=False))
    result.seconds = time.monotonic() - started
    return result


def with_defaults(request: Request) -> Request:
    """Fill in the migration's defaults, so that equal runs have equal fingerprints."""
    settings = {
        option.name: request.settings.get(option.name) or option.default for option in request.migration.options
    }
    return replace(request, settings=settings)
