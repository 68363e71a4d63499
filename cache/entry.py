"""What a load gives, what memory keeps of it, and how large that is."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar

Key = str | bytes
Value = TypeVar("Value")

#: Bytes of an entry beside its key, value and tags: the entry, its places in two dictionaries, the order of use and
#: the heap of expiries. Measured; tests/cache/test_memory.py holds it to the truth.
ENTRY_BYTES: Final = 420
#: Bytes of one tag of an entry in the index, beside its text.
TAG_BYTES: Final = 40


class Missing(Enum):
    """The one value that no entry has."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Value]):
    """A load's result.

    Attributes:
        value: None says that there is nothing, which is kept for the kind's negative lifetime.
        tags: what the value was made from: invalidating any of them drops it.
        version: number of the last change that the source had seen, when it is behind the database (an index of this
            process); None when it was read from the database itself. It keeps a process that lags from filling the
            second tier with what a change of a higher number has invalidated.
    """

    value: Value | None
    tags: tuple[str, ...] = ()
    version: int | None = None


class Entry:
    """A value in memory."""

    __slots__ = ("expires_at", "size", "tags", "value")

    def __init__(self, value: Any, expires_at: float, tags: tuple[str, ...], size: int) -> None:
        self.value, self.expires_at, self.tags, self.size = value, expires_at, tags, size


def entry_size(key: Key, value_size: int, tags: tuple[str, ...]) -> int:
    """Return an entry's bytes in memory."""
    size = ENTRY_BYTES + sys.getsizeof(key) + value_size
    for tag in tags:
        size += TAG_BYTES + sys.getsizeof(tag)
    return size


def size_of(value: Any) -> int:
    """Return about how many bytes a value takes: exact for bytes and text, containers with what they hold."""
    if isinstance(value, bytes | str):
        return sys.getsizeof(value)
    if isinstance(value, Mapping):
        return sys.getsizeof(value) + sum(size_of(key) + size_of(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return sys.getsizeof(value) + sum(map(size_of, value))
    slots = getattr(type(value), "__slots__", ())
    return sys.getsizeof(value) + sum(size_of(getattr(value, name, None)) for name in slots)
