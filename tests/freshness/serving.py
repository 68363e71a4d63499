"""A server process in small: the state that a follower keeps, and ways to wait for it."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from cache import Cache
from service.freshness.events import Event
from service.search.index import SongIndex
from service.suggest.index import TagIndex

#: Longer than anything may take on a busy machine; a test that waits so long has failed.
LIMIT_SECONDS = 20.0


class NotingCache(Cache):
    """The cache, which also notes what it is told to forget."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: set[str] = set()
        self.kinds: set[str] = set()

    def invalidate_tags(self, tags: Iterable[str], **rest: Any) -> int:
        """Note labels."""
        tags = tuple(tags)
        count = super().invalidate_tags(tags, **rest)
        self.labels.update(tags)
        return count

    def invalidate_kind(self, kind: str, **rest: Any) -> int:
        """Note a kind."""
        count = super().invalidate_kind(kind, **rest)
        self.kinds.add(kind)
        return count


@dataclass
class State:
    """What a follower keeps."""

    index: TagIndex | None = None
    songs: SongIndex | None = None
    cache: NotingCache = field(default_factory=NotingCache)


@dataclass
class Observed:
    """Events in order."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Note an event."""
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        """Return the events of one type."""
        return [event for event in self.events if isinstance(event, kind)]


def eventually(holds: Callable[[], object], seconds: float = LIMIT_SECONDS) -> float:
    """Wait until something holds and return the seconds that it took; fail when it never does."""
    start = looked = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, f"did not happen within {seconds} s"
        # Half of the time is left to what is waited for.
        time.sleep(max(0.005, time.monotonic() - looked))
        looked = time.monotonic()
    return time.monotonic() - start


def names(state: State) -> dict[str, tuple[str, int]]:
    """Return name and count of every tag of a state's index by id, as the index gives them."""
    assert state.index is not None
    return {tag.id: (tag.name, tag.usage_count) for tag in state.index.popular(1_000_000)}


def end_sessions(connection: psycopg.Connection[Any]) -> None:
    """End every session of the database but this one."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def stored(connection: psycopg.Connection[Any]) -> dict[str, tuple[str, int]]:
    """Return name and count by id of the tags that are to be seen."""
    rows = connection.execute(
        "SELECT id::text, name, usage_count FROM tags WHERE id NOT IN (SELECT tag_id FROM segue.banned_tags)"
    ).fetchall()
    return {tag_id: (name, count) for tag_id, name, count in rows}


def by_name(state: State, name: str) -> str | None:
    """Return the id of the tag with a normalised name."""
    tag = state.index.by_name(name)
    return tag and tag.id
