"""Any sequence of operations gives what a plain dictionary with a clock would give, in the same order of leaving."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cache import MISSING, Cache, Kind, Loaded
from cache.entry import entry_size, size_of
from tests.cache.conftest import FakeClock

KINDS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from(["k0", "k1", "k2", "k3", b"k0", b"k4"])
TAGS = st.lists(st.sampled_from(["t0", "t1", "t2", "t3"]), max_size=3)
VALUES = st.one_of(st.none(), st.integers(), st.binary(max_size=40), st.lists(st.integers(), max_size=20))
TTL, NEGATIVE_TTL = 60, 7


@dataclass
class Held:
    """An entry of the model."""

    value: Any
    tags: set[str]
    expires_at: float
    size: int


class CacheMachine(RuleBasedStateMachine):
    """The model: per kind an ordered dictionary, oldest use first."""

    @initialize(max_entries=st.integers(1, 5), max_bytes=st.sampled_from([900, 2_000, 1_000_000]))
    def start(self, max_entries: int, max_bytes: int) -> None:
        """Two kinds; `a` is small."""
        self.clock = FakeClock()
        small = Kind(
            name="a", ttl=TTL, negative_ttl=NEGATIVE_TTL, jitter=0, max_entries=max_entries, max_bytes=max_bytes
        )
        large = Kind(name="b", ttl=TTL, negative_ttl=NEGATIVE_TTL, jitter=0)
        self.cache = Cache([small, large], clock=self.clock)
        self.limits = {"a": (max_entries, max_bytes), "b": (large.max_entries, large.max_bytes)}
        self.model: dict[str, OrderedDict[Any, Held]] = {"a": OrderedDict(), "b": OrderedDict()}
        self.tickets = [(self.cache.ticket(), 0)]
        self.log: list[tuple[str, Any]] = []  # invalidations so far: what, which

    # -- what the model knows

    def expire(self) -> None:
        """Forget what is past its time."""
        for held in self.model.values():
            for key in [key for key, entry in held.items() if entry.expires_at <= self.clock.now]:
                del held[key]

    def look(self, kind: str, key: Any) -> Any:
        """Return what the model has, used now."""
        held = self.model[kind]
        if key not in held:
            return MISSING
        held.move_to_end(key)
        return held[key].value

    def keep(self, kind: str, key: Any, value: Any, tags: list[str]) -> bool:
        """Store in the model what fits."""
        held, (max_entries, max_bytes) = self.model[kind], self.limits[kind]
        size = entry_size(key, size_of(value), tuple(dict.fromkeys(tags)))
        if size > max_bytes:
            held.pop(key, None)
            return False
        while key not in held and len(held) >= max_entries:
            held.popitem(last=False)
        while sum(entry.size for other, entry in held.items() if other != key) + size > max_bytes:
            held.popitem(last=False)
        ttl = NEGATIVE_TTL if value is None else TTL
        held[key] = Held(value, set(tags), self.clock.now + ttl, size)
        held.move_to_end(key)
        return True

    def is_fresh(self, since: int, kind: str, key: Any, tags: list[str]) -> bool:
        """Return whether nothing of it was invalidated after a point of the log."""
        hits = {("key", (kind, key)), ("kind", kind), ("all", None), *(("tag", tag) for tag in tags)}
        return not any(item in hits for item in self.log[since:])

    # -- operations

    @rule(seconds=st.sampled_from([0.5, 3, 7, 30]))
    def time_passes(self, seconds: float) -> None:
        """Some entries expire."""
        self.clock.pass_(seconds)
        self.expire()

    @rule(kind=KINDS, key=KEYS, is_hot=st.booleans())
    def get(self, kind: str, key: Any, is_hot: bool) -> None:
        """Both ways of reading give the model's value."""
        found = self.cache.reader(kind, MISSING)(key) if is_hot else self.cache.get(kind, key, MISSING)
        assert self.look(kind, key) == found

    @rule(kind=KINDS, key=KEYS, value=VALUES, tags=TAGS)
    def set(self, kind: str, key: Any, value: Any, tags: list[str]) -> None:
        """A value replaces what was there."""
        self.cache.set(kind, key, value, tags)
        self.log.append(("key", (kind, key)))
        self.keep(kind, key, value, tags)

    @rule()
    def take_ticket(self) -> None:
        """Begin a fill that may end much later."""
        self.tickets.append((self.cache.ticket(), len(self.log)))

    @rule(number=st.integers(0, 10), kind=KINDS, key=KEYS, value=VALUES, tags=TAGS)
    def fill(self, number: int, kind: str, key: Any, value: Any, tags: list[str]) -> None:
        """A fill is stored when nothing of it was invalidated since its ticket."""
        ticket, since = self.tickets[number % len(self.tickets)]
        is_stored = self.cache.fill(kind, key, Loaded(value, tuple(tags)), ticket)
        assert is_stored == (self.is_fresh(since, kind, key, tags) and self.keep(kind, key, value, tags))

    @rule(kind=KINDS, key=KEYS, value=VALUES, tags=TAGS, fails=st.booleans())
    def get_or_load(self, kind: str, key: Any, value: Any, tags: list[str], fails: bool) -> None:
        """A load runs only on a miss; a failing one stores nothing."""
        loaded = []

        def load() -> Loaded[Any]:
            loaded.append(True)
            if fails:
                raise LookupError
            return Loaded(value, tuple(tags))

        due = self.look(kind, key)
        try:
            found = self.cache.get_or_load(kind, key, load)
        except LookupError:
            found = LookupError
        assert bool(loaded) == (due is MISSING)
        if due is not MISSING:
            assert due == found
        elif fails:
            assert found is LookupError
        else:
            assert found == value
            self.keep(kind, key, value, tags)

    @rule(kind=KINDS, key=KEYS)
    def invalidate(self, kind: str, key: Any) -> None:
        """One entry goes."""
        assert self.cache.invalidate(kind, key) == (self.model[kind].pop(key, None) is not None)
        self.log.append(("key", (kind, key)))

    @rule(tags=TAGS)
    def invalidate_tags(self, tags: list[str]) -> None:
        """The entries that carry any of them go, of both kinds."""
        due = [(kind, key) for kind, held in self.model.items() for key, e in held.items() if e.tags & set(tags)]
        assert self.cache.invalidate_tags(tags) == len(due)
        for kind, key in due:
            del self.model[kind][key]
        self.log += [("tag", tag) for tag in tags]

    @rule(kind=KINDS)
    def invalidate_kind(self, kind: str) -> None:
        """A kind goes, the other stays."""
        assert self.cache.invalidate_kind(kind) == len(self.model[kind])
        self.model[kind].clear()
        self.log.append(("kind", kind))

    @rule()
    def invalidate_all(self) -> None:
        """All go."""
        assert self.cache.invalidate_all() == sum(map(len, self.model.values()))
        for held in self.model.values():
            held.clear()
        self.log.append(("all", None))

    @invariant()
    def books_balance(self) -> None:
        """Entries, bytes and the index of tags are the model's."""
        if not hasattr(self, "cache"):
            return
        for kind, held in self.model.items():
            store = self.cache._memory.store(kind)
            tags = set().union(*(entry.tags for entry in held.values()))
            assert (len(held), sum(entry.size for entry in held.values()), len(tags)) == store.measure()
            assert {key: entry.value for key, entry in held.items()} == {k: e.value for k, e in store._live.items()}
            assert all(set(store.tagged(tag)) == {k for k, e in held.items() if tag in e.tags} for tag in tags)


def test_the_cache_is_a_dictionary_with_a_clock() -> None:
    """Any 40 operations."""
    run_state_machine_as_test(CacheMachine, settings=settings(max_examples=120, stateful_step_count=40, deadline=None))
