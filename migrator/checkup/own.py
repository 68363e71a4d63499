"""Checks of what a migration itself needs: schema, role, targets, runs."""

from migrator.checkup.findings import Finding, blocked, ok, warning
from migrator.checkup.patient import Patient
from migrator.cleanup_record import CleanupState, Record
from migrator.errors import Refused
from migrator.preflight import preflight
from sql.database import Transaction
from sql.mirrors import PREFIX

#: A statement timeout below this ends validation and index builds.
SHORT_TIMEOUT_MS = 600_000


def schema(patient: Patient, transaction: Transaction) -> list[Finding]:
    """Version, standby, and Segue's own schema."""
    server = transaction.one("session.describe_server")
    try:
        preflight(patient.database, patient.schema)
    except Refused as refusal:
        said, _, fix = str(refusal).partition("; ")
        return [blocked("schema", said, fix.removeprefix("run: ") or "connect to another server")]
    return ok("schema", f"PostgreSQL {server['version']}, Segue's schema is current")


def role(patient: Patient, transaction: Transaction) -> list[Finding]:
    """What the role may do, and what would end its statements."""
    row = transaction.one("doctor.read_role", schema=patient.schema)
    found = []
    if not row["has_schema"]:
        found.append(blocked("role", f"there is no schema {patient.schema!r}", f'CREATE SCHEMA "{patient.schema}"'))
    elif not row["may_create_tables"]:
        fix = f'GRANT CREATE ON SCHEMA "{patient.schema}" TO "{row["name"]}"'
        found.append(warning("role", f"role {row['name']} may not create tables in schema {patient.schema}", fix))
    if row["is_read_only"]:
        fix = f'ALTER ROLE "{row["name"]}" SET default_transaction_read_only = off'
        found.append(blocked("role", f"role {row['name']} is read-only", fix))
    for name in ("statement_timeout", "transaction_timeout"):
        limit = row[f"{name}_ms"]
        if 0 < limit < SHORT_TIMEOUT_MS:
            fix = f'ALTER ROLE "{row["name"]}" SET {name} = 0'
            found.append(warning("role", f"{name} of {limit / 1000:g} s ends index builds and validation", fix))
    return found or ok("role", f"{row['name']} may do what a migration needs")


def privileges(patient: Patient, transaction: Transaction) -> list[Finding]:
    """Whether the targets may be written."""
    names = [name for name in patient.tables[:-1] if transaction.one("doctor.has_relation", relation=name)["found"]]
    rows = transaction.all("constraints.list_missing_privileges", names=names)
    if rows:
        fix = "; ".join(f"GRANT {row['missing']} TO the role" for row in rows)
        return [blocked("privileges", "the role may not write the targets", fix)]
    return ok("privileges", f"{len(names)} target tables may be written")


def runs(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Runs that nobody works on."""
    found = []
    for row in transaction.all("doctor.list_unfinished_runs"):
        if row["has_lease"]:
            found += ok("runs", f"run {row['id']} of {row['migration']} is {row['status']}, held by {row['holder']}")
            continue
        fix = f"segue resume {row['id']}   or   segue rollback {row['id']}"
        said = (
            f"run {row['id']} of {row['migration']} is {row['status']} since {row['seconds']} s and no process has it"
        )
        found.append(warning("runs", said, fix if row["status"] != "rolling_back" else f"segue rollback {row['id']}"))
    return found or ok("runs", "none is unfinished")


def cleanups(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Legacy columns that were dropped, and cleanups that nobody works on."""
    found = []
    for row in transaction.all("cleanup.list_open"):
        record = Record.of(row)
        if record.state is CleanupState.DROPPED and row["archive_bytes"] is None:
            said = f"{record.column} was dropped and {record.archive} is gone, so it cannot be brought back"
            found.append(warning("cleanups", said, "keep a backup from before the cleanup"))
        elif record.state is CleanupState.DROPPED:
            found += ok(
                "cleanups",
                f"{record.column} was dropped on {row['dropped_at']:%Y-%m-%d}; {record.archive} holds its values"
                f" ({row['archive_bytes'] / 1e6:,.1f} MB) for segue rollback {record.run_id}",
            )
        elif row["has_lease"]:
            found += ok("cleanups", f"that of {record.column} is {record.state}, and a process is at it")
        elif record.state is CleanupState.ARCHIVING:
            said = (
                f"that of {record.column} is {record.state} and no process has it; its triggers slow writers a little"
            )
            found.append(warning("cleanups", said, "segue cleanup goes on with it; segue rollback gives it up"))
        else:
            said = f"that of {record.column} is {record.state} and no process has it"
            found.append(warning("cleanups", said, f"segue rollback {record.run_id}"))
    return found or ok("cleanups", "no legacy column was dropped")


def triggers(patient: Patient, transaction: Transaction) -> list[Finding]:
    """Triggers on the tables that a migration writes."""
    rows = transaction.all("doctor.list_triggers", tables=patient.tables, songs=patient.tables[-1])
    ours = [f"{row['name']} on {row['table_name']}" for row in rows if row["is_ours"]]
    found = [
        warning(
            "triggers",
            f"{row['name']} on {row['table_name']} runs for every row that a migration writes",
            "keep it if it has to; or ALTER TABLE … DISABLE TRIGGER while the run lasts",
        )
        for row in rows
        if not row["is_ours"] and not row["is_disabled"] and not row["is_on_source"]
    ]
    found += [
        warning("triggers", f"{row['name']} on {row['table_name']} is disabled", "segue serve makes it work again")
        for row in rows
        if row["is_ours"] and row["is_disabled"] and not row["name"].startswith(PREFIX)
    ]
    return found or ok("triggers", f"of Segue: {', '.join(ours)}" if ours else "none on the targets")


def indexes(patient: Patient, transaction: Transaction) -> list[Finding]:
    """Invalid indexes, and foreign keys without one."""
    found = [
        warning("indexes", f"index {row['name']} is invalid", row["fix"])
        for row in transaction.all("doctor.list_invalid_indexes", schema=patient.schema)
    ]
    found += [
        warning(
            "indexes",
            f"{row['table_name']}.{row['column_name']} refers to another table and has no index",
            row["fix"],
        )
        for row in transaction.all(
            "doctor.list_foreign_keys_without_index",
            schema=patient.schema,
            tags=patient.name("tags"),
            songs=patient.name(patient.table),
        )
    ]
    return found or ok("indexes", "all are valid, and foreign keys have theirs")
