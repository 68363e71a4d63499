"""A catalog that the application has already: adopted and given back, or left out with every difference."""

import re
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from sql import script
from sql.database import Database
from sql.schema import downgrade, upgrade
from sql.schema.catalog import definitions
from tests.sql.test_schema import describe

CATALOG = definitions()
TABLES = list(CATALOG)


@pytest.fixture
def bare(bare_url: str) -> Iterator[tuple[Database, psycopg.Connection]]:
    """A database without Segue's schema, and a connection to it."""
    database = Database(bare_url)
    with psycopg.connect(bare_url, autocommit=True) as connection:
        yield database, connection
    database.close()


def create(connection: psycopg.Connection, *tables: str, **changes: str) -> None:
    """Make tables as an application would that follows the documents: no run_id, and some words changed."""
    for table in tables:
        text = CATALOG[table].format(schema="public").replace("    run_id bigint,\n", "")
        text = text.replace(",\n    run_id bigint\n", "\n")
        for word, other in changes.items():
            text = re.sub(rf"\b{word}\b", other, text)
        connection.execute(text)  # type: ignore[arg-type]  # our own DDL


def differences(database: Database) -> str:
    """Return what an upgrade complains about."""
    return "\n".join(f"{table}: {'; '.join(found)}" for table, found in upgrade(database).items())


@pytest.mark.system
@pytest.mark.parametrize("changes", [{}, {"text": "varchar(200)", "int": "bigint"}], ids=["as ours", "wider"])
def test_whole_catalog_is_adopted_and_given_back(bare, changes: dict[str, str]) -> None:
    """Every table gets run_id and nothing else; a downgrade takes only that."""
    database, connection = bare
    create(connection, *TABLES, **changes)
    before = describe(connection)

    upgrade(database)
    added = set(describe(connection).splitlines()) - set(before.splitlines())
    adopted = {name for (name,) in connection.execute("SELECT name FROM segue.tables WHERE is_adopted")}
    downgrade(database)

    assert set(TABLES) == adopted
    assert {f"column {name}.run_id bigint" for name in TABLES} <= added
    assert [] == [line for line in added if line.startswith("index") and any(f".{name} " in line for name in TABLES)]
    assert before == "\n".join(line for line in describe(connection).splitlines() if "alembic" not in line) + "\n"


def test_new_tables_refer_to_adopted_ones(bare) -> None:
    """Foreign keys of created tables stand on the application's, whatever the length of its texts."""
    database, connection = bare
    create(connection, "users", "tracks", "artists", text="varchar(64)")
    upgrade(database)
    user = uuid.uuid4()
    connection.execute("INSERT INTO users (id, spotify_id) VALUES (%s, 'u')", [user])
    connection.execute("INSERT INTO tracks (id, name) VALUES ('t', 'A track')")
    play = "INSERT INTO user_listening_history (user_id, track_id, listened_at) VALUES (%s, %s, now())"

    connection.execute(play, [user, "t"])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute(play, [user, "T"])
    connection.execute("DELETE FROM users")

    assert [(0,)] == connection.execute("SELECT count(*) FROM user_listening_history").fetchall()


@pytest.mark.parametrize(
    ("table", "changes", "difference"),
    [
        ("users", {"gen_random_uuid()": "0", "uuid": "bigint"}, "column id is bigint, not uuid"),
        ("users", {"spotify_id": "handle"}, "column spotify_id (text) is missing; column handle is not null without"),
        ("users", {"CONSTRAINT users_spotify_id_key UNIQUE": ""}, "no unique key on (spotify_id)"),
        ("users", {"display_name text": "display_name text NOT NULL"}, "column display_name is not null, and the source"),
        ("users", {"email text": "email text, secret text NOT NULL"}, "column secret is not null without a default"),
        ("users", {"created_at timestamptz NOT NULL DEFAULT now()": "created_at timestamptz NOT NULL"},
         "column created_at is not null without a default"),
        ("users", {"updated_at timestamptz": "updated_at timestamp"}, "column updated_at is timestamp without time zone"),
        ("users", {"updated_at timestamptz": "updated_at timestamptz(0)"}, "column updated_at is timestamp(0) with time zone"),
        ("artists", {"CHECK (jsonb_typeof(genres) = 'array')": "CHECK (true)", "jsonb": "text[]", "'[]'": "'{}'"}, "column genres is text[], not jsonb"),
        ("albums", {"release_date date": "release_date text"}, "column release_date is text, not date"),
        ("tracks", {"text": "name"}, "column id is name, not text"),
        ("tracks", {'"C"': "loose"}, "column id has a collation that takes different texts for equal"),
    ],
)  # fmt: skip
def test_table_of_another_shape_is_left_alone(bare, table: str, changes: dict[str, str], difference: str) -> None:
    """The upgrade says what is wrong; the table is as it was, and no other of the catalog was made."""
    database, connection = bare
    # What ICU would make, which not every build of the server has.
    connection.execute("CREATE COLLATION loose (provider = libc, locale = 'C')")
    connection.execute("UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'loose'")
    text = CATALOG[table].format(schema="public")
    for words, others in changes.items():
        text = text.replace(words, others)
    connection.execute(text)
    before = set(describe(connection).splitlines())

    assert difference in differences(database)
    made = {line.split()[1] for line in set(describe(connection).splitlines()) - before if line.startswith("column")}
    assert before <= set(describe(connection).splitlines())
    assert {"segue", "tags", "song_tags", "tag_synonyms"} == {name.partition(".")[0] for name in made}


@pytest.mark.parametrize(
    ("index", "is_usable"),
    [
        ("CREATE UNIQUE INDEX ON users (spotify_id) INCLUDE (email)", True),
        ("CREATE UNIQUE INDEX ON users (spotify_id) WHERE email IS NULL", False),
        ("CREATE UNIQUE INDEX ON users (lower(spotify_id))", False),
        ("ALTER TABLE users ADD UNIQUE (spotify_id) DEFERRABLE", False),
        ("CREATE INDEX ON users (spotify_id)", False),
    ],
)
def test_only_a_key_that_an_upsert_can_use_counts(bare, index: str, is_usable: bool) -> None:
    """A unique index that leaves rows out, or is checked late, is no key."""
    database, connection = bare
    create(connection, "users")
    connection.execute("ALTER TABLE users DROP CONSTRAINT users_spotify_id_key")
    connection.execute(index)

    if is_usable:
        assert {} == upgrade(database)
    else:
        assert "no unique key on (spotify_id)" in differences(database)


def test_rounding_and_views_cannot_be_used(bare) -> None:
    """A feature's digits are kept or the table is not used; a view is not a table."""
    database, connection = bare
    create(connection, "tracks", "audio_features", numeric=r"numeric(5, 2)")
    assert "column valence is numeric(5,2), not numeric" in differences(database)

    connection.execute("DROP TABLE audio_features, tracks; CREATE VIEW artists AS SELECT 1 AS id")
    assert "public.artists: it is not a table" in differences(database)


def test_tables_that_segue_never_writes_may_ask_for_more(bare) -> None:
    """The application's own jobs may have required columns of their own."""
    database, connection = bare
    create(connection, "background_jobs", kind="queue text NOT NULL, kind")
    upgrade(database)

    assert [(True,)] == connection.execute(
        "SELECT is_adopted FROM segue.tables WHERE name = 'background_jobs'"
    ).fetchall()


def test_database_that_stood_at_0002_gets_the_new_functions(bare) -> None:
    """A revision whose functions were other ones is brought up to date, and one step back works."""
    database, connection = bare
    upgrade(database, revision="0002")
    connection.execute("DROP FUNCTION segue.row_id; DROP FUNCTION segue.tag_id")
    upgrade(database)
    ids = connection.execute("SELECT segue.tag_id('hope') = segue.row_id('tag', 'hope')").fetchone()
    head = describe(connection)

    downgrade(database, revision="0002")
    left = {name for (name,) in connection.execute("SELECT name FROM segue.tables")}
    kept = connection.execute("SELECT segue.tag_id('hope') IS NOT NULL").fetchone()
    upgrade(database)

    assert (True,) == ids == kept
    assert {"tags", "song_tags", "tag_synonyms"} == left
    assert head == describe(connection)
    assert "row_id" in script("functions/identity.sql")
