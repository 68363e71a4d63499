"""`segue worker`: does the runs and rollbacks that were asked for over HTTP."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from migrator import job_queue, jobs, registry
from migrator.commands.metrics import MetricsTarget, metrics_options
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.commands.work import Done, work
from migrator.errors import Exit
from migrator.job_queue import EXPIRE_HOURS, KEEP_DAYS, Presence
from migrator.jobs import MOST_FAILURES, Job, JobLease
from migrator.lease import HEARTBEAT_SECONDS
from migrator.preflight import preflight
from migrator.progress import observing
from migrator.retry import retrying
from migrator.stop import StopSignal
from monitoring.logs import logger
from sql.database import Database
from sql.errors import DatabaseError

if TYPE_CHECKING:
    from migrator.events import Observer
    from migrator.migration import Migration
    from monitoring.recorder import Recorder

#: How often an idle worker looks for a job.
LOOK_SECONDS = 0.5
#: Before a job is tried again that another process stands in the way of, or whose database was lost.
WAIT_SECONDS = 5.0
#: Between two looks for jobs that ended long ago.
SWEEP_SECONDS = 3_600.0


@click.command()
@click.option(
    "--once",
    is_flag=True,
    envvar="SEGUE_ONCE",
    show_envvar=True,
    help="Do one job, or one step of it, and end; nothing when none is due.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0),
    envvar="SEGUE_MAX_SECONDS",
    show_envvar=True,
    help="Put a job back after this time; the next call, or another worker, goes on with it.",
)
@click.option(
    "--expire-hours",
    type=click.FloatRange(min=0, max=1e6, min_open=True),
    default=EXPIRE_HOURS,
    show_default=True,
    envvar="SEGUE_EXPIRE_HOURS",
    show_envvar=True,
    help="Close a job that nobody has taken for this long.",
)
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0, max=1e6, min_open=True),
    default=KEEP_DAYS,
    show_default=True,
    envvar="SEGUE_KEEP_DAYS",
    show_envvar=True,
    help="Remove a job this long after its end.",
)
@metrics_options
@json_option
@command
def worker(
    session: Session,
    *,
    once: bool,
    max_seconds: float | None,
    expire_hours: float,
    keep_days: float,
    metrics: MetricsTarget,
    as_json: bool,
) -> int:
    """Do queued runs and rollbacks until it is stopped; several workers share the queue.

    Exit codes: 0 when it is stopped while idle or nothing is due; with --once those of the job's own command, 6 when
    it has been put back.
    """
    with session.database() as database, metrics.exporting() as recorder:
        preflight(database, session.schema)
        known = registry.discover(session.migrations)
        jobs.announce(database, known)
        presence = Presence(database, known, is_called_again=once)
        keeping = _Keeping(database, presence, expire_hours, keep_days)
        crew = _Worker(session, database, known, max_seconds, recorder, keeping)
        try:
            done = crew.step() if once else crew.until_stopped()
        finally:
            with suppress(DatabaseError):
                presence.leave()
    if as_json:
        print_json(done.as_json() if done else {"job": None, "run_id": None, "outcome": "idle", "exit_code": 0})
    elif done:
        say(f"job {done.job.id} (run {done.job.run_id}): {done.outcome}{': ' + done.error if done.error else ''}")
    elif once:
        say("no job is due")
    return done.exit_code if done and (once or done.is_stopped_by_signal) else Exit.DONE


@dataclass
class _Keeping:
    """What a worker does for the queue, now and then, before it takes a job."""

    database: Database
    presence: Presence
    expire_hours: float
    keep_days: float
    next_show: float = 0.0
    next_sweep: float = 0.0

    def keep(self) -> None:
        """Show that it is there, close what has waited too long, remove what ended long ago."""
        now = time.monotonic()
        if now < self.next_show:
            return
        self.presence.show()
        for number in job_queue.expire(self.database, self.expire_hours):
            logger().warning("JobExpired", job=number, hours=self.expire_hours)
        self.next_show = now + HEARTBEAT_SECONDS
        if now >= self.next_sweep:
            job_queue.remove_old(self.database, self.keep_days)
            self.next_sweep = now + SWEEP_SECONDS


@dataclass(frozen=True)
class _Worker:
    session: Session
    database: Database
    known: Mapping[str, "Migration"]
    max_seconds: float | None
    recorder: "Recorder | None"
    keeping: _Keeping
    idle: StopSignal = field(default_factory=StopSignal)

    def until_stopped(self) -> Done | None:
        """Do jobs until a signal comes; return the one that it interrupted, if any."""
        idle, log = self.idle, logger()
        with idle.on_signals():
            log.info("WorkerStarted", migrations=sorted(self.known))
            while not idle.is_set:
                done = None
                try:
                    done = self.step()
                except DatabaseError as error:
                    if not error.is_transient:
                        raise
                    log.warning("DatabaseLost", error=str(error))
                    idle.sleep(WAIT_SECONDS)
                else:
                    if done is None:
                        idle.sleep(LOOK_SECONDS)
                if done is not None and done.is_stopped_by_signal:
                    return done
        return None

    def step(self) -> Done | None:
        """Claim a job, do it or a step of it, and write down what came of it; None when none is due."""
        self.keeping.keep()
        job = jobs.claim(self.database, self.known)
        if job is None:
            return None
        log = logger()
        log.info("JobClaimed", job=job.id, kind=job.kind, run_id=job.run_id, taken_over=job.was_taken_over)
        if job.failures >= MOST_FAILURES:
            why = f"a worker died at it, or lost the database, {job.failures} times"
            done = Done(job, "failed", Exit.FAILED, error=f"{why}; see the workers' logs, then ask for it again")
        else:
            done = self._do(job)
        # The database may be gone at this very moment; when it stays away, the lease runs out and a worker goes on.
        try:
            retrying(lambda: self._settle(done), job.run_id, (), StopSignal(), attempts=4)
        except DatabaseError as error:
            log.warning("DatabaseLost", error=str(error))
        log.info("JobEnded", job=job.id, run_id=job.run_id, outcome=done.outcome, exit_code=int(done.exit_code))
        return done

    def _do(self, job: Job) -> Done:
        stop = StopSignal(abort=self.database.cancel_running)
        # A signal ends this process too, also one that found the job stopping already, or done.
        stop.on_abort(lambda: self.idle.set("signal"))
        with ExitStack() as stack:
            observers: tuple[Observer, ...] = stack.enter_context(observing())
            measures = None
            if self.recorder is not None:
                from migrator.measures import RunMeasures  # noqa: PLC0415 - only who exports metrics pays for them

                measures = RunMeasures(self.recorder, job.migration)
                stack.callback(measures.rest)
                observers = (*observers, measures)
                if job.was_taken_over:
                    measures.lease_lost()
            stack.enter_context(stop.on_signals())
            if self.idle.is_set:  # between two jobs
                stop.set(self.idle.reason or "signal")
            stack.enter_context(JobLease(self.database, job, stop))
            done = work(self.session, self.database, job, self.known, self.max_seconds, stop, observers)
            if measures is not None and done.is_lost:
                measures.lease_lost()
            if (stop.reason or "").startswith("signal"):
                self.idle.set("signal")
            return done

    def _settle(self, done: Done) -> None:
        job = done.job
        if done.outcome != "put back":
            jobs.end(self.database, job, done.outcome, exit_code=done.exit_code, error=done.error, report=done.report)
        elif done.is_failure:
            failures = job.failures + 1
            why, error = "the database was lost", done.error
            jobs.requeue(self.database, job, why=why, error=error, failures=failures, delay_seconds=WAIT_SECONDS)
        elif done.is_busy:
            why = "another process has the run"
            jobs.requeue(self.database, job, why=why, error=done.error, delay_seconds=WAIT_SECONDS, waits_on=True)
        else:
            jobs.requeue(self.database, job, why=done.error or "")
