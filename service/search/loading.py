"""Reading all songs, links and tags from PostgreSQL: a million songs in seconds, in pieces of thousands of rows."""

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from service.search.segment import Segment
from service.search.songs import Songs, SongsUnreadable
from service.search.tag_table import HIDDEN, TagTable
from service.search.texts import Texts
from service.search.word_index import WordIndex
from sql.database import Transaction, compose

#: With no value at all, psycopg would leave a %% in a COPY as it is.
_SOME_VALUE = {"unused": 0}


def read_base(transaction: Transaction, songs: Songs) -> Segment:
    """Read every song with its title and links.

    Args:
        transaction: repeatable read, so that titles, links and `read_tags` are of one moment.
        songs: where they are.

    Raises:
        SongsUnreadable: two songs have the same key.
    """
    keys, titles = _texts(*_columns(transaction, songs, "search.copy_songs", 4))
    for one, next_one in pairwise(keys):
        if one == next_one:
            raise SongsUnreadable(f"{songs.name} has key {songs.kind.show(one)!r} twice; name a column that is unique")
    with ThreadPoolExecutor(1) as beside:
        # The server joins the links for seconds; meanwhile there is time for the words.
        words = beside.submit(WordIndex, titles)
        (links,) = _columns(transaction, songs, "search.copy_links", 1)
    pairs = np.frombuffer(links, ">i8").astype(np.int64)
    del links
    segment = Segment(keys, titles, words.result(), pairs)
    del pairs
    _give_memory_back()
    return segment


def read_tags(transaction: Transaction, songs: Songs) -> TagTable:
    """Read all tags, also those without songs."""
    ids, names, name_sizes, categories, category_sizes, hidden = _columns(transaction, songs, "search.copy_tags", 6)
    (name_texts,) = _texts(names, name_sizes)
    (category_texts,) = _texts(categories, category_sizes)
    places: dict[bytes, int] = {}
    category_of = np.fromiter(
        (places.setdefault(category, len(places)) for category in category_texts), np.int32, len(category_texts)
    )
    category_of[np.frombuffer(hidden, np.uint8) != 0] = HIDDEN
    return TagTable(
        ids=Texts(ids, np.full(len(name_texts), 16)),
        names=name_texts,
        category_of=category_of,
        categories=tuple(category.decode() for category in places),
    )


def _give_memory_back() -> None:
    """Hand what sorting needed to the system: glibc would keep it, and that is more than the index itself."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _texts(*columns: bytes) -> Iterator[Texts]:
    """Pair joined texts with the column of their sizes that follows."""
    for joined, sizes in zip(columns[::2], columns[1::2], strict=True):
        yield Texts(joined, np.frombuffer(sizes, ">i4").astype(np.int64))


def _columns(transaction: Transaction, songs: Songs, name: str, count: int) -> list[bytes]:
    """Run a COPY whose rows are pieces of columns; return the columns."""
    pieces: list[list[bytes]] = [[] for _ in range(count)]
    # Within a savepoint, so that the driver's errors come out as ours.
    with (
        transaction.savepoint(),
        transaction.connection.cursor() as cursor,
        cursor.copy(compose(name, songs.fragments), _SOME_VALUE) as copy,
    ):
        copy.set_types(["bytea"] * count)
        for row in copy.rows():
            for piece, column in zip(row, pieces, strict=True):
                column.append(piece)
    return [b"".join(column) for column in pieces]
