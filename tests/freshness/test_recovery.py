"""A server process follows again after whatever went wrong, and never takes itself for fresher than it is."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.freshness.events import ConnectionChanged, Failed, LogLost, Proven, Rebuilt
from service.freshness.feed import build_index
from service.freshness.follower import Follower
from service.freshness.relay import Relay
from service.suggest.index import TagIndex
from sql.database import Database
from tests.conftest import Server
from tests.freshness.serving import Observed, State, by_name, end_sessions, eventually

Connection = psycopg.Connection[Any]
AddTag = Callable[..., UUID]


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


def test_staleness_is_small_when_idle_and_grows_when_nobody_relays(
    followed: Database, connection: Connection, state: State, seen: Observed, add_tag: AddTag
) -> None:
    """An idle process proves itself up to date twice a second; with changes waiting it cannot, and tells since when."""
    with Follower(followed, "public", state, observers=(seen,)) as follower:
        eventually(lambda: follower.staleness is not None)
        for _ in range(10):
            time.sleep(0.1)
            assert follower.staleness < 1.5
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
