"""`segue status`, `validate`, `quarantine` and `certificate`: what is, and whether it is true."""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from migrator import job_queue, registry, report, run_store
from migrator.certificate import certify
from migrator.commands.cleanup import said_of_cleanup
from migrator.commands.rollback import open_run
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.commands.watch import Seen, told, told_of_job, watch_live
from migrator.errors import Exit, MigratorError, Refused, Stopped, UsageError
from migrator.preflight import preflight
from migrator.repair import retry_quarantine, revalidate
from migrator.report import place_of
from migrator.states import RunState
from migrator.stop import StopSignal
from sql.database import Database
from sql.errors import DatabaseError

REFRESH_SECONDS = 1.0

#: States in which a live process is due.
BUSY = {RunState.PREPARING, RunState.MIGRATING, RunState.VALIDATING, RunState.ROLLING_BACK}


@click.command()
@click.argument("run_id", type=int, required=False, metavar="[RUN]")
@click.option("--watch", is_flag=True, help="Show it again every second until the run is at rest.")
@json_option
@command
def status(session: Session, *, run_id: int | None, watch: bool, as_json: bool) -> None:
    """Show all runs, or RUN."""
    with session.database() as database:
        preflight(database, session.schema)
        while True:
            runs, jobs = seen = _seen(database, session, run_id)
            if as_json:
                print_json({"runs": runs, "jobs": jobs})
            elif watch and sys.stdout.isatty():
                watch_live(lambda: _seen(database, session, run_id), is_busy=_is_busy, seconds=REFRESH_SECONDS)
                return
            else:
                _table(*seen)
            if not watch or not _is_busy(seen):
                return
            time.sleep(REFRESH_SECONDS)


def _is_busy(seen: Seen) -> bool:
    """Whether a live process works on one of the runs, or a job waits for one."""
    runs, jobs = seen
    return bool(jobs) or any(run["status"] in BUSY and (run["held_by"] or run["workers"]) for run in runs)


def _seen(database: Database, session: Session, run_id: int | None) -> Seen:
    known = registry.discover(session.migrations)
    with database.transaction() as transaction:
        jobs = [job_queue.as_json(job) for job in job_queue.unfinished(transaction, run_id)]
        if run_id is not None and not jobs:  # of a run that waits there is no row yet
            run_store.find(transaction, run_id)
        runs = [run_store.Run.of(row) for row in transaction.all("runs.list_runs", run_id=run_id)]
        bodies = []
        for run in runs:
            migration = known.get(run.migration)
            step = migration.open(transaction, run.settings, session.schema) if migration else None
            bodies.append(report.run_report(transaction, run, step))
        return bodies, jobs


def _table(runs: list[dict[str, Any]], jobs: list[dict[str, Any]]) -> None:
    if not runs and not jobs:
        say("no runs yet; next: segue migrate --dry-run")
    for run in runs:
        rows = run["rows"]
        share = f"{100 * rows['processed'] / rows['total']:.0f} %" if rows["total"] else "-"
        held = f", held by {run['held_by']}" if run["held_by"] else ""
        mirror = f", mirror {run['mirror']}" if run["mirror"] != "off" else ""
        say(
            f"run {run['run_id']}  {run['migration']}  {run['status']}  {rows['processed']:,} of {rows['total']:,} rows"
            f" ({share}), {rows['quarantined']:,} in quarantine{mirror}{held}"
        )
        if run["error"]:
            say(f"  {run['error']}")
        if run["throttled"] and run["held_by"]:
            say(f"  waiting: {run['throttled']}")
        for worker in run["workers"] if len(run["workers"]) > 1 else ():
            say(f"  {worker['holder']} {told(worker)}")
        if run["status"] == RunState.COMPLETE and run["validated_equal"] is False:
            say(f"  its last validation found a mismatch; next: segue validate {run['run_id']}")
        if said := said_of_cleanup(run):
            say(f"  {said}")
        # A leader whose session has gone is still listed for some seconds, in which it might come back.
        if run["status"] in BUSY and not run["held_by"] and all(worker["leads"] for worker in run["workers"]):
            say(f"  no live process has it; next: segue resume {run['run_id']} or segue rollback {run['run_id']}")
    for job in jobs:
        say(told_of_job(job))
    if any(job["worker"] is None and not job["live_workers"] for job in jobs):
        say("  no worker lives; next: segue worker")


@click.command()
@click.argument("target", required=False, metavar="[NAME|RUN]")
@click.option(
    "--repair",
    is_flag=True,
    help="Convert again what does not match (also links that people removed).",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    envvar="SEGUE_WORKERS",
    show_envvar=True,
    help="Partitions compared at a time.",
)
@json_option
@command
def validate(session: Session, *, target: str | None, repair: bool, workers: int, as_json: bool) -> int:
    """Prove a run (or the latest run of a migration) against its source, by a path that the writer did not use.

    Exit codes: 0 equal, 3 mismatch, 5 the run is unfinished.
    """
    with session.database() as database:
        run, step = open_run(database, session, _run_id(database, session, target))
        stop = StopSignal(abort=database.cancel_running, is_patient=False)
        try:
            with stop.on_signals():
                result = revalidate(database, run, step, workers=workers, repair=repair, stop=stop)
        except DatabaseError as error:
            if stop.is_aborting:
                raise Stopped(stop.reason or "signal") from error
            raise
    if as_json:
        print_json(
            {
                "run_id": run.id,
                "status": "equal" if result.is_equal else "mismatch",
                "equal": result.is_equal,
                "checked_rows": result.checked_rows,
                "mismatches": report.mismatches(result.mismatches),
                "digest": {"expected": str(result.expected), "actual": str(result.stored)},
                "seconds": round(result.seconds, 3),
            }
        )
    else:
        say(
            f"Run {run.id} of {run.migration}: {'equal' if result.is_equal else 'MISMATCH'},"
            f" {result.checked_rows:,} rows checked in {result.seconds:.2f} s"
        )
        say(f"  digest     expected {result.expected}, stored {result.stored}")
        for item in result.mismatches[:20]:
            say(f"  mismatch   {item.key}: {item.problem}")
        if not result.is_equal:
            say(f"Next: segue validate {run.id} --repair")
    return Exit.DONE if result.is_equal else Exit.MISMATCH


def _run_id(database: Database, session: Session, target: str | None) -> int | None:
    if target is None or target.isdecimal():
        return int(target) if target else None
    preflight(database, session.schema)
    registry.get(target, registry.discover(session.migrations))
    with database.transaction() as transaction:
        run = run_store.latest(transaction, target)
    if run is None:
        raise UsageError(f"migration {target!r} has not been run yet; next: segue migrate {target} --dry-run")
    return run.id


@click.group()
def quarantine() -> None:
    """Rows that could not be converted."""


@quarantine.command("list")
@click.option("--run", "run_id", type=int, help="Of this run. [default: the latest]")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="At most this many.")
@json_option
@command
def list_rows(session: Session, *, run_id: int | None, limit: int, as_json: bool) -> None:
    """List them with key, payload and reason."""
    with session.database() as database:
        run, _ = open_run(database, session, run_id)
        with database.transaction() as transaction:
            rows = transaction.all("runs.read_quarantine", run_id=run.id, most=limit)
    if as_json:
        print_json({"run_id": run.id, "quarantine": rows})
        return
    for row in rows:
        payload = "" if row["payload"] is None else json.dumps(row["payload"], ensure_ascii=True)
        say(f"{place_of(row['key'], row['pointer'])}  {row['reason']}  {payload}".rstrip())
    cure = "mend them with 'segue vocabulary import'" if run.migration == "themes" else "mend them in the source"
    if any(row["sqlstate"] for row in rows):
        cure += ", or the rule of the application's that refuses them"
    say(f"{len(rows):,} listed; {cure}, then: segue quarantine retry")


@quarantine.command()
@click.option("--run", "run_id", type=int, help="Of this run. [default: the latest]")
@json_option
@command
def retry(session: Session, *, run_id: int | None, as_json: bool) -> int:
    """Convert them again with the vocabulary as it is now; exits 4 while some remain."""
    with session.database() as database:
        run, step = open_run(database, session, run_id)
        stop = StopSignal(abort=database.cancel_running)
        before, after, left = retry_quarantine(database, run, step, stop)
    if as_json:
        print_json({"run_id": run.id, "before": before, "after": after, "rows": left})
    else:
        say(f"run {run.id}: {before - after:,} elements converted, {after:,} still in quarantine")
        if left:
            cure = "mend them in the source"
            if run.migration == "themes":
                cure = "decide about their texts (segue vocabulary export FILE, edit, import FILE)"
            say(f"Next: {cure}, and retry")
    return Exit.QUARANTINED if left else Exit.DONE


@click.command()
@click.argument("run_id", type=int, metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file instead of stdout.")
@command
def certificate(session: Session, *, run_id: int, out: Path | None) -> None:
    """Print RUN's certificate: counts, digests, settings, timings and checks, to prove later that nothing was lost."""
    with session.database() as database:
        run, step = open_run(database, session, run_id)
        if run.status in {RunState.PREPARING, RunState.MIGRATING, RunState.VALIDATING}:
            raise Refused(f"run {run.id} is {run.status}; a certificate needs a run at rest")
        text = json.dumps(certify(database, run, step), indent=2, ensure_ascii=False, default=str)
    if out is None:
        say(text)
        return
    try:
        out.write_text(text + "\n", "utf-8")
    except OSError as error:
        raise MigratorError(f"{out}: the certificate cannot be written: {error.strerror}") from error
    say(f"{out}: sha256 {hashlib.sha256((text + chr(10)).encode()).hexdigest()}")
