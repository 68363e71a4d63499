"""A dead or slow Redis costs at most one timeout, then nothing; and what it was not told while away is not given out."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache import MISSING, Breaker, Cache, Loaded
from cache.redis_tier import MOST_OWED
from tests.cache.conftest import FakeClock
from tests.redis_server import RedisProcess

Make = Callable[..., Cache]

#: Longer than the service's, so that a busy machine does not open the breaker by itself.
TIMEOUT = 0.2


def test_one_failure_opens_and_pauses_grow(clock: FakeClock) -> None:
    """Pauses double up to the longest, vary by 20 %, and end with the first try that goes well."""
    breaker = Breaker(clock, first_pause=1, longest_pause=8)
    assert breaker.admits()
    breaker.failed(OSError("gone"))
    breaker.failed(OSError("the second of two calls that fail together"))
    for pause in (1, 2, 4, 8, 8):
        assert (pause, "open") == (breaker.pause, breaker.state)
        assert not breaker.admits()
        clock.pass_(pause * 0.79)
        assert not breaker.admits()
        clock.pass_(pause * 0.42)
        assert breaker.admits()
        assert breaker.state == "half-open"
        assert not breaker.admits()
        breaker.failed(OSError("still gone"))
    clock.pass_(10)
    assert breaker.admits()
    breaker.succeeded()

    assert ("closed", 0, 6, "OSError: still gone") == (breaker.state, breaker.pause, breaker.opened, breaker.last_error)
    assert 15 == breaker.skipped
    breaker.failed(OSError("again"))
    assert 1 == breaker.pause


def test_a_call_from_before_does_not_close_it(clock: FakeClock) -> None:
    """Only a try proves that Redis is back; a try that never reports does not keep it shut."""
    breaker = Breaker(clock, first_pause=1)
    assert breaker.admits()
    assert breaker.admits()
    breaker.failed(OSError("gone"))
    breaker.succeeded()
    assert breaker.state == "open"
    clock.pass_(1.3)
    assert breaker.admits()
    clock.pass_(60)
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.state == "closed"


def test_of_many_callers_one_tries(clock: FakeClock) -> None:
    """50 threads find the pause over; one is let through."""
    breaker = Breaker(clock, first_pause=1)
    breaker.failed(OSError("gone"))
    clock.pass_(2)
    start = threading.Barrier(50)

    def ask(_: int) -> bool:
        start.wait()
        return breaker.admits()

    with ThreadPoolExecutor(50) as pool:
        assert 1 == sum(pool.map(ask, range(50)))


@pytest.fixture
def cache(own_redis: RedisProcess, make_cache: Make, clock: FakeClock) -> Cache:
    """A cache on a Redis that a test may kill; the breaker's pauses pass when the test says so."""
    return make_cache(redis_url=own_redis.url, redis_timeout=TIMEOUT, breaker=Breaker(clock))


def state(cache: Cache) -> Any:
    """Return the second tier's state."""
    return cache.stats().redis


@pytest.mark.untraced
def test_a_frozen_redis_costs_one_timeout(own_redis: RedisProcess, cache: Cache, clock: FakeClock) -> None:
    """It accepts connections and says nothing: one call waits for it, the next thousand do not; then it is back."""
    cache.get_or_load("a", "key", lambda: Loaded(1))
    assert state(cache).state == "closed"
    own_redis.freeze()
    started = time.monotonic()
    assert 2 == cache.get_or_load("a", "first", lambda: Loaded(2))
    first = time.monotonic() - started
    started = time.monotonic()
    for number in range(1_000):
        cache.get_or_load("a", str(number), lambda: Loaded(3))
    rest = time.monotonic() - started

    assert TIMEOUT * 0.9 < first < TIMEOUT * 2
    assert rest < TIMEOUT
    assert ("open", 1, 1_000) == (state(cache).state, state(cache).opened, state(cache).skipped)
    assert "imeout" in state(cache).last_error

    own_redis.thaw()
    assert cache.probe_redis() is False  # its pause is not over
    clock.pass_(1)
    assert 4 == cache.get_or_load("a", "later", lambda: Loaded(4))
    assert ("closed", 0) == (state(cache).state, state(cache).pause_seconds)


def test_an_event_loop_never_waits_for_a_frozen_redis(own_redis: RedisProcess, cache: Cache) -> None:
    """50 tasks that miss wait one timeout at most; the loop goes on meanwhile."""
    own_redis.freeze()
    lags = []

    async def run() -> list[Any]:
        async def tick() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.001)
                lags.append(time.monotonic() - before)

        async def load() -> Loaded[int]:
            return Loaded(1)

        ticking = asyncio.create_task(tick())
        asked = (cache.get_or_load_async("a", str(number), load) for number in range(50))
        values = await asyncio.gather(*asked)
        ticking.cancel()
        return values

    started = time.monotonic()
    assert [1] * 50 == asyncio.run(run())
    assert time.monotonic() - started < TIMEOUT * 3
    assert max(lags) < TIMEOUT / 2
    assert len(lags) > 10
    own_redis.thaw()


def test_a_killed_redis_costs_next_to_nothing(own_redis: RedisProcess, cache: Cache, clock: FakeClock) -> None:
    """Memory goes on; started again, it is empty and used again; stored connections do not fail once more."""
    cache.get_or_load("a", "key", lambda: Loaded(1))
    own_redis.kill()
    started = time.monotonic()
    for number in range(1_000):
        cache.get_or_load("a", str(number), lambda: Loaded(2))
        cache.set("a", "set", number)
    assert time.monotonic() - started < 1
    assert (1, 999) == (cache.get("a", "key"), cache.get("a", "set"))
    assert (state(cache).state, state(cache).opened) == ("open", 1)
    for _ in range(6):
        clock.pass_(100)
        assert cache.probe_redis() is False
    assert state(cache).opened == 7

    own_redis.start()
    clock.pass_(100)
    assert cache.probe_redis()
    assert ("closed", 0) == (state(cache).state, state(cache).owed)
    assert 5 == cache.get_or_load("a", "new", lambda: Loaded(5))
    assert cache.stats().redis == state(cache)
    assert (state(cache).state, state(cache).opened) == ("closed", 7)


@pytest.mark.parametrize("by", ["key", "tag", "kind", "all", "too many tags", "set"])
def test_what_redis_was_not_told_is_not_given_out(
    own_redis: RedisProcess, cache: Cache, clock: FakeClock, by: str
) -> None:
    """It was away during an invalidation and comes back with the old value: it is told before it is asked."""
    cache.get_or_load("a", "key", lambda: Loaded("old", ("tag",)))
    own_redis.freeze()
    {
        "key": lambda: cache.invalidate("a", "key"),
        "tag": lambda: cache.invalidate_tags(["tag"]),
        "kind": lambda: cache.invalidate_kind("a"),
        "all": cache.invalidate_all,
        "too many tags": lambda: cache.invalidate_tags([f"tag {n}" for n in range(MOST_OWED * 2)] + ["tag"]),
        "set": lambda: cache.set("a", "key", "new"),
    }[by]()
    if by == "set":
        assert "new" == cache.get("a", "key")
        cache.invalidate("a", "key", local_only=True)
    assert 1 == state(cache).owed
    own_redis.thaw()
    assert cache.get("a", "key", MISSING) is MISSING
    clock.pass_(1)
    assert cache.get("a", "key", MISSING) is MISSING
    assert ("closed", 0) == (state(cache).state, state(cache).owed)
    assert "new" == cache.get_or_load("a", "key", lambda: Loaded("new"))


def test_a_slow_name_service_is_not_waited_for(own_redis: RedisProcess, make_cache: Make, clock: FakeClock) -> None:
    """Tasks give up on a call that hangs where no timeout of Redis reaches, and it is left alone from then on."""
    cache = make_cache(redis_url=own_redis.url, redis_timeout=0.02, breaker=Breaker(clock))
    tier = cache._redis
    assert tier is not None
    tier.lookup = lambda *_: time.sleep(1)  # type: ignore[method-assign, assignment]

    async def run() -> Any:
        started = time.monotonic()
        value = await cache.get_or_load_async("a", "key", lambda: Loaded(1))
        return value, time.monotonic() - started

    value, seconds = asyncio.run(run())
    assert 1 == value
    assert seconds < 0.5
    assert ("open", "TimeoutError: no answer within 0.1 s") == (state(cache).state, state(cache).last_error)
