"""Songs with their titles and tags as arrays: found by bitmaps, counted by rows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.search.bitmaps import Numbers, bitmap, distinct, group_bounds
from service.search.texts import Texts
from service.search.word_index import WordIndex

#: A tag with at least so many songs has a bitmap; another one's bitmap is made when it is asked for, within 10 µs.
HOT: Final = 1_024

#: The title of a song that has none: no text of PostgreSQL's holds it.
NO_TITLE: Final = b"\0"

#: So many of all links fit into the rows of `Segment`, where that does not make them far too wide for most songs.
_IN_ROWS: Final = 0.95


class Segment:
    """Songs in the order of their keys, immutable; a song's place is its number.

    A row of `_rows` holds a song's tags, as many as most songs have, and is filled up with `tag_limit`. Taking whole
    rows is ten times faster than gathering lists of different lengths; what is beyond a row's end stands in `_more`.

    Args:
        keys: of the songs, sorted.
        titles: in the same order; `NO_TITLE` where there is none.
        words: of the titles.
        links: a song's number, shifted by 32 bits, and a tag's number, in any order; they are sorted in place.
    """

    def __init__(self, keys: Texts, titles: Texts, words: WordIndex, links: NDArray[np.int64]) -> None:
        self.keys = keys
        self.titles = titles
        self.words = words
        self.everything = bitmap(np.arange(len(keys), dtype=np.uint32))
        links.sort()
        links = distinct(links)
        self._group_by_tag(links)
        self._group_by_song(links)

    def __len__(self) -> int:
        return len(self.keys)

    def songs_with(self, tag: int) -> BitMap:
        """Return the songs that have a tag; the set may not be changed."""
        found = self._hot.get(tag)
        return bitmap(self._songs_of(tag)) if found is None else found

    def songs_with_any(self, tags: NDArray[np.int64]) -> BitMap:
        """Return the songs that have any of very many tags."""
        is_asked = np.zeros(self.tag_limit, bool)
        is_asked[tags[tags < self.tag_limit]] = True
        is_found = np.zeros(len(self), bool)
        is_found[self._songs[np.repeat(is_asked[self.tags], self.tag_sizes)]] = True
        return bitmap(np.flatnonzero(is_found).astype(np.uint32))

    def tags_of(self, song: int) -> list[int]:
        """Return a song's tags."""
        first, last = np.searchsorted(self._more_songs, (song, song + 1))
        tags: list[int] = [*self._rows[song].tolist(), *self._more_tags[first:last].tolist()]
        return [tag for tag in tags if tag != self.tag_limit]

    def links_of(self, songs: Numbers) -> NDArray[np.int32]:
        """Return all tags of many songs one after the other, with any number of `tag_limit` between them."""
        # Fancy indexing would take ten times as long.
        links = self._rows.take(songs.astype(np.intp), axis=0).ravel()
        if not len(self._more_songs):
            return links
        is_asked = np.zeros(len(self), bool)
        is_asked[songs] = True
        return np.concatenate((links, self._more_tags[is_asked.take(self._more_songs)]))

    @property
    def row_width(self) -> int:
        """How many cells a song has in `links_of`."""
        return self._rows.shape[1]

    def _group_by_tag(self, links: NDArray[np.int64]) -> None:
        pairs = (links << 32) | (links >> 32)
        pairs.sort()
        groups = pairs >> 32
        #: Tags of at least one song, sorted, and how many songs each has.
        self.tags = distinct(groups)
        #: All tags are below it.
        self.tag_limit = int(self.tags[-1]) + 1 if len(self.tags) else 0
        every = group_bounds(groups, self.tag_limit)
        self._bounds = np.append(every[self.tags], every[-1:])
        self.tag_sizes = np.diff(self._bounds).astype(np.int64)
        self._songs = (pairs & 0xFFFFFFFF).astype(np.uint32)
        self._hot = {tag: bitmap(self._songs_of(tag)) for tag in self.tags[self.tag_sizes >= HOT].tolist()}

    def _group_by_song(self, links: NDArray[np.int64]) -> None:
        songs, tags = links >> 32, (links & 0xFFFFFFFF).astype(np.int32)
        starts = group_bounds(songs, len(self))
        width = _row_width(np.diff(starts))
        places = np.arange(len(links)) - starts.take(songs)
        self._rows = np.full((len(self), width), self.tag_limit, np.int32)
        is_in = places < width
        self._rows[songs[is_in], places[is_in]] = tags[is_in]
        self._more_songs = songs[~is_in].astype(np.uint32)
        self._more_tags = tags[~is_in]

    def _songs_of(self, tag: int) -> Numbers:
        place = int(np.searchsorted(self.tags, tag))
        if place == len(self.tags) or self.tags[place] != tag:
            return self._songs[:0]
        return self._songs[self._bounds[place] : self._bounds[place + 1]]


def _row_width(sizes: NDArray[np.int32]) -> int:
    """Return how many tags a row holds: enough for most links, but at most about as many empty cells as links."""
    with_at_least = np.bincount(sizes)[::-1].cumsum()[::-1]
    links_within = with_at_least[1:].cumsum()
    links = int(sizes.sum())
    enough = int(np.searchsorted(links_within, _IN_ROWS * links)) + 1
    return min(enough, 2 * links // max(len(sizes), 1) + 1)
