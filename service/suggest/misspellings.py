"""Which words are meant by a misspelt one: a deletes index over the distinct beginnings of all words.

Two words are one edit apart (a letter dropped, added, replaced, or swapped with its neighbour: the OSA distance) only
if deleting at most one letter from each can make them equal. So every beginning of 4 to 7 letters is entered under the
hashes of itself with each letter deleted, and one of 8 letters with every two letters deleted; a query looks its own
deletions up and verifies what it finds. Longer words are found by their first 8 letters and verified in full. A word of
2 or 3 letters has too many neighbours: it may only be meant for another whole word.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA

from service.suggest.deletes import MOST_LETTERS, hash_all, hash_once, hash_twice
from service.suggest.keys import LookUp, Span

#: Words of fewer letters are only meant for whole words.
INDEXED: Final = 4
#: At most so many hits are verified, those with the best tags: a bound on time that real words do not reach.
_MOST_CANDIDATES: Final = 1_000
#: At most so many words with the same first eight letters are verified.
_MOST_LONGER: Final = 500
#: Two letters are deleted only from the beginnings with the best tags: 37 hashes each, a bound on memory.
_MOST_TWICE: Final = 400_000
#: Texts hashed together; bounds the memory that it takes.
_AT_A_TIME: Final = 50_000
#: Added to the size of an entry that is a whole word.
_WHOLE: Final = 16
_SPACE: Final = 0x20
_UNKNOWN: Final = 0xFFFFFFFF
_LAST: Final = "\U0010ffff"
#: How an entry's first word, its size and its best tag are packed into one number.
_LOW_BITS: Final = 28
_SIZE_BITS: Final = 5
_BEST_SHIFT: Final = _LOW_BITS + _SIZE_BITS
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_SIZE_MASK: Final = (1 << _SIZE_BITS) - 1


class Meant(NamedTuple):
    """A beginning that a misspelt word may be meant for.

    Attributes:
        best: rank of the best tag that has a word with this beginning, in any of its texts.
        beginning: of one or more words.
        is_whole: whether the word has to end there.
        names, synonyms: where the keys of its words are, if that is known.
    """

    best: int
    beginning: str
    is_whole: bool
    names: Span | None
    synonyms: Span | None

    def look_ups(self, span: Span | None) -> list[LookUp]:
        """Return what to look up among the keys that a span is of."""
        key = self.beginning.encode()
        if not self.is_whole:
            return [(key, span)]
        return [(key + b"\0", span)] if span else [(key + b"\0", None), (key + b" ", None)]


class SortedKeys(NamedTuple):
    """The keys of names and of synonyms, sorted together.

    Attributes:
        words: the first eight bytes of each.
        names_before: how many keys of names are before each, and before the end.
    """

    words: NDArray[np.uint64]
    names_before: NDArray[np.int64]


class Misspellings:
    """Immutable.

    Args:
        words: distinct and sorted.
        best: for each word the rank of the best tag that has it.
        keys: of all names and synonyms.
    """

    __slots__ = ("_buckets", "_entries", "_infos", "_shift", "_spans", "_words")

    def __init__(self, words: list[str], best: NDArray[np.uint32], keys: SortedKeys) -> None:
        self._words = words
        entries = _Entries(best, keys)
        letters = np.array([word[:MOST_LETTERS] for word in words], f"U{MOST_LETTERS}").view(np.uint32)
        letters = letters.reshape(-1, MOST_LETTERS)
        for size in range(INDEXED - 1, MOST_LETTERS + 1):
            entries.add_beginnings(letters, size, int(size >= INDEXED) + (size == MOST_LETTERS))
        for size in range(2, INDEXED + 1):
            entries.add_whole(letters, size)
        self._infos = np.concatenate(entries.infos)
        self._spans = np.concatenate(entries.spans)
        hashes = np.concatenate(entries.hashes)
        # About as many buckets as hashes: what shares a bucket by chance fails the verification.
        self._shift = 32 - min(28, max(1, len(hashes).bit_length()))
        table = (hashes >> np.uint32(self._shift)).astype(np.uint64) << np.uint64(32)
        table |= np.concatenate(entries.numbers)
        table.sort()
        self._entries = table.astype(np.uint32)
        counts = np.bincount((table >> np.uint64(32)).astype(np.int64), minlength=1 << (32 - self._shift))
        self._buckets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32).data

    def __contains__(self, word: str) -> bool:
        at = bisect_left(self._words, word)
        return at < len(self._words) and self._words[at] == word

    def is_beginning(self, text: str) -> bool:
        """Tell whether some word begins with a text."""
        at = bisect_left(self._words, text)
        return at < len(self._words) and self._words[at].startswith(text)

    def sizes_of_words_in(self, text: str) -> Iterator[int]:
        """Yield the sizes of the beginnings of a text that are words, shortest first."""
        words, low, high = self._words, 0, len(self._words)
        for size in range(1, len(text)):
            beginning = text[:size]
            low = bisect_left(words, beginning, low, high)
            if low == high or not words[low].startswith(beginning):
                return
            if words[low] == beginning:
                yield size
            high = bisect_left(words, beginning + _LAST, low, high)

    def meant(self, word: str, edits: int) -> tuple[list[Meant], list[str]]:
        """Return what is at most so many edits away from a word: what it may be the beginning of, and whole words.

        Beginnings come by their best tags.

        Args:
            word: of at least 2 letters. From 4 on, any beginnings of words may be meant; for fewer, whole words.
            edits: 1, or 2 for a word of at least 8 letters.
        """
        words, distance = self._words, OSA.distance
        candidates = self._candidates(word, edits)
        if len(word) >= MOST_LETTERS:
            return self._meant_long(word, edits, candidates)
        beginnings, whole, seen, is_whole = [], [], set(), len(word) < INDEXED
        for best, size, low, entry in candidates:
            beginning = words[low][: size % _WHOLE]
            if beginning in seen or distance(word, beginning, score_cutoff=edits) > edits:
                continue
            seen.add(beginning)
            first, last, *others = self._spans[entry].tolist()
            if first == _UNKNOWN:
                beginnings.append(Meant(best, beginning, is_whole, None, None))
            else:
                beginnings.append(Meant(best, beginning, is_whole, (first, last), (others[0], others[1])))
            if words[low] == beginning:
                whole.append(beginning)
        return beginnings, whole

    def _meant_long(
        self, word: str, edits: int, candidates: Iterator[tuple[int, int, int, int]]
    ) -> tuple[list[Meant], list[str]]:
        """Look at all words with the first eight letters that the index knows, to the end."""
        words, distance, size = self._words, OSA.distance, len(word)
        beginnings: dict[str, Meant] = {}
        whole: dict[str, None] = {}
        for best, length, low, _ in candidates:
            begun = words[low][:length]
            for at in range(low, min(low + (_MOST_LONGER if length == MOST_LETTERS else 1), len(words))):
                found = words[at]
                if not found.startswith(begun):
                    break
                if distance(word, found, score_cutoff=edits) <= edits:
                    whole[found] = None
                for end in range(size - edits, min(size + edits, len(found)) + 1):
                    if distance(word, found[:end], score_cutoff=edits) <= edits:
                        beginnings.setdefault(
                            found[:end], Meant(best, found[:end], is_whole=False, names=None, synonyms=None)
                        )
                        break
        return list(beginnings.values()), list(whole)

    def _candidates(self, word: str, edits: int) -> Iterator[tuple[int, int, int, int]]:
        """Return best tag, size, first word and number of entries that may do, by best tag; some come twice."""
        size = len(word)
        hashes = (hash_once if edits == 1 else hash_twice)(word[:MOST_LETTERS])
        buckets, entries, shift = self._buckets, self._entries, self._shift
        found = np.concatenate([entries[buckets[at] : buckets[at + 1]] for at in {each >> shift for each in hashes}])
        infos = self._infos[found]
        sizes = infos >> _LOW_BITS & _SIZE_MASK
        if size < INDEXED:
            fits = sizes > _WHOLE
        elif size < MOST_LETTERS:
            fits = (sizes >= size - edits) & (sizes <= size + edits)
        else:
            fits = (sizes >= MOST_LETTERS - edits) & (sizes <= MOST_LETTERS)
        found, infos = found[fits], infos[fits]
        order = infos.argsort()[:_MOST_CANDIDATES]
        for info, entry in zip(infos[order].tolist(), found[order].tolist(), strict=True):
            yield info >> _BEST_SHIFT, info >> _LOW_BITS & _SIZE_MASK, info & _LOW_MASK, entry


class _Entries:
    """Collects what is entered, in parts.

    Attributes:
        infos: of each entry its best tag, its size, and the first of the words that begin with it, in one number: they
            are looked up at random, and each array costs a cache miss.
        spans: first and last key of names, first and last of synonyms; or `_UNKNOWN`.
        hashes, numbers: hashes, and the entry that each leads to.
    """

    def __init__(self, best: NDArray[np.uint32], keys: SortedKeys) -> None:
        self._best = best
        self._keys = keys
        self._count = 0
        self.infos = [np.zeros(0, np.int64)]
        self.spans = [np.zeros((0, 4), np.uint32)]
        self.hashes, self.numbers = [np.zeros(0, np.uint32)], [np.zeros(0, np.uint32)]

    def add_beginnings(self, letters: NDArray[np.uint32], size: int, most: int) -> None:
        """Enter the distinct beginnings of a size, with up to `most` letters deleted."""
        words = np.flatnonzero(letters[:, size - 1])
        own = letters[words, :size]
        is_first = np.ones(len(words), bool)
        is_first[1:] = (own[1:] != own[:-1]).any(axis=1)
        firsts = np.flatnonzero(is_first)
        if len(firsts):
            self._add(own[firsts], words[firsts], np.minimum.reduceat(self._best[words], firsts), size, most)

    def add_whole(self, letters: NDArray[np.uint32], size: int) -> None:
        """Enter the words of a size."""
        words = np.flatnonzero((letters[:, size - 1] != 0) & (letters[:, size] == 0))
        self._add(letters[words, :size], words, self._best[words], size + _WHOLE, 1)

    def _add(
        self, letters: NDArray[np.uint32], words: NDArray[np.int64], bests: NDArray[np.uint32], size: int, most: int
    ) -> None:
        self.infos.append(bests.astype(np.int64) << _BEST_SHIFT | size << _LOW_BITS | words)
        self.spans.append(self._find_spans(letters, is_whole=size > _WHOLE))
        texts = np.arange(len(words))
        parts = [(texts, most)]
        if most > 1:
            twice = np.argsort(bests, kind="stable")[:_MOST_TWICE]
            parts = [(twice, most), (np.setdiff1d(texts, twice), 1)]
        for some, deletions in parts:
            for begin in range(0, len(some), _AT_A_TIME):
                own = some[begin : begin + _AT_A_TIME]
                found = hash_all(letters[own], deletions)
                self.hashes.append(found.ravel())
                self.numbers.append(np.repeat((self._count + own).astype(np.uint32), found.shape[1]))
        self._count += len(words)

    def _find_spans(self, letters: NDArray[np.uint32], *, is_whole: bool) -> NDArray[np.uint32]:
        """Find the keys of ASCII texts, whose eight letters are eight bytes."""
        size = letters.shape[1]
        low = np.zeros(len(letters), np.uint64)
        for place in range(size):
            low |= letters[:, place].astype(np.uint64) << np.uint64(8 * (7 - place))
        high = low | np.uint64((1 << 8 * (8 - size)) - 1)
        if is_whole:
            # Behind it stands the end of the text or a space.
            high = low | np.uint64((_SPACE << 8 * (7 - size)) + (1 << 8 * (7 - size)) - 1)
        first = np.searchsorted(self._keys.words, low)
        last = np.searchsorted(self._keys.words, high, "right")
        names = self._keys.names_before[[first, last]]
        spans = np.stack([*names, *(np.stack([first, last]) - names)], axis=1)
        is_ascii: NDArray[np.bool_] = np.all(letters < 0x80, axis=1, keepdims=True)
        return np.where(is_ascii, spans, _UNKNOWN).astype(np.uint32)
