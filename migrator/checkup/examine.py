"""Make every check of `segue doctor`."""

from collections.abc import Callable

from migrator.checkup import mirror, own, processes, server
from migrator.checkup.findings import Finding, Level, is_blocked, warning
from migrator.checkup.patient import Patient
from sql.database import Database, Transaction
from sql.errors import ConnectionLost, DatabaseError

Check = Callable[[Patient, Transaction], list[Finding]]

CHECKS: tuple[Check, ...] = (
    own.role,
    own.privileges,
    own.runs,
    processes.processes,
    processes.jobs,
    own.cleanups,
    own.triggers,
    own.indexes,
    mirror.mirror,
    server.transactions,
    server.replication,
    server.vacuum,
    server.space,
    server.connections,
    server.clock,
    server.pooler,
    server.extensions,
)

#: Checks that look at Segue's own tables.
NEED_SCHEMA = (own.privileges, own.runs, processes.processes, processes.jobs, own.cleanups, mirror.mirror)


def examine(database: Database, schema: str, table: str) -> list[Finding]:
    """Make every check; the worst findings come first.

    Args:
        database: where; nothing in it is changed.
        schema: the application's.
        table: the legacy table.

    Raises:
        ConnectionLost: the server cannot be reached.
    """
    patient = Patient(database, schema, table)
    found = _made(own.schema, patient)
    left_out = NEED_SCHEMA if is_blocked(found) else ()
    for check in CHECKS:
        if check not in left_out:
            found += _made(check, patient)
    order = list(reversed(Level))
    return sorted(found, key=lambda finding: order.index(finding.level))


def _made(check: Check, patient: Patient) -> list[Finding]:
    """Make one check; one that the role may not make says so and does not hide the others."""
    try:
        with patient.database.transaction() as transaction:
            return check(patient, transaction)
    except ConnectionLost:
        raise
    except DatabaseError as error:
        fix = "run segue doctor as a role that is a member of pg_monitor"
        return [warning(check.__name__, f"could not be checked: {error}", fix)]
