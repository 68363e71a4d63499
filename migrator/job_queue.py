"""The queue of jobs as a whole: what waits, since when, who is there to do it, and what has waited too long."""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from migrator import run_store
from migrator.lease import LEASE_SECONDS
from sql.database import Database, Row, Transaction

#: Hours after which a job that nobody took is closed.
EXPIRE_HOURS = 24.0
#: Days for which a job that has ended is kept.
KEEP_DAYS = 30.0
#: How long a worker that is called again and again, as by cron, counts as alive between two calls.
BETWEEN_CALLS_SECONDS = 90


def unfinished(transaction: Transaction, run_id: int | None = None) -> list[Row]:
    """Return the jobs that wait or are at work, of all runs or one, as rows of `job_queue.list_unfinished`."""
    return transaction.all("job_queue.list_unfinished", run_id=run_id, lease_seconds=LEASE_SECONDS)


def as_json(job: Row) -> dict[str, Any]:
    """Return a job as `segue status --json` shows it."""
    return {
        "job": job["id"],
        "kind": job["kind"],
        "migration": job["migration"],
        "run_id": job["run_id"],
        "state": job["state"],
        "since": job["since"].isoformat(timespec="seconds"),
        "asked_by": job["asked_by"],
        "asked_at": job["asked_at"].isoformat(timespec="seconds"),
        "settings": job["settings"],
        "options": job["options"],
        "worker": job["holder"] if job["is_at_work"] else None,
        "live_workers": job["live_workers"],
        "error": job["error"],
    }


class Presence:
    """Shows that a process of `segue worker` is there while it has no job; with one, the job's lease shows it.

    Args:
        database: where the queue is.
        migrations: those that the worker has.
        is_called_again: it ends after a job, and something calls it again soon.
    """

    def __init__(self, database: Database, migrations: Iterable[str], *, is_called_again: bool) -> None:
        self._database = database
        self._migrations = sorted(migrations)
        self._is_called_again = is_called_again
        # All calls by one user on one machine are one worker.
        calls = uuid.uuid5(uuid.NAMESPACE_OID, run_store.actor().rpartition(" pid ")[0])
        self._token = str(calls if is_called_again else uuid.uuid4())

    def show(self) -> None:
        """Say that it is there, for as long as a lease lasts."""
        seconds = BETWEEN_CALLS_SECONDS if self._is_called_again else LEASE_SECONDS
        with self._database.transaction() as transaction:
            transaction.run(
                "job_queue.show_worker",
                token=self._token,
                holder=run_store.actor(),
                migrations=self._migrations,
                lease=f"{seconds} seconds",
            )

    def leave(self) -> None:
        """Say that it has gone; one that is called again stays listed until it would be late."""
        if not self._is_called_again:
            with self._database.transaction() as transaction:
                transaction.run("job_queue.forget_worker", token=self._token)


def expire(database: Database, hours: float) -> list[int]:
    """Close the jobs that nobody has taken, or gone on with, for some hours; return their numbers."""
    error = f"no worker took it, or went on with it, within {hours:g} h; ask for it again"
    with database.transaction() as transaction:
        rows = transaction.all("job_queue.expire_jobs", limit=timedelta(hours=hours), error=error)
        for row in rows:
            detail = {"job": row["id"], "outcome": "expired", "hours": hours}
            run_store.note(transaction, row["run_id"], "job-ended", detail=detail)
        return [row["id"] for row in rows]


def remove_old(database: Database, days: float) -> int:
    """Remove the jobs that ended some days ago; return how many."""
    with database.transaction() as transaction:
        transaction.run("job_queue.remove_old_workers")
        return transaction.run("job_queue.remove_old_jobs", limit=timedelta(days=days))
