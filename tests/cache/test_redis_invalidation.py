"""Invalidations in Redis: from any process to every process, whoever lags and whatever Redis forgets."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from cache import MISSING, Cache, Loaded
from cache.fill_guard import EVERYTHING
from cache.redis_tier import MOST_OWED

Make = Callable[..., Cache]


@pytest.mark.parametrize("by", ["key", "tag", "kind", "all"])
def test_an_invalidation_reaches_redis(pair: tuple[Cache, Cache], by: str) -> None:
    """What one process invalidates no other gets from Redis; with `local_only` it stays there."""
    one, two = pair

    def invalidate(**options: Any) -> int:
        if by == "key":
            return one.invalidate("a", "key", **options)
        if by == "tag":
            return one.invalidate_tags(["unknown", "tag"], **options)
        return one.invalidate_kind("a", **options) if by == "kind" else one.invalidate_all(**options)

    one.get_or_load("a", "key", lambda: Loaded(1, ("tag",)))
    one.get_or_load("b", "other", lambda: Loaded(2, ("other",)))
    assert (2 if by == "all" else 1) == invalidate(local_only=True)
    assert 1 == one.get("a", "key")
    invalidate()
    assert (None, None) == (one.get("a", "key"), two.get("a", "key"))
    assert (None if by == "all" else 2) == two.get("b", "other")
    assert 3 == two.get_or_load("a", "key", lambda: Loaded(3, ("tag",)))
    assert 3 == one.get("a", "key")


@pytest.mark.parametrize("way", ["invalidate", "invalidate_tags", "invalidate_kind", "invalidate_all"])
def test_redis_is_told_before_memory_forgets(
    pair: tuple[Cache, Cache], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A reader in the middle of an invalidation does not bring the old value back from Redis."""
    cache = pair[0]
    assert cache._redis is not None
    cache.get_or_load("a", "key", lambda: Loaded("old", ("tag",)))
    tell = cache._redis.invalidate

    def read_and_tell(*arguments: Any) -> int | None:
        cache.get("a", "key")
        return tell(*arguments)

    monkeypatch.setattr(cache._redis, "invalidate", read_and_tell)
    arguments = {"invalidate": ("a", "key"), "invalidate_tags": (["tag"],), "invalidate_kind": ("a",)}.get(way, ())
    assert 1 == getattr(cache, way)(*arguments)
    assert cache.get("a", "key") is None


def test_setting_reaches_redis(pair: tuple[Cache, Cache]) -> None:
    """A value that was set replaces what is there, and a load that began before does not replace it."""
    one, two = pair

    def overtaken() -> Loaded[str]:
        two.set("a", "key", "new", tags=["tag"])
        return Loaded("old")

    assert "old" == one.get_or_load("a", "key", overtaken)
    one.invalidate("a", "key", local_only=True)
    assert ("new", "new") == (one.get("a", "key"), two.get("a", "key"))
    two.set("a", "key", "newer")
    one.invalidate("a", "key", local_only=True)
    assert "newer" == one.get("a", "key")


def test_a_process_that_lags_does_not_fill_redis_with_the_past(pair: tuple[Cache, Cache]) -> None:
    """Its index has not seen a change that another process has applied: what it loads then is not given out.

    Both numbers are those of the changes; loads without one are from the database itself, and current.
    """
    ahead, behind = pair
    ahead.invalidate_tags(["tag"], version=101)

    assert "old" == behind.get_or_load("a", "key", lambda: Loaded("old", ("tag",), version=100))
    assert ahead.get("a", "key", MISSING) is MISSING
    behind.invalidate_tags(["tag"], version=101)
    assert "new" == behind.get_or_load("a", "key", lambda: Loaded("new", ("tag",), version=101))
    assert "new" == ahead.get("a", "key")
    ahead.invalidate_tags(["tag"])  # a number that is not known leaves the known one
    ahead.get_or_load("a", "old", lambda: Loaded("old", ("tag",), version=100))
    assert behind.get("a", "old") is None
    assert "other" == ahead.get_or_load("a", "other", lambda: Loaded("other", ("elsewhere",), version=7))
    assert "other" == behind.get("a", "other")
    ahead.get_or_load("a", "read", lambda: Loaded("read", ("tag",)))
    assert "read" == behind.get("a", "read")


@pytest.mark.parametrize("loss", ["everything", "marks"])
def test_losing_the_marks_loses_no_safety(pair: tuple[Cache, Cache], client: redis.Redis, loss: str) -> None:
    """Redis evicts or restarts: a reader from before that cannot store, and what was stored before is not given out."""
    one, two = pair
    two.set("a", "stored", "before")

    def overtaken() -> Loaded[str]:
        two.invalidate("a", "key")
        client.flushall() if loss == "everything" else client.delete("segue:cache:1:marks")
        return Loaded("old")

    assert "old" == one.get_or_load("a", "key", overtaken)
    assert (None, None) == (two.get("a", "key"), one.get("a", "stored"))
    assert "new" == two.get_or_load("a", "key", lambda: Loaded("new"))
    assert b"new" in client.get("segue:cache:1:a:key")


def test_many_invalidations_in_one_call(pair: tuple[Cache, Cache], client: redis.Redis) -> None:
    """More than Redis is told at once, and more than are remembered one by one."""
    one, two = pair
    one.get_or_load("a", "key", lambda: Loaded(1, ("tag 2500",)))
    one.get_or_load("a", "other", lambda: Loaded(1, ("other",)))
    one.invalidate_tags([f"tag {number}" for number in range(3_000)])
    assert (None, 1) == (two.get("a", "key"), two.get("a", "other"))
    assert 0 < client.hlen("segue:cache:1:marks") <= 3_002

    two.invalidate_tags([f"tag {number}" for number in range(MOST_OWED * 3)])
    assert client.hlen("segue:cache:1:marks") <= 3_002  # one mark for all of them
    assert int(client.hget("segue:cache:1:marks", EVERYTHING).split()[0]) > 0
    assert one.get("b", "key") is None
    one.invalidate("a", "other", local_only=True)
    assert one.get("a", "other") is None
