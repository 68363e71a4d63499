"""The last band: what may be meant when hardly anything begins with the text."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from pyroaring import BitMap

from service.suggest.keys import Keys, LookUp, Ranked, Span
from service.suggest.misspellings import INDEXED, Meant
from service.suggest.needle import MOST_WORDS, Needle
from service.suggest.reader import Match, Reader, every_word

#: From so many letters on two errors are forgiven in one word.
_TWICE: Final = 8


class _Found:
    """The best rows so far of one layer; a match of the name goes before one of a synonym, and that before a longer.

    Attributes:
        reader: of the layer.
        bar: with as many rows as are wanted, the worst rank among them; what is behind it need not be looked at.
    """

    def __init__(self, reader: Reader, most: int) -> None:
        self.reader = reader
        self.bar = len(reader.layer.rows)
        self._most = most
        self._rows: dict[int, tuple[int, Sequence[str]]] = {}

    def add(self, starts: Ranked, synonyms: Ranked, marks: Sequence[str]) -> None:
        """Take in rows by their names and by their synonyms."""
        rows = self._rows
        if starts:
            for row in self.reader.rows(starts, self._most):
                if row not in rows or rows[row][0] >= 0:
                    rows[row] = -1, marks
        if synonyms:
            for row, synonym in self.reader.synonyms(synonyms, self._most).items():
                if row not in rows or rows[row][0] > synonym:
                    rows[row] = synonym, marks
        if len(rows) >= self._most:
            self.bar = sorted(rows)[self._most - 1]

    def matches(self) -> list[Match]:
        """Return the best rows."""
        best = sorted(self._rows.items())[: self._most]
        return [(self.reader, row, synonym, marks) for row, (synonym, marks) in best]


def one_edit(reader: Reader, needle: Needle, most: int) -> list[Match]:
    """Return the best rows with all words of the query, one of them misspelt, or with a space too many or missing."""
    found = _Found(reader, most)
    layer = reader.layer
    if len(needle.words) <= MOST_WORDS:
        for place, word in enumerate(needle.words):
            if needle.is_editable(word) and (len(word) >= INDEXED or len(needle.words) > 1):
                _add_meant(found, needle.words, place, 1)
    for text in reader.spacings(needle.text):
        key = text.encode()
        found.add(layer.starts.find(key), layer.synonyms.find(key), (text,))
    return found.matches()


def two_edits(reader: Reader, needle: Needle, most: int) -> list[Match]:
    """Return the best rows with two errors in a long word, or one error in each of two words."""
    found = _Found(reader, most)
    words = needle.words if len(needle.words) <= MOST_WORDS else []
    long = [place for place, word in enumerate(words) if needle.is_editable(word) and len(word) >= INDEXED]
    for place in long:
        if len(words[place]) >= _TWICE:
            _add_meant(found, words, place, 2)
    for pair in combinations(long, 2):
        _add_pair(found, words, pair)
    return found.matches()


def _add_meant(found: _Found, words: Sequence[str], place: int, edits: int) -> None:
    """Take in what has the words with one of them corrected, each as another word, in any order."""
    layer = found.reader.layer
    others = [*words[:place], *words[place + 1 :]]
    starts, synonyms = _having(layer.starts, others), _having(layer.synonyms, others)
    if others and not starts and not synonyms:
        return
    meant = found.reader.meant(words[place], edits)[0]
    if others:
        found.add(
            _correct(layer.starts, [(each, each.names) for each in meant], others, starts),
            _correct(layer.synonyms, [(each, each.synonyms) for each in meant], others, synonyms),
            (),
        )
        return
    for best, beginning, _, names, called in meant:
        if best > found.bar:
            return
        key = beginning.encode()
        found.add(layer.starts.find(key, names), layer.synonyms.find(key, called), (beginning,))


def _add_pair(found: _Found, words: Sequence[str], pair: tuple[int, int]) -> None:
    """Take in what has the words with two of them corrected; both may be meant for the same."""
    layer = found.reader.layer
    others = [word for place, word in enumerate(words) if place not in pair]
    starts, synonyms = _having(layer.starts, others), _having(layer.synonyms, others)
    if others and not starts and not synonyms:
        return
    for place in pair:
        meant = found.reader.meant(words[place], 1)[0]
        starts = _correct(layer.starts, [(each, each.names) for each in meant], (), starts)
        synonyms = _correct(layer.synonyms, [(each, each.synonyms) for each in meant], (), synonyms)
    found.add(starts or (), synonyms or (), ())


def _correct(
    keys: Keys, meant: Sequence[tuple[Meant, Span | None]], others: Sequence[str], having: BitMap | None
) -> BitMap:
    """Return which of those that have the other words have one that is meant, too."""
    plain: list[LookUp] = []
    found = BitMap()
    for each, span in meant:
        # Where one word begins another, it takes two to have them both.
        if any(each.beginning.startswith(other) or other.startswith(each.beginning) for other in others):
            both = BitMap(every_word(keys, [*others, each.beginning]))
            found |= keys.unite(each.look_ups(span), both) if both else both
        else:
            plain += each.look_ups(span)
    return found | keys.unite(plain, having)


def _having(keys: Keys, words: Sequence[str]) -> BitMap | None:
    """Return what has all of the words, or None if there are no words."""
    if not words:
        return None
    found = every_word(keys, words)
    return found if isinstance(found, BitMap) else BitMap(found)
