"""The index, PostgreSQL and set algebra answer every query alike, before and after changes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.search import fallback, segment
from service.search.index import SongIndex
from service.search.query import SearchPage, SearchQuery
from service.settings import SongsTable
from sql.database import Database
from tests.search.world import KEYS, World, changed, prepare, queries, worlds


def walk(search: Callable[[SearchQuery], SearchPage], query: SearchQuery) -> list[SearchPage]:
    """Follow the cursors to the end."""
    pages = [search(query)]
    while pages[-1].cursor is not None:
        pages.append(search(replace(query, cursor=pages[-1].cursor)))
    return pages


def check(index: SongIndex, database: Database, world: World, query: SearchQuery) -> None:
    """Compare all pages of a query."""
    expected = world.pages(query)
    in_index = walk(lambda query: index.search(query, world.resolve), query)
    assert [replace(page, cursor=page.cursor and "more") for page in in_index] == expected
    assert walk(lambda query: fallback.search(database, "public", SongsTable(), query), query) == in_index


@pytest.mark.system
@pytest.mark.parametrize("key_type", KEYS)
def test_same_answers(
    key_type: str, database_url: str, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page, total, facet and unknown tag is the same, whatever the keys are, and after every change."""
    prepare(connection, key_type)
    database = Database(database_url)
    monkeypatch.setattr(segment, "HOT", 2)

    @settings(max_examples=40)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        world = data.draw(worlds(key_type))
        world.write(connection)
        index = SongIndex.load(database, "public", SongsTable())
        assert len(index) == len(world.songs)
        for query in data.draw(st.lists(queries(), min_size=1, max_size=3)):
            check(index, database, world, query)
        for _ in range(data.draw(st.integers(1, 2))):
            world, keys, tags = data.draw(changed(world, key_type))
            world.write(connection)
            shown = {str(tag): None if world.tags[tag].is_banned else world.label(tag) for tag in tags}
            steps = [(index.apply_tags, shown), (index.apply, set(map(str, keys)))]
            for step, what in data.draw(st.permutations(steps)):
                assert step(what)
            assert len(index) == len(world.songs)
            for query in data.draw(st.lists(queries(), min_size=1, max_size=2)):
                check(index, database, world, query)

    run()
    database.close()
