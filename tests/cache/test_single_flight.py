"""However many miss at once, one loads; errors, cancellations and invalidations reach exactly those they concern."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache import Cache, Kind, Loaded
from tests.cache.slow_source import Source, flights, until, waiting

Make = Callable[..., Cache]


@pytest.fixture
def source() -> Source:
    """A source."""
    return Source()


def test_a_thousand_threads_load_once(make_cache: Make, source: Source) -> None:
    """1,000 threads that miss at once make one load."""
    cache = make_cache()
    with ThreadPoolExecutor(1_000) as pool:
        got = [pool.submit(cache.get_or_load, "a", "key", source.load) for _ in range(1_000)]
        until(lambda: waiting(cache) == 999)
        source.may_end.set()
        values = [future.result(10) for future in got]
    stats = cache.stats().kinds["a"]

    assert ["value"] * 1_000 == values
    assert (1, 1, 999, 1_000) == (source.loads, stats.loads, stats.coalesced, stats.l1.misses)
    assert not flights(cache)


@pytest.mark.parametrize("is_coroutine", [True, False])
def test_a_thousand_tasks_load_once(make_cache: Make, source: Source, is_coroutine: bool) -> None:
    """1,000 tasks that miss at once make one load, by a coroutine function or by a plain one."""
    cache = make_cache()
    source.may_end.set()

    async def run() -> list[Any]:
        load = source.load_async if is_coroutine else source.load
        return await asyncio.gather(*(cache.get_or_load_async("a", "key", load) for _ in range(1_000)))

    assert ["value"] * 1_000 == asyncio.run(run())
    assert 1 == source.loads
    assert not flights(cache)


def test_threads_and_event_loops_share_a_load(make_cache: Make, source: Source) -> None:
    """Three event loops with 100 tasks each and 100 threads make one load."""
    cache = make_cache()

    async def tasks() -> list[Any]:
        return await asyncio.gather(*(cache.get_or_load_async("a", "key", source.load_async) for _ in range(100)))

    with ThreadPoolExecutor(103) as pool:
        loops = [pool.submit(lambda: asyncio.run(tasks())) for _ in range(3)]
        threads = [pool.submit(cache.get_or_load, "a", "key", source.load) for _ in range(100)]
        until(lambda: waiting(cache) >= 399)
        source.may_end.set()
        values = [value for loop in loops for value in loop.result(10)] + [thread.result(10) for thread in threads]

    assert ["value"] * 400 == values
    assert 1 == source.loads


def test_a_failing_load_raises_to_all_and_is_not_stored(make_cache: Make, source: Source) -> None:
    """Threads and tasks that waited get the error; the next one loads anew."""
    cache = make_cache()
    source.error = LookupError("no source")

    async def tasks() -> list[Any]:
        calls = (cache.get_or_load_async("a", "key", source.load_async) for _ in range(50))
        return await asyncio.gather(*calls, return_exceptions=True)

    with ThreadPoolExecutor(51) as pool:
        loop = pool.submit(lambda: asyncio.run(tasks()))
        threads = [pool.submit(cache.get_or_load, "a", "key", source.load) for _ in range(50)]
        until(lambda: waiting(cache) >= 99)
        source.may_end.set()
        errors = loop.result(10) + [thread.exception(10) for thread in threads]
    stats = cache.stats().kinds["a"]

    assert ["no source"] * 100 == [str(error) for error in errors]
    assert (1, 0, 1) == (source.loads, stats.loads, stats.load_errors)
    source.error = None
    assert "value" == cache.get_or_load("a", "key", source.load)


def test_what_was_stored_before_its_turn_is_not_loaded(make_cache: Make) -> None:
    """One that missed, and came to load after another had loaded and stored, takes that."""
    cache = make_cache()
    cache.set("a", "key", "value")
    store = cache._memory.store("a")

    def never() -> Loaded[str]:
        raise AssertionError

    assert "value" == cache._loading.get(store, "key", never)
    assert "value" == asyncio.run(cache._loading.get_async(store, "key", never))
    assert not flights(cache)


def test_a_plain_load_of_a_task_may_fail(make_cache: Make) -> None:
    """The error comes out of the call, and nothing is left under way."""
    cache = make_cache()

    def fail() -> Loaded[int]:
        raise LookupError("no source")

    with pytest.raises(LookupError, match="no source"):
        asyncio.run(cache.get_or_load_async("a", "key", fail))
    assert not flights(cache)
    assert 1 == cache.stats().kinds["a"].load_errors


@pytest.mark.parametrize("by", ["key", "tag", "kind", "all"])
def test_who_asks_after_an_invalidation_does_not_get_an_older_load(make_cache: Make, source: Source, by: str) -> None:
    """It begins a load of its own; those who had asked before get the older one, which is not stored."""
    cache = make_cache()
    source.value = "old"
    with ThreadPoolExecutor(3) as pool:
        early = [pool.submit(cache.get_or_load, "a", "key", source.load) for _ in range(2)]
        until(lambda: waiting(cache) == 1)
        if by == "key":
            cache.invalidate("a", "key")
        elif by == "tag":
            cache.invalidate_tags(["tag"])
        elif by == "kind":
            cache.invalidate_kind("a")
        else:
            cache.invalidate_all()
        assert "new" == pool.submit(cache.get_or_load, "a", "key", lambda: Loaded("new")).result(10)
        source.may_end.set()
        assert ["old", "old"] == [future.result(10) for future in early]

    assert "new" == cache.get("a", "key")
    assert 1 == cache.stats().kinds["a"].l1.refused


def test_other_invalidations_do_not_part_those_who_wait(make_cache: Make, source: Source) -> None:
    """An invalidation of another key or kind leaves a load shared."""
    cache = make_cache(Kind(name="a", ttl=60), Kind(name="b", ttl=60))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_load, "a", "key", source.load)
        assert source.started.wait(10)
        cache.invalidate("a", "other")
        cache.invalidate("b", "key")
        cache.invalidate_kind("b")
        second = pool.submit(cache.get_or_load, "a", "key", source.load)
        until(lambda: waiting(cache) == 1)
        source.may_end.set()
        assert ["value", "value"] == [first.result(10), second.result(10)]

    assert 1 == source.loads
    assert "value" == cache.get("a", "key")


def test_a_load_must_give_loaded(make_cache: Make) -> None:
    """The error names the kind and what came instead; an iterator's end does not end the wrong loop."""
    cache = make_cache()

    with pytest.raises(TypeError, match=r"a load of a gave int; it must give Loaded\(value, tags\)"):
        cache.get_or_load("a", "key", lambda: 5)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="a load of a gave int"):
        asyncio.run(cache.get_or_load_async("a", "key", lambda: 5))  # type: ignore[arg-type, return-value]

    async def ends() -> Loaded[int]:
        await asyncio.sleep(0)
        return next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        cache.get_or_load("a", "key", lambda: next(iter(())))
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(cache.get_or_load_async("a", "key", ends))
    assert not flights(cache)
