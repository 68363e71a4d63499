"""What is counted, and that the counts are true: bytes, lookups, loads, entries that left."""

import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cache import Cache, Kind, Loaded
from cache.entry import size_of
from cache.store import EXPIRED_AT_ONCE
from tests.cache.conftest import FakeClock

Make = Callable[..., Cache]


def test_a_write_after_a_quiet_time_clears_up_a_part(make_cache: Make, clock: FakeClock) -> None:
    """Nobody waits for thousands of expired entries to go; asking for statistics removes the rest."""
    cache = make_cache(Kind(name="a", ttl=10, jitter=0), clock=clock)
    for key in range(2_000):
        cache.set("a", str(key), key, tags=["tag"])
    clock.pass_(10)
    cache.set("a", "new", 1)
    assert EXPIRED_AT_ONCE == cache._memory.store("a").counters.evictions["expired"]
    assert 0 == cache.invalidate_tags(["tag"])
    cache.set("a", "other", 1)
    stats = cache.stats().kinds["a"].l1

    assert (2, 2_000, 0) == (stats.entries, stats.evictions["expired"], stats.evictions["explicit"])


def test_what_left_early_does_not_pile_up(make_cache: Make) -> None:
    """The heap of expiries stays in proportion to the entries."""
    cache = make_cache(Kind(name="a", ttl=60, max_entries=100))
    for number in range(10_000):
        cache.set("a", str(number % 300), number)
    store = cache._memory.store("a")

    assert 100 <= len(store._expiries) <= 2 * 100 + EXPIRED_AT_ONCE
    assert 100 == store.measure()[0]


def test_bytes_are_what_entries_take(make_cache: Make) -> None:
    """The counted bytes are the allocated ones within a quarter, with tags of their own and with shared ones."""
    for tags in ((), ("own {}",), ("shared", "own {}", "second {}")):
        cache = make_cache(Kind(name="a", ttl=60, max_entries=20_000))
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(5_000):
                key = f"key {number}"
                loaded = Loaded(b"%d" % number * 20, tuple(tag.format(number) for tag in tags))
                cache.fill("a", key, loaded, cache.ticket())
            allocated = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

        assert allocated == pytest.approx(cache.stats().kinds["a"].l1.bytes, rel=0.25), tags


def test_sizes_of_values() -> None:
    """Containers and slotted objects count what they hold."""

    @dataclass(slots=True)
    class Row:
        name: bytes
        numbers: list[int]

    text = b"x" * 5_000

    assert 5_000 < size_of(text) < 5_100
    for value in ([text], (text,), {text: 1}, {"a": {"b": text}}, Row(text, [1])):
        assert 5_000 < size_of(value) < 6_000


def test_lookups_and_loads_are_counted(make_cache: Make) -> None:
    """Hits, misses, loads and their errors, the time they took, and who is told of them."""
    heard = []
    cache = make_cache(on_load=lambda kind, seconds, is_ok: heard.append((kind, seconds >= 0, is_ok)))

    def fail() -> Loaded[int]:
        raise LookupError("no source")

    cache.get("a", "key")
    for _ in range(3):
        cache.get_or_load("a", "key", lambda: Loaded(7))
    with pytest.raises(LookupError, match="no source"):
        cache.get_or_load("a", "other", fail)
    stats = cache.stats().kinds["a"]

    assert (2, 3, 0) == (stats.l1.hits, stats.l1.misses, stats.l1.negative_hits)
    assert (1, 1, 0) == (stats.loads, stats.load_errors, stats.coalesced)
    assert 0 < stats.load_seconds < 1
    assert [("a", True, True), ("a", True, False)] == heard
    assert stats.l2 is None
    assert cache.stats().redis is None
    assert cache.probe_redis() is None


def test_no_count_is_lost_among_threads(make_cache: Make) -> None:
    """Totals that are counted without a lock are exact."""
    cache = make_cache()
    cache.set("a", "key", 1)
    read = cache.reader("a")

    def look() -> None:
        for _ in range(20_000):
            read("key")
            cache.get("a", "none")

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = cache.stats().kinds["a"].l1

    assert (80_000, 80_000) == (stats.hits, stats.misses)


def test_readers_and_writers_at_once(make_cache: Make) -> None:
    """Under evictions, expiries and invalidations of several threads nothing is torn and the books still balance."""
    cache = make_cache(Kind(name="a", ttl=0.01, max_entries=50, max_bytes=60_000))
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for number in range(3_000):
            key = str((number * 7 + seed) % 120)
            if (value := cache.get("a", key)) is not None and value != key * 20:
                wrong.append((key, value))
            cache.fill("a", key, Loaded(key * 20, (f"tag {int(key) % 9}",)), cache.ticket())
            if number % 50 == seed:
                cache.invalidate_tags([f"tag {seed}"])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store, stats = cache._memory.store("a"), cache.stats().kinds["a"].l1

    assert [] == wrong
    assert stats.entries <= 50
    assert stats.bytes == sum(entry.size for entry in store._live.values()) <= 60_000
    assert 12_000 - stats.refused - stats.entries == sum(stats.evictions.values())
    cache.invalidate_all()
    assert (0, 0, 0) == store.measure()
