"""Alembic's revisions: up, down, golden, additive, adopting."""

from pathlib import Path

import psycopg
import pytest

from migrator.states import TRANSITIONS
from sql.database import Database
from sql.revision import LATEST
from sql.schema import downgrade, upgrade
from sql.schema.adoption import IncompatibleTable

GOLDEN = Path(__file__).parents[1] / "golden" / "schema.txt"


@pytest.fixture
def bare(bare_url: str):
    """A database without Segue's schema, and a connection to it."""
    database = Database(bare_url)
    with psycopg.connect(bare_url, autocommit=True) as connection:
        yield database, connection
    database.close()


def describe(connection: psycopg.Connection) -> str:
    """Return the schema as text: tables, columns, constraints, indexes, functions, triggers."""
    lines = connection.execute(
        """
        SELECT 'column ' || attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
            || CASE WHEN attnotnull THEN ' not null' ELSE '' END
            || coalesce(' default ' || (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum), '')
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('public', 'segue') AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace::regnamespace::text IN ('public', 'segue') AND conrelid <> 0 AND contype <> 'n'
        UNION ALL
        SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace::regnamespace::text IN ('public', 'segue')
        UNION ALL
        SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'segue')
        UNION ALL
        SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        """
    ).fetchall()
    return "\n".join(sorted(line for (line,) in lines)) + "\n"


@pytest.mark.system
def test_schema_is_the_golden_one(bare) -> None:
    """The schema is what tests/golden/schema.txt says; regenerate that file when a revision changes it on purpose."""
    database, connection = bare
    upgrade(database)

    assert GOLDEN.read_text() == describe(connection)
    assert LATEST == connection.execute("SELECT version_num FROM segue.alembic_version").fetchone()[0]


@pytest.mark.system
def test_downgrade_leaves_nothing(bare) -> None:
    """Down to base only Alembic's empty table is left, and the schema can be made again."""
    database, connection = bare
    upgrade(database)
    golden = describe(connection)

    downgrade(database)
    left = [line for line in describe(connection).splitlines() if "alembic" not in line]
    upgrade(database)

    assert [] == left
    assert golden == describe(connection)


def test_upgrade_twice_changes_nothing(bare) -> None:
    """A second upgrade is a no-op."""
    database, connection = bare
    upgrade(database)
    before = describe(connection)
    upgrade(database)

    assert before == describe(connection)


def test_compatible_tables_are_adopted_and_given_back(bare) -> None:
    """An application's own tables get a run_id column and nothing else; a downgrade takes only that."""
    database, connection = bare
    connection.execute(
        """
        CREATE TABLE tags (id uuid PRIMARY KEY, name varchar(50) UNIQUE NOT NULL, normalized_name varchar(50) UNIQUE NOT NULL,
            category text, color text, usage_count int NOT NULL DEFAULT 0, is_standard boolean, created_at timestamp, extra int);
        CREATE TABLE song_tags (song_id bigint, tag_id uuid REFERENCES tags, added_by text, added_at timestamptz, PRIMARY KEY (song_id, tag_id));
        INSERT INTO tags VALUES (gen_random_uuid(), 'Hope', 'hope', 'theme', NULL, 0, true, now(), 7);
        """
    )
    before = describe(connection)

    upgrade(database)
    added = set(describe(connection).splitlines()) - set(before.splitlines())
    adopted = {line for line in added if line.startswith("column") and (" tags." in line or " song_tags." in line)}
    downgrade(database)

    assert {"column tags.run_id bigint", "column song_tags.run_id bigint"} == adopted
    assert before == "\n".join(line for line in describe(connection).splitlines() if "alembic" not in line) + "\n"
    assert [(7,)] == connection.execute("SELECT extra FROM tags").fetchall()


def test_incompatible_table_is_refused_with_every_difference(bare) -> None:
    """All differences are named, the exit code is 5, and nothing was created."""
    database, connection = bare
    connection.execute("CREATE TABLE tags (id bigint PRIMARY KEY, name text)")
    before = describe(connection)

    with pytest.raises(IncompatibleTable) as refused:
        upgrade(database)

    message = str(refused.value)
    for part in ("column id is bigint, not uuid", "normalized_name (text) is missing", "no unique key on (name)"):
        assert part in message
    assert 5 == refused.value.exit_code
    assert before == describe(connection)


def test_users_tables_are_not_touched(bare) -> None:
    """An upgrade leaves the application's own tables as they are."""
    database, connection = bare
    connection.execute("CREATE TABLE songs (id uuid PRIMARY KEY, themes text[]); CREATE TABLE listeners (id int)")
    before = set(describe(connection).splitlines())

    upgrade(database)

    assert set() == before - set(describe(connection).splitlines())
    assert {"column songs.id uuid not null", "column songs.themes text[]"} == {
        line for line in describe(connection).splitlines() if line.startswith("column songs.")
    }


def test_events_are_append_only(connection: psycopg.Connection) -> None:
    """An event can be added, never changed or deleted."""
    connection.execute("INSERT INTO segue.events (actor, kind) VALUES ('a', 'b')")

    for statement in ("UPDATE segue.events SET actor = 'c'", "DELETE FROM segue.events"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement)


def test_database_allows_exactly_the_transitions_of_the_table(connection: psycopg.Connection) -> None:
    """The CHECK on events and TRANSITIONS are the same set of edges."""
    states = list(TRANSITIONS)
    allowed = set()
    for before in [None, *states]:
        for after in states:
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(
                        "INSERT INTO segue.events (actor, kind, from_status, to_status) VALUES ('a', 'b', %s, %s)",
                        [before, after],
                    )
                allowed.add((before, after))
            except psycopg.errors.CheckViolation:
                pass

    assert {(None, "preparing"), *((b, a) for b, following in TRANSITIONS.items() for a in following)} == allowed


def test_run_states_are_checked(connection: psycopg.Connection) -> None:
    """A run's status is one of the table's states."""
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO segue.runs (migration, status, settings, fingerprint) VALUES ('x', 'odd', '{}', '')"
        )
