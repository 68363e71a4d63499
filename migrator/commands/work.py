"""One job of the queue, done the way `segue migrate` and `segue rollback` do it, with its end as a value."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from migrator import registry, report, run_store
from migrator.commands.migrate import run_request
from migrator.commands.rollback import open_run
from migrator.commands.session import Session
from migrator.controls import Controls, differences
from migrator.errors import Exit, LeaseLost, MigratorError, Refused, RunHeld, Stopped, UsageError
from migrator.events import Event, Observer, RowsRemoved
from migrator.jobs import Job
from migrator.migration import Migration
from migrator.request import Limits, Request, with_defaults
from migrator.rollback import Rollback
from migrator.states import RESUMABLE, RunState
from migrator.stop import StopSignal
from monitoring.logs import logger
from sql.database import Database
from sql.errors import DatabaseError
from tags.starter import MalformedStarterError

#: Reasons to stop after which the job is somebody's to go on with.
_GO_ON = ("max-seconds", "signal")


@dataclass(frozen=True)
class Done:
    """What came of a job, or of a step of it.

    Attributes:
        job: which.
        outcome: done, stopped, cancelled, refused, failed, or put back.
        exit_code: of the same command.
        error: in words, or None; why it was put back.
        report: what the same command prints with --json.
        is_failure: it was put back because the database was lost.
        is_busy: it was put back because another process has the run.
        is_lost: that process has taken it from this one.
        is_stopped_by_signal: this process was told to end.
    """

    job: Job
    outcome: str
    exit_code: int
    error: str | None = None
    report: Mapping[str, Any] | None = None
    is_failure: bool = False
    is_busy: bool = False
    is_lost: bool = False
    is_stopped_by_signal: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the object of `segue worker --json`."""
        return {
            "job": self.job.id,
            "run_id": self.job.run_id,
            "kind": self.job.kind,
            "outcome": self.outcome.replace(" ", "_"),
            "exit_code": int(self.exit_code),
            "error": self.error,
            "report": self.report,
        }


def work(
    session: Session,
    database: Database,
    job: Job,
    known: Mapping[str, Migration],
    max_seconds: float | None,
    stop: StopSignal,
    observers: tuple[Observer, ...],
) -> Done:
    """Do a job until it is done, or for `max_seconds`; whatever goes wrong with it is its outcome."""
    try:
        if job.kind == "rollback":
            return _rollback(session, database, job, max_seconds, stop, observers)
        return _migrate(session, database, job, known, max_seconds, stop, observers)
    except Stopped as stopped:
        return _stopped(job, stopped.reason, None)
    except RunHeld as error:
        return Done(job, "put back", Exit.STOPPED, str(error), is_busy=True)
    except LeaseLost as error:
        return Done(job, "put back", Exit.STOPPED, str(error), is_busy=True, is_lost=True)
    except (Refused, UsageError) as error:
        return Done(job, "refused", error.exit_code, str(error))
    except DatabaseError as error:
        if error.is_transient:
            return Done(job, "put back", Exit.STOPPED, str(error), is_failure=True)
        return Done(job, "failed", error.exit_code, str(error))
    except MigratorError as error:
        return Done(job, "failed", error.exit_code, str(error))
    except (MalformedStarterError, OSError) as error:
        return Done(job, "failed", Exit.FAILED, str(error))
    except Exception as error:
        # A mistake of ours, or of a migration's author, ends its job and not the worker; a message may hold values.
        logger().exception("JobBroke", job=job.id, run_id=job.run_id, exc_info=error)
        return Done(job, "failed", Exit.FAILED, f"{type(error).__name__}; the worker's log says where")


def _migrate(
    session: Session,
    database: Database,
    job: Job,
    known: Mapping[str, Migration],
    max_seconds: float | None,
    stop: StopSignal,
    observers: tuple[Observer, ...],
) -> Done:
    options = job.options
    request = with_defaults(
        Request(
            registry.get(job.migration, dict(known)),
            job.settings,
            session.schema,
            workers=options.get("workers", 1),
            batch_size=options.get("batch_size"),
            validation=options.get("validation", "quick"),
            limits=Limits(max_seconds, None, options.get("max_errors")),
        )
    )
    _make_run(database, job, request)
    body, code = run_request(database, request, stop, observers)
    if code is Exit.STOPPED:
        return _stopped(job, stop.reason, body)
    return Done(job, "failed" if code is Exit.MISMATCH else "done", code, body.get("error"), body)


def _make_run(database: Database, job: Job, request: Request) -> None:
    """Make the run under the number that was promised, once its settings have proved right.

    Raises:
        Refused, UsageError: they are wrong, or somebody has started another run meanwhile.
    """
    names = {option.name for option in request.migration.options}
    if foreign := sorted(set(job.settings) - names):
        raise UsageError(f"migration {job.migration!r} has no option {foreign[0]!r}")
    with database.transaction() as transaction:
        last = run_store.latest(transaction, job.migration)
        if last is not None and last.id != job.run_id and (last.id > job.run_id or last.status in RESUMABLE):
            raise Refused(f"run {last.id} of {job.migration} was started meanwhile ({last.status}); ask again")
        if last is not None and last.status is RunState.CANCELLED:
            raise Refused(f"run {last.id} was cancelled; take it back first")
        if transaction.first("runs.find_run", run_id=job.run_id) is not None:
            return
        step = request.migration.open(transaction, request.settings, request.schema)
        step.source.require()
        run_store.create(transaction, job.migration, request.settings, job.run_id)
        # Once, with the run: who retunes it between two steps is not overruled by what was asked for at first.
        controls = Controls().changed(job.options.get("controls", ()))
        if set_ := differences(Controls(), controls):
            transaction.run("throttle.save_controls", run_id=job.run_id, controls=Jsonb(controls.as_json()))
            run_store.note(transaction, job.run_id, "set", detail=set_)


def _rollback(
    session: Session,
    database: Database,
    job: Job,
    max_seconds: float | None,
    stop: StopSignal,
    observers: tuple[Observer, ...],
) -> Done:
    run, step = open_run(database, session, job.run_id)
    if run.status is RunState.ROLLED_BACK:
        return Done(job, "done", Exit.DONE)  # by the worker before us, whose last words were lost
    on_conflict = job.options.get("on_conflict", "keep")
    watched = (*observers, _watch(max_seconds, stop)) if max_seconds is not None else observers
    result = Rollback(database, run, step, session.schema, on_conflict, stop, watched).execute()
    body = report.rollback_report(result, is_dry=False)
    code = Exit.CONFLICTS_KEPT if result.conflicts and on_conflict == "keep" else Exit.DONE
    return Done(job, "done", code, report=body)


def _watch(max_seconds: float, stop: StopSignal) -> Observer:
    """Stop a rollback after its time, but never before a transaction of it is committed: each step gets somewhere."""
    started = time.monotonic()

    def watch(event: Event) -> None:
        if isinstance(event, RowsRemoved) and time.monotonic() - started >= max_seconds:
            stop.set("max-seconds")

    return watch


def _stopped(job: Job, reason: str | None, body: Mapping[str, Any] | None) -> Done:
    said = reason or "stop"
    if said == "lease lost":
        return Done(job, "put back", Exit.STOPPED, "another worker has taken the job", body, is_busy=True, is_lost=True)
    if said.startswith(_GO_ON):
        is_signal = said.startswith("signal")
        return Done(job, "put back", Exit.STOPPED, said, body, is_stopped_by_signal=is_signal)
    return Done(job, "cancelled" if said == "cancel" else "stopped", Exit.STOPPED, said, body)
