"""Changing the controls of a run, with an event that says who changed what from which value to which."""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from migrator import run_store
from migrator.controls import Controls, differences
from migrator.errors import Refused, UsageError
from migrator.states import RunState
from migrator.throttle import custom_load
from sql.database import Database
from sql.errors import DatabaseError

AT_REST = {RunState.COMPLETE, RunState.CANCELLED, RunState.ROLLED_BACK}


def change_controls(database: Database, run_id: int, assignments: Sequence[str]) -> Controls:
    """Apply `key=value` assignments to a run's controls, all of them or none, and return what then holds.

    Raises:
        UsageError: an assignment makes no sense, or its statement cannot be run; nothing was changed.
        Refused: the run is at rest for good.
    """
    with database.transaction() as transaction:
        row = transaction.one("throttle.lock_controls", run_id=run_id)
        before = Controls.of(row["controls"])
        after = before.changed(assignments)
        changed = differences(before, after)
        if changed and RunState(row["status"]) in AT_REST:
            raise Refused(f"run {run_id} is {row['status']}; there is nothing to control any more")
        if changed:
            transaction.run("throttle.save_controls", run_id=run_id, controls=Jsonb(after.as_json()))
            run_store.note(transaction, run_id, "set", detail=changed)
        if "throttle-sql" in changed and after.throttle_sql is not None:
            try:
                custom_load(transaction, after.throttle_sql)
            except (DatabaseError, ValueError, TypeError) as error:
                if isinstance(error, DatabaseError) and error.is_transient:
                    raise
                raise UsageError(f"throttle-sql {after.throttle_sql!r}: {error}; give a query of one number") from error
    return after
