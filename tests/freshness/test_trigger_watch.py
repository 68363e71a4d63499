"""Triggers that go away are made anew, and what was written without them is found all the same."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.freshness.events import Failed, Rebuilt, TriggersLost
from service.freshness.follower import Follower
from service.freshness.relay import Relay
from service.freshness.trigger_watch import TriggerWatch
from sql.database import Database
from sql.schema.serving import follow, unfollow
from tests.freshness.serving import Observed, State, by_name, eventually, names, stored

Connection = psycopg.Connection[Any]
AddTag = Callable[..., UUID]


@pytest.fixture
def watching(relay: Relay, followed: Database) -> Callable[..., Follower]:
    """Return a function that makes a follower which looks after the triggers ten times a second."""

    def make(state: State, seen: Observed) -> Follower:
        watch = TriggerWatch(partial(follow, followed, "public", patience_seconds=0.1), seconds=0.1)
        return Follower(followed, "public", state, triggers=watch, observers=(seen,), poll_seconds=0.05)

    return make


@pytest.mark.parametrize("by_hand", [False, True])
def test_dropped_triggers(
    watching: Callable[..., Follower],
    followed: Database,
    connection: Connection,
    add_tag: AddTag,
    *,
    by_hand: bool,
) -> None:
    """Every process builds anew, whoever has made the triggers again: one of them, or somebody else."""
    states, told = [State(), State()], [Observed(), Observed()]
    with watching(states[0], told[0]) as one, watching(states[1], told[1]) as other:
        eventually(lambda: one.staleness is not None and other.staleness is not None)
        unfollow(followed)
        add_tag("Grace")
        if by_hand:
            follow(followed, "public")
        for state, seen in zip(states, told, strict=True):
            eventually(partial(by_name, state, "grace"))
            assert seen.of(TriggersLost)
        add_tag("Mercy")
        for state in states:
            eventually(partial(by_name, state, "mercy"))
            assert stored(connection) == names(state)


def test_triggers_that_were_disabled_for_a_moment(
    watching: Callable[..., Follower], connection: Connection, state: State, seen: Observed, add_tag: AddTag
) -> None:
    """A bulk load that switches triggers off and on again leaves nothing behind that says so but their versions."""
    with watching(state, seen) as follower:
        eventually(lambda: follower.staleness is not None)
        connection.execute("ALTER TABLE tags DISABLE TRIGGER USER")
        add_tag("Grace")
        connection.execute("ALTER TABLE tags ENABLE TRIGGER USER")

        eventually(lambda: by_name(state, "grace"))


def test_triggers_that_cannot_be_made(
    relay: Relay, connection: Connection, role: tuple[str, str], state: State, seen: Observed, add_tag: AddTag
) -> None:
    """While the server's role may not make them nothing is taken for fresh, and other changes are still applied."""
    name, url = role
    database = Database(url)
    watch = TriggerWatch(partial(follow, database, "public"), seconds=0.1)
    with Follower(database, "public", state, triggers=watch, observers=(seen,), poll_seconds=0.05) as follower:
        eventually(lambda: follower.staleness is not None)
        connection.execute("DROP TRIGGER segue_outbox_insert ON tag_synonyms")
        eventually(lambda: seen.of(Failed))
        add_tag("Grace")
        eventually(lambda: by_name(state, "grace"))
        eventually(lambda: follower.staleness > 0.5)
        assert "GRANT TRIGGER ON" in str(seen.of(Failed)[0].error)
        assert follower.is_connected
        connection.execute(f"GRANT TRIGGER ON tag_synonyms TO {name}")
        eventually(lambda: follower.staleness < 0.5)
        assert seen.of(TriggersLost)
    database.close()


def test_sound_triggers_are_left_alone(
    watching: Callable[..., Follower], state: State, seen: Observed, add_tag: AddTag
) -> None:
    """Looking costs no build and no lock."""
    with watching(state, seen) as follower:
        eventually(lambda: follower.staleness is not None)
        for number in range(5):
            add_tag(f"Tag {number}")
            eventually(partial(by_name, state, f"tag {number}"))

    assert (0, 1) == (len(seen.of(TriggersLost)), len(seen.of(Rebuilt)))
