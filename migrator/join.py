"""Joining a run that another process leads: a lease of one's own, a share of its partitions, its lead when it dies."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from migrator import run_store
from migrator.choice import require_same_settings
from migrator.errors import LeaseLost, MigratorError, Refused, Stopped
from migrator.events import Observer, PhaseStarted, tell
from migrator.lease import Lease
from migrator.migration import Step
from migrator.outcome import Outcome
from migrator.preflight import preflight
from migrator.request import Request
from migrator.retry import retrying
from migrator.run_store import Run
from migrator.runner import Runner
from migrator.set_controls import change_controls
from migrator.states import UNDER_WAY, RunState
from migrator.stop import StopSignal
from migrator.work import convert
from sql.database import Database, Transaction

Result = TypeVar("Result")

#: How often a joiner without work looks whether the run is closed, or has lost its leader.
POLL_SECONDS = 0.5
#: How long a joiner that was asked to stop waits to see where the run came to rest, to report it.
REST_SECONDS = 15.0


class Membership(Lease):
    """A joiner's lease, renewed by a heartbeat: while it lasts its partitions are nobody else's."""

    def _claim(self, session: Transaction, values: dict[str, Any]) -> None:
        if session.first("claims.join_run", run_id=self._run.id, **values, holder=run_store.actor()) is None:
            raise LeaseLost(f"run {self._run.id} is not converting any more")
        run_store.note(session, self._run.id, "join")

    def _renew(self, session: Transaction, values: dict[str, Any]) -> bool:
        row = session.first("claims.renew_membership", **values)
        if row is not None and row["request"]:
            self._stop.set(row["request"])
        if row is None and run_store.find(session, self._run.id).status is not RunState.MIGRATING:
            self._ended.wait()  # the leader has dismissed its workers, and this one is about to notice
        return row is not None or self._ended.is_set()

    def _release(self, session: Transaction) -> None:
        session.run("claims.leave_run", token=self.token)


class Joiner:
    """Works on a run that is under way, until it is closed; the object lives as long as the command."""

    def __init__(
        self, database: Database, request: Request, stop: StopSignal, observers: tuple[Observer, ...] = ()
    ) -> None:
        self.database = database
        self.request = request
        self.stop = stop
        self.observers = observers
        self.outcome: Outcome | None = None

    def migrate(self) -> Outcome:
        """Take part in the run, and take its lead when its leader dies.

        Raises:
            Refused: no run is under way, or it was started with other settings; nothing was changed.
            Stopped: this process by a signal or limit, or the whole run; resumable.
            LeaseLost: others took this process for dead; what it was converting was rolled back.
            DatabaseError, MigratorError: it failed, or the run did.
        """
        started = time.monotonic()
        preflight(self.database, self.request.schema)
        run = self._find()
        require_same_settings(run, self.request)
        outcome = self.outcome = Outcome(run.id, run.status, has_joined=True)
        while run.status in UNDER_WAY:
            if self.stop.is_set:
                self._stopped(run.id, self.stop.reason or "stop")
            if run.status is RunState.MIGRATING and run.row["request"] is None:
                self._take_part(run)
            if not self.stop.is_set and not self._is_led(run.id):
                run = self._reread(run.id)
                if run.row["request"]:  # its leader died before it could obey
                    self._stopped(run.id, run.row["request"])
                led = self._lead(run, outcome) if run.status in UNDER_WAY else None
                if led is not None:
                    return led
            self.stop.sleep(POLL_SECONDS)
            run = self._reread(run.id)
        outcome.status, outcome.seconds = run.status, time.monotonic() - started
        return self._closed(run, outcome)

    # -- parts

    def _find(self) -> Run:
        with self.database.transaction() as transaction:
            run = run_store.latest(transaction, self.request.migration.name)
        name = self.request.migration.name
        if run is None:
            raise Refused(f"there is no run of {name} to join; start one, without --join: segue migrate {name}")
        if run.status not in UNDER_WAY:
            raise Refused(
                f"run {run.id} of {name} is {run.status}, so there is nothing to join; "
                f"start or resume it without --join: segue migrate {name}"
            )
        return run

    def _open(self) -> Step:
        with self.database.transaction() as transaction:
            step = self.request.migration.open(transaction, self.request.settings, self.request.schema)
        step.source.require()
        return step

    def _take_part(self, run: Run) -> None:
        step = self._retrying(run.id, self._open)
        try:
            with Membership(self.database, run, self.stop) as membership:
                tell(self.observers, PhaseStarted(run.id, "migrating", run.row["total_rows"]))
                controls = change_controls(self.database, run.id, self.request.controls)
                convert(
                    self.database, self.request, step, run, membership.token, self.stop, self.observers, controls, []
                )
        except LeaseLost:
            # Taken for dead; unless the run was closed under a chunk, which is nobody's fault.
            current = self._reread(run.id)
            if current.status is RunState.MIGRATING:
                if current.row["request"] is None:
                    raise
                self._stopped(run.id, current.row["request"])

    def _lead(self, run: Run, outcome: Outcome) -> Outcome | None:
        """Take the lead; None when another process was quicker, or the run is no longer under way."""
        runner = Runner(self.database, self.request, self.stop, self.observers)
        try:
            self.outcome = Outcome(run.id, run.status, is_resumed=True)
            return runner.lead(self._retrying(run.id, self._open), run, self.outcome)
        except Refused:
            self.outcome = outcome
            return None

    def _is_led(self, run_id: int) -> bool:
        def look() -> bool:
            with self.database.transaction() as transaction:
                return bool(transaction.one("claims.is_led", run_id=run_id)["is_led"])

        return self._retrying(run_id, look)

    def _stopped(self, run_id: int, reason: str) -> None:
        """Say why this process stops; when the whole run does, wait until it is at rest, so that the report is true."""
        if reason == "lease lost":
            raise LeaseLost("other processes took this one for dead; see: segue status")
        end = time.monotonic() + REST_SECONDS
        while reason in {"pause", "cancel"} and time.monotonic() < end and self._is_led(run_id):
            if self._reread(run_id).status not in UNDER_WAY:
                break
            time.sleep(POLL_SECONDS / 5)
        raise Stopped(reason)

    def _closed(self, run: Run, outcome: Outcome) -> Outcome:
        if run.status is RunState.PAUSED:
            raise Stopped("pause")
        if run.status in {RunState.CANCELLED, RunState.ROLLING_BACK, RunState.ROLLED_BACK}:
            raise Stopped("cancel")
        is_mismatch = (run.row["validation"] or {}).get("equal") is False
        if run.status is RunState.FAILED and not is_mismatch:
            raise MigratorError(
                f"run {run.id} has failed: {run.row['error']}; once that is mended: segue resume {run.id}"
            )
        return outcome

    def _reread(self, run_id: int) -> Run:
        def read() -> Run:
            with self.database.transaction() as transaction:
                return run_store.find(transaction, run_id)

        return self._retrying(run_id, read)

    def _retrying(self, run_id: int, action: Callable[[], Result]) -> Result:
        return retrying(action, run_id, self.observers, self.stop)
