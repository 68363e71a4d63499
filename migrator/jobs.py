"""Jobs: runs and rollbacks that somebody has asked for and a worker does, each held by a lease while it is done."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from migrator import run_store
from migrator.lease import LEASE_SECONDS, Heartbeat
from migrator.migration import Migration
from migrator.stop import StopSignal
from sql.database import Database, Row, Transaction

#: A job at which workers die, or lose the database, this often will not be finished by one more.
MOST_FAILURES = 10


@dataclass(frozen=True)
class Job:
    """A job as it was claimed.

    Attributes:
        id: its number.
        kind: `migrate` or `rollback`.
        migration: the name of what is run or taken back.
        run_id: the run's number; of a new run there is no row yet.
        settings: the migration's options.
        options: how to run: workers, batch_size, validation, max_errors, controls; on_conflict.
        failures: how often a worker died at it, or lost the database.
        was_taken_over: whether it was found with a dead worker.
        token: of the lease.
    """

    id: int
    kind: str
    migration: str
    run_id: int
    settings: Mapping[str, str | None]
    options: Mapping[str, Any]
    failures: int
    was_taken_over: bool
    token: str

    @classmethod
    def of(cls, row: Row) -> "Job":
        """Read a job from its row."""
        names = ("id", "kind", "migration", "run_id", "settings", "options", "failures", "was_taken_over")
        return cls(**{name: row[name] for name in names}, token=str(row["lease_token"]))


def announce(database: Database, known: Mapping[str, Migration]) -> None:
    """Tell servers which migrations there are and which options they take."""
    with database.transaction() as transaction:
        for name, migration in sorted(known.items()):
            options = [
                {
                    "name": option.name,
                    "help": option.help,
                    "default": option.default,
                    "choices": list(option.choices),
                    "is_path": option.is_path,
                }
                for option in migration.options
            ]
            transaction.run("jobs.announce_migration", migration=name, options=Jsonb(options))


def claim(database: Database, migrations: Iterable[str]) -> Job | None:
    """Take the oldest job of some migrations that is due, or one whose worker is gone; None when there is none."""
    with database.transaction() as transaction:
        row = transaction.first(
            "jobs.claim_job",
            migrations=sorted(migrations),
            token=str(uuid.uuid4()),
            holder=run_store.actor(),
            lease=f"{LEASE_SECONDS} seconds",
        )
        if row is None:
            return None
        detail = {"job": row["id"], "do": row["kind"], "taken_over": row["was_taken_over"]}
        run_store.note(transaction, row["run_id"], "job-claimed", detail=detail)
        return Job.of(row)


def requeue(
    database: Database,
    job: Job,
    *,
    why: str,
    error: str | None = None,
    failures: int = 0,
    delay_seconds: float = 0,
    waits_on: bool = False,
) -> bool:
    """Put a job back for the next worker; False when it is not ours any more.

    Args:
        why: for the event, which nobody can change any more: nothing about a row or a file.
        error: in words, or None.
        failures: how often a worker died at it, or lost the database, now.
        delay_seconds: until it is due again.
        waits_on: nothing was done for it, so it has been waiting all the time.
    """
    with database.transaction() as transaction:
        values: dict[str, Any] = {"error": error, "failures": failures, "waits_on": waits_on}
        values["delay"] = f"{delay_seconds} seconds"
        if not transaction.run("jobs.requeue_job", job_id=job.id, token=job.token, **values):
            return False
        run_store.note(transaction, job.run_id, "job-put-back", detail={"job": job.id, "reason": why})
    return True


def end(
    database: Database,
    job: Job,
    outcome: str,
    *,
    exit_code: int,
    error: str | None = None,
    report: Mapping[str, Any] | None = None,
) -> bool:
    """Close a job with what came of it; False when it is not ours any more.

    Args:
        outcome: done, stopped, cancelled, refused or failed.
        exit_code: what the same command would have exited with.
        error: in words, or None.
        report: what the same command would have printed with --json.
    """
    shown = None if report is None else Jsonb(json.loads(json.dumps(report, default=str)))
    with database.transaction() as transaction:
        values: dict[str, Any] = {"outcome": outcome, "exit_code": exit_code, "error": error, "report": shown}
        if not transaction.run("jobs.end_job", job_id=job.id, token=job.token, **values):
            return False
        # An error may name a row or a file, and events are for ever.
        detail = {"job": job.id, "outcome": outcome, "exit_code": exit_code}
        run_store.note(transaction, job.run_id, "job-ended", detail=detail)
    return True


class JobLease(Heartbeat):
    """Holds a job that was claimed, and hands on what an admin asks of it.

    The run has a lease and a fence of its own: this one only keeps two workers from starting the same.

    Args:
        database: where the job is.
        job: which one.
        stop: set when somebody asks the job to pause or to be cancelled, or when another worker has taken it.
    """

    def __init__(self, database: Database, job: Job, stop: StopSignal) -> None:
        super().__init__(database, stop, token=job.token, is_claimed=True)
        self._job = job

    def _renew(self, session: Transaction, values: dict[str, Any]) -> bool:
        row = session.first("jobs.renew_job", job_id=self._job.id, **values)
        if row is not None and row["request"]:
            self._stop.set(row["request"])
        return row is not None
