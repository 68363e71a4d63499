"""One process's entries: lifetimes, room, tags, "there is nothing", and what is counted."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cache import MISSING, Cache, Kind, Loaded, UnknownKind, standard_kinds
from cache.entry import ENTRY_BYTES
from cache.store import MOST_TAGS, NOTED_READS
from tests.cache.conftest import FakeClock

Make = Callable[..., Cache]


def test_what_was_set_is_got(make_cache: Make) -> None:
    """Kinds are apart, text and bytes are different keys, and no entry gives the default."""
    cache = make_cache()
    cache.set("a", "key", 1)
    cache.set("a", b"key", 2)

    assert (1, 2) == (cache.get("a", "key"), cache.get("a", b"key"))
    assert cache.get("b", "key") is None
    assert cache.get("b", "key", MISSING) is MISSING


def test_unknown_kinds_are_named(make_cache: Make) -> None:
    """Every method says which kind is unknown and which there are."""
    cache = make_cache()
    for call in (
        lambda: cache.get("x", "key"),
        lambda: cache.set("x", "key", 1),
        lambda: cache.get_or_load("x", "key", lambda: Loaded(1)),
        lambda: cache.invalidate("x", "key"),
        lambda: cache.invalidate_kind("x"),
        lambda: cache.preload("x", []),
        lambda: cache.reader("x"),
    ):
        with pytest.raises(UnknownKind, match=r"no kind 'x' in this cache; it was made with a, b"):
            call()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"name": "12"}, "letters, digits"),
        ({"ttl": 0}, "lifetimes"),
        ({"negative_ttl": -1.0}, "lifetimes"),
        ({"jitter": 1.0}, "jitter"),
        ({"max_entries": 0}, "room"),
    ],
)
def test_impossible_kinds_are_refused(changes: dict[str, Any], message: str) -> None:
    """A kind says at once what is wrong with it."""
    with pytest.raises(ValueError, match=message):
        replace(Kind(name="a", ttl=1), **changes)
    with pytest.raises(ValueError, match="two kinds have one name"):
        Cache([Kind(name="a", ttl=1), Kind(name="a", ttl=2)])


def test_entries_expire_within_the_jitter(make_cache: Make, clock: FakeClock) -> None:
    """Lifetimes are spread over 90 to 110 % of the kind's, not all alike; what expired is counted."""
    cache = make_cache(Kind(name="a", ttl=100), clock=clock)
    for key in range(1_000):
        cache.set("a", str(key), key)
    live = []
    for seconds in (89.9, 5, 5, 5, 5.2):
        clock.pass_(seconds)
        live.append(sum(cache.get("a", str(key)) is not None for key in range(1_000)))
    stats = cache.stats().kinds["a"].l1

    assert [1_000, 0] == [live[0], live[-1]]
    assert 1_000 > live[1] > live[2] > live[3] > 0
    assert (1_000, 0, 0) == (stats.evictions["expired"], stats.entries, stats.bytes)


def test_nothing_is_kept_shortly(make_cache: Make, clock: FakeClock) -> None:
    """A load that finds nothing is not asked again for the negative lifetime, then it is; tags drop it as well."""
    cache = make_cache(Kind(name="a", ttl=100, negative_ttl=5, jitter=0), clock=clock)
    loads = []

    def load() -> Loaded[int]:
        loads.append(clock.now)
        return Loaded(None, ("tag",))

    assert [None, None] == [cache.get_or_load("a", "key", load), cache.get_or_load("a", "key", load)]
    assert cache.get("a", "key", MISSING) is None
    assert cache.reader("a", MISSING)("key") is None
    assert 1 == len(loads)
    assert 3 == cache.stats().kinds["a"].l1.negative_hits
    clock.pass_(5)
    assert cache.get("a", "key", MISSING) is MISSING
    assert cache.get_or_load("a", "key", load) is None
    assert 1 == cache.invalidate_tags(["tag"])
    assert cache.get_or_load("a", "key", load) is None
    assert 3 == len(loads)


def test_least_recently_used_leave_first(make_cache: Make) -> None:
    """Reads keep entries, by whichever way one reads."""
    cache = make_cache(Kind(name="a", ttl=60, max_entries=4))
    for key in "wxyz":
        cache.set("a", key, key)
    cache.get("a", "w")
    cache.reader("a")("x")
    cache.get_or_load("a", "y", lambda: Loaded("never"))
    cache.set("a", "new", "new")

    assert ["w", "x", "y", None, "new"] == [cache.get("a", key) for key in ("w", "x", "y", "z", "new")]
    assert {"size": 1, "expired": 0, "explicit": 0, "replaced": 0} == cache.stats().kinds["a"].l1.evictions


def test_many_reads_between_writes_keep_the_latest(make_cache: Make) -> None:
    """The queue of noted reads is bounded; the entries read last are the ones that stay."""
    cache = make_cache(Kind(name="a", ttl=60, max_entries=4))
    for key in "wxyz":
        cache.set("a", key, key)
    for key in ["z"] * 10 + ["w"] * (NOTED_READS + 10):
        cache.get("a", key)
    cache.set("a", "new", "new")

    assert ("w", None) == (cache.get("a", "w"), cache.get("a", "x"))


def test_expired_entries_leave_before_live_ones(make_cache: Make, clock: FakeClock) -> None:
    """A full store makes room of what nobody can get any more."""
    cache = make_cache(Kind(name="a", ttl=10, jitter=0, max_entries=2), clock=clock)
    cache.set("a", "old", 1)
    clock.pass_(6)
    cache.set("a", "live", 2)
    cache.get("a", "old")
    clock.pass_(6)
    cache.set("a", "new", 3)

    assert (None, 2, 3) == (cache.get("a", "old"), cache.get("a", "live"), cache.get("a", "new"))


def test_bytes_are_bounded(make_cache: Make) -> None:
    """Large values push others out; what is larger than the whole room is not stored, and drops what it replaces."""
    cache = make_cache(Kind(name="a", ttl=60, max_bytes=100_000))
    for key in range(20):
        cache.set("a", str(key), b"x" * 10_000)
    stats = cache.stats().kinds["a"].l1
    assert 8 <= stats.entries <= 9
    assert 80_000 < stats.bytes <= 100_000

    cache.set("a", "19", b"x" * 100_000)
    assert cache.get("a", "19") is None
    assert not cache.fill("a", "more tags than one entry may have", Loaded(1, tuple(map(str, range(MOST_TAGS + 1)))), 0)
    assert 2 == cache.stats().kinds["a"].l1.refused


def test_tags_drop_what_was_made_from_them_and_nothing_else(make_cache: Make) -> None:
    """Invalidating by tag reaches every kind; the index forgets tags whose entries have left, however they left."""
    cache = make_cache(Kind(name="a", ttl=60, max_entries=100), Kind(name="b", ttl=60))
    for number in range(100):
        cache.set("a", f"key {number}", number, tags=[f"tag {number}", f"group {number % 10}"])
    cache.set("b", "key", 1, tags=["group 3", "group 3"])
    cache.set("b", "other", 1)

    assert 11 == cache.invalidate_tags(["group 3", "tag 13", "unknown"])
    assert 0 == cache.invalidate_tags(["group 3"])
    assert [n for n in range(100) if n % 10 != 3] == [n for n in range(100) if cache.get("a", f"key {n}") is not None]
    assert (None, 1) == (cache.get("b", "key"), cache.get("b", "other"))

    cache.set("a", "key 1", 1, tags=["fresh"])  # replaced: its old tags do not reach it any more
    assert 0 == cache.invalidate_tags(["tag 1"])
    for number in range(200):
        cache.set("a", f"more {number}", number)
    store = cache._memory.store("a")
    assert (100, 0) == (store.measure()[0], store.measure()[2])


def test_keys_and_kinds_are_dropped(make_cache: Make) -> None:
    """Counts of what was there come back, and causes are told apart."""
    cache = make_cache()
    for number in range(1_200):
        cache.set("a", str(number), number)
        cache.set("b", str(number), number)
    cache.set("a", "0", "again")

    assert (1, 0) == (cache.invalidate("a", "0"), cache.invalidate("a", "0"))
    assert 1_199 == cache.invalidate_kind("a")
    assert (None, 5) == (cache.get("a", "5"), cache.get("b", "5"))
    assert 1_200 == cache.invalidate_all()
    stats = cache.stats().kinds
    assert {"size": 0, "expired": 0, "explicit": 1_200, "replaced": 1} == stats["a"].l1.evictions
    assert (0, 0) == (stats["b"].l1.entries, stats["b"].l1.bytes)


def test_preloading_fills_until_the_source_ends(make_cache: Make) -> None:
    """An item whose source changed while it was read is left out."""
    cache = make_cache()

    def items() -> Iterator[tuple[str, Loaded[str]]]:
        yield "x", Loaded("x", ("tag x",))
        value = "old y"
        cache.invalidate_tags(["tag y"])
        yield "y", Loaded(value, ("tag y",))
        yield "z", Loaded(None)

    assert 2 == cache.preload("a", items())
    assert ["x", MISSING, None] == [cache.get("a", key, MISSING) for key in "xyz"]


def test_setting_wins_over_older_loads(make_cache: Make) -> None:
    """A load that began before a value was set does not overwrite it."""
    cache = make_cache()

    def slow() -> Loaded[str]:
        cache.set("a", "key", "new")
        return Loaded("old")

    assert "old" == cache.get_or_load("a", "key", slow)
    assert "new" == cache.get("a", "key")


def test_a_value_that_is_old_when_set_leaves_nothing_older(make_cache: Make) -> None:
    """Its tag is invalidated while it is being stored: neither it nor the value before it is given out."""
    cache: Cache

    def measure(value: object) -> int:
        if value == "second":
            cache.invalidate_tags(["new tag"])
        return 10

    cache = make_cache(Kind(name="a", ttl=60, measure=measure))
    cache.set("a", "key", "first", tags=["old tag"])
    cache.set("a", "key", "second", tags=["new tag"])

    assert cache.get("a", "key") is None


def test_standard_kinds_are_the_services(make_cache: Make) -> None:
    """The kinds that the service uses are there without being named; suggestions stay in the process."""
    cache = Cache(standard_kinds(suggestions=123))

    assert {"suggestions", "tags", "search", "popular"} == set(cache.stats().kinds)
    assert 123 == cache._memory.store("suggestions").kind.max_entries
    assert not cache._memory.store("suggestions").kind.is_shared
    assert 300 < ENTRY_BYTES < 1_000
