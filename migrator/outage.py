"""A server that is gone or has run out of something is nobody's mistake: the run is left resumable, not failed."""

from contextlib import suppress

from migrator import run_store
from migrator.errors import Stopped
from migrator.run_store import Run
from migrator.states import RunState
from sql.database import Database
from sql.errors import DatabaseError


def give_way(database: Database, run: Run, token: str, error: BaseException) -> None:
    """Pause a run that an outage has ended, where the database can still record it; the lease's expiry says the rest.

    Raises:
        Stopped: it was an outage.
    """
    if isinstance(error, DatabaseError) and error.is_outage:
        with suppress(DatabaseError), database.transaction() as transaction:
            detail = {"reason": str(error)[:1_000]}
            run_store.move(transaction, run, RunState.PAUSED, token=token, detail=detail)
        raise Stopped(str(error)) from error
