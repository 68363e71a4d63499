"""What a follower keeps up to date: the index of tags and that of songs, each with its part of the cache."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from service.freshness.events import Kind
from service.freshness.feed import build_index, current_number, read_tags
from service.search.index import SongIndex
from service.suggest.index import TagIndex
from service.suggest.tag import Tag
from sql.database import Database

Index = TypeVar("Index")


Keys = Mapping[Kind, set[str]]


class Cache(Protocol):
    """The part of the cache that a follower uses; `version` is the number of the change."""

    def invalidate_tags(self, tags: Iterable[str], *, version: int | None = None) -> object:
        """Forget every entry that was stored with one of these labels."""

    def invalidate_kind(self, kind: str, *, version: int | None = None) -> object:
        """Forget every entry of a kind."""


class State(Protocol):
    """What answers requests; a follower alone writes the two indexes."""

    index: TagIndex | None
    songs: Any

    @property
    def cache(self) -> Cache:
        """Where answers are kept."""


class Served(Protocol[Index]):
    """One index of a server process, and how it follows.

    Attributes:
        kind: what it holds.
        follows: the kinds of changes that concern it.
    """

    kind: Kind
    follows: frozenset[Kind]

    @property
    def current(self) -> Index | None:
        """The index that answers now; None before the first one is there."""

    def build(self) -> tuple[int, Index]:
        """Build one aside from what the database holds now, with the number of a change that it surely knows."""

    def apply(self, index: Index, keys: Keys, number: int) -> None:
        """Bring an index up to a change; when it is the current one, the cache too."""

    def publish(self, index: Index, number: int) -> None:
        """Let an index answer from now on, and forget what the old one answered."""

    def flush(self, number: int) -> None:
        """Forget every cached answer that may stem from this index."""

    def is_worn(self, index: Index) -> bool:
        """Tell whether so much was applied that building the index anew is better."""


def tag_label(tag_id: str) -> str:
    """Return the label under which the cache keeps answers that show a tag: any change of the tag removes them."""
    return f"tag:{tag_id}"


class ServedTags:
    """The index of tags, and cached suggestions, tags, popular tags and searches.

    Cached suggestions bear the groups of their answer as labels, other answers `tag_label` of the tags that they show.

    Args:
        database: where the tags are.
        schema: the application's.
        state: whose index is kept.
        most_changes: an index with more changes on top is worn.
    """

    kind: Kind = "tags"
    follows = frozenset[Kind]({"tags"})

    def __init__(self, database: Database, schema: str, state: State, most_changes: int) -> None:
        self._database = database
        self._schema = schema
        self._state = state
        self._most_changes = most_changes

    @property
    def current(self) -> TagIndex | None:
        """The index that answers now."""
        return self._state.index

    def build(self) -> tuple[int, TagIndex]:
        """Load all tags."""
        index = build_index(self._database, self._schema)
        return index.version, index

    def apply(self, index: TagIndex, keys: Keys, number: int) -> None:
        """Read tags by id and apply what they are now; then, and not before, forget answers that they changed."""
        changed = read_tags(self._database, self._schema, keys["tags"])
        is_shown = any(_as_shown(index.get(tag_id)) != _as_shown(tag) for tag_id, tag in changed.items())
        touched = index.apply(changed, max(number, index.version))
        if index is not self._state.index:
            return
        cache = self._state.cache
        # A merged tag may have been none of the index's any more, so every id that was named counts.
        cache.invalidate_tags([*touched.groups, *map(tag_label, changed)], version=number)
        cache.invalidate_kind("popular", version=number)
        if is_shown:
            cache.invalidate_kind("search", version=number)

    def publish(self, index: TagIndex, number: int) -> None:
        """Swap the pointer; any answer may differ."""
        self._state.index = index
        self.flush(number)

    def flush(self, number: int) -> None:
        """Forget all kinds of answers that show tags."""
        for kind in ("suggestions", "tags", "popular", "search"):
            self._state.cache.invalidate_kind(kind, version=number)

    def is_worn(self, index: TagIndex) -> bool:
        """Tell whether the index carries many changes."""
        return index.delta_size > self._most_changes


class ServedSongs:
    """The index of songs, and cached searches.

    Args:
        database: where the songs are.
        schema: the application's.
        state: whose index is kept.
        load: reads all songs.
    """

    kind: Kind = "songs"
    follows = frozenset[Kind]({"songs", "tags"})

    def __init__(self, database: Database, schema: str, state: State, load: Callable[[], SongIndex]) -> None:
        self._database = database
        self._schema = schema
        self._state = state
        self._load = load

    @property
    def current(self) -> SongIndex | None:
        """The index that answers now."""
        index: SongIndex | None = self._state.songs
        return index

    def build(self) -> tuple[int, SongIndex]:
        """Load all songs."""
        with self._database.transaction() as transaction:
            number = current_number(transaction)
        return number, self._load()

    def apply(self, index: SongIndex, keys: Keys, number: int) -> None:
        """Let the index take over tags and read songs anew, then forget searches."""
        if keys["tags"]:
            index.apply_tags(read_tags(self._database, self._schema, keys["tags"]))
        if keys["songs"]:
            index.apply(keys["songs"])
        if index is self._state.songs:
            self.flush(number)

    def publish(self, index: SongIndex, number: int) -> None:
        """Swap the pointer."""
        self._state.songs = index
        self.flush(number)

    def flush(self, number: int) -> None:
        """Forget searches."""
        self._state.cache.invalidate_kind("search", version=number)

    def is_worn(self, index: SongIndex) -> bool:
        """Tell whether the index carries many changes."""
        return index.is_worn


def _as_shown(tag: Tag | None) -> tuple[object, ...] | None:
    """Return what a search shows or is resolved by: all but the count."""
    return None if tag is None else (tag.name, tag.normalized, tag.category, tag.color, tag.synonyms)
