"""A source that is slow when told, and what tests ask a cache about loads under way."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from cache import Cache, Loaded


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
