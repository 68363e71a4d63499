"""The tags as a search shows and groups them: numbered, so that counting is a matter of arrays."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from service.search.query import NamedTag, TagLabel
from service.search.texts import Texts

#: The category of a tag that is not shown: banned, or gone.
HIDDEN: Final = -1

#: Between the ranks of two neighbours there is room for so many tags that came later.
_ROOM: Final = 1 << 20

#: Labels that are kept once they were made: most searches show the same tags.
_MOST_LABELS: Final = 10_000


@dataclass(frozen=True)
class TagTable:
    """All tags, immutable; a change makes another table that shares most with this one.

    Attributes:
        ids: packed UUIDs, sorted: a tag's place is its number.
        names: by number.
        category_of: by number, a place in `categories`, or `HIDDEN`.
        categories: names of categories.
        later: packed ids of tags that came later; their numbers go on after those of `ids`.
        renamed: names by number, where they are not in `names` or differ from them.
    """

    ids: Texts
    names: Texts
    category_of: NDArray[np.int32]
    categories: tuple[str, ...]
    later: tuple[bytes, ...] = ()
    renamed: Mapping[int, str] = field(default_factory=dict)
    _number_of_later: Mapping[bytes, int] = field(default_factory=dict)
    _rank_of_later: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _labels: dict[int, TagLabel] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.category_of)

    def number(self, tag_id: bytes) -> int | None:
        """Return a tag's number, or None for a tag that the table does not know."""
        later = self._number_of_later.get(tag_id)
        return self.ids.find(tag_id) if later is None else later

    def label(self, number: int) -> TagLabel:
        """Return what a tag that is not hidden looks like."""
        known = self._labels.get(number)
        if known is None:
            if len(self._labels) >= _MOST_LABELS:
                self._labels.clear()
            known = self._labels[number] = self._label(number)
        return known

    def _label(self, number: int) -> TagLabel:
        packed = self.ids[number] if number < len(self.ids) else self.later[number - len(self.ids)]
        name = self.renamed.get(number)
        return TagLabel(
            str(UUID(bytes=packed)),
            self.names[number].decode() if name is None else name,
            self.categories[self.category_of[number]],
        )

    def of_category(self, category: int) -> NDArray[np.int64]:
        """Return the numbers of a category's tags."""
        return np.flatnonzero(self.category_of == category)

    def ranks(self, tags: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return numbers that are ordered like the tags' ids."""
        if not self.later:
            return tags
        ranks = (tags + 1) * _ROOM
        is_later = tags >= len(self.ids)
        ranks[is_later] = self._rank_of_later[tags[is_later] - len(self.ids)]
        return ranks

    def with_tags(self, changed: Mapping[bytes, NamedTag | None]) -> "TagTable":
        """Return the table in which these tags look so; None hides a tag. The same table when they do already."""
        numbers = {tag_id: self.number(tag_id) for tag_id, tag in changed.items() if not self._is_so(tag_id, tag)}
        if not numbers:
            return self
        later = (*self.later, *(tag_id for tag_id, number in numbers.items() if number is None))
        numbers_of_later = {tag_id: number for number, tag_id in enumerate(later, len(self.ids))}
        categories = {name: place for place, name in enumerate(self.categories)}
        category_of = np.full(len(self.ids) + len(later), HIDDEN, np.int32)
        category_of[: len(self)] = self.category_of
        renamed = dict(self.renamed)
        for tag_id, known in numbers.items():
            tag = changed[tag_id]
            number = numbers_of_later[tag_id] if known is None else known
            category_of[number] = HIDDEN if tag is None else categories.setdefault(tag.category, len(categories))
            if tag is not None:
                renamed[number] = tag.name
        return replace(
            self,
            category_of=category_of,
            categories=tuple(categories),
            later=later,
            renamed=renamed,
            _number_of_later=numbers_of_later,
            _labels={},
            _rank_of_later=self._ranks(later) if len(later) > len(self.later) else self._rank_of_later,
        )

    def _is_so(self, tag_id: bytes, tag: NamedTag | None) -> bool:
        number = self.number(tag_id)
        if number is None:
            return False
        if self.category_of[number] == HIDDEN:
            return tag is None
        label = self.label(number)
        return tag is not None and (label.name, label.category) == (tag.name, tag.category)

    def _ranks(self, later: tuple[bytes, ...]) -> NDArray[np.int64]:
        """Return the ranks of tags that came later: between those of the two that surround them by id."""
        ranks = np.empty(len(later), np.int64)
        for order, place in enumerate(sorted(range(len(later)), key=later.__getitem__), 1):
            ranks[place] = bisect_left(self.ids, later[place]) * _ROOM + order
        return ranks
