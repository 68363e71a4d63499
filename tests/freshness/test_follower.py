"""A server process follows what writers commit: at once, exactly, and again after whatever went wrong."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from service.freshness.events import Applied, ConnectionChanged, Failed, LogLost, Proven, Rebuilt
from service.freshness.feed import build_index
from service.freshness.follower import Follower
from service.freshness.relay import Relay
from service.freshness.served import tag_label
from service.search.index import SongIndex
from service.search.query import SearchQuery
from service.settings import SongsTable
from service.suggest.index import TagIndex
from sql.database import Database
from sql.schema.serving import follow
from tests.conftest import Server
from tests.freshness.serving import Observed, State, eventually, names

Connection = psycopg.Connection[Any]
AddTag = Callable[..., UUID]


@pytest.fixture
def relay(followed: Database) -> Iterator[Relay]:
    """A relay at work."""
    with Relay(followed) as relay:
        yield relay


@pytest.fixture
def state() -> State:
    """What the follower keeps."""
    return State()


@pytest.fixture
def seen() -> Observed:
    """What the follower tells."""
    return Observed()


@pytest.fixture
def follower(relay: Relay, followed: Database, state: State, seen: Observed) -> Iterator[Follower]:
    """A follower at work, with its first index."""
    with Follower(followed, "public", state, observers=(seen,)) as follower:
        eventually(lambda: follower.staleness is not None)
        yield follower


def end_sessions(connection: Connection) -> None:
    """End every session of the database but this one."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def stored(connection: Connection) -> dict[str, tuple[str, int]]:
    """Return name and count by id of the tags that are to be seen."""
    rows = connection.execute(
        "SELECT id::text, name, usage_count FROM tags WHERE id NOT IN (SELECT tag_id FROM segue.banned_tags)"
    ).fetchall()
    return {tag_id: (name, count) for tag_id, name, count in rows}


def by_name(state: State, name: str) -> str | None:
    """Return the id of the tag with a normalised name."""
    tag = state.index.by_name(name)
    return tag and tag.id


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
    builds = len(seen.of(Rebuilt))

    connection.execute("TRUNCATE tags CASCADE")
    eventually(lambda: len(state.index) == 0)
    assert builds + 1 == len(seen.of(Rebuilt))
    eventually(lambda: follower.staleness < 0.6)


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


def test_lost_connection_is_made_again_and_replayed(
    connection: Connection, follower: Follower, state: State, seen: Observed, add_tag: AddTag
) -> None:
    """What was committed meanwhile is applied from the log, without building anew."""

    def is_followed(tags: int) -> bool:
        return len(state.index) == tags and follower.is_connected

    grace = add_tag("Grace")
    eventually(lambda: by_name(state, "grace"))
    for round_ in range(3):
        end_sessions(connection)
        connection.execute("UPDATE tags SET usage_count = usage_count + 1")
        add_tag(f"Tag {round_}")
        eventually(partial(is_followed, round_ + 2))

    assert 3 == state.index.get(str(grace)).usage_count
    assert 1 == len(seen.of(Rebuilt))
    assert 0 == len(seen.of(LogLost))
    assert [True, *[False, True] * 3] == [event.is_connected for event in seen.of(ConnectionChanged)]
    assert follower.is_listening


def test_database_that_is_away_leaves_the_index_as_it_is(
    connection: Connection, follower: Follower, state: State, add_tag: AddTag, server: Server
) -> None:
    """While nobody may connect the old answers stay and their age is told; then they are right again."""
    add_tag("Grace")
    eventually(lambda: by_name(state, "grace"))
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {connection.info.dbname} ALLOW_CONNECTIONS false")
        end_sessions(connection)
        eventually(lambda: not follower.is_connected)
        add_tag("Mercy")
        time.sleep(1)
        assert (True, None) == (by_name(state, "grace") is not None, by_name(state, "mercy"))
        assert follower.staleness > 0.9
        admin.execute(f"ALTER DATABASE {connection.info.dbname} ALLOW_CONNECTIONS true")

    eventually(lambda: by_name(state, "mercy") and follower.staleness < 0.6)


def test_log_that_no_longer_reaches_back(
    followed: Database, connection: Connection, state: State, seen: Observed, add_tag: AddTag
) -> None:
    """A process that was away for too long builds anew and forgets all cached answers at once."""
    state.index = build_index(followed, "public")
    with Relay(followed):
        for number in range(5):
            add_tag(f"Tag {number}")
            time.sleep(0.15)
        eventually(lambda: connection.execute("SELECT max(number) >= 2 FROM segue.changes").fetchone() == (True,))
        eventually(lambda: connection.execute("SELECT NOT EXISTS (SELECT FROM segue.outbox)").fetchone() == (True,))
    connection.execute("DELETE FROM segue.changes WHERE number < (SELECT number FROM segue.relay)")

    with Follower(followed, "public", state, observers=(seen,)):
        eventually(lambda: len(state.index) == 5)

    assert 0 == seen.of(LogLost)[0].known < seen.of(LogLost)[0].newest
    assert {"suggestions", "tags", "popular", "search"} <= set(state.cache.kinds)


@pytest.mark.parametrize(
    "replacement",
    [
        "TRUNCATE segue.changes; UPDATE segue.relay SET number = 0",
        "UPDATE segue.changes SET relayed_at = relayed_at - interval '1 day'",
    ],
)
def test_log_that_was_replaced(
    connection: Connection, follower: Follower, state: State, seen: Observed, add_tag: AddTag, replacement: str
) -> None:
    """After a restore the numbers may be lower, or mean other changes: neither is taken for what was known."""
    grace = add_tag("Grace")
    eventually(lambda: by_name(state, "grace"))
    with connection.transaction():
        connection.execute(
            "ALTER TABLE tags DISABLE TRIGGER ALL; UPDATE tags SET usage_count = 5; ALTER TABLE tags ENABLE TRIGGER ALL"
        )
        connection.execute(replacement)

    eventually(lambda: state.index.get(str(grace)).usage_count == 5)
    assert 1 == len(seen.of(LogLost))


def test_change_that_the_index_cannot_take_builds_it_anew(
    connection: Connection,
    follower: Follower,
    state: State,
    seen: Observed,
    add_tag: AddTag,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One bad change stops neither the thread nor those after it."""

    def refuse(*arguments: object) -> None:
        monkeypatch.undo()
        message = "no"
        raise ValueError(message)

    monkeypatch.setattr(TagIndex, "apply", refuse)
    add_tag("Grace")
    eventually(lambda: by_name(state, "grace"))
    add_tag("Mercy")
    eventually(lambda: by_name(state, "mercy"))

    assert ["apply"] == [event.what for event in seen.of(Failed)]


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


def test_staleness_is_small_when_idle_and_grows_when_nobody_relays(
    followed: Database, connection: Connection, state: State, seen: Observed, add_tag: AddTag
) -> None:
    """An idle process proves itself up to date twice a second; with changes waiting it cannot, and tells since when."""
    with Follower(followed, "public", state, observers=(seen,)) as follower:
        eventually(lambda: follower.staleness is not None)
        for _ in range(10):
            time.sleep(0.1)
            assert follower.staleness < 0.9
        assert (0.0, False) == (seen.of(Proven)[-1].outbox_age, seen.of(Proven)[-1].is_relayed)

        add_tag("Grace")
        time.sleep(1.6)
        assert 1 < follower.staleness < 3
        assert 0.5 < seen.of(Proven)[-1].outbox_age < 3
        with Relay(followed):
            eventually(lambda: by_name(state, "grace"))
            eventually(lambda: follower.staleness < 0.6 and seen.of(Proven)[-1].is_relayed)


def test_nobody_else_inherits_the_listening_session(relay: Relay, followed: Database, connection: Connection) -> None:
    """Its connection is closed, not given back to the pool."""
    with Follower(followed, "public", State()) as follower:
        eventually(lambda: follower.is_listening)
    eventually(
        lambda: (
            connection.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'").fetchone() == (0,)
        )
    )
