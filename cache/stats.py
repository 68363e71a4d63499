"""What a cache counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Cause = Literal["size", "expired", "explicit", "replaced"]
CAUSES: Final[tuple[Cause, ...]] = ("size", "expired", "explicit", "replaced")


class Counters:
    """Running totals of one kind in one tier.

    They are counted without a lock: in CPython with its global lock a plain `+=` on an attribute is not interrupted.
    A free-threaded interpreter may lose a few.
    """

    __slots__ = (
        *("coalesced", "errors", "hits", "load_errors", "load_seconds", "loads", "misses", "negative_hits", "refused"),
        "evictions",
    )

    def __init__(self) -> None:
        self.hits = self.misses = self.negative_hits = self.refused = self.errors = 0
        self.loads = self.load_errors = self.coalesced = 0
        self.load_seconds = 0.0
        self.evictions: dict[Cause, int] = dict.fromkeys(CAUSES, 0)


@dataclass(frozen=True, slots=True)
class TierStats:
    """One kind in one tier, since the cache was made.

    Attributes:
        hits: lookups that found a value.
        negative_hits: lookups that found that there is nothing.
        misses: the rest. A caller that waited for another's load has missed too.
        refused: values that were not stored, because they were invalidated while they were loaded or are too large.
        errors: values of the second tier that could not be read or written.
        evictions: entries that left, by cause; memory only.
        entries: held now; memory only.
        bytes: held now; memory only.
    """

    hits: int
    misses: int
    negative_hits: int
    refused: int
    errors: int = 0
    evictions: Mapping[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    entries: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, counters: Counters, entries: int = 0, size: int = 0) -> "TierStats":
        """Return the counters as they are now."""
        return cls(
            hits=counters.hits,
            misses=counters.misses,
            negative_hits=counters.negative_hits,
            refused=counters.refused,
            errors=counters.errors,
            evictions=dict(counters.evictions),
            entries=entries,
            bytes=size,
        )


@dataclass(frozen=True, slots=True)
class KindStats:
    """One kind.

    Attributes:
        l1: memory.
        l2: Redis; None when the kind has no second tier.
        loads: that ended well.
        load_errors: that raised.
        coalesced: callers that were given another caller's load.
        load_seconds: time spent in loads, both ways they ended.
    """

    l1: TierStats
    l2: TierStats | None
    loads: int
    load_errors: int
    coalesced: int
    load_seconds: float


@dataclass(frozen=True, slots=True)
class RedisStats:
    """The second tier's connection.

    Attributes:
        state: closed (in use), open (left alone until its pause is over) or half-open (one call tries it).
        opened: how often it was given up.
        skipped: calls that were spared.
        pause_seconds: length of the current pause, 0 when closed.
        last_error: of the call that opened it, or None.
        owed: invalidations that it has not been told of; nothing is read from it before it is.
    """

    state: Literal["closed", "open", "half-open"]
    opened: int
    skipped: int
    pause_seconds: float
    last_error: str | None
    owed: int


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Everything at one moment, by kind; `redis` is None without a second tier."""

    kinds: Mapping[str, KindStats]
    redis: RedisStats | None
