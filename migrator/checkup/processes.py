"""Checks of who is there: jobs that wait, workers to do them, and the processes of runs."""

from migrator import job_queue
from migrator.checkup.findings import Finding, ok, warning
from migrator.checkup.patient import Patient
from migrator.lease import HEARTBEAT_SECONDS, LEASE_SECONDS
from sql.database import Row, Transaction

#: A process shows itself every five seconds; one that has not for so long is dead, or cut off.
SILENT_SECONDS = 3.0 * HEARTBEAT_SECONDS


def jobs(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Jobs that were asked for over HTTP, and whether a worker lives that will do them."""
    found = []
    for job in job_queue.unfinished(transaction):
        said = f"job {job['id']} ({job['kind']} {job['migration']}, run {job['run_id']})"
        if job["is_at_work"]:
            found += ok("jobs", f"{said} is at work: {job['holder']}")
        elif job["state"] == "working":
            dead = f"{said}: its worker, {job['holder']}, has not been heard of for {job['silent_seconds']:.0f} s"
            mends = "; another one goes on with it" if job["live_workers"] else " and no worker lives"
            found.append(warning("jobs", dead + mends, "segue worker"))
        elif job["live_workers"]:
            found += ok(
                "jobs", f"{said} waits since {job['waiting_seconds']:.0f} s; {job['live_workers']} workers live"
            )
        else:
            found.append(
                warning(
                    "jobs",
                    f"{said} waits since {job['waiting_seconds']:.0f} s and no worker lives{_seen(transaction, job)}",
                    "segue worker",
                )
            )
    return found or ok("jobs", "none waits")


def _seen(transaction: Transaction, job: Row) -> str:
    """Say which worker was there last, and whether those that live only lack the migration."""
    workers = transaction.all("job_queue.list_workers")
    if any(worker["silent_seconds"] < LEASE_SECONDS for worker in workers):
        return f" that has the migration {job['migration']} (option --migrations)"
    if not workers:
        return ""
    return f"; the last, {workers[0]['holder']}, was heard of {workers[0]['silent_seconds']:.0f} s ago"


def processes(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Processes of runs that are under way, joiners among them, and since when they are silent."""
    found = []
    for row in transaction.all("job_queue.list_holders", lease_seconds=LEASE_SECONDS):
        who = (
            f"{row['holder']} {'leads' if row['is_leader'] else 'has joined'} run {row['run_id']} of {row['migration']}"
        )
        if row["partitions"]:
            who += f", partition {', '.join(str(ordinal) for ordinal in row['partitions'])}"
        if row["is_live"] and row["silent_seconds"] < SILENT_SECONDS:
            found += ok("processes", who)
            continue
        silent = f"{who}, and has not been heard of for {row['silent_seconds']:.0f} s"
        # A leader's place is taken by a joiner or by whoever resumes; a joiner's partitions by the others.
        fix = f"segue resume {row['run_id']}" if row["is_leader"] else f"segue migrate {row['migration']} --join"
        found.append(warning("processes", silent, fix))
    return found or ok("processes", "no run is under way")
