"""What a reader of the index sees: one immutable value, replaced as a whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.suggest.layer import Layer
from service.suggest.reader import Reader
from service.suggest.tag import Tag

#: Changed tags that are indexed anew by every change; with more, all changed tags are, once.
_RECENT: Final = 256

#: For a tag's id what it is often used with, strongest first: ids, or ids with counts.
Companions = Mapping[str, Sequence[str | tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class State:
    """Three layers of which a newer hides rows of the older: the base, earlier changes, and recent ones.

    Attributes:
        layers: the layers with their hidden rows, oldest first.
        changed: all tags that changed since the base was built; None for one that is gone.
        recent: those of them that are in the newest layer, or gone since the middle one was built.
        companions: what tags are used with.
        version: number of the last change.
    """

    layers: tuple[tuple[Layer, frozenset[int]], ...]
    changed: Mapping[str, Tag | None]
    recent: Mapping[str, Tag | None]
    companions: Companions
    version: int

    def get(self, tag_id: str) -> Tag | None:
        """Return a tag by its id."""
        if tag_id in self.changed:
            return self.changed[tag_id]
        rows = self.layers[0][0].rows
        row = rows.find(tag_id)
        return None if row is None else rows.tag(row)

    def readers(self, category: str | None = None) -> list[Reader]:
        """Return what reads the layers for one query."""
        return [Reader(layer, hidden, category) for layer, hidden in self.layers]

    def count(self) -> int:
        """Return how many tags there are."""
        return sum(len(layer.rows) - len(hidden) for layer, hidden in self.layers)

    def applied(self, changes: Mapping[str, Tag | None], version: int) -> "State":
        """Return the state after changes."""
        changed = {**self.changed, **changes}
        recent = {**self.recent, **changes}
        base = _hide(*self.layers[0], changes)
        if len(recent) > _RECENT:
            return replace(self, layers=(base, *_layer(changed)), changed=changed, recent={}, version=version)
        # The newest layer, if there is one, holds what is in `recent`; between it and the base is the middle one.
        middle = [_hide(layer, hidden, changes) for layer, hidden in self._middle()]
        return replace(self, layers=(base, *middle, *_layer(recent)), changed=changed, recent=recent, version=version)

    def _middle(self) -> Sequence[tuple[Layer, frozenset[int]]]:
        has_newest = any(tag is not None for tag in self.recent.values())
        return self.layers[1:-1] if has_newest else self.layers[1:]


def _layer(tags: Mapping[str, Tag | None]) -> Iterator[tuple[Layer, frozenset[int]]]:
    alive = [tag for tag in tags.values() if tag is not None]
    if alive:
        yield Layer.build(alive), frozenset()


def _hide(layer: Layer, hidden: frozenset[int], ids: Mapping[str, Tag | None]) -> tuple[Layer, frozenset[int]]:
    rows = [row for tag_id in ids if (row := layer.rows.find(tag_id)) is not None]
    return layer, hidden.union(rows) if rows else hidden
