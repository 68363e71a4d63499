"""Making and dropping the triggers: once, without long locks, and refused with what helps."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from sql.database import Database
from sql.schema import downgrade, upgrade
from sql.schema.serving import CannotFollow, follow, split_name, unfollow

Connection = psycopg.Connection[Any]
Noted = Callable[[], list[tuple[str, set[str] | None]]]
TABLES = ['"public"."tags"', '"public"."tag_synonyms"', '"segue"."banned_tags"', '"segue"."tag_redirects"']
TABLES.append('"public"."song_tags"')


def triggers(connection: Connection) -> list[tuple[str, str, str, bytes]]:
    """Return every trigger of Segue's outbox: table, name, whether it fires, arguments."""
    return connection.execute(
        "SELECT tgrelid::regclass::text, tgname, tgenabled, tgargs FROM pg_trigger WHERE tgname LIKE 'segue%' ORDER BY 1, 2"
    ).fetchall()


def test_missing_triggers_are_made_once(database: Database, connection: Connection) -> None:
    """A second call finds them, makes none, and locks nothing; one that was dropped or disabled is made again."""
    assert TABLES == follow(database, "public")
    made = triggers(connection)
    assert 4 * len(TABLES) == len(made)

    with psycopg.connect(database.url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE tags, song_tags, segue.banned_tags IN ACCESS EXCLUSIVE MODE")
        assert [] == follow(database, "public", patience_seconds=0)

    connection.execute(
        "DROP TRIGGER segue_outbox_update ON song_tags; ALTER TABLE tags DISABLE TRIGGER segue_outbox_insert"
    )
    assert ['"public"."tags"', '"public"."song_tags"'] == follow(database, "public")
    assert made == triggers(connection)


def test_other_title_column_replaces_the_triggers(
    database: Database, connection: Connection, songs: Callable[..., None]
) -> None:
    """The songs' triggers know their columns; a song table without titles is followed, too."""
    songs([])
    follow(database, "public", "songs")
    assert ['"public"."songs"'] == follow(database, "public", "songs", title=None)
    assert {b"id\0id\0", b"songs\0"} == {row[3] for row in triggers(connection) if row[0] == "songs"}


def test_unfollow_drops_every_trigger(database: Database, connection: Connection, songs: Callable[..., None]) -> None:
    """Also the songs', and those that are disabled."""
    songs([])
    follow(database, "public", "songs")
    connection.execute("ALTER TABLE tags DISABLE TRIGGER ALL")

    assert {*TABLES, '"public"."songs"'} == set(unfollow(database))
    assert [] == triggers(connection)
    assert [] == unfollow(database)


def test_adopted_tables_in_another_schema(bare_url: str) -> None:
    """Names that need quoting work, and a downgrade gives the tables back without triggers."""
    database = Database(bare_url)
    with psycopg.connect(bare_url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE SCHEMA "My 'App";
            CREATE TABLE "My 'App".tags (id uuid PRIMARY KEY, name varchar(50) UNIQUE NOT NULL,
                normalized_name varchar(50) UNIQUE NOT NULL, category text, color text, usage_count int NOT NULL DEFAULT 0,
                is_standard boolean, created_at timestamp, "odd ""column" int);
            CREATE TABLE "My 'App".song_tags (song_id text, tag_id uuid REFERENCES "My 'App".tags, added_by text,
                added_at timestamptz, PRIMARY KEY (song_id, tag_id));
            """
        )
        upgrade(database, schema="My 'App")
        assert len(TABLES) == len(follow(database, "My 'App"))
        connection.execute("""INSERT INTO "My 'App".tags VALUES (gen_random_uuid(), 'Grace', 'grace')""")
        connection.execute("""INSERT INTO "My 'App".song_tags SELECT 'a song', id FROM "My 'App".tags""")
        connection.execute("""UPDATE "My 'App".tags SET "odd ""column" = 1""")
        assert [("songs", ["a song"])] == connection.execute(
            "SELECT kind, keys FROM segue.outbox WHERE kind = 'songs'"
        ).fetchall()
        assert (2,) == connection.execute("SELECT count(*) FROM segue.outbox WHERE kind = 'tags'").fetchone()

        downgrade(database, revision="0003")
        assert [] == triggers(connection)
        connection.execute("""UPDATE "My 'App".tags SET usage_count = 1""")
    database.close()


def test_missing_privilege_is_refused_with_the_grant(
    database: Database, connection: Connection, role: tuple[str, str], noted: Noted
) -> None:
    """The message names table, role, owner and GRANT; with the GRANT it works. Dropping takes the owner."""
    quoted, url = role
    serving = Database(url)

    with pytest.raises(CannotFollow) as refused:
        follow(serving, "public")
    grant = f'GRANT TRIGGER ON "public"."tags" TO {quoted}'
    assert 5 == refused.value.exit_code
    for part in ('"public"."tags"', quoted, "owner 'postgres'", grant):
        assert part in str(refused.value)

    connection.execute(f"GRANT TRIGGER ON tags, tag_synonyms, song_tags TO {quoted}")
    follow(serving, "public")
    connection.execute("INSERT INTO tags (name, normalized_name) VALUES ('Grace', 'grace')")
    assert ["tags"] == [kind for kind, _ in noted()]

    with pytest.raises(CannotFollow, match="does not own it; do it as its owner 'postgres'"):
        unfollow(serving)
    serving.close()


def test_unfit_songs_are_refused(database: Database, connection: Connection) -> None:
    """What is no table, or lacks a column, is named."""
    connection.execute("CREATE TABLE untitled (id int PRIMARY KEY); CREATE VIEW a_view AS SELECT 1 AS id, '' AS title")

    for table, said in [
        ("nothing", r'"public"."nothing": there is no such table'),
        ("a_view", r'"public"."a_view": it is not a table; name the table that holds the rows'),
        ("untitled", r'"public"."untitled": it has no column .title.'),
        ("a.b.c", "'a.b.c' is not a table name"),
        ("", "'' is not a table name"),
    ]:
        with pytest.raises(CannotFollow, match=said):
            follow(database, "public", table)


def test_older_schema_is_refused(bare_url: str) -> None:
    """Without the revision the message says how to get it."""
    database = Database(bare_url)
    upgrade(database, revision="0003")

    with pytest.raises(CannotFollow, match="run `segue db upgrade`"):
        follow(database, "public")
    database.close()


def test_table_names_are_split_like_the_migration_does() -> None:
    """Quotes only where a part holds a dot; case is kept."""
    assert ("app", "Songs") == split_name("Songs", "app")
    assert ("other", "songs") == split_name("other.songs", "app")
    assert ("a.b", 'c"d') == split_name('"a.b"."c""d"', "app")


def test_busy_table_is_waited_for_in_short_turns(database: Database, connection: Connection) -> None:
    """While a transaction holds the table, other writers are held up for moments only; then the triggers are made."""
    longest = 0.0
    done = threading.Event()

    def write() -> None:
        nonlocal longest
        with psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True) as writer:
            while not done.is_set():
                start = time.monotonic()
                writer.execute("UPDATE tags SET usage_count = 0 WHERE name = 'nothing'")
                longest = max(longest, time.monotonic() - start)
                time.sleep(0.01)

    writing = threading.Thread(target=write)
    following = threading.Thread(target=follow, args=(database, "public"))
    with connection.transaction():
        connection.execute("UPDATE tags SET usage_count = 0")
        writing.start()
        following.start()
        time.sleep(1)
        assert following.is_alive()
    following.join(10)
    done.set()
    writing.join()

    assert 4 * len(TABLES) == len(triggers(connection))
    assert longest < 1


def test_table_locked_all_the_time_is_refused(database: Database, connection: Connection) -> None:
    """After its patience the message names the table and where to look."""
    with connection.transaction():
        connection.execute("LOCK TABLE tag_synonyms IN ROW EXCLUSIVE MODE")
        with pytest.raises(CannotFollow, match=r'"public"."tag_synonyms" was locked.*pg_stat_activity') as refused:
            follow(database, "public", patience_seconds=0.2)
    assert "55P03" == refused.value.sqlstate
