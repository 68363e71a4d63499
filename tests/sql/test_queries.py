"""Every named query is valid SQL against the real schema."""

import re
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from psycopg import sql as psql

from migrator import registry
from migrator.migrations import snapshots
from migrator.migrations.themes import MIGRATION
from migrator.personal_data.tables import PERSONAL, application_names
from migrator.source import KeyRange
from sql import queries
from sql.database import Database, compose

ROOT = Path(__file__).parents[2]
AREAS = sorted(
    path.name.removesuffix(".sql") for path in (files("sql") / "queries").iterdir() if path.name.endswith(".sql")
)
NAMES = [f"{area}.{name}" for area in AREAS for name in queries(area)]

#: Areas whose templates are filled table by table; these tests prepare them.
ELSEWHERE = {
    **dict.fromkeys(
        ("stage", "node_persist", "node_persist_image", "references", "files", "guards"),
        "tests/node_persist/test_sql.py",
    ),
    **dict.fromkeys(("cleanup", "cleanup_look", "cleanup_undo"), "tests/cleanup/test_queries.py"),
    "rehearsing": "tests/rehearsing/test_queries.py",
    "search": "tests/search/test_same_answers.py",
    "mirror": "tests/mirror/test_forward.py",
    "mirror_back": "tests/mirror/test_both.py",
}

#: Parts of other queries; they are prepared inside those.
PARTS = re.compile(
    r"themes\.(elements_of|exploded|hash_of|count_in|count_by|link_|made_|in_order)|mirror_back_parts\.(due|said|known_word)$|source\.(after|upto|only|sound)$|constraints\.foreign_key_to_songs$|vocabulary\.among_others$|users\.of_"
    r"|snapshots\.(plays|source_of_days|frame|average|deviation|made_|mended_|recorded_|stored_columns)|snapshots_changes\.heard_now"
    r"|snapshots_image\.(expected_frame|expected_plays|mood|as_stored|this_frame)"
    r"|search\.bytes_of_|stage\.merged|node_persist\.of_staged_|references\.(refers|hash_of_|run_of_row|is_as_written|record_written|user_without_file)"
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
        "key_in_range": step.source.keys_in_range(KeyRange("a", "b"), psql.Identifier("quarantine", "key")),
        "stored_in_range": psql.SQL("true"),
        "columns": psql.SQL("song_id, tag_id"),
        "stored_columns": psql.SQL("stored.song_id, stored.tag_id"),
        "target_key": psql.Identifier("song_id"),
        "definition": psql.SQL("SELECT 1"),
        "column": psql.Identifier("id"),
        **application_names("public"),
        "users_name": psql.Literal("users"),
        "known": psql.SQL("ARRAY['users']"),
        "strength": psql.SQL("FOR NO KEY UPDATE"),
        "record_columns": psql.SQL("record.song_id, record.tag_id"),
        "song_tags_name": psql.Literal("public.song_tags"),
        "statement": psql.SQL("SELECT 1"),
        **dict.fromkeys(("event", "transition", "function", "arguments", "condition", "mode"), psql.SQL("")),
        "texts": psql.Identifier("segue_texts"),
        "words": psql.Identifier("segue_words"),
        "among_others": compose("vocabulary.among_others"),
        "in_one_order": psql.SQL(""),
    }
    fragments["sizes"] = compose("source.page_of_sizes", fragments)
    return {**fragments, "expected": compose("themes_image.expected_pairs", fragments)}


def table_for(name: str) -> dict[str, psql.Composable]:
    """Return the fragments of the first table with personal data that a query is for."""
    return next(
        (table.fragments("public") for table in PERSONAL if name.split(".")[1] in (table.anonymized, table.erased)),
        PERSONAL[0].fragments("public"),
    )


def fragments_of_snapshots(database: Database) -> dict[str, psql.Composable]:
    """Return what the queries of the migration `snapshots` ask for."""
    with database.transaction() as transaction:
        settings = {option.name: option.default for option in snapshots.MIGRATION.options}
        step = snapshots.MIGRATION.open(transaction, settings, "public")
    page, _ = step.source.page(KeyRange("a", "b"))
    parts = {"made": "made_by_insert", "mended": "mended_by_update", "recorded": "recorded_in_journal"}
    return {
        **step.in_range(KeyRange("a", "b")),
        "page": page,
        **{name: compose(f"snapshots.{part}", step.fragments) for name, part in parts.items()},
    }


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
    of_snapshots = {**fragments, **fragments_of_snapshots(database)}
    with connection.transaction(force_rollback=True):
        for name in ("create_stage", "create_words"):
            connection.execute(compose(f"vocabulary.{name}"))
        connection.execute(compose("themes.discover_texts", fragments), {"split": step.split})
        for number, name in enumerate(NAMES):
            if name.partition(".")[0] in ELSEWHERE:
                continue
            given = {**fragments, "page": json_page} if name.startswith("pure_step.") else fragments
            given = of_snapshots if name.startswith("snapshots") and not PARTS.match(name) else given
            given = {**fragments, **table_for(name)} if name.startswith("users.") else given
            if PARTS.match(name):
                continue
            text = numbered(compose(name, given).as_string(connection))
            if text.lower().lstrip().startswith(UTILITIES) or name == "constraints.create_index":
                continue
            result = connection.pgconn.prepare(f"query_{number}".encode(), text.encode())
            assert (name, b"") == (name, result.error_message)
    database.close()


def test_every_query_is_called() -> None:
    """A named query that no module names is dead."""
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())
    sources = "\n".join(
        path.read_text()
        for package in ("migrator", "sql", "monitoring", "service")
        for path in files(package).joinpath(".").rglob("*.py")
    )

    unused = [
        name for name in NAMES if name not in sources and not re.search(rf"""["'.]{name.split(".")[1]}\b""", sources)
    ]

    assert [] == [name for name in unused if not PARTS.match(name)]


def test_registry_knows_the_migrations() -> None:
    """Discovery finds the migrations that ship."""
    assert ["node-persist", "snapshots", "themes"] == sorted(registry.discover())
