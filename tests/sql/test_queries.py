"""Every named query is valid SQL against the real schema."""

import re
from importlib.resources import files

import psycopg
import pytest
from psycopg import sql as psql

from migrator import registry
from migrator.migrations.themes import MIGRATION
from migrator.source import KeyRange
from sql import queries
from sql.database import Database, compose

AREAS = sorted(
    path.name.removesuffix(".sql") for path in (files("sql") / "queries").iterdir() if path.name.endswith(".sql")
)
NAMES = [f"{area}.{name}" for area in AREAS for name in queries(area)]

#: Parts of other queries; they are prepared inside those.
PARTS = re.compile(
    r"themes\.(elements_of|exploded|hash_of|count_in|count_by|link_|made_)|source\.(after|upto)$|constraints\.foreign_key_to_songs$"
)
#: Statements that PREPARE does not take.
UTILITIES = ("lock", "create", "alter", "drop", "copy", "truncate", "analyze", "set ", "{definition}")
COLUMNS = {
    "array": ("text[]", None),
    "split": ("varchar(40)[]", ","),
    "json": ("jsonb", None),
    "json split": ("jsonb", ","),
}


def open_step(database: Database, connection: psycopg.Connection, kind: str):
    """Return the themes step for a source of one kind."""
    column_type, split = COLUMNS[kind]
    connection.execute(f"CREATE TABLE songs (id uuid PRIMARY KEY, title text, themes {column_type})")
    with database.transaction() as transaction:
        settings = {option.name: option.default for option in MIGRATION.options} | {"split": split}
        return MIGRATION.open(transaction, settings, "public")


def fragments_for(step) -> dict[str, psql.Composable]:
    """Return every fragment that a query may ask for."""
    page, _ = step.source.page(KeyRange("a", "b"))
    fragments = {
        **step.fragments,
        "page": page,
        "link": compose("themes.link_on_conflict", step.fragments),
        "made": compose("themes.made_what_was_returned"),
        "conditions": psql.SQL("true"),
        "name": psql.Identifier("a_name"),
        "target": step.fragments["song_tags"],
        "target_name": psql.Literal("public.song_tags"),
        "link_in_range": step.source.in_range(KeyRange("a", "b"), psql.Identifier("link", "song_id")),
        "quarantine_in_range": step.source.in_range(KeyRange("a", "b"), psql.SQL("quarantine.key::uuid")),
        "stored_in_range": psql.SQL("true"),
        "columns": psql.SQL("song_id, tag_id"),
        "stored_columns": psql.SQL("stored.song_id, stored.tag_id"),
        "target_key": psql.Identifier("song_id"),
        "definition": psql.SQL("SELECT 1"),
        "column": psql.Identifier("id"),
    }
    return {**fragments, "expected": compose("themes.expected_pairs", fragments)}


def numbered(query: str) -> str:
    """Turn %(name)s into $1, $2, … and %% into %."""
    names: dict[str, int] = {}
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.setdefault(match[1], len(names) + 1)}", query)
    return text.replace("%%", "%")


@pytest.mark.system
@pytest.mark.parametrize("kind", COLUMNS)
def test_every_query_can_be_prepared(kind: str, database_url: str, connection: psycopg.Connection) -> None:
    """PostgreSQL parses and plans each named query; parts and utility statements are the only exceptions."""
    database = Database(database_url)
    step = open_step(database, connection, kind)
    fragments = fragments_for(step)
    json_page, _ = step.source.reading(psql.SQL("to_jsonb(title)")).page(KeyRange("a", "b"))
    with connection.transaction(force_rollback=True):
        for name in ("create_stage", "create_words"):
            connection.execute(compose(f"vocabulary.{name}"))
        for number, name in enumerate(NAMES):
            given = {**fragments, "page": json_page} if name.startswith("pure_step.") else fragments
            text = numbered(compose(name, given).as_string(connection))
            if PARTS.match(name) or text.lower().lstrip().startswith(UTILITIES) or name == "constraints.create_index":
                continue
            result = connection.pgconn.prepare(f"query_{number}".encode(), text.encode())
            assert (name, b"") == (name, result.error_message)
    database.close()


def test_every_query_is_called() -> None:
    """A named query that no module names is dead."""
    sources = "\n".join(
        path.read_text()
        for package in ("migrator", "sql", "monitoring")
        for path in files(package).joinpath(".").rglob("*.py")
    )

    unused = [
        name for name in NAMES if name not in sources and not re.search(rf"""["'.]{name.split(".")[1]}\b""", sources)
    ]

    assert [] == [name for name in unused if not PARTS.match(name)]


def test_registry_knows_the_migrations() -> None:
    """Discovery finds the migrations that ship."""
    assert ["themes"] == list(registry.discover())
