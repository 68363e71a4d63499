"""One kind's entries in memory: least recently used out first, expired ones before them, within entries and bytes."""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final

from cachetools import LRUCache

from cache.entry import Entry, Key
from cache.kinds import Kind
from cache.stats import Cause, Counters
from cache.tag_index import TagIndex

Clock = Callable[[], float]

#: Uses remembered between two writes; older ones are forgotten, which costs a little order and no correctness.
NOTED_READS: Final = 512
#: An entry that was made from more than this is not worth its place in the index.
MOST_TAGS: Final = 1_000
#: Entries that one write removes because they have expired: after a quiet night it does not clear up everything.
EXPIRED_AT_ONCE: Final = 64
#: Entries removed in one go under the lock, so that no fill waits long.
DROPPED_AT_ONCE: Final = 500


class Store(LRUCache[Key, Entry]):
    """An LRU cache whose readers take no lock, whose entries expire, and which knows their tags.

    Readers look into a plain dictionary and note their key in a bounded queue; whoever writes next moves the noted keys
    to the young end. `put`, `drop` and what finds keys are called with `lock` held.
    """

    def __init__(self, kind: Kind, clock: Clock) -> None:
        super().__init__(kind.max_bytes, lambda entry: entry.size)
        self.kind = kind
        self.lock = threading.Lock()
        self.counters = Counters()
        self._clock = clock
        self._live: dict[Key, Entry] = {}
        self._tags = TagIndex()
        self._noted: deque[Key] = deque(maxlen=NOTED_READS)
        # A heap of (time, serial number, key); what left before its time stays in it until then, or until it is tidied.
        self._expiries: list[tuple[float, int, Key]] = []
        self._serials = count()

    def reader(self, missing: Any) -> Callable[[Key], Any]:
        """Return the quickest way to a value: a function of the key that gives `missing` where there is no entry.

        It counts hits and negative hits; a miss is counted by whoever then loads.
        """
        find, note, clock, counters = self._live.get, self._noted.append, self._clock, self.counters

        def read(key: Key) -> Any:
            entry = find(key)
            if entry is None or entry.expires_at <= clock():
                return missing
            note(key)
            value = entry.value
            if value is None:
                counters.negative_hits += 1
            else:
                counters.hits += 1
            return value

        return read

    def peek(self, key: Key) -> Entry | None:
        """Return a live entry without counting or noting its use."""
        entry = self._live.get(key)
        return None if entry is None or entry.expires_at <= self._clock() else entry

    def put(self, key: Key, entry: Entry) -> bool:
        """Store an entry, in place of an older one; False when it has no room (then the older one is gone too)."""
        live, now = self._live, self._clock()
        self._expire(now, EXPIRED_AT_ONCE)
        if entry.size > self.kind.max_bytes or len(entry.tags) > MOST_TAGS or entry.expires_at <= now:
            self.drop([key], "replaced")
            return False
        self._settle_order()
        while key not in live and len(live) >= self.kind.max_entries:
            self.popitem()
        self[key] = entry  # may push others out by size, and the older entry of this key with them
        older = live.get(key)
        if older is not None:
            self._tags.remove(key, older.tags)
            self.counters.evictions["replaced"] += 1
        live[key] = entry
        self._tags.add(key, entry.tags)
        heapq.heappush(self._expiries, (entry.expires_at, next(self._serials), key))
        if len(self._expiries) > 2 * len(live) + EXPIRED_AT_ONCE:
            self._tidy()
        return True

    def drop(self, keys: Iterable[Key], cause: Cause = "explicit") -> int:
        """Remove entries and return how many live ones there were."""
        removed, now = 0, self._clock()
        for key in keys:
            entry = self._live.get(key)
            if entry is not None:
                is_live = entry.expires_at > now
                self._remove(key, entry, cause if is_live else "expired")
                removed += is_live
        return removed

    def tagged(self, tag: str) -> list[Key]:
        """Return the keys of the entries that carry a tag."""
        return self._tags.keys(tag)

    def all_keys(self) -> list[Key]:
        """Return every key, expired ones too."""
        return list(self._live)

    def measure(self) -> tuple[int, int, int]:
        """Remove what has expired, taking the lock in parts; return how many entries, bytes and tags are held."""
        while True:
            with self.lock:
                if self._expire(self._clock(), DROPPED_AT_ONCE) < DROPPED_AT_ONCE:
                    return len(self._live), int(self.currsize), len(self._tags)

    def popitem(self) -> tuple[Key, Entry]:
        """Remove and return what was least recently used."""
        key, entry = super().popitem()
        self._left(key, entry, "size")
        return key, entry

    def _remove(self, key: Key, entry: Entry, cause: Cause) -> None:
        del self[key]
        self._left(key, entry, cause)

    def _left(self, key: Key, entry: Entry, cause: Cause) -> None:
        del self._live[key]
        self._tags.remove(key, entry.tags)
        self.counters.evictions[cause] += 1

    def _expire(self, now: float, at_most: int) -> int:
        expiries, removed = self._expiries, 0
        while expiries and expiries[0][0] <= now and removed < at_most:
            at, _, key = heapq.heappop(expiries)
            entry = self._live.get(key)
            if entry is not None and entry.expires_at == at:
                self._remove(key, entry, "expired")
                removed += 1
        return removed

    def _tidy(self) -> None:
        live = self._live
        self._expiries = [item for item in self._expiries if (e := live.get(item[2])) and e.expires_at == item[0]]
        heapq.heapify(self._expiries)

    def _settle_order(self) -> None:
        noted = self._noted
        for _ in range(len(noted)):
            try:
                self[noted.popleft()]
            except KeyError:
                continue  # has left since
