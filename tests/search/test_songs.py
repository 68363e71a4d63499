"""Which tables can be searched, and what is said about others."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.search import fallback
from service.search.index import SongIndex
from service.search.keys import KEY_KINDS
from service.search.query import BadCursor, SearchQuery
from service.search.songs import Songs, SongsUnreadable
from service.settings import SongsTable
from sql.database import Database
from tests.search.world import KEYS, World

SEARCHED = SearchQuery(tags=("joy",), text="odd", limit=1)


def test_odd_names(database: Database, connection: psycopg.Connection[Any], world: World) -> None:
    """Tables and columns may have any name, in another schema too, and be a view with a shorter type of key."""
    connection.execute('CREATE SCHEMA "a.b"')
    connection.execute('ALTER TABLE songs RENAME COLUMN id TO "100% ""key"""')
    connection.execute('ALTER TABLE songs RENAME COLUMN title TO "{title} %%s"')
    connection.execute("""CREATE VIEW "a.b"."so'ngs %%" AS SELECT *, 1 AS more FROM songs""")
    connection.execute("""UPDATE songs SET "{title} %%s" = 'Odd ' || "{title} %%s" """)
    table = SongsTable(table='"a.b"."so\'ngs %%"', key='100% "key"', title="{title} %%s")

    page = SongIndex.load(database, "public", table).search(SEARCHED, world.resolve)

    assert (30, 1) == (page.total, len(page.hits))
    assert page == fallback.search(database, "public", table, SEARCHED)
    page = fallback.search(database, "public", table, replace(SEARCHED, cursor=page.cursor))
    assert "Odd Song number 2" == page.hits[0].title


def test_short_integers(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Keys of smallint and integer are bigints, varchar is text; so may the links be."""
    connection.execute("CREATE TABLE songs (id smallint PRIMARY KEY, title varchar(9))")
    connection.execute("ALTER TABLE song_tags ALTER COLUMN song_id TYPE integer USING 0")
    connection.execute("INSERT INTO songs VALUES (2, 'b'), (-1, NULL), (10, 'c')")
    index = SongIndex.load(database, "public", SongsTable())
    connection.execute("INSERT INTO songs VALUES (3, 'd')")
    assert index.apply(["3"])
    query = SearchQuery(limit=3)

    page = index.search(query, {}.get)

    assert ["-1", "2", "3"] == [hit.key for hit in page.hits]
    assert page == fallback.search(database, "public", SongsTable(), query)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (SongsTable(table="nowhere"), 'no table "public"."nowhere"; name the table'),
        (SongsTable(table="a.b.c"), "is not a table name"),
        (SongsTable(key="number"), "no column 'number'; it has id, title"),
        (SongsTable(title="name"), "no column 'name'"),
        (SongsTable(table="wrong"), "is date; it must be one of: uuid, bigint"),
        (
            SongsTable(table="numbers"),
            'song_tags.song_id is uuid but key column \'id\' of "public"."numbers" is bigint',
        ),
        (SongsTable(table="twice"), "has key '00000000-0000-0000-0000-000000000001' twice"),
    ],
)
def test_tables_that_cannot_be_searched(
    table: SongsTable, said: str, database: Database, connection: psycopg.Connection[Any], world: World
) -> None:
    """The message names the object, the reason and what helps."""
    connection.execute("CREATE TABLE wrong (id date, title text)")
    connection.execute("CREATE TABLE numbers (id bigint, title text)")
    connection.execute("CREATE VIEW twice AS SELECT * FROM songs UNION ALL SELECT * FROM songs")

    with pytest.raises(SongsUnreadable) as caught:
        SongIndex.load(database, "public", table)

    assert said in str(caught.value)


def test_missing_privilege(database: Database, connection: psycopg.Connection[Any], world: World) -> None:
    """Without the right to read the songs, the GRANT that is missing is named."""
    connection.execute("DROP ROLE IF EXISTS search_reader")
    connection.execute("CREATE ROLE search_reader")
    with database.transaction(rolled_back=True) as transaction:
        transaction.connection.execute("SET LOCAL ROLE search_reader")
        with pytest.raises(SongsUnreadable, match=r'GRANT SELECT ON "public"\."songs" TO'):
            Songs.find(transaction, "public", SongsTable())
    connection.execute("DROP ROLE search_reader")


@pytest.mark.parametrize("key_type", KEYS)
def test_packed_keys_are_ordered_like_keys(key_type: str) -> None:
    """Bytes are ordered as the keys are, and lead back to them."""
    kind = KEY_KINDS[key_type]
    keys = sorted(KEYS[key_type])

    assert keys == sorted(KEYS[key_type], key=lambda key: kind.pack(str(key)))
    assert [str(key) for key in keys] == [kind.show(kind.after(kind.cursor(kind.pack(str(key))))) for key in keys]


@given(st.sampled_from(sorted(KEYS)), st.one_of(st.text(max_size=30), st.from_regex(r"\A[dYbu][A-Za-z0-9_-]{0,25}\Z")))
def test_any_text_is_a_cursor_or_refused(key_type: str, cursor: str) -> None:
    """A cursor leads to a key that PostgreSQL can read, or is refused."""
    kind = KEY_KINDS[key_type]
    try:
        key = kind.show(kind.after(cursor))
    except BadCursor:
        return
    assert "\0" not in key
    assert kind.pack(key) == kind.after(cursor)
