"""The second tier: shared, promoted without living longer, invalidated from any process, and never trusted blindly."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis

from cache import MISSING, Cache, Kind, Loaded, RedisMissing
from tests.cache.conftest import FakeClock

Make = Callable[..., Cache]


def never() -> Loaded[Any]:
    """Fail: no load is due."""
    raise AssertionError("loaded")


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
