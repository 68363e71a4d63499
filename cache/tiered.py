"""The cache: memory, behind it Redis where there is one, behind both the loads of its callers."""

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from cache.breaker import Breaker
from cache.entry import MISSING, Key, Loaded
from cache.fill_guard import EVERYTHING, Mark, key_mark, kind_mark, tag_mark
from cache.kinds import Kind, standard_kinds
from cache.loading import AsyncLoad, Loading, OnLoad
from cache.memory import Memory, lifetime
from cache.redis_tier import TIMEOUT_SECONDS, RedisTier
from cache.stats import CacheStats, KindStats, TierStats
from cache.store import Clock, Store

Value = TypeVar("Value")


class Cache:
    """Values by kind and key, fresh by proof: once an invalidation has returned, no older value is given out.

    Every method may be called from any thread; only `get_or_load_async` waits without blocking an event loop. Methods
    raise UnknownKind for a kind that the cache was not made with, and never because of Redis.

    Args:
        kinds: what is cached.
        redis_url: of the second tier, or None.
        redis_timeout: seconds that one call to a dead or slow Redis may cost; those after it cost nothing.
        prefix: of the keys in Redis; processes that share it share entries.
        clock: seconds, growing.
        on_load: hears of each load: kind, seconds, whether it ended well.
        breaker: decides when Redis is left alone.

    Raises:
        RedisMissing: there is a URL, but the extra `redis` is not installed.
        ValueError: the URL is none, or two kinds have one name.
    """

    def __init__(
        self,
        kinds: Iterable[Kind] | None = None,
        *,
        redis_url: str | None = None,
        redis_timeout: float = TIMEOUT_SECONDS,
        prefix: str = "segue:cache",
        clock: Clock = time.monotonic,
        on_load: OnLoad | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        kinds = standard_kinds() if kinds is None else tuple(kinds)
        if len({kind.name for kind in kinds}) < len(kinds):
            raise ValueError(f"two kinds have one name: {', '.join(sorted(kind.name for kind in kinds))}")
        self._memory = Memory(kinds, clock)
        self._redis: RedisTier | None = None
        if redis_url is not None:
            shared = [kind for kind in kinds if kind.is_shared]
            guard = breaker or Breaker(time.monotonic)
            self._redis = RedisTier(redis_url, shared, prefix=prefix, timeout=redis_timeout, breaker=guard)
        self._loading = Loading(self._memory, self._redis, redis_timeout, on_load)
        self._readers = {name: store.reader(MISSING) for name, store in self._memory.stores.items()}

    # -- reading

    def reader(self, kind: str, missing: Any = None) -> Callable[[Key], Any]:
        """Return the quickest read there is, for a hot path: a function of the key that looks into memory alone.

        It gives None for "there is nothing" and `missing` where there is no entry. It counts hits but no misses: follow
        a miss by `get_or_load` or its twin, which count it.
        """
        return self._memory.store(kind).reader(missing)

    def get(self, kind: str, key: Key, default: Any = None) -> Any:
        """Return a key's value from memory or else Redis; None for "there is nothing", `default` for no entry."""
        read = self._readers.get(kind)
        value = MISSING if read is None else read(key)
        if value is not MISSING:
            return value
        store = self._memory.store(kind)
        store.counters.misses += 1
        return self._loading.look_further(store, key, default)

    def get_or_load(self, kind: str, key: Key, load: Callable[[], Loaded[Value]]) -> Value | None:
        """Return a key's value, from the tiers or else from one load for all who ask for it meanwhile.

        A load that fails raises to all of them and nothing is stored. A load may have seen what was invalidated
        meanwhile: then it is given to those who had asked before that, and not stored.
        """
        store = self._memory.store(kind)
        value = self._readers[kind](key)
        if value is MISSING:
            store.counters.misses += 1
            value = self._loading.get(store, key, load)
        return cast("Value | None", value)

    async def get_or_load_async(self, kind: str, key: Key, load: AsyncLoad) -> Any:
        """Do the same in a task; `load` is a function or a coroutine function.

        A caller that is cancelled does not cancel the load: others may wait for it.
        """
        store = self._memory.store(kind)
        value = self._readers[kind](key)
        if value is not MISSING:
            return value
        store.counters.misses += 1
        return await self._loading.get_async(store, key, load)

    # -- writing

    def set(self, kind: str, key: Key, value: Any, tags: Iterable[str] = (), version: int | None = None) -> None:
        """Store what is the value from now on, in both tiers; older loads still under way are not stored."""
        store, loaded = self._memory.store(kind), Loaded(value, tuple(tags), version)
        redis = self._loading.tier(store)
        if redis is not None:
            number = redis.invalidate([key_mark(kind, key)])
            if number is not None:
                packed = redis.pack(store.kind, key, loaded, number)
                redis.store(store.kind, key, packed, lifetime(store.kind, value))
        ticket = self._memory.guard.stamp([key_mark(kind, key)])
        if not self._memory.fill(store, key, loaded, ticket):
            self._memory.drop_key(kind, key)  # what was there is not the value any more

    def ticket(self) -> int:
        """Return what `fill` asks for; take it before reading the source."""
        return self._memory.guard.now

    def fill(self, kind: str, key: Key, loaded: Loaded[Any], ticket: int) -> bool:
        """Store in memory what was read after the ticket was taken; return False when it was invalidated since.

        For sources that are quick and in the process: nobody waits for anybody.
        """
        return self._memory.fill(self._memory.store(kind), key, loaded, ticket)

    def preload(self, kind: str, items: Iterable[tuple[Key, Loaded[Any]]]) -> int:
        """Store items in memory and return how many; a lazy iterable reads its source while invalidations go on."""
        store, source, count = self._memory.store(kind), iter(items), 0
        while True:
            ticket = self._memory.guard.now
            try:
                key, loaded = next(source)
            except StopIteration:
                return count
            count += self._memory.fill(store, key, loaded, ticket)

    # -- invalidating: Redis first, so that what memory then misses cannot come back from there

    def invalidate(self, kind: str, key: Key, *, version: int | None = None, local_only: bool = False) -> int:
        """Drop a key and return how many entries of memory that were.

        Call it after the change is visible to loads.

        Args:
            kind: of the entry.
            key: of the entry.
            version: number of the change, see Loaded.version.
            local_only: leave Redis alone. Only for one who knows that whoever sent the change has invalidated Redis
                before: otherwise the old value comes back from there.
        """
        self._memory.store(kind)
        self._tell_redis([key_mark(kind, key)], version, local_only)
        return self._memory.drop_key(kind, key)

    def invalidate_tags(self, tags: Iterable[str], *, version: int | None = None, local_only: bool = False) -> int:
        """Drop what was made from any of the tags, of every kind, and nothing else; otherwise like `invalidate`."""
        tags = tuple(tags)
        self._tell_redis(map(tag_mark, tags), version, local_only)
        return self._memory.drop_tags(tags)

    def invalidate_kind(self, kind: str, *, version: int | None = None, local_only: bool = False) -> int:
        """Drop every entry of a kind; otherwise like `invalidate`."""
        self._memory.store(kind)
        self._tell_redis([kind_mark(kind)], version, local_only)
        return self._memory.drop_kind(kind)

    def invalidate_all(self, *, version: int | None = None, local_only: bool = False) -> int:
        """Drop everything, for one who missed changes and cannot tell which; otherwise like `invalidate`."""
        self._tell_redis([EVERYTHING], version, local_only)
        return self._memory.drop_all()

    def _tell_redis(self, marks: Iterable[Mark], version: int | None, local_only: bool) -> None:
        if self._redis is not None and not local_only:
            self._redis.invalidate(marks, version)

    # -- the cache itself

    def probe_redis(self) -> bool | None:
        """Ask whether Redis answers, unless it is left alone just now; None without a second tier.

        Without requests that need Redis nobody notices that it is back, and invalidations stay owed: call it about
        once a second, never in an event loop.
        """
        return None if self._redis is None else self._redis.probe()

    def stats(self) -> CacheStats:
        """Return everything that was counted."""
        kinds = {store.kind.name: self._kind_stats(store) for store in self._memory}
        return CacheStats(kinds, None if self._redis is None else self._redis.stats())

    def _kind_stats(self, store: Store) -> KindStats:
        entries, size, _ = store.measure()
        counters, redis = store.counters, self._loading.tier(store)
        return KindStats(
            l1=TierStats.of(counters, entries, size),
            l2=None if redis is None else TierStats.of(redis.counters[store.kind.name]),
            loads=counters.loads,
            load_errors=counters.load_errors,
            coalesced=counters.coalesced,
            load_seconds=counters.load_seconds,
        )

    def close(self) -> None:
        """Close connections and end threads; the cache must not be used afterwards."""
        self._loading.close()
        if self._redis is not None:
            self._redis.close()
