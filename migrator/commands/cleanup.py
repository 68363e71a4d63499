"""`segue cleanup`, and its undo, which `segue rollback` begins with."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from migrator import registry, run_store
from migrator.cleanup.cleaned import Cleaned
from migrator.cleanup.cleaning import Cleaning
from migrator.cleanup.reasons import CleanupRefused, Reason
from migrator.cleanup.undo import Undo, Undone, give_up
from migrator.cleanup_record import TAKEN, CleanupState, Record
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.errors import Exit, Refused
from migrator.events import Observer
from migrator.migration import Migration, Step
from migrator.preflight import preflight
from migrator.progress import observing
from migrator.run_store import Run
from migrator.stop import StopSignal
from sql.database import Database


@click.command()
@click.argument("name", default="themes", envvar="SEGUE_MIGRATION")
@click.option(
    "-d",
    "--dry-run",
    is_flag=True,
    envvar="SEGUE_DRY_RUN",
    show_envvar=True,
    help="Show what would be archived and dropped, and what stands in the way; nothing is changed.",
)
@click.option(
    "--accept-differences",
    is_flag=True,
    help="Go on although tags differ from the column, because people have edited tags since on purpose.",
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
def cleanup(
    session: Session, *, name: str, dry_run: bool, accept_differences: bool, workers: int, as_json: bool
) -> int:
    """Archive and drop the legacy column of migration NAME (default: themes), once its latest run is proven.

    `segue rollback` brings it back. Exit codes: 0 done, 5 refused, every reason with its next step, 6 stopped and
    resumable.
    """
    with session.database() as database, observing() as observers:
        stop = StopSignal(abort=database.cancel_running)
        try:
            run, step = _open(database, session, name)
            cleaning = Cleaning(
                database,
                run,
                step,
                stop,
                observers,
                accepts_differences=accept_differences,
                workers=workers,
            )
            with stop.on_signals():
                cleaned = cleaning.rehearse() if dry_run else cleaning.execute()
        except CleanupRefused as refused:
            _refuse(refused, name, is_dry=dry_run, as_json=as_json)
            return Exit.REFUSED
    body = cleanup_report(cleaned, is_dry=dry_run)
    if as_json:
        print_json(body)
    else:
        _tell(body)
    return Exit.DONE


def cleanup_report(cleaned: Cleaned, *, is_dry: bool) -> dict[str, Any]:
    """Return the JSON object of `segue cleanup`."""
    record, source = cleaned.record, cleaned.source
    return {
        "run_id": cleaned.run.id,
        "migration": cleaned.run.migration,
        "status": "dropped" if record else "would drop",
        "dry_run": is_dry,
        "unchanged": cleaned.is_unchanged,
        "column": f"{source}.{source.column}",
        "with_it": cleaned.column,
        "mirrors": cleaned.mirrors,
        "archive": record.archive if record else f"segue.archive_{cleaned.run.id}",
        "restore_point": record.row["restore_point"] if record else None,
        "caught_up": record.row["caught_up"] if record else 0,
        "rows_archived": cleaned.rows,
        "bytes": cleaned.bytes,
        "notes": cleaned.notes,
        "reasons": [],
        "seconds": round(cleaned.seconds, 3),
    }


def said_of_cleanup(run: Mapping[str, Any]) -> str:
    """Return what `segue status` says of a run's legacy column; empty when it is in place."""
    found = run.get("cleanup") or {"state": CleanupState.UNDONE}
    if found["state"] == CleanupState.UNDONE:
        return ""
    column, back = found["column"], f"segue rollback {run['run_id']}"
    if found["state"] == CleanupState.DROPPED:
        return f"{column} was dropped by segue cleanup; its values: {found['archive']}; to bring it back: {back}"
    if found["state"] == CleanupState.ARCHIVING:
        return f"{column} is being archived; go on: segue cleanup {run['migration']}; give it up: {back}"
    return f"{column} is being brought back; go on: {back}"


def has_undone(
    database: Database,
    run: Run,
    step: Step,
    stop: StopSignal,
    observers: tuple[Observer, ...],
    *,
    is_dry: bool,
    as_json: bool,
) -> bool:
    """Undo the run's cleanup, if there is one, and report it; a cleanup that was only begun is given up silently.

    Returns:
        Whether there was one to undo; then the run itself is left as it is.
    """
    with database.transaction() as transaction:
        record = Record.find(transaction, run.id)
    if record is not None and record.state is CleanupState.ARCHIVING and not is_dry:
        give_up(database, run, step, record, stop, observers)
    if record is None or record.state not in TAKEN:
        return False
    undo = Undo(database, run, step, record, stop, observers)
    with stop.on_signals():
        undone = undo.rehearse() if is_dry else undo.execute()
    body = _undo_report(run, undone, is_dry=is_dry)
    if as_json:
        print_json(body)
    else:
        _tell_undone(body)
    return True


def _undo_report(run: Run, undone: Undone, *, is_dry: bool) -> dict[str, Any]:
    notes = ["the column is the table's last now; PostgreSQL cannot put it back in its place"]
    if undone.made_since:
        notes.append(f"{undone.made_since:,} rows were made since; they have the column's default")
    if undone.deleted_since:
        notes.append(f"{undone.deleted_since:,} archived values have no row any more")
    return {
        "run_id": run.id,
        "status": run.status,
        "dry_run": is_dry,
        "undone": "cleanup",
        "removed": {},
        "restored": {undone.record.column: undone.rows},
        "conflicts": [],
        "notes": notes,
        "seconds": round(undone.seconds, 3),
    }


def _open(database: Database, session: Session, name: str) -> tuple[Run, Step]:
    migration = registry.get(name, registry.discover(session.migrations))
    _require_column(migration)
    preflight(database, session.schema)
    with database.transaction() as transaction:
        run = run_store.latest(transaction, name)
        if run is None:
            reason = Reason(f"migration {name!r} has not been run yet", f"segue migrate {name} --dry-run")
            raise CleanupRefused(None, [reason])
        return run, migration.open(transaction, run.settings, session.schema)


def _require_column(migration: Migration) -> None:
    if not any(option.name == "column" for option in migration.options):
        raise Refused(
            f"migration {migration.name!r} has no legacy column to drop; its source stays as it is, and "
            "whether it is still needed is yours to say"
        )


def _refuse(refused: CleanupRefused, name: str, *, is_dry: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "run_id": refused.run_id,
                "migration": name,
                "status": "refused",
                "dry_run": is_dry,
                "reasons": [reason.as_json() for reason in refused.reasons],
                "error": str(refused),
                "exit_code": int(Exit.REFUSED),
            }
        )
    click.echo(f"segue: {refused}", err=True)
    sys.stderr.flush()


def _tell(body: Mapping[str, Any]) -> None:
    done = "was dropped before - nothing to do" if body["unchanged"] else "dropped"
    say(f"{body['column']}: {'would be dropped' if body['status'] != 'dropped' else done}")
    parts = body["with_it"]
    has = [parts["type"], *(["not null"] if parts["not_null"] else [])]
    has += [f"default {parts['default']}"] if parts["default"] else []
    has += [f"index {name}" for name in parts["indexes"]] + [f"constraint {name}" for name in parts["constraints"]]
    has += [f"{parts['grants']} grants"] if parts["grants"] else []
    _line("column", ", ".join(has))
    counted = (
        f", {body['rows_archived']:,} rows, {body['bytes'] / 1e6:,.2f} MB" if body["rows_archived"] is not None else ""
    )
    _line("archive", body["archive"] + counted)
    if body["restore_point"]:
        _line("restore", f"point {body['restore_point']}")
    for name in body["mirrors"]:
        _line("trigger", name)
    if body["caught_up"]:
        _line(
            "caught up",
            f"{body['caught_up']:,} rows were written meanwhile; see that nothing writes the column any more",
        )
    for note in body["notes"]:
        _line("note", note)
    say(
        f"Next: segue cleanup {body['migration']}"
        if body["status"] != "dropped"
        else f"Undo: segue rollback {body['run_id']}"
    )


def _tell_undone(body: Mapping[str, Any]) -> None:
    for column, rows in body["restored"].items():
        say(f"{column}: {'would come back' if body['dry_run'] else 'is back'}, {rows:,} rows with their values")
    for note in body["notes"]:
        _line("note", note)
    say(f"Run {body['run_id']} is {body['status']} as before. To take it back, too: segue rollback {body['run_id']}")


def _line(label: str, text: str) -> None:
    say(f"  {label:<11}{text}")
