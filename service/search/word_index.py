"""Which songs have a word in their title that begins with given letters."""

from bisect import bisect_left
from collections import defaultdict
from itertools import count
from threading import Lock

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from pyroaring import BitMap

from service.search.bitmaps import bitmap, distinct, group_bounds
from service.search.texts import Texts
from service.search.words import TitleReader

#: Unions over very many words are kept: at most this many, for beginnings on more songs than `_MANY`.
_KEPT, _MANY = 128, 2_048

#: Greater than every UTF-8 text with the same beginning.
_BEYOND = b"\xff"


class WordIndex:
    """An inverted index of titles, immutable.

    Words are sorted, and so are their songs: the songs of all words with one beginning are one piece of an array.
    """

    def __init__(self, titles: Texts) -> None:
        words, pairs = _read(titles)
        self._count = len(titles)
        self._words = words
        self._bounds = group_bounds(pairs >> 32, len(words))
        self._songs = (pairs & 0xFFFFFFFF).astype(np.uint32)
        self._kept: LRUCache[bytes, BitMap] = LRUCache(_KEPT)
        self._lock = Lock()

    def beginning_with(self, prefix: str) -> BitMap:
        """Return the songs; they may not be changed."""
        beginning = prefix.encode()
        first = bisect_left(self._words, beginning)
        last = bisect_left(self._words, beginning + _BEYOND, lo=first)
        songs = self._songs[self._bounds[first] : self._bounds[last]]
        if len(songs) <= _MANY:
            return bitmap(songs)
        with self._lock:
            kept = self._kept.get(beginning)
        if kept is None:
            kept = self._union(songs)
            with self._lock:
                self._kept[beginning] = kept
        return kept

    def _union(self, songs: NDArray[np.uint32]) -> BitMap:
        is_found = np.zeros(self._count, bool)
        is_found[songs] = True
        return bitmap(np.flatnonzero(is_found).astype(np.uint32))


def _read(titles: Texts) -> tuple[Texts, NDArray[np.int64]]:
    """Return the distinct words, sorted, and pairs of a word's and a song's number, sorted."""
    numbers: defaultdict[bytes, int] = defaultdict(count().__next__)
    reader = TitleReader()
    parts = []
    for start in range(0, len(titles), 16_384):
        found: list[bytes] = []
        sizes = []
        for title in titles[start : start + 16_384]:
            words = reader.words(title)
            found += words
            sizes.append(len(words))
        songs = np.repeat(np.arange(start, start + len(sizes)), sizes)
        parts.append((np.fromiter(map(numbers.__getitem__, found), np.int64, len(found)) << 32) | songs)
    words = sorted(numbers)
    place = np.empty(len(words), np.int64)
    place[np.fromiter(map(numbers.__getitem__, words), np.int64, len(words))] = np.arange(len(words))
    pairs = np.concatenate(parts) if parts else np.empty(0, np.int64)
    pairs = (place[pairs >> 32] << 32) | (pairs & 0xFFFFFFFF)
    pairs.sort()
    return Texts.of(words), distinct(pairs)
