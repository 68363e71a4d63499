"""The bands, one after the other, until there are enough suggestions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from service.suggest.creating import Alike, find_alike
from service.suggest.needle import MOST_WORDS, Needle
from service.suggest.reader import Match, Reader, every_word, order_of, tag_of
from service.suggest.typos import one_edit, two_edits

#: An exact name comes first, before others that begin with it, when more songs than this have it.
WELL_USED: Final = 100
#: Typing errors are looked for when fewer tags than this match, and no well used one: who sees three has not mistyped.
#: Of a text of several words none may match, for whoever types a long name is not to wait at each of its letters.
ENOUGH: Final = 3
#: With a context, so many times as many tags of a band as are wanted compete for their places.
_WINDOW: Final = 4

Candidates = Callable[[Reader, int], list[Match]]
#: For the id of a tag: how often it is used with the chosen tags, and the name of the chosen tag it is most used with.
Affinity = Mapping[str, tuple[int, str]]


class Finder:
    """Finds the answer to one query.

    Attributes:
        readers: of the layers.
        affinity: what goes with the chosen tags.
        found: the matches, best first, each with its band.
        alike: rows that the query may be a duplicate of, wanted or not.
        has_initials, is_fuzzy: whether initials, and whether typing errors, were looked for.
    """

    def __init__(self, readers: Sequence[Reader], needle: Needle, limit: int, affinity: Affinity) -> None:
        self.readers = readers
        self._needle = needle
        self._limit = limit
        self.affinity = affinity
        self.found: list[tuple[str, Match]] = []
        self.alike = find_alike(readers, needle.skeleton)
        self.has_initials = self.is_fuzzy = False

    def find_written(self) -> None:
        """Find what the text is written in: all bands but typing errors."""
        text, key, words = self._needle.text, self._needle.key, self._needle.words
        marks = (text,)
        self._find_exact_and_prefix()
        if not self._has_room:
            return
        # Where no word begins with one of the query's, there is nothing to look for but initials.
        hopeful = [reader for reader in self.readers if reader.may_have(words)]
        self._take("word", hopeful, lambda reader, most: reader.named(reader.layer.starts.find(key), most, marks))
        if 1 < len(words) <= MOST_WORDS:
            self._take(
                "words", hopeful, lambda reader, most: reader.named(every_word(reader.layer.starts, words), most, words)
            )
        self._take("synonym", hopeful, lambda reader, most: reader.called(reader.layer.synonyms.find(key), most, marks))
        if len(words) == 1 and len(text) > 1 and self._has_room:
            self.has_initials = True
            self._take(
                "initials", self.readers, lambda reader, most: reader.named(reader.layer.initials.find(key), most, ())
            )

    @property
    def may_be_typo(self) -> bool:
        """Whether it is worth looking for typing errors."""
        return (
            self._needle.edits > 0
            and len(self.found) < min(ENOUGH if len(self._needle.words) == 1 else 1, self._limit)
            and not any(tag_of(match).usage_count > WELL_USED for _, match in self.found)
            and not any(map(self._is_known, self.alike))
        )

    def _is_known(self, alike: Alike) -> bool:
        """Tell whether the text is all of a synonym, or all of a well used name: then it is no error."""
        return alike.folded == self._needle.text and not (alike.is_name and alike.tag.usage_count <= WELL_USED)

    def find_typos(self) -> None:
        """Find what the text may be a misspelling of: with two errors only if nothing else is found."""
        self.is_fuzzy = True
        self._take("typo", self.readers, lambda reader, most: one_edit(reader, self._needle, most))
        if self._needle.edits > 1 and not self.found:
            self._take("typo", self.readers, lambda reader, most: two_edits(reader, self._needle, most))

    @property
    def _has_room(self) -> bool:
        return len(self.found) < self._limit

    def _find_exact_and_prefix(self) -> None:
        needle, marks = self._needle, (self._needle.text,)

        def begun(reader: Reader, most: int) -> list[Match]:
            names = reader.layer.names
            if not names.is_hot(needle.key) and not reader.may_have(needle.words):
                return []
            return reader.named(names.find(needle.key), most, marks)

        exact: list[Match] = [
            (each.match[0], each.match[1], -1, marks)
            for each in self.alike
            if each.is_name and each.folded == needle.text and each.match[0].rows([each.match[1]], 1)
        ]
        first = [match for match in exact if needle.is_quoted or tag_of(match).usage_count > WELL_USED]
        if first:
            self._add("exact", self._preferred(first))
        if len(first) == len(exact):
            self._take("prefix", self.readers, begun)
            return
        # A little used name is exact only if no other begins with it.
        others = self._merged(self.readers, begun, max(self._most, len(exact) + 1))
        names = {(id(reader), row) for reader, row, _, _ in exact}
        is_only = all((id(reader), row) in names for reader, row, _, _ in others)
        self._add("exact" if is_only else "prefix", self._preferred(others[: self._most]))

    @property
    def _most(self) -> int:
        """How many matches of a band compete for the places left."""
        left = self._limit - len(self.found)
        return max(left, _WINDOW * self._limit) if self.affinity else left

    def _take(self, band: str, readers: Sequence[Reader], candidates: Candidates) -> None:
        if self._has_room:
            self._add(band, self._preferred(self._merged(readers, candidates, self._most)))

    def _merged(self, readers: Sequence[Reader], candidates: Candidates, most: int) -> list[Match]:
        """Return the best of all layers."""
        lists = [found for reader in readers if (found := candidates(reader, most))]
        if not lists:
            return []
        if len(lists) == 1:
            return lists[0]
        matches = [match for found in lists for match in found]
        matches.sort(key=order_of)
        return matches[:most]

    def _preferred(self, matches: list[Match]) -> list[Match]:
        """Put what is used together with the chosen tags first."""
        affinity = self.affinity
        if not affinity:
            return matches
        none = (0, "")
        return sorted(matches, key=lambda match: -affinity.get(match[0].layer.rows.id(match[1]), none)[0])

    def _add(self, band: str, matches: Sequence[Match]) -> None:
        for match in matches[: self._limit - len(self.found)]:
            match[0].taken.add(match[1])
            self.found.append((band, match))
