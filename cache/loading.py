"""Getting a value that memory does not hold: from Redis, or from one load for all who wait for it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Final

from cache.entry import Key, Loaded
from cache.memory import Memory, lifetime
from cache.redis_tier import Found, RedisTier
from cache.single_flight import Abandoned, Flight, Flights
from cache.store import Store

Load = Callable[[], Loaded[Any]]
AsyncLoad = Callable[[], Awaitable[Loaded[Any]] | Loaded[Any]]

#: What hears of loads: kind, seconds, whether it ended well.
OnLoad = Callable[[str, float, bool], None]

#: Calls to Redis that tasks wait for at the same time; the event loop itself never waits for a socket.
_THREADS: Final = 4
#: How long a task waits for one of them, in timeouts of Redis: the name service and the queue for a thread add to it.
_PATIENCE: Final = 5
#: Loads of others that one waits for, when each is given up.
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class _Step:
    """Something that a fill needs done; `is_remote`: it waits for a socket."""

    call: Callable[[], Any]
    is_remote: bool


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any


Fill = Generator[_Step, Any, Any]


class Loading:
    """Fills of the tiers.

    The way of a fill is written once, as a generator of steps; threads run the steps one after the other, tasks await
    those that take time.

    Args:
        memory: the first tier.
        redis: the second, or None.
        timeout: of the second, seconds.
        on_load: hears of each load.
    """

    def __init__(self, memory: Memory, redis: RedisTier | None, timeout: float, on_load: OnLoad | None) -> None:
        self._memory, self._redis, self._on_load = memory, redis, on_load
        self._patience = timeout * _PATIENCE
        self._flights = Flights(memory.guard)
        self._threads: ThreadPoolExecutor | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # an event loop holds its tasks weakly

    def get(self, store: Store, key: Key, load: Load) -> Any:
        """Return a value that memory did not hold, in a thread.

        Raises:
            Exception: what the load raised, here and to everyone who waits for it.
        """
        for _ in range(_ATTEMPTS):
            flight, waiter = self._flights.enter((store.kind.name, key), may_wait_for_own_thread=False)
            if waiter is None:
                return self._run(self._fill(flight, store, key, load))
            store.counters.coalesced += 1
            with suppress(Abandoned):
                return waiter.result()
        raise Abandoned(f"{_ATTEMPTS} loads of {store.kind.name} were given up by those who made them")

    async def get_async(self, store: Store, key: Key, load: AsyncLoad) -> Any:
        """Return a value that memory did not hold, in a task; otherwise like `get`."""
        for _ in range(_ATTEMPTS):
            flight, waiter = self._flights.enter((store.kind.name, key), may_wait_for_own_thread=True)
            if waiter is None:
                fill = self._fill(flight, store, key, load)
                outcome = self._advance(fill, fill.send, None)
                if isinstance(outcome, _Done):
                    return outcome.value
                # A task of its own: who asked first may be cancelled, and the others still get their value.
                waiter = self._flights.join(flight)
                task = asyncio.get_running_loop().create_task(self._finish(fill, outcome))
                self._tasks.add(task)
                task.add_done_callback(partial(self._end, fill))
            else:
                store.counters.coalesced += 1
            with suppress(Abandoned):
                return await asyncio.wrap_future(waiter)
        raise Abandoned(f"{_ATTEMPTS} loads of {store.kind.name} were given up by those who made them")

    def look_further(self, store: Store, key: Key, missing: Any) -> Any:
        """Return a value of the second tier, now in memory too, or `missing`."""
        redis = self.tier(store)
        if redis is None:
            return missing
        ticket, asked_at = self._memory.guard.now, self._memory.clock()
        found = redis.lookup(store.kind, key)
        return self._promote(store, key, found, ticket, asked_at) if isinstance(found, Found) else missing

    def tier(self, store: Store) -> RedisTier | None:
        """Return the second tier of a kind, or None."""
        return self._redis if store.kind.is_shared else None

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _fill(self, flight: Flight, store: Store, key: Key, load: AsyncLoad) -> Fill:
        redis, packed = self.tier(store), None
        try:
            if (held := store.peek(key)) is not None:  # stored between our miss and our turn
                store.counters.coalesced += 1
                self._flights.land(flight, held.value)
                return held.value
            found: Found | int | None = None
            if redis is not None:
                asked_at = self._memory.clock()
                found = yield _Step(partial(redis.lookup, store.kind, key), is_remote=True)
            if isinstance(found, Found):
                value = self._promote(store, key, found, flight.ticket, asked_at)
            else:
                loaded = yield from self._timed(store, load)
                value = loaded.value
                if redis is not None and found is not None:
                    packed = redis.pack(store.kind, key, loaded, found)
                self._memory.fill(store, key, loaded, flight.ticket)
        except BaseException as error:
            self._flights.fail(flight, error)
            raise
        self._flights.land(flight, value)
        if redis is not None and packed is not None:
            try:
                yield _Step(partial(redis.store, store.kind, key, packed, lifetime(store.kind, value)), is_remote=True)
            except Exception:  # the value is given out already
                redis.counters[store.kind.name].errors += 1
        return value

    def _timed(self, store: Store, load: AsyncLoad) -> Generator[_Step, Any, Loaded[Any]]:
        counters, started, is_ok = store.counters, perf_counter(), False
        try:
            loaded = yield _Step(load, is_remote=False)
            if not isinstance(loaded, Loaded):
                raise TypeError(
                    f"a load of {store.kind.name} gave {type(loaded).__name__}; it must give Loaded(value, tags)"
                )
            is_ok = True
        finally:
            seconds = perf_counter() - started
            counters.load_seconds += seconds
            if is_ok:
                counters.loads += 1
            else:
                counters.load_errors += 1
            if self._on_load is not None:
                self._on_load(store.kind.name, seconds, is_ok)
        return loaded

    def _promote(self, store: Store, key: Key, found: Found, ticket: int, asked_at: float) -> Any:
        # Counted from before the question, and without jitter: memory never keeps it longer than Redis does.
        left = found.ttl - (self._memory.clock() - asked_at)
        self._memory.fill(store, key, Loaded(found.value, found.tags), ticket, left)
        return found.value

    @staticmethod
    def _run(fill: Fill) -> Any:
        try:
            step = fill.send(None)
            while True:
                try:
                    reply = step.call()
                except BaseException as error:
                    step = fill.throw(error)
                else:
                    step = fill.send(reply)
        except StopIteration as end:
            return end.value

    def _advance(self, fill: Fill, resume: Callable[[Any], _Step], argument: Any) -> _Done | Awaitable[Any]:
        """Go on with a fill until it is done or has to wait; return its value, or what to await."""
        try:
            step = resume(argument)
            while not step.is_remote:
                try:
                    reply = step.call()
                except BaseException as error:
                    step = fill.throw(error)
                    continue
                if not isinstance(reply, Loaded) and inspect.isawaitable(reply):
                    return reply
                step = fill.send(reply)
            return self._in_thread(step.call)
        except StopIteration as end:
            return _Done(end.value)

    def _end(self, fill: Fill, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fill.close()  # a task that was cancelled before its first step has not told those who wait

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="segue-cache")
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        done, _ = await asyncio.wait({future}, timeout=self._patience)
        if done:
            return future.result()
        if self._redis is not None:
            self._redis.overdue(self._patience)
        return None

    async def _finish(self, fill: Fill, waiting: Awaitable[Any]) -> None:
        """Run the rest of a fill as a task; what it raises has been raised to those who wait."""
        outcome: _Done | Awaitable[Any] = waiting
        with suppress(Exception):
            while not isinstance(outcome, _Done):
                try:
                    reply = await outcome
                except BaseException as error:
                    outcome = self._advance(fill, fill.throw, error)
                else:
                    outcome = self._advance(fill, fill.send, reply)
