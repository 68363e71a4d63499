"""The songs at one moment: what was loaded and what changed since, as one."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from operator import itemgetter
from threading import Lock
from typing import Any, Final
from uuid import UUID

from cachetools import LRUCache
from pyroaring import BitMap

from service.search.keys import KeyKind
from service.search.plan import Filter
from service.search.query import Hit
from service.search.segment import NO_TITLE, Segment
from service.search.tag_table import HIDDEN, TagTable

#: Sets and counts that are kept, so that the next page of a search need not find and count the same again.
_KEPT: Final = 64

#: The songs that a filter means, in each segment.
Found = tuple[BitMap, BitMap]


class Kept:
    """The last answers of a view, by question; safe for several threads."""

    def __init__(self) -> None:
        self._answers: LRUCache[object, Any] = LRUCache(_KEPT)
        self._lock = Lock()

    def get(self, question: object) -> Any:
        """Return the answer, or None."""
        with self._lock:
            return self._answers.get(question)

    def put(self, question: object, answer: object) -> None:
        """Keep an answer, and drop the one that was not asked for longest."""
        with self._lock:
            self._answers[question] = answer


@dataclass(frozen=True)
class View:
    """Two segments as one; immutable but for what it keeps of its own answers.

    Attributes:
        kind: of the keys.
        base: the songs that were loaded.
        delta: songs that were added or changed since.
        hidden: the songs of `base` that are gone, or newer in `delta`.
        tags: the tags of both.
        in_category: by category's number the songs of `base` that have a tag of it, as far as they are known.
    """

    kind: KeyKind
    base: Segment
    delta: Segment
    hidden: BitMap
    tags: TagTable
    in_category: dict[int, BitMap] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)

    def __len__(self) -> int:
        return len(self.base) - len(self.hidden) + len(self.delta)

    def find(self, wanted: Filter) -> Found:
        """Return the songs that a filter means; the sets may not be changed."""
        found: Found | None = self.kept.get(wanted)
        if found is None:
            in_base = self._find(self.base, wanted)
            found = in_base - self.hidden if self.hidden else in_base, self._find(self.delta, wanted)
            self.kept.put(wanted, found)
        return found

    def page(self, found: Found, after: bytes | None, limit: int) -> tuple[tuple[Hit, ...], bytes | None]:
        """Return the songs of a page in the order of their keys, and the last one's key when there are more."""
        songs = merge(
            self._following(self.base, found[0], after), self._following(self.delta, found[1], after), key=itemgetter(0)
        )
        page = list(islice(songs, limit + 1))
        hits = tuple(self._hit(key, segment, song) for key, segment, song in page[:limit])
        return hits, page[limit - 1][0] if len(page) > limit else None

    def songs_in_category(self, number: int) -> Found:
        """Return the songs that have a tag of a category; the sets may not be changed."""
        in_base = self.in_category.get(number)
        if in_base is None:
            in_base = self.in_category[number] = self.base.songs_with_any(self.tags.of_category(number))
        in_delta: BitMap | None = self.kept.get(number)
        if in_delta is None:
            in_delta = self.delta.songs_with_any(self.tags.of_category(number))
            self.kept.put(number, in_delta)
        return in_base, in_delta

    def _find(self, segment: Segment, wanted: Filter) -> BitMap:
        if wanted.is_impossible:
            return BitMap()
        parts = [segment.words.beginning_with(word) for word in wanted.words]
        sets = [self._songs_with(segment, tag_id) for tag_id in wanted.wanted]
        parts += [sets[0].union(*sets[1:])] if sets and wanted.is_any else sets
        # The smallest first: no later step has more to do than that.
        parts.sort(key=len)
        found = parts[0].intersection(*parts[1:]) if parts else segment.everything
        unwanted = [self._songs_with(segment, tag_id) for tag_id in wanted.unwanted] if found else []
        return found.difference(*unwanted) if unwanted else found

    def _songs_with(self, segment: Segment, tag_id: str) -> BitMap:
        number = self.tags.number(UUID(tag_id).bytes)
        return BitMap() if number is None else segment.songs_with(number)

    def _following(self, segment: Segment, found: BitMap, after: bytes | None) -> Iterator[tuple[bytes, Segment, int]]:
        first = 0 if after is None else bisect_right(segment.keys, after)
        for song in found.iter_equal_or_larger(first):
            yield segment.keys[song], segment, song

    def _hit(self, key: bytes, segment: Segment, song: int) -> Hit:
        title = segment.titles[song]
        tags = [self.tags.label(tag) for tag in segment.tags_of(song) if self.tags.category_of[tag] != HIDDEN]
        return Hit(
            self.kind.show(key),
            None if title == NO_TITLE else title.decode(),
            tuple(sorted(tags, key=lambda tag: (tag.name, tag.id))),
        )
