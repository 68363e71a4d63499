"""An application whose own tables have the catalog's names: the catalog is left out whole, and made when it can be."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from sql.database import Database
from sql.revision import LATEST
from sql.schema import downgrade, upgrade
from sql.schema.adoption import IncompatibleTable
from sql.schema.catalog import definitions
from tests.conftest import dump
from tests.sql.test_adoption import create
from tests.sql.test_schema import GOLDEN, describe

USERS = "CREATE TABLE users (id bigint PRIMARY KEY, login text NOT NULL)"
TAGS = {"tags", "song_tags", "tag_synonyms"}


@pytest.fixture
def bare(bare_url: str) -> Iterator[tuple[Database, psycopg.Connection[Any]]]:
    """A database without Segue's schema, and a connection to it."""
    database = Database(bare_url)
    with psycopg.connect(bare_url, autocommit=True) as connection:
        yield database, connection
    database.close()


def tables(connection: psycopg.Connection[Any], schema: str = "public") -> set[str]:
    """Return the tables of a schema."""
    return {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])}


def recorded(connection: psycopg.Connection[Any]) -> set[str]:
    """Return the tables that Segue knows as made or adopted."""
    return {name for (name,) in connection.execute("SELECT name FROM segue.tables")}


def test_one_table_keeps_the_whole_catalog_out(bare) -> None:
    """None is made, none that would fit is adopted, every obstacle is named, and the revision is recorded."""
    database, connection = bare
    connection.execute(f"{USERS}; INSERT INTO users VALUES (1, 'ann'); CREATE TABLE tracks (id int)")
    create(connection, "artists")
    before = dump(connection)

    found = upgrade(database)

    assert {"public.users", "public.tracks"} == set(found)
    assert "column id is bigint, not uuid" in found["public.users"]
    assert {"users", "tracks", "artists"} | TAGS == tables(connection)
    assert recorded(connection) == TAGS
    assert (LATEST,) == connection.execute("SELECT version_num FROM segue.alembic_version").fetchone()
    after = dump(connection)
    assert before["public.users"] == after["public.users"]
    assert before["public.artists"] == after["public.artists"]


def test_later_upgrade_makes_the_catalog(bare) -> None:
    """When the table fits it is adopted and the rest is made; while it does not, nothing happens; then neither."""
    database, connection = bare
    connection.execute(USERS)
    found = upgrade(database)
    left_out = describe(connection)
    assert found == upgrade(database)
    assert left_out == describe(connection)
    connection.execute("DROP TABLE users")
    create(connection, "users")

    assert {} == upgrade(database)
    assert GOLDEN.read_text() == describe(connection)
    assert ("users",) == connection.execute("SELECT name FROM segue.tables WHERE is_adopted").fetchone()
    assert {} == upgrade(database)
    assert GOLDEN.read_text() == describe(connection)


@pytest.mark.parametrize("revision", ["base", "0002"])
def test_downgrade_without_the_catalog(bare, revision: str) -> None:
    """The application's table stays as it was, and the way up is open again."""
    database, connection = bare
    connection.execute(f"{USERS}; INSERT INTO users VALUES (1, 'ann')")
    before = dump(connection)["public.users"]
    upgrade(database)
    head = describe(connection)

    downgrade(database, revision=revision)
    left = tables(connection)
    kept = dump(connection)["public.users"]
    upgrade(database)

    assert {"users"} | (TAGS if revision == "0002" else set()) == left
    assert before == kept
    assert head == describe(connection)


def test_downgrade_after_a_repair(bare) -> None:
    """A catalog that came later goes as one that came at once."""
    database, connection = bare
    connection.execute(USERS)
    upgrade(database)
    connection.execute("ALTER TABLE users RENAME TO members")
    upgrade(database)
    downgrade(database)

    assert {"members"} == tables(connection)


def test_older_revision_has_no_catalog(bare) -> None:
    """The catalog comes with its revision, not with the step that makes it later."""
    database, connection = bare

    assert {} == upgrade(database, revision="0002")
    assert TAGS == tables(connection) == recorded(connection)


def test_tag_tables_are_still_refused(bare) -> None:
    """Every migration of themes needs them, so the upgrade fails and leaves nothing."""
    database, connection = bare
    connection.execute(f"{USERS}; CREATE TABLE tags (id int)")
    before = describe(connection)

    with pytest.raises(IncompatibleTable, match=r"public\.tags"):
        upgrade(database)
    assert before == describe(connection)


@pytest.mark.parametrize(
    ("obstacle", "table", "reason"),
    [
        ("CREATE TABLE other (x int); CREATE INDEX playlists ON other (x)", "playlists", "it is not a table"),
        ("CREATE SEQUENCE users", "users", "it is not a table"),
        ("CREATE TYPE tracks AS ENUM ('a')", "tracks", 'type "tracks" already exists'),
        ("CREATE TABLE other (x int); CREATE INDEX playlist_tracks_track_id_idx ON other (x)", "playlist_tracks",
         'relation "playlist_tracks_track_id_idx" already exists'),
    ],
)  # fmt: skip
def test_taken_names_are_told_and_nothing_is_half_made(bare, obstacle: str, table: str, reason: str) -> None:
    """A name that something else than a table has keeps the catalog out like a table does."""
    database, connection = bare
    connection.execute(obstacle)  # type: ignore[call-overload]  # a constant
    before = tables(connection)

    found = upgrade(database)

    assert [f"public.{table}"] == list(found)
    assert reason in found[f"public.{table}"][0]
    assert before | TAGS == tables(connection)
    assert recorded(connection) == TAGS


def test_table_of_another_owner_is_told_and_left(bare_url: str, bare) -> None:
    """A role that may not add run_id still gets its tag tables."""
    _, connection = bare
    create(connection, "users")
    connection.execute(
        "DROP ROLE IF EXISTS segue_guest; CREATE ROLE segue_guest LOGIN; GRANT ALL ON SCHEMA public TO segue_guest"
    )
    connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO segue_guest")
    database = Database(bare_url.replace("postgres@", "segue_guest@"))
    try:
        assert {"public.users": ["must be owner of table users; upgrade as the owner of the tables"]} == upgrade(
            database
        )
        assert {"users"} | TAGS == tables(connection)
        connection.execute("ALTER TABLE users ADD run_id bigint")
        found = upgrade(database)
        assert "permission denied for table users; upgrade as the owner of the tables" in str(found)
        assert {"users"} | TAGS == tables(connection)
    finally:
        database.close()
        connection.execute("DROP OWNED BY segue_guest CASCADE; DROP ROLE segue_guest")


def test_table_that_nothing_may_refer_to_is_told_and_left(bare) -> None:
    """What only PostgreSQL finds while the tables are made is undone whole, the adopted table's new column too."""
    database, connection = bare
    create(connection, "users")
    connection.execute("ALTER TABLE users SET UNLOGGED")
    before = dump(connection)

    found = upgrade(database)

    assert "may reference only permanent" in str(found)
    assert before["public.users"] == dump(connection)["public.users"]
    assert recorded(connection) == TAGS


def test_another_schema_takes_all_of_segue_while_nothing_was_done(bare) -> None:
    """After the message the admin may give another schema: tags and catalog are made there, and the old place is clean."""
    database, connection = bare
    connection.execute(f'{USERS}; CREATE SCHEMA "Mu""sic"; ')
    upgrade(database)

    assert {} == upgrade(database, schema='Mu"sic')
    assert {"users"} == tables(connection)
    assert TAGS | set(definitions()) == tables(connection, 'Mu"sic') == recorded(connection)
    downgrade(database)
    assert set() == tables(connection, 'Mu"sic')


@pytest.mark.parametrize(
    "use",
    [
        "INSERT INTO tags (name, normalized_name) VALUES ('Hope', 'hope')",
        "INSERT INTO segue.runs (migration, status, settings, fingerprint) VALUES ('themes', 'complete', '{}', '')",
    ],
)
def test_used_tables_do_not_move(bare, use: str) -> None:
    """Once there is a run or a tag, another schema changes nothing; the commands then say whose it is."""
    database, connection = bare
    connection.execute(f"{USERS}; CREATE SCHEMA music")
    upgrade(database)
    connection.execute(use)  # type: ignore[call-overload]  # a constant
    before = dump(connection, schemas=("public", "segue"))

    assert {} == upgrade(database, schema="music")
    assert before == dump(connection, schemas=("public", "segue"))
    assert set() == tables(connection, "music")


def test_catalog_does_not_part_from_the_tags(bare) -> None:
    """A database that stood at 0002 for one schema gets no catalog in another."""
    database, connection = bare
    upgrade(database, revision="0002")
    connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Hope', 'hope'); CREATE SCHEMA music")
    upgrade(database, schema="music")

    assert set() == tables(connection, "music")
    assert TAGS == recorded(connection)
    assert {} == upgrade(database)
    assert TAGS | set(definitions()) == recorded(connection)
