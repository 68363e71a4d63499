"""Very many short texts in one piece of memory."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Texts(Sequence[bytes]):
    """Byte strings one after the other: a million of them is one object, not a million.

    Args:
        joined: all of them.
        sizes: the length of each, in order.
    """

    def __init__(self, joined: bytes, sizes: NDArray[np.int64]) -> None:
        ends = np.cumsum(sizes, dtype=np.int64)
        bounds = np.concatenate((np.zeros(1, np.int64), ends))
        self._joined = joined
        # As a memory view, an item is a Python integer at once.
        self._bounds = (bounds.astype(np.uint32) if len(joined) < 2**32 else bounds).data

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> "Texts":
        """Pack texts."""
        kept = list(texts)
        return cls(b"".join(kept), np.fromiter(map(len, kept), np.int64, len(kept)))

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "list[bytes]": ...
    def __getitem__(self, index: int | slice) -> "bytes | list[bytes]":
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._joined[self._bounds[index] : self._bounds[index + 1]]

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self._bounds[1:]:
            yield self._joined[start:end]
            start = end

    def find(self, text: bytes) -> int | None:
        """Return where a text is; they must be sorted."""
        place = bisect_left(self, text)
        return place if place < len(self) and self[place] == text else None
