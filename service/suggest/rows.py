"""Tags by rank: the most used first, then by normalized name; made into objects only when somebody asks."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from service.suggest.columns import Columns, hash_of
from service.suggest.tag import Tag

#: Objects of the best tags are kept once made: they are in most answers.
_KEPT = 20_000

#: What tags are ranked by, smallest first.
Order = tuple[int, str]


class Rows:
    """Immutable; a row's number is its rank.

    Args:
        columns: the tags.
        by_rank: the number at which each row's tag came, in the order of rank.
    """

    __slots__ = ("_begins", "_ends", "_hashed_rows", "_hashes", "_kept", "_kind", "_kinds", "_records", "_usage")

    def __init__(self, columns: Columns, by_rank: NDArray[np.int64]) -> None:
        self._records = columns.records
        self._begins = columns.record_begins[by_rank].data
        self._ends = columns.record_begins[by_rank + 1].data
        self._usage = columns.usage[by_rank].data
        self._kinds = columns.kinds
        self._kind = columns.kind[by_rank].data
        hashes = columns.id_hashes[by_rank]
        order = np.argsort(hashes)
        self._hashes = hashes[order].data
        self._hashed_rows = order.astype(np.uint32).data
        self._kept: list[Tag | None] = [None] * min(len(by_rank), _KEPT)

    def __len__(self) -> int:
        return len(self._usage)

    def tag(self, row: int) -> Tag:
        """Return the row as an object."""
        kept = self._kept
        if row < len(kept) and (tag := kept[row]) is not None:
            return tag
        tag_id, name, normalized, *rest = self._records[self._begins[row] : self._ends[row]].decode().split("\0")
        category, color, is_standard = self._kinds[self._kind[row]]
        synonyms = tuple(rest[:-1]) if len(rest) > 1 else ()
        tag = Tag(tag_id, name, normalized, category, color, self._usage[row], is_standard, synonyms)
        if row < len(kept):
            # Two threads may both have made it; either object will do.
            kept[row] = tag
        return tag

    def find(self, tag_id: str) -> int | None:
        """Return the row of a tag's id."""
        hashed = hash_of(tag_id)
        at = bisect_left(self._hashes, hashed)
        while at < len(self._hashes) and self._hashes[at] == hashed:
            row: int = self._hashed_rows[at]
            if self.id(row) == tag_id:
                return row
            at += 1
        return None

    def id(self, row: int) -> str:
        """Return a row's id."""
        return self._text(row, 0)

    def order(self, row: int) -> Order:
        """Return what the row is ranked by, to compare it with another layer's."""
        return -self._usage[row], self._text(row, 2)

    def _text(self, row: int, number: int) -> str:
        # The rest of the record, its synonyms, may be long.
        return self._records[self._begins[row] : self._ends[row]].split(b"\0", 3)[number].decode()
