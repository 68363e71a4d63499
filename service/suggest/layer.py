"""One immutable part of the index: all keys of some tags. A million of them are a layer, and so are the last ten."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.suggest.columns import Columns, hash_of, hashes_of, read, skeletons_of
from service.suggest.keys import Keys, ranked
from service.suggest.misspellings import Misspellings, SortedKeys
from service.suggest.rows import Rows
from service.suggest.tag import Tag
from service.suggest.text_order import PADDING, order_texts, read_words
from service.suggest.word_starts import Starts, find_starts, list_words


@dataclass(frozen=True, slots=True)
class Layer:
    """Rows are numbered by rank; synonyms by the rank of their tag, then the shortest first.

    Attributes:
        rows: the tags.
        names: every name.
        starts: every word of every name.
        initials: the initials of every name of several words.
        synonyms: every word of every synonym; its numbers are those of synonyms.
        targets, ordinals: the row of a synonym, and which of the row's synonyms it is.
        misspellings: what a misspelt word of a name or a synonym may be meant for.
        of_category, synonyms_of_category: rows, and synonyms, of each category.
    """

    rows: Rows
    names: Keys
    starts: Keys
    initials: Keys
    synonyms: Keys
    targets: memoryview
    ordinals: memoryview
    misspellings: Misspellings
    of_category: dict[str, BitMap]
    synonyms_of_category: dict[str, BitMap]
    _skeletons: memoryview
    _alike: memoryview

    @classmethod
    def build(cls, tags: Iterable[Tag]) -> "Layer":
        """Take in all tags, each of another id."""
        columns = read(tags)
        count = len(columns.usage)
        block = np.frombuffer(columns.texts, np.uint8)
        starts = find_starts(block[:-PADDING])
        order = order_texts(block, starts.places)
        texts, places, is_first = starts.texts[order], starts.places[order], starts.is_first[order]
        is_name = texts < count
        by_rank = np.lexsort((_alphabetical(columns, texts[is_name & is_first]), -columns.usage))
        row_of = _inverse(by_rank)
        target_of = row_of[columns.owners]
        synonyms = _order_synonyms(columns, texts[is_first & ~is_name] - count, target_of)
        number_of = np.concatenate([row_of, _inverse(synonyms)]).astype(np.uint32)
        numbers = number_of[texts]
        rank_of = np.concatenate([row_of, target_of]).astype(np.uint32)
        categories = _split_by_category(columns, by_rank)
        targets = target_of[synonyms].astype(np.uint32)
        keys = SortedKeys(read_words(block, places), np.concatenate([[0], np.cumsum(is_name)]))
        skeletons = skeletons_of(columns.texts)
        by_skeleton = np.argsort(skeletons)
        return cls(
            rows=Rows(columns, by_rank),
            names=Keys(columns.texts, places[is_name & is_first], numbers[is_name & is_first]),
            starts=Keys(columns.texts, places[is_name], numbers[is_name]),
            initials=_list_initials(columns.texts, starts, row_of),
            synonyms=Keys(columns.texts, places[~is_name], numbers[~is_name]),
            targets=targets.data,
            ordinals=columns.ordinals[synonyms].data,
            misspellings=Misspellings(*list_words(columns.texts, starts, order, rank_of), keys),
            of_category={name: ranked(rows) for name, rows in categories.items()},
            synonyms_of_category={
                name: ranked(np.flatnonzero(np.isin(targets, rows)).astype(np.uint32))
                for name, rows in categories.items()
            },
            _skeletons=skeletons[by_skeleton].data,
            _alike=np.concatenate([number_of[:count], number_of[count:] + np.uint32(count)])[by_skeleton].data,
        )

    def find_alike(self, skeleton: bytes) -> list[tuple[int, int]]:
        """Return what may have this skeleton, since the hashes are equal: rows by name (and -1), and by synonym."""
        hashed, hashes = hash_of(skeleton), self._skeletons
        at = bisect_left(hashes, hashed)
        found = []
        while at < len(hashes) and hashes[at] == hashed:
            row, synonym = self._alike[at], self._alike[at] - len(self.rows)
            found.append((row, -1) if synonym < 0 else (self.targets[synonym], synonym))
            at += 1
        return found


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order))
    return found


def _alphabetical(columns: Columns, by_folded: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each tag in the order of normalized names, of which that of folded ones may be known."""
    if not columns.normalized:
        return _inverse(by_folded)
    block = np.frombuffer(columns.normalized, np.uint8)
    ends = np.flatnonzero(block[:-PADDING] == 0)
    return _inverse(order_texts(block, np.concatenate([[0], ends[:-1] + 1])))


def _order_synonyms(columns: Columns, by_folded: NDArray[np.int64], target_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of synonyms: by the rank of their tag, then the shortest, then by folded text, then as given."""
    count = len(columns.usage)
    texts = columns.texts[:-PADDING].decode().split("\0")[count:-1]
    hashes = hashes_of(texts)[by_folded]
    # Equal texts are neighbours, in any order: give them one place.
    place = np.empty(len(texts), np.int64)
    place[by_folded] = np.cumsum(np.append(True, hashes[1:] != hashes[:-1]))[: len(texts)]
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    return np.lexsort((columns.ordinals, place, sizes, target_of))


def _split_by_category(columns: Columns, by_rank: NDArray[np.int64]) -> dict[str, NDArray[np.uint32]]:
    names = sorted({kind[0] for kind in columns.kinds})
    code_of_kind = np.array([names.index(kind[0]) for kind in columns.kinds], np.uint32)
    codes = code_of_kind[columns.kind[by_rank]] if names else columns.kind
    order = np.argsort(codes, kind="stable").astype(np.uint32)
    bounds = np.searchsorted(codes[order], np.arange(1, len(names)))
    return dict(zip(names, np.split(order, bounds), strict=True)) if names else {}


def _list_initials(texts: bytes, starts: Starts, row_of: NDArray[np.int64]) -> Keys:
    """Make a block of the first characters of the words between spaces, of names that have several."""
    block = np.frombuffer(texts, np.uint8)
    is_own = starts.is_spaced & (starts.texts < len(row_of))
    words = np.bincount(starts.texts[is_own], minlength=len(row_of))
    is_own[is_own] = words[starts.texts[is_own]] > 1
    places, owners, is_first = starts.places[is_own], starts.texts[is_own], starts.is_first[is_own]
    leads = block[places]
    sizes = 1 + (leads >= 0xC0) + (leads >= 0xE0) + (leads >= 0xF0)
    is_last = np.append(is_first[1:], True)[: len(places)]
    ends = np.cumsum(sizes + is_last)
    begins = ends - sizes - is_last
    made = np.zeros((int(ends[-1]) if len(ends) else 0) + PADDING, np.uint8)
    for byte in range(4):
        longer = sizes > byte
        made[begins[longer] + byte] = block[places[longer] + byte]
    firsts = begins[is_first]
    order = order_texts(made, firsts)
    return Keys(made.tobytes(), firsts[order], row_of[owners[is_first][order]].astype(np.uint32))
