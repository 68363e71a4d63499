"""One layer read for one query: which of its tags are still in use, wanted, and not in the answer yet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_

from pyroaring import BitMap

from service.suggest.folding import HAS_CJK
from service.suggest.keys import Keys, Ranked
from service.suggest.layer import Layer
from service.suggest.misspellings import Meant
from service.suggest.rows import Order
from service.suggest.spacing import spacings
from service.suggest.tag import Tag

#: A row that matched: the reader of its layer, its number there, the number of the synonym that matched or -1 when the
#: name did, and folded texts that stand at the beginning of words of what matched. A plain tuple: it is made 10 times
#: an answer, and a named one takes 8 x as long.
Match = tuple["Reader", int, int, Sequence[str]]


def tag_of(match: Match) -> Tag:
    """Return the row as an object."""
    return match[0].layer.rows.tag(match[1])


def order_of(match: Match) -> Order:
    """Return what the row is ranked by."""
    return match[0].layer.rows.order(match[1])


@dataclass(slots=True, eq=False)
class Reader:
    """Reads a layer.

    Attributes:
        layer: the layer.
        hidden: rows that a newer layer supersedes.
        taken: rows that the answer has already or must not have.
        category: the only one wanted, or None.
    """

    layer: Layer
    hidden: Collection[int]
    category: str | None = None
    taken: set[int] = field(default_factory=set)
    _meant: dict[tuple[str, int], tuple[list[Meant], list[str]]] = field(default_factory=dict)
    _spacings: dict[str, list[str]] = field(default_factory=dict)

    def rows(self, found: Ranked, most: int) -> list[int]:
        """Return the best rows of those found that are wanted, at most so many."""
        if self.category is not None:
            found = intersect([found, self.layer.of_category.get(self.category, ())])
        hidden, taken = self.hidden, self.taken
        rows: list[int] = []
        for row in found:
            if row in taken or row in hidden:
                continue
            rows.append(row)
            if len(rows) == most:
                break
        return rows

    def synonyms(self, found: Ranked, most: int) -> dict[int, int]:
        """Return the same of synonyms found: for each of the best rows wanted its first synonym."""
        if self.category is not None:
            found = intersect([found, self.layer.synonyms_of_category.get(self.category, ())])
        hidden, taken, targets = self.hidden, self.taken, self.layer.targets
        rows: dict[int, int] = {}
        for synonym in found:
            row = targets[synonym]
            if row in rows or row in taken or row in hidden:
                continue
            rows[row] = synonym
            if len(rows) == most:
                break
        return rows

    def spacings(self, text: str) -> list[str]:
        """Return `spacing.spacings` of a text."""
        if text not in self._spacings:
            self._spacings[text] = spacings(text, self.layer.misspellings)
        return self._spacings[text]

    def may_have(self, words: Sequence[str]) -> bool:
        """Tell whether something in the layer may begin with each of the words; of CJK it is not known."""
        return all(
            self.layer.misspellings.is_beginning(word) or (not word.isascii() and HAS_CJK.search(word))
            for word in words
        )

    def meant(self, word: str, edits: int) -> tuple[list[Meant], list[str]]:
        """Return what a misspelt word may be meant for; see `Misspellings.meant`."""
        key = word, edits
        if key not in self._meant:
            self._meant[key] = self.layer.misspellings.meant(word, edits)
        return self._meant[key]

    def named(self, found: Ranked, most: int, marks: Sequence[str]) -> list[Match]:
        """Return `rows` as matches."""
        return [(self, row, -1, marks) for row in self.rows(found, most)]

    def called(self, found: Ranked, most: int, marks: Sequence[str]) -> list[Match]:
        """Return `synonyms` as matches."""
        return [(self, row, synonym, marks) for row, synonym in self.synonyms(found, most).items()]


def every_word(keys: Keys, words: Sequence[str]) -> Ranked:
    """Return the numbers that have for each of the words another word that begins with it, in any order.

    Of two prefixes either one begins the other or no word begins with both. So it is enough that for each prefix there
    are as many words as prefixes that it begins.
    """
    return intersect(
        [
            keys.find_repeated(word.encode(), sum(other.startswith(word) for other in words))
            for word in dict.fromkeys(words)
        ]
    )


def intersect(parts: Sequence[Ranked]) -> Ranked:
    """Return the numbers that are in all parts."""
    if len(parts) == 1:
        return parts[0]
    lists = sorted((part for part in parts if not isinstance(part, BitMap)), key=len)
    maps = sorted((part for part in parts if isinstance(part, BitMap)), key=len)
    if not lists:
        return reduce(and_, maps)
    shortest, *rest = lists
    # A bitmap tells membership, too, but is no Collection to the type checker.
    others: list[set[int] | BitMap] = [*map(set, rest), *maps]
    return [number for number in shortest if all(number in other for other in others)]
