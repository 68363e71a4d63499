"""`segue vocabulary`: look at the mapping before a run, take it out, edit it, bring it back."""

from pathlib import Path
from typing import Any

import click

from migrator import registry
from migrator.commands.migrate import migration_options
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.preflight import preflight
from migrator.request import Request, with_defaults
from migrator.vocabulary_files import export_csv, import_csv
from migrator.vocabulary_preview import planned_vocabulary, suggestions
from sql.database import Database


@click.group()
def vocabulary() -> None:
    """The mapping from raw theme texts to canonical tags."""


def _planned(session: Session, database: Database, options: dict[str, Any]) -> Any:
    """Return the themes step of the given table options."""
    preflight(database, session.schema)
    migration = registry.get("themes", registry.discover())
    names = {option.name for option in migration.options}
    given = {name: value for name, value in options.items() if value is not None and name in names}
    request = with_defaults(Request(migration, given, session.schema))
    with database.transaction() as transaction:
        step = migration.open(transaction, request.settings, session.schema)
    step.source.require()
    return step


@vocabulary.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=50,
    show_default=True,
    help="At most this many, most used first.",
)
@migration_options
@json_option
@command
def show(session: Session, /, *, limit: int, as_json: bool, **options: Any) -> None:
    """Show what a run would map each distinct text to; changes nothing."""
    with session.database() as database:
        step = _planned(session, database, options)
        with planned_vocabulary(database, step) as words:
            rows = [row for _, row in zip(range(limit), words, strict=False)]
    if as_json:
        print_json({"vocabulary": rows})
        return
    for row in rows:
        say(
            f"{row['uses']:>8,}  {row['raw']!r} -> {row['canonical'] or '-'}"
            f"  ({row['how']}{', ' + row['reason'] if row['reason'] else ''})"
        )


@vocabulary.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@migration_options
@command
def export(session: Session, /, *, file: Path, **options: Any) -> None:
    """Write it to FILE as CSV: raw,canonical,category,how,count. Edit canonical, then import."""
    with session.database() as database:
        step = _planned(session, database, options)
        with planned_vocabulary(database, step) as words:
            count = export_csv(file, words)
    say(f"{file}: {count:,} texts; edit the column canonical, then: segue vocabulary import {file}")


@vocabulary.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@command
def import_(session: Session, *, file: Path, as_json: bool) -> None:
    """Take FILE's mappings as decisions for later runs; all of them or, when a line is wrong, none."""
    with session.database() as database:
        preflight(database, session.schema)
        result = import_csv(database, file, schema=session.schema)
    if as_json:
        print_json(result)
    else:
        say(
            f"{file}: {result['decided']:,} decisions, {result['withdrawn']:,} withdrawn,"
            f" {result['unchanged']:,} lines as they were"
        )


@vocabulary.command()
@click.option(
    "--limit", type=click.IntRange(1, 20_000), default=50, show_default=True, help="At most this many, most used first."
)
@migration_options
@json_option
@command
def suggest(session: Session, /, *, limit: int, as_json: bool, **options: Any) -> None:
    """Suggest which new texts may be misspellings of known tags; only an import makes them so."""
    with session.database() as database:
        step = _planned(session, database, options)
        found = suggestions(database, step, limit)
    if as_json:
        print_json({"suggestions": [vars(item) for item in found]})
        return
    for item in found:
        say(str(item))
    say(f"{len(found):,} suggestions; accept them by editing the file of: segue vocabulary export FILE")
