"""Sorted keys: which tags have a word that begins with a prefix, best first, in microseconds."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

#: A prefix that begins more keys than this has its tags sorted beforehand.
HOT: Final = 64
#: Every so many keys one is copied, so that most of a search is done by C on a list.
_STEP: Final = 32
_SAMPLE_BYTES: Final = 24
_SPACE, _CONTINUATION_FIRST, _CONTINUATION_LAST = 0x20, 0x80, 0xBF

#: The first key of some neighbours, and the one behind the last.
Span = tuple[int, int]
#: A prefix, and the span of its keys if that is known.
LookUp = tuple[bytes, Span | None]

#: Tags in the order of their numbers, which is that of their ranks.
Ranked = Sequence[int] | BitMap


class Keys:
    """Immutable keys over one block of texts.

    A key is a place in the block: its text goes from there to the next NUL. Each has a number, and numbers are given by
    rank, so the best of a prefix are its smallest numbers. For prefixes of more than `HOT` keys the numbers are kept
    as a bitmap: it yields them in order, as many as are wanted, also after some of them went out of use.

    Args:
        block: UTF-8, NUL after each text, padded (see `text_order`).
        places: of the keys, sorted by their texts.
        numbers: of the keys, in the same order.
    """

    __slots__ = ("_block", "_few", "_hot", "_numbers", "_places", "_samples", "_twice")

    def __init__(self, block: bytes, places: NDArray[np.int64], numbers: NDArray[np.uint32]) -> None:
        self._block = block
        self._places = places.astype(np.uint32).data
        self._numbers = np.ascontiguousarray(numbers)
        self._few = self._numbers.data
        self._samples = [block[place : place + _SAMPLE_BYTES] for place in places[::_STEP].tolist()]
        self._hot: dict[bytes, BitMap] = {}
        self._twice: dict[bytes, BitMap] = {}
        for prefix, first, last in _find_hot(block, places):
            some = np.sort(self._numbers[first:last])
            self._hot[prefix] = ranked(some)
            repeated = _repeated(some, 2)
            if len(repeated):
                self._twice[prefix] = ranked(repeated)

    def __len__(self) -> int:
        return len(self._places)

    def is_hot(self, prefix: bytes) -> bool:
        """Tell whether the numbers of a prefix are sorted beforehand."""
        return prefix in self._hot

    @property
    def hot_prefixes(self) -> list[bytes]:
        """The prefixes of which the numbers are sorted beforehand."""
        return list(self._hot)

    def find(self, prefix: bytes, span: Span | None = None) -> Ranked:
        """Return the numbers of all keys that begin with the prefix, in order, each once.

        Args:
            prefix: the prefix.
            span: of the keys, if it is known.
        """
        hot = self._hot.get(prefix)
        if hot is not None:
            return hot
        first, last = span or self._span(prefix)
        # They are at most `HOT`, unless nobody asks for the prefix: too few for arrays to be worth their price.
        found: list[int] = self._few[first:last].tolist()
        return found if last - first < 2 else sorted(set(found))

    def find_repeated(self, prefix: bytes, times: int) -> Ranked:
        """Return the numbers that have at least so many keys with the prefix."""
        if times == 1:
            return self.find(prefix)
        if prefix in self._hot and (times == 2 or prefix not in self._twice):
            return self._twice.get(prefix, ())
        first, last = self._span(prefix)
        found: list[int] = _repeated(np.sort(self._numbers[first:last]), times).tolist()
        return found

    def unite(self, prefixes: Iterable[LookUp], among: BitMap | None) -> BitMap:
        """Return the numbers of all keys that begin with one of the prefixes, if they are among others; None: all."""
        united, few = BitMap(), []
        for prefix, span in prefixes:
            hot = self._hot.get(prefix)
            if hot is not None:
                united |= hot if among is None else hot & among
            else:
                first, last = span or self._span(prefix)
                few.append(self._numbers[first:last])
        if few:
            found = ranked(np.concatenate(few))
            united |= found if among is None else found & among
        return united

    def _span(self, prefix: bytes) -> Span:
        """Return the first key with the prefix and the first behind all of them."""
        block, places, samples, size = self._block, self._places, self._samples, len(prefix)
        # Samples tell in which step a key lies; one that was cut before the prefix ends cannot tell it alone.
        cut = prefix[:_SAMPLE_BYTES]
        low = bisect_left(samples, cut)
        high = low if size <= _SAMPLE_BYTES else bisect_right(samples, cut, low)
        end = len(places)

        def key(place: int) -> bytes:
            return block[place : place + size]

        first = bisect_left(places, prefix, max(0, low - 1) * _STEP, min(high * _STEP, end), key=key)
        if first == end or key(places[first]) != prefix:
            return first, first
        # What has many keys is hot, or nobody asks for it.
        last = bisect_right(places, prefix, first + 1, min(first + HOT + 1, end), key=key)
        if last == first + HOT + 1:
            last = bisect_right(places, prefix, last, end, key=key)
        return first, last


def ranked(numbers: NDArray[np.uint32]) -> BitMap:
    """Return numbers as a bitmap; sorted ones are faster."""
    return BitMap(array("I", numbers.tobytes()))


def _repeated(numbers: NDArray[np.uint32], times: int) -> NDArray[np.uint32]:
    """Return, each once, the sorted numbers that are there at least so many times."""
    return np.unique(numbers[times - 1 :][numbers[times - 1 :] == numbers[: 1 - times]])


def _find_hot(block: bytes, places: NDArray[np.int64]) -> Iterator[tuple[bytes, int, int]]:
    """Yield every prefix that more than `HOT` keys have, the first of them and the one behind the last.

    A prefix of n bytes is hot where a key shares n bytes with the one `HOT` keys further on. Prefixes that nobody asks
    for, because they end in a space or inside a character, are left out.
    """
    octets = np.frombuffer(block, np.uint8)
    alike = np.arange(max(0, len(places) - HOT))
    size = 0
    while len(alike):
        near, far = octets[places[alike] + size], octets[places[alike + HOT] + size]
        alike = alike[(near == far) & (near != 0)]
        size += 1
        breaks = np.flatnonzero(np.diff(alike) != 1) + 1
        for first, last in pairwise([0, *breaks.tolist(), len(alike)]):
            if first == last:
                continue
            begin = int(alike[first])
            place = int(places[begin])
            if block[place + size - 1] == _SPACE or _CONTINUATION_FIRST <= block[place + size] <= _CONTINUATION_LAST:
                continue
            yield block[place : place + size], begin, int(alike[last - 1]) + HOT + 1
