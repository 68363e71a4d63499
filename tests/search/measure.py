"""What a search costs: a million songs that follow from a seed, queries on them, in process and with PostgreSQL's GIN.

`fill` makes the songs, `questions` what people ask, and `in_process`, `in_gin` and `in_fallback` answer and time that.
`PYTHONPATH=. python tests/search/measure.py URL [SONGS TAGS COUNT]` does it all, in a database with Segue's schema.
"""

import gc
import json
import random
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from itertools import accumulate
from typing import Literal, TypeVar
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from service.search import fallback
from service.search.index import SongIndex
from service.search.query import SearchQuery, TagLabel
from service.settings import SongsTable
from sql.database import Database

Question = TypeVar("Question")

SYLLABLES = """
ba be da do fa ga hi jo ka la lo ma me na no pa ra ri sa so ta te vi wa ze sha tri bra cla an el or us
""".split()  # noqa: SIM905 - read as words, not as a list of strings
CATEGORIES = ("theme", "theme", "theme", "theme", "mood", "mood", "occasion", "liturgical")
TAGS_PER_SONG = 4
PAGE = 20

#: Facets of a peer: the tags with the highest counts.
TOP = 50

_BINARY_COPY = b"PGCOPY\n\xff\r\n\0" + bytes(8)


@dataclass(frozen=True)
class Asked:
    """One question: tags' places by use, and how they are meant."""

    wanted: tuple[int, ...]
    match: Literal["all", "any"]
    without: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measured:
    """Milliseconds and songs found, question by question; the first twenty warm up and are left out.

    Attributes:
        load_seconds: what loading took.
    """

    millis: list[float]
    totals: list[int]
    load_seconds: float = 0.0

    def at(self, part: float) -> float:
        """Return a percentile."""
        return sorted(self.millis)[int(len(self.millis) * part)]


def words(count: int) -> list[str]:
    """Return invented words."""
    rng = random.Random(1)
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault("".join(rng.choices(SYLLABLES, k=rng.choice((2, 3, 3, 4, 5)))))
    return list(found)


def tag_ids(count: int) -> list[UUID]:
    """Return the tags' ids, the most used first."""
    return [
        UUID(bytes=hash_of.tobytes()) for hash_of in np.random.default_rng(2).integers(0, 256, (count, 16), np.uint8)
    ]


def links(songs: int, tags: int) -> NDArray[np.int64]:
    """Return each song's tags, by place: four different ones, drawn with weights of 1 / (place + 10)."""
    rng = np.random.default_rng(3)
    sums = np.cumsum(1 / (np.arange(tags) + 10))
    drawn = np.searchsorted(sums, rng.random((songs, TAGS_PER_SONG + 4)) * sums[-1])
    drawn.sort(axis=1)
    first = np.ones(drawn.shape, bool)
    first[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    order = np.argsort(~first + rng.random(drawn.shape) / 2, axis=1)[:, :TAGS_PER_SONG]
    return np.take_along_axis(np.where(first, drawn, -1), order, axis=1)


def fill(url: str, songs: int, tags: int) -> None:
    """Fill `songs`, `tags` and `song_tags` of a database with Segue's schema; the tables must be empty."""
    ids = tag_ids(tags)
    keys = np.random.default_rng(4).integers(0, 256, (songs, 16), np.uint8)
    known = words(40_000)
    weights = list(accumulate(1 / (place + 10) for place in range(len(known))))
    rng = random.Random(5)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS songs (id uuid PRIMARY KEY, title text)")
        # The links are right by construction; checking each of them would take a minute.
        cursor.execute("SET LOCAL session_replication_role = replica")
        with cursor.copy("COPY tags (id, name, normalized_name, category) FROM STDIN") as copy:
            for place, tag in enumerate(ids):
                name = f"{known[place % len(known)]} {place}"
                copy.write_row((tag, name, name, CATEGORIES[place % len(CATEGORIES)]))
        with cursor.copy("COPY songs (id, title) FROM STDIN") as copy:
            for key in keys:
                title = " ".join(rng.choices(known, cum_weights=weights, k=rng.randint(2, 6))).title()
                copy.write_row((UUID(bytes=key.tobytes()), title if rng.random() < 0.9 else title + " é"))
        places = links(songs, tags)
        is_link = places >= 0
        record = np.zeros(
            int(is_link.sum()), [("fields", ">i2"), ("a", ">i4"), ("song", "u1", 16), ("b", ">i4"), ("tag", "u1", 16)]
        )
        record["fields"], record["a"], record["b"] = 2, 16, 16
        record["song"] = np.repeat(keys, is_link.sum(axis=1), axis=0)
        record["tag"] = np.frombuffer(b"".join(tag.bytes for tag in ids), np.uint8).reshape(-1, 16)[places[is_link]]
        with cursor.copy("COPY song_tags (song_id, tag_id) FROM STDIN (FORMAT binary)") as copy:
            copy.write(_BINARY_COPY)
            for start in range(0, len(record), 100_000):
                copy.write(record[start : start + 100_000].tobytes())
            copy.write(struct.pack(">h", -1))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (FREEZE, ANALYZE)")


def questions(songs: int, tags: int, count: int, seed: int = 6) -> list[Asked]:
    """Return what people ask: two to six filters each.

    Of ten, six want all of two to four tags of some song, two of those without one or two others; two want all of two
    tags drawn by use, which need not be on one song; two want any of two to six tags drawn by use.
    """
    rng = random.Random(seed)
    places = links(songs, tags)
    weights = list(accumulate(1 / (place + 10) for place in range(tags)))

    def drawn(many: int) -> tuple[int, ...]:
        return tuple(dict.fromkeys(rng.choices(range(tags), cum_weights=weights, k=many)))

    asked: list[Asked] = []
    while len(asked) < count:
        kind = len(asked) % 10
        if kind < 6:
            song = [place for place in places[rng.randrange(songs)].tolist() if place >= 0]
            wanted = tuple(rng.sample(song, rng.randint(2, len(song)))) if len(song) > 1 else tuple(song)
            without = tuple(place for place in drawn(rng.randint(1, 2)) if place not in wanted) if kind < 2 else ()
            asked.append(Asked(wanted, "all", without))
        elif kind < 8:
            asked.append(Asked(drawn(2), "all"))
        else:
            asked.append(Asked(drawn(rng.randint(2, 6)), "any"))
    return asked


def in_process(url: str, tags: int, asked: Sequence[Asked]) -> Measured:
    """Load the index and ask it; every page comes with all facets, the ten highest of each category shown."""
    meant = {
        str(tag): TagLabel(str(tag), "", CATEGORIES[place % len(CATEGORIES)]) for place, tag in enumerate(tag_ids(tags))
    }
    database = Database(url)
    started = time.perf_counter()
    index = SongIndex.load(database, "public", SongsTable())
    seconds = time.perf_counter() - started
    gc.collect()
    gc.freeze()
    measured = _timed(lambda query: index.search(query, meant.get).total, _queries(tags, asked))
    database.close()
    return replace(measured, load_seconds=seconds)


def in_fallback(url: str, tags: int, asked: Sequence[Asked]) -> Measured:
    """Ask Segue's own search in SQL."""
    database = Database(url)
    measured = _timed(
        lambda query: fallback.search(database, "public", SongsTable(), query).total, _queries(tags, asked)
    )
    database.close()
    return measured


def in_gin(url: str, songs: int, tags: int, asked: Sequence[Asked]) -> Measured:
    """Ask PostgreSQL with a GIN index on int[]: a page, the count, and the facets of all tags, the highest 50 shown."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_songs")
        connection.execute("CREATE TABLE bench_songs (id int PRIMARY KEY, tags int[] NOT NULL)")
        with connection.cursor().copy("COPY bench_songs FROM STDIN") as copy:
            for number, row in enumerate(links(songs, tags)):
                copy.write_row((number, [place for place in row.tolist() if place >= 0]))
        connection.execute("CREATE INDEX ON bench_songs USING gin (tags)")
        connection.execute("VACUUM (FREEZE, ANALYZE) bench_songs")

        def ask(one: Asked) -> int:
            where = f"tags {'&&' if one.match == 'any' else '@>'} %s::int[] AND NOT tags && %s::int[]"
            given = [list(one.wanted), list(one.without)]
            connection.execute(f"SELECT id FROM bench_songs WHERE {where} ORDER BY id LIMIT {PAGE}", given).fetchall()
            connection.execute(
                f"SELECT tag, count(*) FROM bench_songs, unnest(tags) AS tag WHERE {where}"
                f" GROUP BY tag ORDER BY 2 DESC LIMIT {TOP}",
                given,
            ).fetchall()
            row = connection.execute(f"SELECT count(*) FROM bench_songs WHERE {where}", given).fetchone()
            return int(row[0]) if row else 0

        measured = _timed(ask, asked)
        connection.execute("DROP TABLE bench_songs")
    return measured


def over_http(host: str, port: int, tags: int, asked: Sequence[Asked]) -> Measured:
    """Ask a server, on one connection; each answer is made for its question, and read as JSON."""
    connection = HTTPConnection(host, port)

    def ask(path: str) -> int:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert answer.status == 200, body
        return int(body["total"])

    measured = _timed(ask, _paths(tags, asked))
    connection.close()
    return measured


def _paths(tags: int, asked: Sequence[Asked]) -> list[str]:
    """Return the same questions for a server."""
    return [
        f"/v1/songs/search?tags={','.join(query.tags)}&match={query.match}&limit={query.limit}"
        + (f"&not={','.join(query.without)}" if query.without else "")
        for query in _queries(tags, asked)
    ]


def _queries(tags: int, asked: Sequence[Asked]) -> list[SearchQuery]:
    ids = [str(tag) for tag in tag_ids(tags)]
    return [
        SearchQuery(
            tags=tuple(ids[place] for place in one.wanted),
            match=one.match,
            without=tuple(ids[place] for place in one.without),
            limit=PAGE,
        )
        for one in asked
    ]


def _timed(ask: Callable[[Question], int], asked: Sequence[Question]) -> Measured:
    for one in asked[:20]:
        ask(one)
    millis, totals = [], []
    for one in asked[20:]:
        started = time.perf_counter()
        totals.append(ask(one))
        millis.append((time.perf_counter() - started) * 1e3)
    return Measured(millis, totals)


def main(url: str, songs: int = 1_000_000, tags: int = 20_000, count: int = 420) -> None:
    """Fill the database when it is empty, measure, and print."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT to_regclass('songs') IS NOT NULL").fetchone()
    if not found or not found[0]:
        fill(url, songs, tags)
    asked = questions(songs, tags, count)
    index = in_process(url, tags, asked)
    gin = in_gin(url, songs, tags, asked)
    assert index.totals == gin.totals
    print(f"loaded in {index.load_seconds:.1f} s")
    for name, measured in (("in process", index), ("GIN", gin)):
        p50, p95, p99 = (measured.at(part) for part in (0.5, 0.95, 0.99))
        print(f"{name:12} p50 {p50:8.2f}  p95 {p95:8.2f}  p99 {p99:8.2f} ms")
    print("songs found:", *(sorted(index.totals)[int(len(index.totals) * part)] for part in (0.5, 0.9, 0.99)))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
