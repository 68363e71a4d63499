"""`segue rehearse`."""

import time
from collections.abc import Mapping
from typing import Any

import click

from migrator import registry
from migrator.commands.migrate import migration_options, settings_of
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.errors import Exit, Refused
from migrator.migration import Migration
from migrator.progress import observing
from migrator.rehearsing.acts import Acts, Findings, p99
from migrator.rehearsing.scratch import Sample, clone, kept_name, scratch_database
from migrator.request import Request, with_defaults
from migrator.source import TableSource
from migrator.stop import StopSignal
from sql.database import Database

_SAID = {
    "G1": "a killed chunk leaves nothing half-done",
    "G2": "the same command again comes to the end of one uninterrupted run",
    "G3": "the dry run changes nothing",
    "G4": "no acknowledged write of users is lost or reverted",
    "G5": "the tags are what the source says, by an independent path",
    "G6": "rolled back, every table is what it was",
    "G7": "a second migrate changes nothing",
}


@click.command()
@click.argument("name", default="themes", envvar="SEGUE_MIGRATION")
@click.option(
    "--sample", default="100000", show_default=True, metavar="N|N%|all", help="Rows of the source to rehearse with."
)
@click.option("--scratch", metavar="URL", help="Server of the scratch database. [default: the database's own]")
@click.option("--kills", type=click.IntRange(0, 100), default=3, show_default=True, help="How often to kill the run.")
@click.option("--writers", type=click.IntRange(0, 64), default=4, show_default=True, help="Synthetic users.")
@click.option("--keep", is_flag=True, help="Keep the scratch database, and say its name.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    envvar="SEGUE_WORKERS",
    show_envvar=True,
    help="Partitions converted at a time.",
)
@migration_options
@json_option
@command
def rehearse(session: Session, /, *, name: str, as_json: bool, **options: Any) -> int:
    """Play migration NAME (default: themes) in a scratch copy of its source: dry run, migrate, kills, users, rollback.

    The real database is only read. Exit codes: 0 every guarantee held, 3 one did not, 5 refused, 6 stopped.
    """
    started = time.monotonic()
    sample = Sample.of(options["sample"])
    migration = registry.get(name, registry.discover(session.migrations))
    request = _request(migration, session, options)
    with session.database() as real, observing() as observers:
        source = _source(real, request)
        server = Database(options["scratch"]) if options["scratch"] else real
        stop = StopSignal(abort=real.cancel_running)
        try:
            with stop.on_signals(), scratch_database(server, keep=options["keep"]) as scratch:
                stop.on_abort(scratch.cancel_running)
                rows, total = clone(real, scratch, source, session.schema, sample)
                if not rows:
                    raise Refused(f"{source} has no rows to rehearse with (of {total:,}; see --sample)")
                acts = Acts(
                    scratch,
                    request,
                    rows,
                    session.migrations,
                    stop,
                    observers,
                    options["kills"],
                    options["writers"],
                )
                found = acts.play()
                kept = kept_name(scratch) if options["keep"] else None
        finally:
            if server is not real:
                server.close()
    body = rehearsal_report(name, found, rows, total)
    body |= {"kept": kept, "seconds": round(time.monotonic() - started, 3)}
    if as_json:
        print_json(body)
    else:
        _tell(body)
    return Exit.DONE if found.is_sound else Exit.MISMATCH


def rehearsal_report(name: str, found: Findings, rows: int, total: int) -> dict[str, Any]:
    """Return the JSON object of `segue rehearse`, but for `kept` and `seconds`."""
    assert found.dry is not None, "every act was played"
    scale = total / rows
    return {
        "migration": name,
        "status": "passed" if found.is_sound else "failed",
        "rows": {"sample": rows, "total": total},
        "guarantees": {
            key: {"ok": not problems, "problems": problems} for key, problems in sorted(found.problems.items())
        },
        "kills": found.kills,
        "estimate": {
            "seconds": round(found.seconds * scale, 1),
            "rows_per_second": round(rows / max(found.seconds, 1e-6), 1),
            "wal_bytes": int(found.wal_bytes * scale),
            "disk_bytes": int(found.disk_bytes * scale),
        },
        "writers": {
            "writes": found.writes,
            "p99_ms_before": _ms(p99(found.usual)),
            "p99_ms_during": _ms(p99(found.under_fire)),
            "longest_ms": _ms(found.under_fire[-1] if found.under_fire else None),
            "longest_lock_wait_ms": _ms(found.longest_lock_wait),
        },
        "quarantine": {
            "rows": found.dry.counts.quarantined_rows,
            "elements": found.dry.counts.quarantined,
            "errors": [{"key": item.key, "error": item.problem, "recoverable": True} for item in found.dry.problems],
        },
        "notes": found.notes,
        "vocabulary": {"exact": 0, "synonym": 0, "fuzzy": 0, "new": 0, **found.dry.preview.words},
    }


def _request(migration: Migration, session: Session, options: dict[str, Any]) -> Request:
    if not any(option.name == "column" for option in migration.options):
        raise Refused(
            f"migration {migration.name!r} reads no legacy table of its own, so there is nothing to clone; "
            f"segue migrate {migration.name} --dry-run executes all of it and rolls it back"
        )
    general = {"sample", "scratch", "kills", "writers", "keep", "workers"}
    settings = settings_of(migration, options, general)
    return with_defaults(Request(migration, settings, session.schema, workers=options["workers"]))


def _source(real: Database, request: Request) -> TableSource:
    """Look the source up in the real database, which need not have Segue's schema yet."""
    with real.transaction() as transaction:
        transaction.run("rehearsing.begin_read_only")
        settings = {option.name: request.settings[option.name] or "" for option in request.migration.options}
        return TableSource.find(
            transaction,
            table=settings["table"],
            key=settings["key"],
            column=settings["column"],
            schema=request.schema,
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1_000 * seconds, 2)


def _tell(body: Mapping[str, Any]) -> None:
    rows, estimate, users = body["rows"], body["estimate"], body["writers"]
    say(f"Rehearsal of {body['migration']}: {body['status']}, {rows['sample']:,} of {rows['total']:,} rows")
    for key, held in body["guarantees"].items():
        _line(key, f"{'held' if held['ok'] else 'BROKEN'}: {_SAID[key]}")
        for problem in held["problems"]:
            _line("", problem)
    _line("kills", f"{body['kills']} survived")
    _line(
        "real run",
        f"{estimate['seconds']:.1f} s, {estimate['wal_bytes'] / 1e6:,.1f} MB of WAL, "
        f"{estimate['disk_bytes'] / 1e6:,.1f} MB of disk, as measured here and scaled up",
    )
    if users["writes"]:
        _line(
            "users",
            f"{users['writes']:,} writes, p99 {users['p99_ms_before']} ms before, {users['p99_ms_during']} ms during; "
            f"longest {users['longest_ms']} ms, longest wait for a lock {users['longest_lock_wait_ms']} ms",
        )
    _line("quarantine", f"{body['quarantine']['elements']:,} elements of {body['quarantine']['rows']:,} rows")
    for item in body["quarantine"]["errors"][:5]:
        _line("", f"{item['key']}: {item['error']}")
    for note in body["notes"]:
        _line("note", note)
    if body["kept"]:
        _line("kept", f"database {body['kept']}; drop it when you are done")
    say(f"The real database was only read. Next: segue migrate {body['migration']} --dry-run")


def _line(label: str, text: str) -> None:
    say(f"  {label:<11}{text}")
