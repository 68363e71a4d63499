"""All songs in the memory of one process: found, counted and paged exactly, without the database."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, Final
from uuid import UUID

import numpy as np
from pyroaring import BitMap

from service.search.facets import count_facets
from service.search.loading import read_base, read_tags
from service.search.plan import plan
from service.search.query import NamedTag, Resolve, SearchPage, SearchQuery, TagLabel
from service.search.segment import NO_TITLE, Segment
from service.search.songs import Songs
from service.search.tag_table import TagTable
from service.search.texts import Texts
from service.search.view import View
from service.search.word_index import WordIndex
from service.settings import SongsTable
from sql.database import Database

#: With so many changed songs, or this part of all, every further change takes 40 ms or more: load the index anew.
REBUILD_DELTA: Final = 10_000
REBUILD_PART: Final = 0.005

#: A song's title, or `NO_TITLE`, and its tags' numbers.
Row = tuple[bytes, list[int]]


class SongIndex:
    """An index of songs: what was loaded, immutable, and a small delta of what changed since.

    Searches need no lock and see either all of a change or nothing of it; one writer applies changes at a time. The
    order of all results is that of the songs' keys: uuid and bigint by value, text by code point (COLLATE "C").

    Attributes:
        built_at: when it was loaded, in seconds as time.time() counts.
    """

    def __init__(self, database: Database, songs: Songs, base: Segment, tags: TagTable) -> None:
        self.built_at = time.time()
        self._database = database
        self._songs = songs
        self._view = View(songs.kind, base, _segment({}), BitMap(), tags)
        for number in range(len(tags.categories)):
            self._view.songs_in_category(number)
        self._rows: dict[bytes, Row] = {}
        self._writing = Lock()

    @classmethod
    def load(cls, database: Database, schema: str, table: SongsTable) -> "SongIndex":
        """Read all songs, links and tags as of one moment.

        Changes that are committed meanwhile are not in it: apply all that came after the moment before this call.

        Args:
            database: where they are.
            schema: the application's.
            table: the songs'.

        Raises:
            SongsUnreadable: the tables are not as they must be; see `Songs.find`.
            DatabaseError: the database refused or was lost.
        """
        with database.transaction(repeatable_read=True) as transaction:
            songs = Songs.find(transaction, schema, table)
            tags = read_tags(transaction, songs)
            base = read_base(transaction, songs)
        return cls(database, songs, base, tags)

    def __len__(self) -> int:
        return len(self._view)

    @property
    def delta_size(self) -> int:
        """How many songs were applied or removed since it was loaded."""
        return len(self._view.delta) + len(self._view.hidden)

    @property
    def is_worn(self) -> bool:
        """Whether so much was applied that another one should be loaded aside, to take this one's place."""
        return self.delta_size > max(REBUILD_DELTA, REBUILD_PART * len(self._view.base))

    def search(self, query: SearchQuery, resolve: Resolve) -> SearchPage:
        """Return the page that a query asks for.

        Args:
            query: the question.
            resolve: says what tag a text means.

        Raises:
            BadQuery: the cursor is none, or the query looks into titles and there are none.
        """
        view = self._view
        after = self._songs.check(query)
        meant = plan(query, resolve)
        found = view.find(meant.found)
        hits, last = view.page(found, after, query.limit)
        return SearchPage(
            hits=hits,
            total=sum(map(len, found)),
            cursor=None if last is None else self._songs.kind.cursor(last),
            facets=count_facets(view, meant, query),
            unknown=meant.unknown,
        )

    def apply(self, keys: Iterable[str] | None) -> bool:
        """Read songs anew: their titles and links, also of songs that are new or gone.

        Args:
            keys: as PostgreSQL writes them; None when any song may have changed.

        Returns:
            Whether the index is up to date and good to go on with. When not, another one is to be loaded aside and to
            take its place: after None, where nothing was applied, and when it is worn.

        Raises:
            DatabaseError: the database refused or was lost; nothing was applied, and it may be tried again.
        """
        if keys is None:
            return False
        with self._writing:
            asked = self._packed(keys)
            read, tags = self._read(list(asked.values()))
            rows = {key: row for key, row in self._rows.items() if key not in asked} | read
            view = self._view
            older = BitMap(place for key in asked if (place := view.base.keys.find(key)) is not None)
            self._view = View(view.kind, view.base, _segment(rows), view.hidden | older, tags, view.in_category)
            self._rows = rows
        return not self.is_worn

    def apply_tags(self, changed: Mapping[str, NamedTag | None] | None) -> bool:
        """Take over what tags look like now: their names, their categories, and whether they are shown.

        Args:
            changed: by id, None for a tag that is banned or gone; None when any tag may have changed.

        Returns:
            Whether the index is up to date; when not, another one is to be loaded aside and to take its place.
        """
        if changed is None:
            return False
        with self._writing:
            view = self._view
            tags = view.tags.with_tags({UUID(tag_id).bytes: tag for tag_id, tag in changed.items()})
            if tags is view.tags:
                return True
            regrouped = np.flatnonzero(tags.category_of[: len(view.tags)] != view.tags.category_of)
            stale = {*tags.category_of[regrouped].tolist(), *view.tags.category_of[regrouped].tolist()}
            in_category = {number: songs for number, songs in view.in_category.items() if number not in stale}
            self._view = View(view.kind, view.base, view.delta, view.hidden, tags, in_category)
        return True

    def _packed(self, keys: Iterable[str]) -> dict[bytes, str]:
        """Pack keys; what is no key of these songs names none of them."""
        packed = {}
        for key in keys:
            with suppress(ValueError):
                packed[self._songs.kind.pack(key)] = key
        return packed

    def _read(self, keys: list[str]) -> tuple[dict[bytes, Row], TagTable]:
        """Return songs as they are now, and the table with their tags."""
        tags = self._view.tags
        fragments = self._songs.fragments
        with self._database.transaction(repeatable_read=True) as transaction:
            rows = transaction.all("search.read_songs", fragments, keys=keys)
            ids = {tag_id for row in rows for tag_id in row["tags"] if tags.number(tag_id.bytes) is None}
            if ids:
                found = transaction.all("search.read_tags", fragments, ids=list(ids))
                tags = tags.with_tags({row["id"].bytes: None if row["is_hidden"] else _label(row) for row in found})
        return {
            self._songs.kind.pack(row["key"]): (
                NO_TITLE if row["title"] is None else row["title"].encode(),
                [number for tag_id in row["tags"] if (number := tags.number(tag_id.bytes)) is not None],
            )
            for row in rows
        }, tags


def _label(row: Mapping[str, Any]) -> TagLabel:
    return TagLabel(str(row["id"]), row["name"], row["category"])


def _segment(rows: Mapping[bytes, Row]) -> Segment:
    """Return songs that changed as a segment of their own."""
    keys = sorted(rows)
    links = [(song << 32) | tag for song, key in enumerate(keys) for tag in rows[key][1]]
    titles = Texts.of(rows[key][0] for key in keys)
    return Segment(Texts.of(keys), titles, WordIndex(titles), np.array(links, np.int64))
