"""No fill after an invalidation: who was delayed between reading the source and storing must not store an old value.

Every invalidation gets a number from one clock and leaves it at the marks of what it invalidated. A fill takes the
clock's number before its load (its ticket) and may store only when none of the value's marks carries a later one. A
mark is a stripe of a hash, so memory is bounded however many keys and tags there are; two names on one stripe cost a
refused fill and nothing else. Marks are the same in every process, because the second tier keeps numbers at them too.
"""

import threading
from collections.abc import Iterable
from typing import Final
from zlib import crc32

from cache.entry import Key

Mark = str

STRIPES: Final = 16_384

#: The mark of every entry: what was filled before it was stamped is gone.
EVERYTHING: Final[Mark] = "*"


def key_mark(kind: str, key: Key) -> Mark:
    """Return the mark of a key of a kind."""
    is_text = isinstance(key, str)
    data = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return str(crc32(data, crc32(kind.encode(), is_text)) % STRIPES)


def tag_mark(tag: str) -> Mark:
    """Return the mark of a tag."""
    return str(STRIPES + crc32(tag.encode("utf-8", "surrogatepass")) % STRIPES)


def kind_mark(kind: str) -> Mark:
    """Return the mark of a kind."""
    return kind


def entry_marks(kind: str, key: Key, tags: Iterable[str]) -> tuple[Mark, ...]:
    """Return every mark whose stamp makes the entry old."""
    return (EVERYTHING, kind_mark(kind), key_mark(kind, key), *map(tag_mark, tags))


class FillGuard:
    """The clock and the marks of one process."""

    def __init__(self) -> None:
        #: The clock: number of the last invalidation. Reading it takes a ticket.
        self.now = 0
        self._stamps: dict[Mark, int] = {}
        self._tags_stamped = 0
        self._lock = threading.Lock()

    def stamp(self, marks: Iterable[Mark]) -> int:
        """Say that the marks are invalid up to now, and return the new number."""
        with self._lock:
            number = self.now + 1
            # The clock moves first: a ticket that is taken in between belongs to a load that begins after the change.
            self.now = number
            for mark in marks:
                self._stamps[mark] = number
        return number

    def stamp_tags(self, tags: Iterable[str]) -> int:
        """Say that everything made from the tags is invalid up to now, and return the new number."""
        number = self.stamp(map(tag_mark, tags))
        with self._lock:
            self._tags_stamped = max(self._tags_stamped, number)
        return number

    def is_fresh(self, ticket: int, marks: Iterable[Mark]) -> bool:
        """Return whether nothing of the marks was invalidated since the ticket was taken."""
        stamped = self._stamps.get
        return all(stamped(mark, 0) <= ticket for mark in marks)

    def is_untouched(self, ticket: int, kind: str, key: Key) -> bool:
        """Return whether a value whose tags are not known yet is surely fresh."""
        return self._tags_stamped <= ticket and self.is_fresh(ticket, entry_marks(kind, key, ()))
