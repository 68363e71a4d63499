"""The second tier: shared, promoted without living longer, invalidated from any process, and never trusted blindly."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from cache import MISSING, Cache, Kind, Loaded, RedisMissing
from cache.fill_guard import EVERYTHING
from cache.redis_tier import MOST_OWED
from tests.cache.conftest import FakeClock

Make = Callable[..., Cache]


def never() -> Loaded[Any]:
    """Fail: no load is due."""
    raise AssertionError("loaded")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A look at what is stored."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def pair(redis_url: str, make_cache: Make) -> tuple[Cache, Cache]:
    """Two processes' caches on one Redis."""
    return make_cache(redis_url=redis_url, redis_timeout=5), make_cache(redis_url=redis_url, redis_timeout=5)


@pytest.mark.parametrize("value", [1, "text", b"bytes", [1, {"a": None}], {"nested": [b"x"]}, None])
@pytest.mark.parametrize("key", ["key", b"key", "日本語 \ud800", b"\xff\x00 \n:"])
def test_what_one_loads_another_gets(pair: tuple[Cache, Cache], key: Any, value: Any) -> None:
    """Values, and that there is nothing, go through Redis; from then on memory answers."""
    one, two = pair

    assert value == one.get_or_load("a", key, lambda: Loaded(value, ("tag",)))
    assert value == two.get_or_load("a", key, never)
    assert value == two.reader("a", MISSING)(key)
    assert two.get("b", key, MISSING) is MISSING
    first, second = one.stats().kinds["a"], two.stats().kinds["a"]
    assert first.l2 is not None
    assert second.l2 is not None
    assert (1, 1, 0) == (first.l2.misses, first.loads, first.l2.hits + first.l2.negative_hits)
    assert (int(value is not None), int(value is None)) == (second.l2.hits, second.l2.negative_hits)
    assert (1, 0) == (second.l1.misses, second.loads)


def test_text_and_bytes_are_different_keys(pair: tuple[Cache, Cache]) -> None:
    """As in memory."""
    one, two = pair
    one.set("a", "key", 1)
    one.set("a", b"key", 2)

    assert (1, 2) == (two.get("a", "key"), two.get("a", b"key"))


def test_kinds_choose_their_encoding_and_whether_to_share(
    redis_url: str, make_cache: Make, client: redis.Redis
) -> None:
    """An encoder and decoder of the kind's own; a value that cannot be encoded is an error that says what to do."""
    kinds = (
        Kind(name="a", ttl=60, encode=lambda value: str(value).encode(), decode=lambda data: int(data) + 100),
        Kind(name="b", ttl=60),
        Kind(name="c", ttl=60, is_shared=False),
    )
    one, two = (make_cache(*kinds, redis_url=redis_url, redis_timeout=5) for _ in range(2))
    thing = object()

    one.get_or_load("a", "key", lambda: Loaded(1))
    assert 101 == two.get("a", "key")
    with pytest.raises(TypeError, match=r"kind b: a value of type object cannot be encoded .* is_shared=False"):
        one.get_or_load("b", "key", lambda: Loaded(thing))
    assert thing is one.get_or_load("c", "key", lambda: Loaded(thing))
    one.set("c", "other", thing)
    assert two.get("c", "key") is None
    assert one.stats().kinds["c"].l2 is None
    assert {b"segue:cache:1:marks", b"segue:cache:1:a:key"} == set(client.keys("*"))


def test_a_promoted_entry_never_lives_longer_than_in_redis(
    redis_url: str, make_cache: Make, clock: FakeClock, client: redis.Redis
) -> None:
    """Memory takes over what is left of the lifetime; Redis's own is the kind's with its jitter."""
    one, two = (make_cache(redis_url=redis_url, redis_timeout=5, clock=clock) for _ in range(2))
    lifetimes = set()
    for number in range(20):
        one.get_or_load("a", str(number), lambda: Loaded("value"))
        lifetimes.add(client.pttl(f"segue:cache:1:a:{number}") // 500)
    assert 5 < len(lifetimes)
    assert min(lifetimes) >= 106
    assert max(lifetimes) <= 132

    client.pexpire("segue:cache:1:a:0", 30_000)
    assert "value" == two.get("a", "0")
    read = two.reader("a")
    clock.pass_(29)
    assert "value" == read("0")
    clock.pass_(1)
    assert read("0") is None


def test_promoted_entries_carry_their_tags(pair: tuple[Cache, Cache]) -> None:
    """An invalidation by tag reaches them in memory."""
    one, two = pair
    one.get_or_load("a", "key", lambda: Loaded(1, ("x", "y")))
    two.get("a", "key")

    assert 1 == two.invalidate_tags(["y"], local_only=True)


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


def test_entries_that_cannot_be_read_are_loaded_anew(pair: tuple[Cache, Cache], client: redis.Redis) -> None:
    """Foreign, cut and empty content is a miss; a body that is none is counted as an error."""
    one, two = pair
    for number, content in enumerate([b"", b"nonsense", b"1 2 3", b"\n\n", b"x y z\nbody"]):
        one.get_or_load("a", "key", lambda: Loaded(1))
        client.set("segue:cache:1:a:key", content, px=60_000)
        assert number == two.get_or_load("a", "key", lambda number=number: Loaded(number))
        one.invalidate("a", "key")
        two.invalidate("a", "key")
    one.get_or_load("a", "key", lambda: Loaded(1))
    client.set("segue:cache:1:a:key", client.get("segue:cache:1:a:key").split(b"\n")[0] + b"\n\xc1", px=60_000)
    assert 2 == two.get_or_load("a", "key", lambda: Loaded(2))
    stats = two.stats().kinds["a"].l2
    assert stats is not None
    assert 1 == stats.errors


def test_tasks_use_redis_too(redis_url: str, make_cache: Make) -> None:
    """Misses of tasks look there, promote and store; 1,000 of them for one key ask it once."""
    one, two = (make_cache(redis_url=redis_url, redis_timeout=5) for _ in range(2))

    async def load() -> Loaded[str]:
        await asyncio.sleep(0.001)
        return Loaded("value")

    async def ask(cache: Cache, load: Any) -> list[Any]:
        got = await asyncio.gather(*(cache.get_or_load_async("a", "key", load) for _ in range(1_000)))
        for _ in range(1_000):  # whoever asked has the value already; the second tier is filled meanwhile
            if not cache._loading._tasks:
                break
            await asyncio.sleep(0.005)
        return got

    assert ["value"] * 1_000 == asyncio.run(ask(one, load))
    assert ["value"] * 1_000 == asyncio.run(ask(two, never))
    first, second = one.stats().kinds["a"], two.stats().kinds["a"]
    assert first.l2 is not None
    assert second.l2 is not None
    assert (1, 1, 0) == (first.loads, first.l2.misses, first.l2.hits)
    assert (0, 0, 1) == (second.loads, second.l2.misses, second.l2.hits)


def test_an_unforeseen_failure_of_storing_is_counted(
    pair: tuple[Cache, Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value has been given out already; an interrupt while Redis is asked does leave, and Redis is left alone."""
    cache = pair[0]
    assert cache._redis is not None

    def fail(*_: Any) -> None:
        raise RuntimeError

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache._redis, "store", fail)
        assert 1 == cache.get_or_load("a", "key", lambda: Loaded(1))
    stats = cache.stats().kinds["a"].l2
    assert stats is not None
    assert 1 == stats.errors

    monkeypatch.setattr(cache._redis._client, "execute_command", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.get("a", "other")
    assert pair[1].stats().redis != cache.stats().redis


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


def test_prefixes_are_apart(redis_url: str, make_cache: Make) -> None:
    """Two services may share a Redis."""
    one, two = (make_cache(redis_url=redis_url, prefix=prefix) for prefix in ("x", "y"))
    one.set("a", "key", 1)

    assert two.get("a", "key") is None


def test_a_missing_client_and_a_bad_url_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install; what a URL looks like, and nothing of the password in it."""
    for url in ("http://:hid/den@host", "redis://:hid/den@host", "nonsense"):
        with pytest.raises(ValueError, match="write redis://") as caught:
            Cache(redis_url=url)
        assert "hid" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(RedisMissing, match=r"segue\[redis\]"):
        Cache(redis_url="redis://localhost")
    Cache()
