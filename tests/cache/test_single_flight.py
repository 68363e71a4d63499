"""However many miss at once, one loads; errors, cancellations and invalidations reach exactly those they concern."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache import Abandoned, Cache, Kind, Loaded

Make = Callable[..., Cache]


class Source:
    """What is behind the cache: slow when told, and counting."""

    def __init__(self) -> None:
        self.loads = 0
        self.value: Any = "value"
        self.tags: tuple[str, ...] = ("tag",)
        self.started, self.may_end = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    def _begin(self) -> Loaded[Any]:
        self.loads += 1
        loaded = Loaded(self.value, self.tags)
        self.started.set()
        return loaded

    def load(self) -> Loaded[Any]:
        """Load in a thread."""
        loaded = self._begin()
        self.may_end.wait(10)
        if self.error:
            raise self.error
        return loaded

    async def load_async(self) -> Loaded[Any]:
        """Load in a task."""
        loaded = self._begin()
        while not self.may_end.is_set():
            await asyncio.sleep(0.001)
        if self.error:
            raise self.error
        return loaded


@pytest.fixture
def source() -> Source:
    """A source."""
    return Source()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def flights(cache: Cache) -> dict[Any, Any]:
    """Return the loads under way."""
    return cache._loading._flights._flights


def waiting(cache: Cache, kind: str = "a") -> int:
    """Return how many wait for a load that another began."""
    return cache.stats().kinds[kind].coalesced


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


@pytest.mark.parametrize("cancelled", [0, 1])
def test_a_cancelled_task_leaves_the_load_to_the_others(make_cache: Make, source: Source, cancelled: int) -> None:
    """Whether it had begun the load or only waited for it; and the load is stored though all are cancelled."""
    cache = make_cache()

    async def run() -> Any:
        tasks = [asyncio.create_task(cache.get_or_load_async("a", "key", source.load_async)) for _ in range(2)]
        while waiting(cache) < 1:
            await asyncio.sleep(0.001)
        tasks[cancelled].cancel()
        await asyncio.wait([tasks[cancelled]])
        assert tasks[cancelled].cancelled()
        source.may_end.set()
        value = await tasks[1 - cancelled]

        source.may_end.clear()
        alone = asyncio.create_task(cache.get_or_load_async("a", "other", source.load_async))
        await asyncio.sleep(0.005)
        alone.cancel()
        source.may_end.set()
        await asyncio.sleep(0.01)
        return value

    assert "value" == asyncio.run(run())
    assert 2 == source.loads
    assert "value" == cache.get("a", "other")


def test_a_closed_event_loop_gives_its_load_to_who_waits(make_cache: Make, source: Source) -> None:
    """A thread that waited for a task of a loop that ended loads itself."""
    cache = make_cache()
    leaving = threading.Event()

    async def run() -> None:
        task = asyncio.create_task(cache.get_or_load_async("a", "key", source.load_async))
        while not leaving.is_set():
            await asyncio.sleep(0.001)
        task.cancel()

    with ThreadPoolExecutor(2) as pool:
        loop = pool.submit(lambda: asyncio.run(run()))
        assert source.started.wait(10)
        thread = pool.submit(cache.get_or_load, "a", "key", lambda: Loaded("own"))
        until(lambda: waiting(cache) == 1)
        leaving.set()
        loop.result(10)
        assert "own" == thread.result(10)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_load_that_never_began_is_given_up(make_cache: Make, source: Source) -> None:
    """An event loop that ends between asking and loading leaves nothing behind that others would wait for."""
    cache = make_cache()

    async def run() -> None:
        asking = asyncio.create_task(cache.get_or_load_async("a", "key", source.load_async))
        await asyncio.sleep(0)
        (loading,) = cache._loading._tasks
        asking.cancel()
        loading.cancel()
        await asyncio.wait([asking, loading])
        assert loading.cancelled()

    asyncio.run(run())
    assert 0 == source.loads
    assert not flights(cache)
    assert "own" == cache.get_or_load("a", "key", lambda: Loaded("own"))


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


def test_who_is_always_left_alone_is_told(make_cache: Make) -> None:
    """A load that cancels itself each time does not make its waiters wait for ever."""
    cache = make_cache()

    async def give_up() -> Loaded[int]:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    with pytest.raises(Abandoned, match="3 loads of a were given up"):
        asyncio.run(cache.get_or_load_async("a", "key", give_up))

    interrupted = threading.Event()

    def interrupt() -> Loaded[int]:
        before = waiting(cache)
        interrupted.set()
        until(lambda: waiting(cache) > before)
        raise KeyboardInterrupt

    def lead() -> None:
        with pytest.raises(KeyboardInterrupt):
            cache.get_or_load("a", "key", interrupt)

    leaders = [threading.Thread(target=lead)]
    leaders[0].start()
    assert interrupted.wait(10)
    assert "own" == cache.get_or_load("a", "key", lambda: Loaded("own"))
    leaders[0].join()


def test_nobody_waits_for_itself(make_cache: Make, source: Source) -> None:
    """A load that asks for its own key, and a plain call in the thread of the event loop that loads, load themselves."""
    cache = make_cache()

    assert "inner" == cache.get_or_load(
        "a", "key", lambda: Loaded(cache.get_or_load("a", "key", lambda: Loaded("inner")))
    )

    async def run() -> Any:
        task = asyncio.create_task(cache.get_or_load_async("a", "other", source.load_async))
        await asyncio.sleep(0.005)
        value = cache.get_or_load("a", "other", lambda: Loaded("plain"))
        source.may_end.set()
        return value, await task

    assert ("plain", "value") == asyncio.run(run())


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
