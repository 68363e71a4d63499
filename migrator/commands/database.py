"""`segue db` and `segue load`."""

from pathlib import Path

import click

from migrator import registry
from migrator.catalog import WAYS_OUT, sentences
from migrator.commands.session import Session, command, json_option, print_json, say
from migrator.errors import UsageError
from migrator.jobs import announce
from migrator.preflight import preflight
from migrator.songs import load_songs
from sql.revision import LATEST


@click.group()
def db() -> None:
    """The database: the embedded server's life, and Segue's schema."""


@db.command()
@command
def up(session: Session) -> None:
    """Start the embedded PostgreSQL (made at the first time) and print its URL."""
    _require_embedded(session)
    say(session.server.up())


@db.command()
@click.option(
    "--immediate", is_flag=True, help="Do not wait for sessions and write nothing back; it recovers at the next start."
)
@command
def down(session: Session, *, immediate: bool) -> None:
    """Stop the embedded PostgreSQL; nothing happens when it does not run."""
    _require_embedded(session)
    session.server.down(immediate=immediate)
    say("stopped")


@db.command()
@command
def url(session: Session) -> None:
    """Print the URL of the embedded PostgreSQL."""
    _require_embedded(session)
    say(session.server.url())


@db.command()
@command
def upgrade(session: Session) -> None:
    """Create or upgrade Segue's schema; touches no table of the application's own.

    The catalog is left out while a table of the application's stands in its way, which stderr says.
    """
    from sql.schema import upgrade as bring_up  # noqa: PLC0415 - Alembic is slow to import

    with session.database() as database:
        left_out = bring_up(database, schema=session.schema)
        preflight(database, session.schema)
        announce(database, registry.discover(session.migrations))
        say(f"{database}: schema at revision {LATEST}")
    if left_out:
        _tell_left_out(left_out)


def _tell_left_out(differences: dict[str, list[str]]) -> None:
    for line in (
        "the catalog was left out, and none of its tables was made or changed:",
        *(f"  {sentence}" for sentence in sentences(differences)),
        "`themes` needs none of them; `node-persist`, `snapshots`, `segue users` and `segue keys rotate` do.",
        WAYS_OUT,
    ):
        click.echo(f"segue: {line}", err=True)


@click.group()
def load() -> None:
    """Load legacy data for demos and tests."""


@load.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--table",
    default="songs",
    show_default=True,
    envvar="SEGUE_TABLE",
    show_envvar=True,
    help="Legacy table; made when it is missing.",
)
@json_option
@command
def songs(session: Session, *, file: Path, table: str, as_json: bool) -> None:
    """Load songs (id, title, themes) from FILE.jsonl or FILE.csv; all of them or, when a line is wrong, none."""
    with session.database() as database:
        loaded = load_songs(database, file, table=table, schema=session.schema)
    if as_json:
        print_json({"table": table, "loaded": loaded})
    else:
        say(f"loaded {loaded:,} songs into {session.schema}.{table}")


def _require_embedded(session: Session) -> None:
    if session.url:
        raise UsageError("DATABASE_URL is set, so no embedded PostgreSQL is used; unset it first")
