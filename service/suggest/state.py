"""What a reader of the index sees: one immutable value, replaced as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.suggest.layer import Layer
from service.suggest.reader import Reader
from service.suggest.tag import Tag

#: Changed tags that are indexed anew by every change, and by every change that makes these too many. What exceeds
#: both goes to a third level, which has room for all.
_LEVELS: Final = (32, 1_000)

#: For a tag's id what it is often used with, strongest first: ids, or ids with counts.
Companions = Mapping[str, Sequence[str | tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Level:
    """Tags that changed, in a layer.

    Attributes:
        tags: by id; None for one that is gone.
        layer: of those that are there; None if none is.
        hidden: rows of the layer that changed again.
    """

    tags: Mapping[str, Tag | None]
    layer: Layer | None = None
    hidden: frozenset[int] = frozenset()

    @classmethod
    def of(cls, tags: Mapping[str, Tag | None]) -> "Level":
        """Index tags."""
        alive = [tag for tag in tags.values() if tag is not None]
        return cls(tags, Layer.build(alive) if alive else None)

    def without(self, changes: Mapping[str, Tag | None]) -> "Level":
        """Hide the rows of changed tags."""
        if self.layer is None:
            return self
        find = self.layer.rows.find
        rows = [row for tag_id in changes if (row := find(tag_id)) is not None]
        return replace(self, hidden=self.hidden.union(rows)) if rows else self


@dataclass(frozen=True, slots=True)
class State:
    """The base, and on top of it a few levels of changed tags; what a newer one holds is hidden in the older ones.

    Attributes:
        base: as it was built; of it only `layer` and `hidden` count.
        levels: newest first.
        companions: what tags are used with.
        version: number of the last change.
    """

    base: Level
    levels: tuple[Level, ...]
    companions: Companions
    version: int

    @classmethod
    def of(cls, base: Layer, companions: Companions, version: int) -> "State":
        """Begin with a base."""
        return cls(Level({}, base), (Level({}), Level({}), Level({})), companions, version)

    def get(self, tag_id: str) -> Tag | None:
        """Return a tag by its id."""
        for level in self.levels:
            if tag_id in level.tags:
                return level.tags[tag_id]
        assert self.base.layer is not None
        rows = self.base.layer.rows
        row = rows.find(tag_id)
        return None if row is None else rows.tag(row)

    def readers(self, category: str | None = None) -> list[Reader]:
        """Return what reads the layers for one query."""
        return [
            Reader(level.layer, level.hidden, category)
            for level in (self.base, *self.levels)
            if level.layer is not None
        ]

    def count(self) -> int:
        """Return how many tags there are."""
        return sum(len(level.layer.rows) - len(level.hidden) for level in (self.base, *self.levels) if level.layer)

    def delta_size(self) -> int:
        """Return how many tags changed since the base was built."""
        return len(set().union(*(level.tags for level in self.levels)))

    def applied(self, changes: Mapping[str, Tag | None], version: int) -> "State":
        """Return the state after changes."""
        newest = dict(changes)
        emptied = 0
        # The first level that has room takes all that the newer ones hold.
        for number, level in enumerate(self.levels):
            newest = {**level.tags, **newest}
            emptied = number
            if number == len(_LEVELS) or len(newest) <= _LEVELS[number]:
                break
        levels = (
            *(Level({}) for _ in range(emptied)),
            Level.of(newest),
            *(level.without(changes) for level in self.levels[emptied + 1 :]),
        )
        return replace(self, base=self.base.without(changes), levels=levels, version=version)
