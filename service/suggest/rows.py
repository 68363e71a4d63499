"""Tags by rank: the most used first, then by normalized name; made into objects only when somebody asks."""

from bisect import bisect_left
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.suggest.columns import Columns, hash_of
from service.suggest.tag import Tag, make_tag

#: Objects of the best tags are kept once made: they are in most answers.
_KEPT: Final = 20_000
_SIZE_BITS: Final = 24
_USAGE, _KIND, _ID, _NAME, _NORMALIZED, _SYNONYMS = range(6)

#: What tags are ranked by, smallest first.
Order = tuple[int, str]


class Rows:
    """Immutable; a row's number is its rank.

    Args:
        columns: the tags.
        by_rank: the number at which each row's tag came, in the order of rank.
    """

    __slots__ = ("_hashed_rows", "_hashes", "_kept", "_kinds", "_records", "_spans")

    def __init__(self, columns: Columns, by_rank: NDArray[np.int64]) -> None:
        self._records = columns.records
        begins = columns.record_begins[by_rank]
        # Begin and size in one number: a row is looked up at random, and each array costs a cache miss.
        self._spans = (begins << _SIZE_BITS | (columns.record_begins[by_rank + 1] - begins)).data
        self._kinds = columns.kinds
        hashes = columns.id_hashes[by_rank]
        order = np.argsort(hashes)
        self._hashes = hashes[order].data
        self._hashed_rows = order.astype(np.uint32).data
        self._kept: list[Tag | None] = [None] * min(len(by_rank), _KEPT)

    def __len__(self) -> int:
        return len(self._spans)

    def tag(self, row: int) -> Tag:
        """Return the row as an object."""
        kept = self._kept
        if row < len(kept) and (tag := kept[row]) is not None:
            return tag
        usage, kind, tag_id, name, normalized, *rest = self._record(row).decode().split("\0")
        category, color, is_standard = self._kinds[int(kind)]
        tag = make_tag(
            tag_id,
            name,
            normalized,
            category,
            color,
            int(usage),
            is_standard,
            tuple(rest[:-1]) if len(rest) > 1 else (),
        )
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
        return self._record(row).split(b"\0", _ID + 1)[_ID].decode()

    def order(self, row: int) -> Order:
        """Return what the row is ranked by, to compare it with another layer's."""
        # The rest of the record, its synonyms, may be long.
        cells = self._record(row).split(b"\0", _SYNONYMS)
        return -int(cells[_USAGE]), cells[_NORMALIZED].decode()

    def _record(self, row: int) -> bytes:
        span = self._spans[row]
        begin = span >> _SIZE_BITS
        return self._records[begin : begin + (span & ((1 << _SIZE_BITS) - 1))]
