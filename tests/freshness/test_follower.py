"""A server process follows what writers commit: at once, exactly, and again after whatever went wrong."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from service.freshness.events import Applied, Rebuilt
from service.freshness.follower import Follower
from service.freshness.relay import Relay
from service.freshness.served import tag_label
from service.search.index import SongIndex
from service.search.query import SearchQuery
from service.settings import SongsTable
from service.suggest.index import TagIndex
from sql.database import Database
from sql.schema.serving import follow
from tests.freshness.serving import Observed, State, by_name, eventually, names, stored

Connection = psycopg.Connection[Any]
AddTag = Callable[..., UUID]


def test_every_act_of_a_curator_is_seen_within_a_second(
    connection: Connection, follower: Follower, state: State, add_tag: AddTag
) -> None:
    """New, used, renamed, given a synonym, banned, unbanned, merged: each right in the index, each label forgotten."""
    grace, mercy = add_tag("Grace"), add_tag("Mercy")
    assert eventually(lambda: by_name(state, "mercy") and by_name(state, "grace")) < 1

    for statement, values, is_right in [
        (
            "UPDATE tags SET usage_count = 9 WHERE id = %s",
            [grace],
            lambda: state.index.get(str(grace)).usage_count == 9,
        ),
        (
            "UPDATE tags SET name = 'Grace of God', normalized_name = 'grace of god' WHERE id = %s",
            [grace],
            lambda: by_name(state, "grace of god") and not by_name(state, "grace"),
        ),
        (
            "INSERT INTO tag_synonyms (synonym, canonical_tag_id) VALUES ('charis', %s)",
            [grace],
            lambda: state.index.get(str(grace)).synonyms == ("charis",),
        ),
        (
            "INSERT INTO segue.banned_tags VALUES (%s, 'mercy', 'why', 'me')",
            [mercy],
            lambda: state.index.get(str(mercy)) is None,
        ),
        ("DELETE FROM segue.banned_tags", [], lambda: state.index.get(str(mercy))),
        (
            "WITH old AS (DELETE FROM tags WHERE id = %s RETURNING id) INSERT INTO segue.tag_redirects SELECT id, %s FROM old",
            [mercy, grace],
            lambda: state.index.get(str(mercy)) is None and by_name(state, "grace of god"),
        ),
    ]:
        due = {tag_label(str(tag)) for tag in values or [mercy]}
        state.cache.labels.clear()
        connection.execute(statement, values)
        assert (statement, True) == (statement, eventually(is_right) < 1)
        assert eventually(partial(due.issubset, state.cache.labels)) < 1
        assert (statement, True) == (statement, any(not label.startswith("tag:") for label in state.cache.labels))
    assert stored(connection) == names(state)


def test_only_counts_leave_searches_alone(
    connection: Connection, follower: Follower, state: State, add_tag: AddTag
) -> None:
    """A count is not shown by a search; a name is, and all else forgets the popular tags only."""
    grace = add_tag("Grace")
    eventually(lambda: by_name(state, "grace"))
    eventually(lambda: "search" in state.cache.kinds)
    state.cache.kinds.clear()

    connection.execute("UPDATE tags SET usage_count = 3")
    eventually(lambda: state.index.get(str(grace)).usage_count == 3)
    eventually(lambda: state.cache.kinds)
    assert {"popular"} == set(state.cache.kinds)


def test_rolled_back_writer_is_not_followed(
    connection: Connection, follower: Follower, state: State, add_tag: AddTag
) -> None:
    """Nothing reaches the log, so nothing is read."""
    with connection.transaction(force_rollback=True):
        add_tag("Grace")
    add_tag("Mercy")
    eventually(lambda: by_name(state, "mercy"))

    assert by_name(state, "grace") is None
    assert (1,) == connection.execute("SELECT count(*) FROM segue.changes").fetchone()


@pytest.mark.parametrize("most_changes", [100_000, 1_000])
def test_bulk_change(
    relay: Relay,
    followed: Database,
    connection: Connection,
    state: State,
    seen: Observed,
    add_tag: AddTag,
    most_changes: int,
) -> None:
    """5,000 tags at once, of which 5,000 get another count in a second statement: all seen, worn indexes built anew."""
    with Follower(followed, "public", state, observers=(seen,), most_changes=most_changes) as follower:
        eventually(lambda: follower.staleness is not None)
        connection.execute(
            "INSERT INTO tags (name, normalized_name) SELECT 'T' || n, 't' || n FROM generate_series(1, 5000) AS n"
        )
        connection.execute("UPDATE tags SET usage_count = 7")
        eventually(lambda: names(state) == stored(connection))
        add_tag("Grace")
        assert eventually(lambda: by_name(state, "grace")) < 2
        if most_changes < 5_000:
            eventually(lambda: len(seen.of(Rebuilt)) > 1 and state.index.delta_size <= most_changes)
        assert (most_changes < 5_000) == (len(seen.of(Rebuilt)) > 1)
        assert stored(connection) == names(state)


def test_more_than_can_be_named_is_built_aside(
    connection: Connection, follower: Follower, state: State, seen: Observed, add_tag: AddTag
) -> None:
    """12,000 tags in a statement, then a TRUNCATE: each is one build, after which all cached answers are forgotten."""
    connection.execute(
        "INSERT INTO tags (name, normalized_name) SELECT 'T' || n, 't' || n FROM generate_series(1, 12000) AS n"
    )
    eventually(lambda: len(state.index) == 12_000)
    assert {"suggestions", "tags", "popular", "search"} <= set(state.cache.kinds)
    eventually(lambda: len(seen.of(Rebuilt)) == 2)

    connection.execute("TRUNCATE tags CASCADE")
    eventually(lambda: len(state.index) == 0 and follower.staleness < 0.6)
    eventually(lambda: len(seen.of(Rebuilt)) >= 3)
    assert 3 == len(seen.of(Rebuilt))


def test_old_index_is_fed_while_the_new_one_is_built(
    connection: Connection,
    follower: Follower,
    state: State,
    seen: Observed,
    add_tag: AddTag,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is committed during a slow build is seen at once, and the new index has it, too."""
    build, is_built = TagIndex.build, []

    def build_slowly(tags: Any, *rest: Any) -> TagIndex:
        index = build(tags, *rest)
        time.sleep(1.5)
        is_built.append(index)
        return index

    monkeypatch.setattr(TagIndex, "build", build_slowly)
    grace = add_tag("Grace")
    eventually(lambda: by_name(state, "grace"))
    connection.execute("TRUNCATE tag_synonyms")
    eventually(lambda: any(event.keys is None for event in seen.of(Applied)))
    time.sleep(0.3)

    mercy = add_tag("Mercy")
    connection.execute("DELETE FROM tags WHERE id = %s", [grace])
    assert eventually(lambda: by_name(state, "mercy") and not by_name(state, "grace")) < 1
    assert not is_built
    assert follower.staleness > 0.3
    eventually(lambda: is_built and state.index is is_built[0])
    assert {str(mercy): ("Mercy", 0)} == names(state)
    eventually(lambda: follower.staleness < 0.6)


def test_notification_makes_it_look_at_once(relay: Relay, followed: Database, state: State, add_tag: AddTag) -> None:
    """One that would look twice a minute only has a new tag within a second."""
    with Follower(followed, "public", state, poll_seconds=30) as follower:
        eventually(lambda: follower.staleness is not None)
        for number in range(3):
            add_tag(f"Tag {number}")
            assert eventually(partial(by_name, state, f"tag {number}")) < 1


def test_changes_are_found_without_a_notification(
    connection: Connection, follower: Follower, state: State, add_tag: AddTag, followed: Database
) -> None:
    """Behind a pooler nothing is heard; looking suffices for a second."""
    with connection.transaction():
        connection.execute("ALTER TABLE tags DISABLE TRIGGER ALL")
        grace = add_tag("Grace")
        connection.execute("ALTER TABLE tags ENABLE TRIGGER ALL; UPDATE segue.relay SET number = number + 1")
        connection.execute(
            "INSERT INTO segue.changes (number, kind, keys, written_at) SELECT number, 'tags', ARRAY[%s], now() FROM segue.relay",
            [str(grace)],
        )
    assert eventually(lambda: by_name(state, "grace")) < 1


def test_songs_are_followed_the_same_way(
    relay: Relay, followed: Database, connection: Connection, state: State, add_tag: AddTag, songs: Callable[..., None]
) -> None:
    """Links, titles, tags' names and bans reach the index of songs; when songs are too many it is loaded aside."""
    first, second = uuid4(), uuid4()
    songs([(first, []), (second, [])])
    follow(followed, "public", "songs")
    grace = add_tag("Grace")

    def found(query: SearchQuery) -> set[str]:
        return {hit.key for hit in state.songs.search(query, state.index.resolve).hits}

    def load() -> SongIndex:
        return SongIndex.load(followed, "public", SongsTable())

    by_grace, by_title = SearchQuery(tags=("grace",)), SearchQuery(text="amazing")
    with Follower(followed, "public", state, load_songs=load) as follower:
        eventually(lambda: follower.staleness is not None)
        loaded = state.songs
        assert set() == found(by_grace) | found(by_title)

        connection.execute("INSERT INTO song_tags SELECT %s, id FROM tags", [first])
        assert eventually(lambda: found(by_grace) == {str(first)}) < 1
        connection.execute("UPDATE songs SET title = 'Amazing Grace' WHERE id = %s", [second])
        assert eventually(lambda: found(by_title) == {str(second)}) < 1
        connection.execute("UPDATE tags SET name = 'Charis' WHERE id = %s", [grace])
        assert eventually(lambda: shown(state) == {"Charis"}) < 1
        connection.execute("INSERT INTO segue.banned_tags VALUES (%s, 'grace', 'why', 'me')", [grace])
        assert eventually(lambda: shown(state) == set()) < 1
        assert state.songs is loaded
        connection.execute("DELETE FROM segue.banned_tags")

        connection.execute("INSERT INTO songs SELECT gen_random_uuid(), 'Amazing' FROM generate_series(1, 2000)")
        eventually(lambda: len(state.songs) == 2_002)
        assert state.songs is not loaded
        eventually(lambda: shown(state) == {"Charis"})


def shown(state: State) -> set[str]:
    """Return the names of all tags that a search counts."""
    page = state.songs.search(SearchQuery(), state.index.resolve)
    return {count.tag.name for facet in page.facets for count in facet.tags}
