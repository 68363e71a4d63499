"""The index of one process: an immutable base, and a small delta on top of it."""

import ctypes
import gc
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import merge
from typing import Final

from service.suggest import lookup
from service.suggest.answering import answer, look_up
from service.suggest.creating import IsBanned, near_duplicates
from service.suggest.groups import touched_by
from service.suggest.layer import Layer
from service.suggest.query import Answer, Query
from service.suggest.reader import Match
from service.suggest.state import Companions, State
from service.suggest.tag import Tag

#: With more changed tags than this, build a new index aside: answers get slower, and each change costs more.
REBUILD_DELTA: Final = 10_000
#: From so many tags on, the base is kept from the garbage collector, and what building took is given back.
_LARGE: Final = 50_000


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change touched.

    Attributes:
        groups: every group of which an answer may have changed.
        ids: the tags that are not what they were.
    """

    groups: frozenset[str]
    ids: frozenset[str]


class TagIndex:
    """Answers from memory. Any number of threads may read while one applies changes: each answer is of one version."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._writing = threading.Lock()
        self.built_at = time.time()

    @classmethod
    def build(cls, tags: Iterable[Tag], version: int, cooccurrence: Companions | None = None) -> "TagIndex":
        """Build the index of all tags.

        Args:
            tags: each with another id; read once, and not kept.
            version: number of the last change that they know.
            cooccurrence: for a tag's id the ids of the tags it is most used with, strongest first, or pairs of id and
                count; kept as it is.
        """
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            base = Layer.build(tags)
        finally:
            if was_enabled:
                gc.enable()
        if len(base.rows) >= _LARGE:
            _settle()
        return cls(State.of(base, cooccurrence or {}, version))

    @property
    def version(self) -> int:
        """Number of the last change applied."""
        return self._state.version

    @property
    def delta_size(self) -> int:
        """How many tags have changed since the index was built; see `REBUILD_DELTA`."""
        return self._state.delta_size()

    def __len__(self) -> int:
        return self._state.count()

    def apply(self, changed: Mapping[str, Tag | None], version: int) -> Touched:
        """Take in the new state of tags.

        Args:
            changed: by id; None for a tag that is gone or banned.
            version: number of the last change among them.
        """
        with self._writing:
            state = self._state
            changes: dict[str, Tag | None] = {}
            groups: set[str] = set()
            for tag_id, new in changed.items():
                old = state.get(tag_id)
                if _is_same(old, new):
                    continue
                changes[tag_id] = new
                for tag in (old, new):
                    if tag is not None:
                        groups.update(touched_by(tag))
            self._state = state.applied(changes, version) if changes else replace(state, version=version)
        return Touched(frozenset(groups), frozenset(changes))

    def suggest(self, query: Query, is_banned: IsBanned | None = None) -> Answer:
        """Answer a query.

        Args:
            query: the query.
            is_banned: tells of a normalized name whether it is banned, for `Answer.create`.

        Raises:
            ValueError: the limit is below 1.
        """
        return answer(self._state, query, is_banned)

    def look_up(self, query: Query) -> list[tuple[str, Match]]:
        """Return the band and the place of every suggestion, and nothing else of the answer that `suggest` gives."""
        finder = look_up(self._state, query).finder
        return finder.found if finder else []

    def get(self, tag_id: str) -> Tag | None:
        """Return a tag by its id."""
        return self._state.get(tag_id)

    def by_name(self, normalized: str) -> Tag | None:
        """Return the tag of a normalized name."""
        return lookup.find_named(self._state, normalized)

    def resolve(self, text: str) -> Tag | None:
        """Return the tag that a text names, by its name or a synonym, whatever the case and the spaces."""
        return lookup.resolve(self._state, text)

    def near_duplicates(self, text: str) -> tuple[Tag, ...]:
        """Return the tags that differ from a text by case, accents, number, spaces, hyphens or one edit, best first."""
        return near_duplicates(self._state.readers(), text)

    def popular(self, limit: int, category: str | None = None) -> list[Tag]:
        """Return the most used tags, of one category if that is given."""
        lists = []
        for reader in self._state.readers(category):
            rows = reader.layer.rows
            lists.append([(rows.order(row), rows.tag(row)) for row in reader.rows(range(len(rows)), limit)])
        return [tag for _, tag in merge(*lists)][:limit]

    def hot_prefixes(self, most: int) -> list[str]:
        """Return the shortest of the prefixes that many names begin with, for a warm-up."""
        layer = self._state.base.layer
        assert layer is not None
        prefixes = sorted(layer.names.hot_prefixes, key=lambda prefix: (len(prefix), prefix))
        return [prefix.decode() for prefix in prefixes[:most]]


def _is_same(old: Tag | None, new: Tag | None) -> bool:
    """Tell whether nothing has changed; the order of synonyms means nothing."""
    if old is None or new is None:
        return old is new
    return replace(old, synonyms=()) == replace(new, synonyms=()) and sorted(old.synonyms) == sorted(new.synonyms)


def _settle() -> None:
    """Keep the collector from walking over what will not change, and give back to the system what is free again."""
    gc.freeze()
    # The C library keeps hundreds of megabytes for later; only glibc has and needs the call.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
