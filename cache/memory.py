"""The first tier: every kind's store, and the guard that fills pass."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cache.entry import Entry, Key, Loaded, entry_size
from cache.fill_guard import EVERYTHING, FillGuard, entry_marks, key_mark, kind_mark
from cache.kinds import Kind, UnknownKind
from cache.store import DROPPED_AT_ONCE, Clock, Store


class Memory:
    """One process's entries.

    An invalidation stamps the guard first and drops afterwards, and a fill asks the guard under the store's lock: it
    either comes before the drop, which then removes it, or after the stamp, which then refuses it.
    """

    def __init__(self, kinds: Iterable[Kind], clock: Clock) -> None:
        self.clock = clock
        self.guard = FillGuard()
        self.stores = {kind.name: Store(kind, clock) for kind in kinds}

    def store(self, kind: str) -> Store:
        """Return a kind's store.

        Raises:
            UnknownKind: there is none.
        """
        try:
            return self.stores[kind]
        except KeyError:
            raise UnknownKind(kind, tuple(self.stores)) from None

    def fill(self, store: Store, key: Key, loaded: Loaded[Any], ticket: int, ttl: float | None = None) -> bool:
        """Store a value unless it was invalidated since the ticket was taken; return whether it was stored.

        Args:
            ttl: seconds, taken as they are; None is the kind's own with its jitter.
        """
        kind, tags = store.kind, tuple(dict.fromkeys(loaded.tags))
        size = entry_size(key, kind.measure(loaded.value), tags)
        entry = Entry(loaded.value, self.clock() + (lifetime(kind, loaded.value) if ttl is None else ttl), tags, size)
        guard = self.guard
        with store.lock:
            is_fresh = ticket == guard.now or guard.is_fresh(ticket, entry_marks(kind.name, key, tags))
            is_stored = is_fresh and store.put(key, entry)
        if not is_stored:
            store.counters.refused += 1
        return is_stored

    def drop_key(self, kind: str, key: Key) -> int:
        """Invalidate a key and return how many entries there were."""
        store = self.store(kind)
        self.guard.stamp([key_mark(kind, key)])
        with store.lock:
            return store.drop([key])

    def drop_tags(self, tags: Iterable[str]) -> int:
        """Invalidate what was made from any of the tags, of every kind; return how many entries there were."""
        tags = tuple(tags)
        self.guard.stamp_tags(tags)
        return sum(_drop(store, lambda store: (key for tag in tags for key in store.tagged(tag))) for store in self)

    def drop_kind(self, kind: str) -> int:
        """Invalidate a kind and return how many entries there were."""
        store = self.store(kind)
        self.guard.stamp([kind_mark(kind)])
        return _drop(store, Store.all_keys)

    def drop_all(self) -> int:
        """Invalidate everything and return how many entries there were."""
        self.guard.stamp([EVERYTHING])
        return sum(_drop(store, Store.all_keys) for store in self)

    def __iter__(self) -> Iterator[Store]:
        return iter(self.stores.values())


def lifetime(kind: Kind, value: object) -> float:
    """Return how many seconds a value is kept, jitter included."""
    ttl = kind.negative_ttl if value is None else kind.ttl
    return ttl * random.uniform(1 - kind.jitter, 1 + kind.jitter)


def _drop(store: Store, find: Callable[[Store], Iterable[Key]]) -> int:
    with store.lock:
        keys = list(dict.fromkeys(find(store)))
    count = 0
    for start in range(0, len(keys), DROPPED_AT_ONCE):
        with store.lock:
            count += store.drop(keys[start : start + DROPPED_AT_ONCE])
    return count
