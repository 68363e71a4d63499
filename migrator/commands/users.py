"""`segue users`: answers to data-protection requests."""

import hashlib
import sys
from pathlib import Path

import click

from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.errors import Exit, MigratorError, Refused
from migrator.personal_data.erasure import Erased
from migrator.personal_data.erasure import erase as erase_user
from migrator.personal_data.export import Exported
from migrator.personal_data.export import export as export_user
from migrator.preflight import preflight
from sql.database import Database


@click.group()
def users() -> None:
    """What is stored about one user: hand it out, or erase it."""


@users.command()
@click.argument("name", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file instead of stdout.")
@json_option
@command
def export(session: Session, *, name: str, out: Path | None, as_json: bool) -> None:
    """Print everything that any table holds about the user ID (Spotify id, or users.id) as one JSON document."""
    with session.database() as database:
        preflight(database, session.schema, needs_catalog=True)
        if out is None:
            newline = "" if as_json else "\n"
            export_user(database, session.schema, name, sys.stdout.write, newline=newline)
            return
        done, digest = _export_to(database, session.schema, name, out)
    if as_json:
        print_json({"file": str(out), "sha256": digest, "rows": done.rows, "not_covered": done.not_covered})
    else:
        say(f"{out}: {sum(done.rows.values()):,} rows; sha256 {digest}")
        for table in done.not_covered:
            click.echo(f"segue: {table} refers to users and is not in it; it is the application's own", err=True)


def _export_to(database: Database, schema: str, name: str, out: Path) -> tuple[Exported, str]:
    """Write the document beside FILE, readable by the owner alone, and give it its name when it is whole."""
    unfinished = out.with_name(f"{out.name}.unfinished")
    digest = hashlib.sha256()
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600, exist_ok=False)
        with unfinished.open("w", encoding="utf-8") as file:

            def write(text: str) -> None:
                file.write(text)
                digest.update(text.encode())

            done = export_user(database, schema, name, write, newline="\n")
        unfinished.replace(out)
    except OSError as error:
        raise MigratorError(f"{out}: the export cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return done, digest.hexdigest()


@users.command()
@click.argument("name", metavar="ID")
@click.option("--anonymize", is_flag=True, help="Keep what was listened to, under a random user without a name.")
@click.option(
    "--dry-run", "-d", is_flag=True, envvar="SEGUE_DRY_RUN", show_envvar=True, help="Count, and change nothing."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@command
def erase(session: Session, *, name: str, anonymize: bool, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Erase the user ID (Spotify id, or users.id) from every table, for good; files in a store are not touched."""
    if not yes and not dry_run:
        _confirm()
    with session.database() as database:
        preflight(database, session.schema, needs_catalog=True)
        done = erase_user(
            database, session.schema, name, anonymize=anonymize, is_dry_run=dry_run, migrations=session.migrations
        )
    if as_json:
        print_json({**vars(done), "dry_run": dry_run})
    else:
        _tell(done, is_dry_run=dry_run)
    return Exit.DONE


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise Refused("an erasure cannot be undone; nothing was changed; look with --dry-run first, then give --yes")
    click.confirm("This cannot be undone. Erase?", abort=True, err=True)


def _tell(done: Erased, *, is_dry_run: bool) -> None:
    if done.was_erased:
        say("erased before, and nothing has come since; nothing was changed")
        return
    for table, count in done.rows.items():
        say(f"{count:>12,}  {table}")
    said = "would be anonymized" if done.mode == "anonymize" else "would be erased"
    say(f"{sum(done.rows.values()):,} rows {said if is_dry_run else said.removeprefix('would be ')}")
    for run_id, problem in done.stale_runs.items():
        say(f"run {run_id}: its totals still count the user ({problem}); next: segue validate {run_id} --repair")
    for table in done.not_covered:
        say(f"{table} refers to users and is the application's own: look there yourself")
