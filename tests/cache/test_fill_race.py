"""The fill race: a reader is delayed with an old value, a writer invalidates, the reader stores the old value.

Ten thousand times each, in memory and in Redis, no read that begins after an invalidation gives an older value; and
with the guard taken out the same tests see stale reads.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from cache import MISSING, Breaker, Cache, Kind, Loaded, redis_scripts, redis_tier
from cache.fill_guard import FillGuard, key_mark, kind_mark, tag_mark
from cache.redis_tier import Found, RedisTier

RACES = 10_000
KIND = Kind(name="a", ttl=60)


class Truth:
    """What the cache is a copy of: a number that a writer raises, and the number that readers were promised."""

    def __init__(self) -> None:
        self.number = self.promised = 0

    def load(self) -> Loaded[int]:
        """Read it, and let others run before it is stored."""
        loaded = Loaded(self.number, ("tag",))
        time.sleep(0)
        return loaded


def invalidations(cache: Cache, key: str) -> list[Callable[[], int]]:
    """Return every way to invalidate the key."""
    return [
        lambda: cache.invalidate("a", key),
        lambda: cache.invalidate_tags(["tag"]),
        lambda: cache.invalidate_kind("a"),
        cache.invalidate_all,
    ]


def delayed_reader(cache: Cache, races: int) -> int:
    """Let a writer invalidate in the middle of every load; return how many stale values were left."""
    truth, stale = Truth(), 0
    has_read, may_store = threading.Semaphore(0), threading.Semaphore(0)
    ways = {key: invalidations(cache, key) for key in map(str, range(64))}

    def write() -> None:
        for race in range(races):
            has_read.acquire()
            truth.number += 1
            ways[str(race % 64)][race % 4]()
            may_store.release()

    def load() -> Loaded[int]:
        loaded = truth.load()
        has_read.release()
        may_store.acquire()
        return loaded

    writer = threading.Thread(target=write)
    writer.start()
    for race in range(races):
        key = str(race % 64)
        cache.get_or_load("a", key, load)
        stale += cache.get("a", key, MISSING) not in (MISSING, truth.number)
        cache.invalidate("a", key)
    writer.join()
    return stale


def free_race(reading: list[Cache], writing: Cache, races: int) -> int:
    """Let readers and a writer run at each other; return how many reads were older than what they were promised.

    Each race begins for all at once and nobody waits for anybody within it.
    """
    truth, stale = Truth(), [0] * len(reading)
    begin, end = [threading.Semaphore(0) for _ in reading], threading.Semaphore(0)

    def read(number: int) -> None:
        cache = reading[number]
        for _ in range(races):
            begin[number].acquire()
            for _ in range(2):
                promised = truth.promised
                stale[number] += cache.get_or_load("a", "key", truth.load) < promised
            end.release()

    readers = [threading.Thread(target=read, args=(number,)) for number in range(len(reading))]
    for thread in readers:
        thread.start()
    ways = [invalidations(cache, "key") for cache in {id(cache): cache for cache in [writing, *reading]}.values()]
    for race in range(races):
        for semaphore in begin:
            semaphore.release()
        if race % 2:
            time.sleep(0)
        truth.number += 1
        for way in ways:
            way[race % 4]()
        truth.promised = truth.number
        for _ in readers:
            end.acquire()
    for thread in readers:
        thread.join()
    return sum(stale)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the guard out of both tiers."""
    monkeypatch.setattr(FillGuard, "is_fresh", lambda *_: True)
    monkeypatch.setattr(FillGuard, "is_untouched", lambda *_: True)
    careless = redis_scripts._SHARED.replace("return false", "return true")
    for name, body in (("LOOKUP", redis_scripts._LOOKUP), ("STORE", redis_scripts._STORE)):
        monkeypatch.setattr(redis_tier, name, redis_scripts.Script(careless + body))


def test_memory_is_never_stale_after_a_delayed_reader() -> None:
    """Every one of 10,000 readers is overtaken by an invalidation; none leaves its old value."""
    cache = Cache([KIND])

    assert 0 == delayed_reader(cache, RACES)
    assert RACES == cache.stats().kinds["a"].l1.refused


@pytest.mark.usefixtures("unguarded")
def test_memory_without_the_guard_is_stale() -> None:
    """The same readers leave their old values when nothing guards them."""
    assert 400 == delayed_reader(Cache([KIND]), 400)


@pytest.mark.usefixtures("restless")
def test_memory_is_never_stale_in_a_free_race() -> None:
    """Two readers and a writer, 10,000 changes, nobody waits for anybody."""
    cache = Cache([KIND])

    assert 0 == free_race([cache, cache], cache, RACES)


@pytest.mark.usefixtures("restless", "unguarded")
def test_memory_without_the_guard_loses_a_free_race() -> None:
    """The free race does meet the fault that the guard prevents."""
    cache = Cache([KIND])

    assert any(free_race([cache, cache], cache, 1_000) for _ in range(200))


# -- Redis


def tier(url: str) -> RedisTier:
    """Return one process's end of Redis."""
    return RedisTier(url, [KIND], prefix="race", timeout=5, breaker=Breaker(lambda: 0.0))


def mark_of(race: int, way: int) -> str:
    """Return what the writer of a race invalidates: in turn the key, its tag, its kind, everything."""
    return (key_mark("a", str(race)), tag_mark(f"tag {race}"), kind_mark("a"), "*")[way % 4]


def delayed_stores(url: str, races: int) -> int:
    """Let a second process invalidate between a first one's lookup and store; return how many stale values a third got."""
    reader, writer, witness = tier(url), tier(url), tier(url)
    stale = 0
    for race in range(races):
        ticket = reader.lookup(KIND, str(race))
        assert isinstance(ticket, int)
        packed = reader.pack(KIND, str(race), Loaded(race, (f"tag {race}",)), ticket)
        assert writer.invalidate([mark_of(race, race)]) is not None
        reader.store(KIND, str(race), packed, 60)
        stale += isinstance(witness.lookup(KIND, str(race)), Found)
    assert reader.counters["a"].refused == races - stale
    for end in (reader, writer, witness):
        end.close()
    return stale


def delayed_stores_together(url: str, races: int, at_once: int = 500) -> int:
    """Do the same with fewer round trips: many readers look up, a writer overtakes them all, they store, one looks."""
    reader, stale = tier(url), 0
    client, clock = redis.Redis.from_url(url), reader._clock_key

    def together(script: Any, calls: list[tuple[Any, ...]]) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for keys, *values in calls:
            script(pipeline, keys, *values)
        return pipeline.execute()

    reader.invalidate([])  # the server knows the scripts from here on
    reader.store(KIND, "", reader.pack(KIND, "", Loaded(0), int(str(reader.lookup(KIND, "")))), 1)
    for start in range(0, races, at_once):
        keys = [str(race) for race in range(start, start + at_once)]
        places = [(reader._name(KIND, key), clock) for key in keys]
        tickets = [ticket for _, _, ticket in together(redis_tier.LOOKUP, [(place,) for place in places])]
        packed = [
            reader.pack(KIND, key, Loaded(key, (f"tag {key}",)), int(t)) for key, t in zip(keys, tickets, strict=True)
        ]
        together(redis_tier.STAMP, [((clock,), mark_of(int(key), start // at_once), -1) for key in keys])
        stored = together(redis_tier.STORE, [(place, what, 60_000) for place, what in zip(places, packed, strict=True)])
        found = together(redis_tier.LOOKUP, [(place,) for place in places])
        assert sum(stored) == sum(body is not None for body, _, _ in found)
        stale += sum(stored)
    client.close()
    reader.close()
    return stale


def test_redis_is_never_stale_after_a_delayed_reader(redis_url: str) -> None:
    """Every one of 10,000 readers is overtaken by another process's invalidation; none leaves its old value."""
    assert 0 == delayed_stores_together(redis_url, RACES)
    assert 0 == delayed_stores(redis_url, 400)


@pytest.mark.usefixtures("unguarded")
def test_redis_without_the_guard_is_stale(redis_url: str) -> None:
    """The same readers leave their old values when the scripts do not look at the marks."""
    assert 1_000 == delayed_stores_together(redis_url, 1_000)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert 400 == delayed_stores(redis_url, 400)


@pytest.mark.usefixtures("restless")
def test_two_processes_with_redis_are_never_stale(redis_url: str, make_cache: Callable[..., Cache]) -> None:
    """Two caches on one Redis, each told of every change: neither gives out what is older than it was promised."""
    one, two = (make_cache(KIND, redis_url=redis_url, redis_timeout=5) for _ in range(2))

    assert 0 == free_race([one, two], one, 1_500)
    stats: Any = one.stats().kinds["a"]
    assert stats.l2.hits + two.stats().kinds["a"].l2.hits > 0


@pytest.mark.usefixtures("restless", "unguarded")
def test_two_processes_with_redis_and_without_the_guard_are_stale(
    redis_url: str, make_cache: Callable[..., Cache]
) -> None:
    """The race of two processes does meet the fault that the guard prevents."""
    one, two = (make_cache(KIND, redis_url=redis_url, redis_timeout=5) for _ in range(2))

    assert any(free_race([one, two], one, 500) for _ in range(20))
