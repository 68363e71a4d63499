"""The index of songs as one process lives with it: changes, pages that go on, readers beside a writer."""

from collections.abc import Iterable
from dataclasses import replace
from threading import Event, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.search import fallback
from service.search import index as index_module
from service.search.index import SongIndex
from service.search.query import BadCursor, BadQuery, SearchPage, SearchQuery
from service.settings import SongsTable
from sql.database import Database
from tests.search.conftest import JOY, KEYS, PEACE, WAR
from tests.search.world import World


def keys(page: SearchPage) -> list[str]:
    """Return the keys of a page."""
    return [hit.key for hit in page.hits]


def texts(found: Iterable[UUID]) -> list[str]:
    """Return keys as they are shown."""
    return [str(key) for key in found]


def test_next_page_goes_on_when_the_last_song_is_gone(
    index: SongIndex, world: World, connection: psycopg.Connection[Any]
) -> None:
    """The song that a cursor was made of may be deleted, and songs before and after it too: none is lost or repeated."""
    query = SearchQuery(tags=("joy",), limit=10)
    first = index.search(query, world.resolve)
    gone = [KEYS[3], KEYS[9], KEYS[10]]
    connection.execute("DELETE FROM song_tags WHERE song_id = ANY(%s)", [gone])
    connection.execute("DELETE FROM songs WHERE id = ANY(%s)", [gone])
    assert index.apply(texts(gone))

    second = index.search(replace(query, cursor=first.cursor), world.resolve)

    assert texts(KEYS[:10]) == keys(first)
    assert texts(KEYS[11:21]) == keys(second)
    assert 27 == second.total


def test_new_songs_stand_where_their_keys_belong(
    index: SongIndex, world: World, connection: psycopg.Connection[Any]
) -> None:
    """A song that comes later is found on the page of its key, not at the end."""
    new = UUID(int=1 << 64), UUID(int=0)
    connection.execute("INSERT INTO songs VALUES (%s, 'Last'), (%s, NULL)", new)
    connection.execute("INSERT INTO song_tags VALUES (%s, %s), (%s, %s)", [new[0], WAR, new[1], WAR])
    assert index.apply(texts(new))

    page = index.search(SearchQuery(tags=("war",), limit=100), world.resolve)

    assert texts([new[1], *KEYS[2::3], new[0]]) == keys(page)
    assert [None, "Last"] == [page.hits[0].title, page.hits[-1].title]


def test_all_may_have_changed(index: SongIndex, world: World, connection: psycopg.Connection[Any]) -> None:
    """Without names of what changed, nothing is applied, and the caller is told to load anew."""
    connection.execute("DELETE FROM songs")

    assert not index.apply(None)
    assert not index.apply_tags(None)
    assert 30 == index.search(SearchQuery(), world.resolve).total


def test_worn_index_says_so(index: SongIndex, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that carries many changes has applied them, and asks for another one."""
    monkeypatch.setattr(index_module, "REBUILD_DELTA", 5)

    assert index.apply(texts(KEYS[:2]))
    assert 4 == index.delta_size
    assert not index.apply(texts(KEYS[2:4]))
    assert index.is_worn
    assert 30 == index.search(SearchQuery(), world.resolve).total


def test_keys_that_are_none_change_nothing(index: SongIndex, world: World) -> None:
    """Links may name what cannot be the key of a song."""
    assert index.apply(["not a uuid", str(UUID(int=999))])
    assert 30 == index.search(SearchQuery(), world.resolve).total


def test_lost_database_leaves_the_index_as_it_was(
    index: SongIndex, world: World, database: Database, connection: psycopg.Connection[Any]
) -> None:
    """A change that cannot be read is not applied by half; it is applied when it is tried again."""
    connection.execute("UPDATE songs SET title = 'Changed' WHERE id = %s", [KEYS[0]])
    connection.execute("ALTER TABLE song_tags RENAME TO elsewhere")
    with pytest.raises(Exception, match="song_tags"):
        index.apply(texts(KEYS[:1]))
    assert 0 == index.search(SearchQuery(text="changed"), world.resolve).total

    connection.execute("ALTER TABLE elsewhere RENAME TO song_tags")
    assert index.apply(texts(KEYS[:1]))

    assert texts(KEYS[:1]) == keys(index.search(SearchQuery(text="changed"), world.resolve))


def test_readers_see_a_change_whole(index: SongIndex, world: World, connection: psycopg.Connection[Any]) -> None:
    """While a song's only tag changes from Peace to War and back, it always has exactly one of them."""
    connection.execute("DELETE FROM song_tags WHERE tag_id <> %s", [JOY])
    connection.execute("INSERT INTO song_tags SELECT id, %s FROM songs", [PEACE])
    index.apply(texts(KEYS))
    is_done = Event()
    wrong: list[object] = []
    looked = 0

    def read() -> None:
        nonlocal looked
        while not is_done.is_set():
            looked += 1
            page = index.search(SearchQuery(tags=("peace", "war"), match="any", limit=30), world.resolve)
            counts = {row.tag.name: row.songs for facet in page.facets for row in facet.tags}
            if (page.total, len(page.hits), counts.get("Peace", 0) + counts.get("War", 0)) != (30, 30, 30):
                wrong.append(page)

    readers = [Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(30):
        connection.execute("UPDATE song_tags SET tag_id = %s WHERE tag_id <> %s", [(WAR, PEACE)[number % 2], JOY])
        index.apply(texts(KEYS))
    is_done.set()
    for reader in readers:
        reader.join()

    assert [] == wrong
    assert looked > 30


def test_index_is_of_one_moment(database: Database, world: World, connection: psycopg.Connection[Any]) -> None:
    """What is committed while the index is loaded is in it as a whole or not at all."""
    with database.transaction(repeatable_read=True) as transaction:
        transaction.one("search.count_songs", {"matching": psycopg.sql.SQL("SELECT FROM songs")})
        connection.execute("DELETE FROM songs")

    assert 0 == len(SongIndex.load(database, "public", SongsTable()))


@pytest.mark.parametrize("cursor", ["", "!", "AAAA", "dA", "dWE", "é", "=", "Y" * 3_000, "dQ==", "\0"])
def test_malformed_cursors(cursor: str, index: SongIndex, world: World, database: Database) -> None:
    """What no page gave is refused with what to do instead, by the index and by PostgreSQL alike."""
    query = SearchQuery(cursor=cursor)

    with pytest.raises(BadCursor, match="take the one of a page"):
        index.search(query, world.resolve)
    with pytest.raises(BadCursor, match="take the one of a page"):
        fallback.search(database, "public", SongsTable(), query)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": 0}, "at least one"),
        ({"facets": -1}, "0 for none"),
        ({"match": "most"}, "all or any"),
        ({"tags": ("a\0",)}, "U\\+0000"),
        ({"text": "\ud800"}, "U\\+D800"),
    ],
)
def test_queries_that_cannot_be_meant(wrong: dict[str, Any], said: str) -> None:
    """A query is checked when it is made."""
    with pytest.raises(BadQuery, match=said):
        SearchQuery(**wrong)


def test_songs_without_titles(database: Database, world: World) -> None:
    """Titles are not needed; but then no words can be looked for."""
    table = SongsTable(title=None)
    index = SongIndex.load(database, "public", table)
    query = SearchQuery(tags=("peace",))

    assert {None} == {hit.title for hit in index.search(query, world.resolve).hits}
    assert index.search(query, world.resolve) == fallback.search(database, "public", table, query)
    for search in (
        lambda query: index.search(query, world.resolve),
        lambda query: fallback.search(database, "public", table, query),
    ):
        with pytest.raises(BadQuery, match="no title"):
            search(SearchQuery(text="song"))


def test_ids_of_merged_tags_lead_on(database: Database, world: World, connection: psycopg.Connection[Any]) -> None:
    """PostgreSQL resolves the id that a tag had before it was merged into another one."""
    old = UUID(int=999)
    connection.execute("INSERT INTO segue.tag_redirects (old_id, tag_id) VALUES (%s, %s)", [old, PEACE])

    page = fallback.search(database, "public", SongsTable(), SearchQuery(tags=(str(old), "GLADNESS")))

    assert (15, ()) == (page.total, page.unknown)


def test_tags_that_look_as_before_change_nothing(index: SongIndex, world: World) -> None:
    """Counts of uses change all the time; that must not cost a search what it keeps."""
    before = index._view

    assert index.apply_tags({str(tag): world.label(tag) for tag in (JOY, PEACE)})

    assert index._view is before
