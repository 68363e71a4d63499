"""Loads that end before their time: cancelled tasks, closed event loops, interrupted threads."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache import Abandoned, Cache, Loaded
from tests.cache.slow_source import Source, flights, until, waiting

Make = Callable[..., Cache]


@pytest.fixture
def source() -> Source:
    """A source."""
    return Source()


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
