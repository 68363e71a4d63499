"""What is cached: the kinds of entries, each with its own lifetime and room."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cache.entry import size_of

MEBIBYTE: Final = 1024 * 1024


class UnknownKind(KeyError):
    """A kind that the cache was not made with."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name)
        self.name, self.known = name, known

    def __str__(self) -> str:
        return f"no kind {self.name!r} in this cache; it was made with {', '.join(self.known)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of entry.

    Attributes:
        name: letters, digits and underscores, not only digits; part of the keys in Redis and a label of metrics.
        ttl: seconds that an entry is kept at most, before jitter.
        negative_ttl: the same of "there is nothing".
        jitter: share by which a lifetime is shortened or lengthened at random, so that what was stored together
            does not expire together.
        max_entries: in memory.
        max_bytes: in memory, keys, tags and bookkeeping included.
        is_shared: the second tier is used too; worth it when a load costs more than a round trip to Redis.
        encode: a value for the second tier; values of a kind that is not shared are never encoded.
        decode: its reverse. The default gives back lists for tuples and dictionaries for structs.
        measure: a value's bytes in memory.
    """

    name: str
    ttl: float
    negative_ttl: float = 5.0
    jitter: float = 0.1
    max_entries: int = 10_000
    max_bytes: int = 32 * MEBIBYTE
    is_shared: bool = True
    encode: Callable[[Any], bytes] = msgspec.msgpack.encode
    decode: Callable[[bytes], Any] = msgspec.msgpack.decode
    measure: Callable[[Any], int] = size_of

    def __post_init__(self) -> None:
        if not self.name.isascii() or not self.name.replace("_", "a").isalnum() or self.name.isdigit():
            raise ValueError(f"kind {self.name!r}: a name is letters, digits and underscores, and not only digits")
        if not (self.ttl > 0 and self.negative_ttl > 0):
            raise ValueError(
                f"kind {self.name}: lifetimes are {self.ttl} and {self.negative_ttl} s; they must be above 0"
            )
        if not 0 <= self.jitter < 1:
            raise ValueError(f"kind {self.name}: jitter is {self.jitter}; it is a share from 0 to below 1")
        if self.max_entries < 1 or self.max_bytes < 1:
            raise ValueError(f"kind {self.name}: room for at least one entry and one byte is needed")


def standard_kinds(suggestions: int = 50_000) -> tuple[Kind, ...]:
    """Return the kinds of the tag service; `suggestions` is how many answers one process keeps at most.

    Lifetimes are the bound for what no invalidation reached. Suggestions stay in the process: computing them costs
    less than asking Redis.
    """
    return (
        Kind(name="suggestions", ttl=300, max_entries=suggestions, max_bytes=96 * MEBIBYTE, is_shared=False),
        Kind(name="tags", ttl=300, max_entries=20_000, max_bytes=16 * MEBIBYTE),
        Kind(name="search", ttl=60, max_entries=10_000, max_bytes=32 * MEBIBYTE),
        Kind(name="popular", ttl=60, max_entries=1_000, max_bytes=8 * MEBIBYTE),
    )
