"""What a run looks like from outside: its row, the sums of its checkpoints, and the last job that was about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.runs.errors import not_found
from sql.database import Row, Transaction

#: States of a run that can go on; equal to those of migrator/states.py, which a test proves.
RESUMABLE = frozenset({"preparing", "migrating", "validating", "paused", "failed"})
#: States in which a live process changes something.
BUSY = frozenset({"preparing", "migrating", "validating", "rolling_back"})

#: Quarantined rows that are listed, as `segue status` does.
MOST_ERRORS = 20


@dataclass(frozen=True)
class Seen:
    """A run at one moment.

    Attributes:
        run: its row; None before a worker has begun.
        job: the latest that was about it; None when nobody asked for any over HTTP.
        errors: quarantined rows.
    """

    run: Row | None
    job: Row | None
    errors: Sequence[Row] = ()

    @property
    def status(self) -> str:
        """The run's state; before it is there, that of its job: queued, or why it never began."""
        if self.run is not None:
            return str(self.run["status"])
        assert self.job is not None
        return "queued" if self.job["state"] != "ended" else str(self.job["outcome"])

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it unless somebody asks."""
        if self.job is not None and self.job["state"] != "ended":
            return False
        return self.run is None or (not self.run["is_held"] and self.run["status"] not in BUSY)

    def progress(self) -> dict[str, Any]:
        """Return what changes from chunk to chunk."""
        run = self.run or {}
        return {
            "status": self.status,
            "rows": {
                "total": run.get("total_rows", 0),
                "processed": run.get("row_count", 0),
                "quarantined": run.get("quarantined_rows", 0),
            },
            "throttled": run.get("throttled"),
        }


def read(transaction: Transaction, run_id: int, *, with_errors: bool = False) -> Seen:
    """Return a run as it is now.

    Raises:
        RunRefused: there is neither a run nor a job of this number.
    """
    run = transaction.first("run_status.read_run", run_id=run_id)
    job = transaction.first("jobs.find_latest_of_run", run_id=run_id)
    if run is None and job is None:
        raise not_found(run_id)
    errors = transaction.all("runs.read_quarantine", run_id=run_id, most=MOST_ERRORS) if with_errors else []
    return Seen(run, job, errors)
