"""Checks of the server around a migration: what others do there, and how much room it has."""

from datetime import UTC, datetime
from pathlib import Path
from shutil import disk_usage

from migrator.checkup.findings import Finding, blocked, ok, warning
from migrator.checkup.patient import Patient
from sql.database import Transaction

#: Transactions older than this hold back clean-up and locks; a chunk takes a quarter of a second.
OLD_SECONDS = 300
#: A standby further behind than this would be further behind after a migration.
LAG_SECONDS = 60
#: Bytes of WAL that a slot may keep for a reader who is away.
MUCH_WAL = 1 << 30
#: Clocks that differ by more make ETAs and ages wrong. Leases are measured by the server's clock alone.
CLOCK_SECONDS = 5
#: Workers, heartbeat and commands of one run.
CONNECTIONS_NEEDED = 10
FEW_TRANSACTIONS_LEFT, NO_TRANSACTIONS_LEFT = 500_000_000, 50_000_000


def transactions(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Old transactions of others."""
    found = [
        warning(
            "transactions",
            f"session {row['pid']} ({row['application']} of {row['role']}, {row['state']}) has had one open for"
            f" {row['seconds']} s",
            row["fix"],
        )
        for row in transaction.all("doctor.list_old_transactions", seconds=OLD_SECONDS)
    ]
    found += [
        warning("transactions", f"{row['gid']!r} is prepared since {row['seconds']} s", row["fix"])
        for row in transaction.all("doctor.list_prepared_transactions", seconds=OLD_SECONDS)
    ]
    return found or ok("transactions", f"none is open for {OLD_SECONDS} s")


def replication(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Slots that keep WAL, standbys that lag."""
    found = [
        warning(
            "replication",
            f"nobody reads slot {row['name']}, which keeps {row['bytes'] / 1e9:.1f} GB of WAL",
            row["fix"],
        )
        for row in transaction.all("doctor.list_idle_slots")
        if row["bytes"] >= MUCH_WAL
    ]
    found += [
        warning("replication", f"standby {row['name']} is {row['seconds']} s behind", "wait until it has caught up")
        for row in transaction.all("doctor.list_lagging_standbys", seconds=LAG_SECONDS)
    ]
    return found or ok("replication", "no slot keeps WAL back, no standby lags")


def vacuum(patient: Patient, transaction: Transaction) -> list[Finding]:
    """Autovacuum of the tables, and transaction ids left."""
    found = [
        warning("vacuum", f"autovacuum is off for {row['name']}", row["fix"])
        for row in transaction.all("doctor.list_tables_without_autovacuum", tables=patient.tables)
    ]
    left = transaction.one("doctor.read_wraparound")["transactions_left"]
    if left < FEW_TRANSACTIONS_LEFT:
        make = blocked if left < NO_TRANSACTIONS_LEFT else warning
        found.append(
            make("vacuum", f"{left:,} transaction ids are left before the server stops writing", "VACUUM FREEZE")
        )
    return found or ok("vacuum", f"autovacuum is on; {left:,} transaction ids are left")


def space(patient: Patient, transaction: Transaction) -> list[Finding]:
    """Room for links, their two indexes and the WAL of both: at most about twice the source."""
    row = transaction.one("doctor.read_space", songs=patient.name(patient.table))
    needed = 2 * int(row["source_bytes"])
    said = f"the database has {row['database_bytes'] / 1e6:,.0f} MB; a run may add {needed / 1e6:,.0f} MB"
    place = Path(row["data_directory"] or "")
    if row["data_directory"] and place.is_dir() and transaction.connection.info.host.startswith("/"):
        free = disk_usage(place).free
        if free < needed:
            return [blocked("space", f"{said}, and {free / 1e6:,.0f} MB are free", "make room on the server's disk")]
        return ok("space", f"{said}; {free / 1e6:,.0f} MB are free")
    return ok("space", f"{said}; the server does not say how much is free")


def connections(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Free connections."""
    row = transaction.one("doctor.read_connections")
    free = row["most"] - row["used"]
    if free < CONNECTIONS_NEEDED:
        fix = "use fewer --workers, or raise max_connections"
        return [warning("connections", f"only {free} of {row['most']} are free", fix)]
    return ok("connections", f"{free} of {row['most']} are free")


def clock(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """How far this machine's clock and the server's are apart."""
    apart = abs((datetime.now(UTC) - transaction.one("doctor.read_clock")["now"]).total_seconds())
    if apart > CLOCK_SECONDS:
        return [
            warning("clock", f"this machine's clock and the server's are {apart:.0f} s apart", "timedatectl set-ntp on")
        ]
    return ok("clock", f"within {CLOCK_SECONDS} s of the server's")


def pooler(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Whether a pooler stands between."""
    pid = transaction.one("session.describe_server")["backend_pid"]
    if pid != transaction.connection.info.backend_pid:
        fix = "give a direct connection in DATABASE_URL to notice a dead process at once"
        return [warning("pooler", "a pooler stands between; a dead process's run is free after 30 s", fix)]
    return ok("pooler", "the connection is direct")


def extensions(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Which extensions there are."""
    row = transaction.one("doctor.list_extensions", names=["pg_trgm"])
    said = "installed" if row["is_installed"] else "available" if row["is_available"] else "not available"
    return ok("extensions", f"pg_trgm is {said}; Segue needs none")
