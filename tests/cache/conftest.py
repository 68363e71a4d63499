"""One Redis for the tests that only use it, and a clock that tests move."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from cache import Cache, Kind
from tests.redis_server import RedisProcess, redis_process, redis_server


class FakeClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[str]:
    """One server a session."""
    with redis_server() as url:
        yield url


@pytest.fixture
def redis_url(shared_redis: str) -> str:
    """An empty Redis."""
    client = redis.Redis.from_url(shared_redis)
    client.flushall()
    client.close()
    return shared_redis


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A Redis to be killed and frozen."""
    with redis_process() as process:
        yield process


@pytest.fixture
def make_cache() -> Iterator[Callable[..., Cache]]:
    """Return a function that makes a cache with kinds `a` and `b`, closed after the test."""
    made: list[Cache] = []

    def make(*kinds: Kind, **options: Any) -> Cache:
        cache = Cache(kinds or (Kind(name="a", ttl=60), Kind(name="b", ttl=60)), **options)
        made.append(cache)
        return cache

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A look at what is stored."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def pair(redis_url: str, make_cache: Callable[..., Cache]) -> tuple[Cache, Cache]:
    """Two processes' caches on one Redis."""
    return make_cache(redis_url=redis_url, redis_timeout=5), make_cache(redis_url=redis_url, redis_timeout=5)
