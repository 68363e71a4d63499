"""The life of a run: claim or create it, plan, convert, finish, prove, close."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TypeVar

from psycopg.types.json import Jsonb

from migrator import mirroring, repair, run_store
from migrator.choice import choose_run, is_still_true, reread
from migrator.chunk_size import FIRST_SIZE
from migrator.claims import offer, send_home
from migrator.controls import Controls
from migrator.errors import LeaseLost, Stopped
from migrator.events import Compared, Observer, PhaseStarted, RunClosed, tell
from migrator.lease import Lease
from migrator.migration import Context, Step
from migrator.outage import give_way
from migrator.outcome import Outcome
from migrator.preflight import preflight
from migrator.request import Request
from migrator.retry import retrying
from migrator.run_store import Partition, Run
from migrator.set_controls import change_controls
from migrator.states import RunState
from migrator.stop import StopSignal
from migrator.validation import Validation, compare
from migrator.work import convert
from sql.database import Database, Transaction

Result = TypeVar("Result")


class Runner:
    """Runs one request; the object lives as long as the command."""

    def __init__(
        self, database: Database, request: Request, stop: StopSignal, observers: tuple[Observer, ...] = ()
    ) -> None:
        self.database = database
        self.request = request
        self.stop = stop
        self.observers = observers
        self._run_id, self._token, self._nice = 0, "", 0.0
        self._turn: AbstractContextManager[object] = nullcontext()
        self.outcome: Outcome | None = None
        self._started = 0.0

    def migrate(self) -> Outcome:
        """Run or resume the migration.

        Raises:
            Refused: a precondition is not met; nothing was changed.
            Stopped: by a signal, a request or a limit; resumable.
            DatabaseError, MigratorError: it failed; resumable once the cause is mended.
        """
        self._started = time.monotonic()
        preflight(self.database, self.request.schema)
        with self.database.transaction() as transaction:
            step = self.request.migration.open(transaction, self.request.settings, self.request.schema)
        step.source.require()
        mirroring.require(self.database, step, self.request)
        run, is_resumed = choose_run(self.database, self.request, step)
        outcome = self.outcome = Outcome(run.id, run.status, is_resumed=is_resumed)
        mirror = mirroring.Mirroring(self.database, step, run, self.request.mirror)
        if mirror.is_in_place and run.status is RunState.COMPLETE and is_still_true(self.database, step, run):
            return self._look_again(step, run, outcome)
        return self.lead(step, run, outcome, mirror)

    def lead(self, step: Step, run: Run, outcome: Outcome, mirror: mirroring.Mirroring | None = None) -> Outcome:
        """Take the run's lease and do what is left to do; raises what `migrate` does."""
        self._mirroring = mirror or mirroring.Mirroring(self.database, step, run, self.request.mirror)
        self._run_id, self._started = run.id, self._started or time.monotonic()
        self._go_easy(Controls.of(run.row["controls"]).changed(self.request.controls))
        with Lease(self.database, run, self.stop, is_exclusive=False) as lease:
            self._token = lease.token
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
                give_way(self.database, run, lease.token, error)
                self._fail(run, lease, error)
                raise
            finally:
                outcome.seconds = lease.work_seconds = time.monotonic() - self._started
        return outcome

    def _look_again(self, step: Step, run: Run, outcome: Outcome) -> Outcome:
        """Change nothing in a complete run whose source is as it was; say whether the target still is, too."""
        outcome.is_resumed, outcome.is_unchanged = False, True
        if self.request.validation != "none":
            outcome.validation = self._retrying(run.id, lambda: self._compare(step, run.context))
        outcome.seconds = time.monotonic() - self._started
        return outcome

    def _go_easy(self, controls: Controls) -> None:
        """With `nice`, what is no chunk rests like chunks, one step at a time, and uses one server process."""
        self._nice = controls.nice
        self._turn = threading.Lock() if controls.nice else nullcontext()
        self.database = self.database.in_parallel(is_allowed=not controls.nice)

    # -- the phases

    def _work(self, step: Step, run: Run, lease: Lease, outcome: Outcome) -> None:
        if run.status is RunState.COMPLETE:
            self._refresh(step, run, lease)
            self._mirror(run, lease)
        else:
            self._convert(step, self._mirror(self._plan(step, run, lease), lease), lease)
            self._move(run, lease, RunState.VALIDATING)
        run = self._reread(run)
        self._go_easy(Controls.of(run.row["controls"]))
        self._finish(step, run.context)
        self._prove(step, run, run.context, lease, outcome)

    def _refresh(self, step: Step, run: Run, lease: Lease) -> None:
        """Take in what changed beside the source since the run was completed, and have every row looked at again."""

        def refresh(transaction: Transaction) -> None:
            step.refresh(transaction, run.context)
            plan = {**run.plan, "decisions": run_store.decisions_digest(transaction), "recheck": True}
            run_store.save_plan(transaction, run.id, plan, step.source.count(transaction, run.id), token=lease.token)
            run_store.move(transaction, run, RunState.VALIDATING, token=lease.token)

        self._retrying(run.id, lambda: self._in_transaction(refresh))

    def _convert(self, step: Step, run: Run, lease: Lease) -> None:
        partitions = self._partitions(run)
        if run.status is not RunState.MIGRATING:
            self._move(run, lease, RunState.MIGRATING)
        done = sum(part.counts.rows for part in partitions)
        quarantined = sum(part.counts.quarantined_rows for part in partitions)
        tell(self.observers, PhaseStarted(run.id, "migrating", run.row["total_rows"], done, quarantined))
        shares = self._retrying(
            run.id, lambda: offer(self.database, run.id, lease.token, partitions, self.request.workers)
        )
        controls = self._retrying(run.id, lambda: change_controls(self.database, run.id, self.request.controls))
        convert(self.database, self.request, step, run, lease.token, self.stop, self.observers, controls, shares)
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
                mirror = self._mirroring.plan
                decided = step.prepare(transaction, replace(current.context, plan=mirror)) | mirror
                decided["decisions"] = run_store.decisions_digest(transaction)
                total = step.source.count(transaction, run.id)
                for ordinal, within in enumerate(step.source.cut(transaction, run.id, total, self.request.workers)):
                    transaction.run(
                        "runs.create_partition",
                        run_id=run.id,
                        ordinal=ordinal,
                        after_key=within.after,
                        upto_key=within.upto,
                        chunk_size=self.request.batch_size or decided.get("first_chunk", FIRST_SIZE),
                        token=lease.token,
                    )
                run_store.save_plan(transaction, run.id, decided, total, token=lease.token)
                run_store.move(transaction, current, RunState.MIGRATING, token=lease.token)
                return run_store.find(transaction, run.id)

        return self._retrying(run.id, plan)

    def _mirror(self, run: Run, lease: Lease) -> Run:
        self._mirroring.put_in_place(lease.token, partial(self._retrying, run.id))
        return self._reread(run)

    def _finish(self, step: Step, context: Context) -> None:
        """Make what waited for the rows."""
        tell(self.observers, PhaseStarted(context.run_id, "finishing"))
        step.finish(context, self._transact)

    def _prove(self, step: Step, run: Run, context: Context, lease: Lease, outcome: Outcome) -> None:
        """Catch up with late edits, settle derived columns, compare, close: the last transaction may still say no."""
        with ThreadPoolExecutor(1) as aside:
            # Proving foreign keys only reads, so it goes on beside the rest - unless it finds links to remove.
            sealing = aside.submit(step.seal, context, self._transact)
            self._catch_up(step, context, lease, outcome)
            self._look(step, context, outcome)
            has_removed = sealing.result()
        if has_removed:
            repair.restate_all(self.database, step, context, lease.token)
            self._look(step, context, outcome)
        self._check_stop()
        ok = outcome.validation is None or outcome.validation.is_equal
        outcome.status = RunState.COMPLETE if ok else RunState.FAILED

        def close(transaction: Transaction) -> None:
            transaction.run("runs.save_total", run_id=run.id)
            if outcome.validation is not None:
                record = {**outcome.validation.as_json(), "kind": self.request.validation}
                transaction.run("runs.save_validation", run_id=run.id, validation=Jsonb(record))
            run_store.move(
                transaction, run, outcome.status, token=lease.token, error=None if ok else "validation found a mismatch"
            )

        self._transact(close)
        tell(self.observers, RunClosed(run.id, outcome.status, time.monotonic() - self._started))

    def _catch_up(self, step: Step, context: Context, lease: Lease, outcome: Outcome) -> None:
        is_forced = bool(context.plan.get("recheck"))
        outcome.caught_up = self._retrying(
            context.run_id, lambda: repair.catch_up(self.database, step, context, lease.token, is_forced=is_forced)
        )

    def _look(self, step: Step, context: Context, outcome: Outcome) -> None:
        self._retrying(context.run_id, lambda: repair.drain(self.database, step, context, self._token))
        self._transact(lambda transaction: step.settle(transaction, context))
        if self.request.validation != "none":
            tell(self.observers, PhaseStarted(context.run_id, "validating"))
            outcome.validation = self._retrying(context.run_id, lambda: self._compare(step, context))
            tell(self.observers, Compared(context.run_id, len(outcome.validation.mismatches)))

    def _transact(self, action: Callable[[Transaction], None]) -> None:
        """Run a closing step, as long as this process owns the run."""
        self._check_stop()

        def fenced(transaction: Transaction) -> None:
            run_store.require_lease(transaction, self._run_id, self._token)
            action(transaction)

        with self._turn:
            started = time.monotonic()
            self._retrying(self._run_id, lambda: self._in_transaction(fenced))
            self.stop.sleep(self._nice * (time.monotonic() - started))

    def _compare(self, step: Step, context: Context) -> Validation:
        with self.database.transaction() as transaction:
            partitions = run_store.partitions(transaction, context.run_id)
        is_quick = self.request.validation == "quick"
        workers = 1 if self._nice else self.request.workers
        return compare(self.database, step, context, partitions, workers, self.stop, quick=is_quick)

    # -- small things

    def _reread(self, run: Run) -> Run:
        return self._retrying(run.id, lambda: reread(self.database, run, is_joining=self.request.is_joining))

    def _partitions(self, run: Run) -> list[Partition]:
        return self._retrying(run.id, lambda: repair.partitions_of(self.database, run.context))

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
        request = "cancel" if to is RunState.CANCELLED else "pause"
        self._retrying(run.id, lambda: send_home(self.database, run.id, request))
        detail = {"reason": reason}
        self._retrying(
            run.id,
            lambda: self._in_transaction(lambda tx: run_store.move(tx, run, to, token=lease.token, detail=detail)),
        )
        if to is RunState.CANCELLED:
            mirroring.remove(self.database, run, partial(self._retrying, run.id))
        tell(self.observers, RunClosed(run.id, to, time.monotonic() - self._started))

    def _fail(self, run: Run, lease: Lease, error: BaseException) -> None:
        """Record the failure where the database still answers; its absence is recorded by the lease's expiry."""
        try:
            with self.database.transaction() as transaction:
                run_store.move(transaction, run, RunState.FAILED, token=lease.token, error=str(error)[:1_000])
        except Exception as second:
            error.add_note(f"(and the failure could not be recorded: {second})")
