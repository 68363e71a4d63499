"""The cases of `scripts/bench serve` beside the end-to-end one: look-ups, hit ratio, freshness, peers, search."""

import argparse
import random
import re
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
from bench_data import WrongResult
from bench_report import Row
from bench_serve_data import keystrokes, misspelled
from bench_serve_load import pace, path_of
from bench_serve_peers import percentiles, postgres_left, postgres_trigrams, redis_sets, sqlite_fts, tantivy_prefix
from bench_serve_process import serving

from service.freshness.feed import load_tags
from service.suggest.index import TagIndex
from service.suggest.query import Query
from sql.database import Database
from tests.redis_server import redis_server
from tests.search.measure import fill as fill_songs
from tests.search.measure import in_gin, over_http, questions
from tests.search.measure import in_process as songs_in_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def _of_length(found: "Sequence[str]", length: int, most: int) -> list[str]:
    rng = random.Random(length)
    drawn = {name[:length].strip() for name in rng.choices(found[: len(found) // 2], k=4 * most)}
    return sorted(text for text in drawn if text)[:most]


def in_process(url: str, found: "Sequence[str]", most: int) -> list[Row]:
    """Build the index in this process and look prefixes up in it, `most` of each length, nothing cached."""
    database = Database(url)
    started = time.monotonic()
    index = TagIndex.build(load_tags(database, "public"), 0)
    rows = [Row("index, build from the database", [time.monotonic() - started])]
    database.close()
    looked, answered = [], []
    for length in range(1, 6):
        texts = _of_length(found, length, most)
        looked.append(percentiles(lambda text: index.look_up(Query(text)), texts))
        answered.append(percentiles(lambda text: index.suggest(Query(text)), texts))
    rng = random.Random(11)
    typed = [misspelled(name, rng) for name in rng.choices(found, k=4 * most) if len(name) > 8]
    wrong = sorted(
        {text for text in typed if not any(s.band != "typo" for s in index.suggest(Query(text)).suggestions)}
    )[:most]
    for case, timed in (
        ("index, look-up, 1 to 5 characters", looked),
        ("index, whole answer, 1 to 5 characters", answered),
        ("index, look-up, one typing error", [percentiles(lambda text: index.look_up(Query(text)), wrong)]),
        ("index, whole answer, one typing error", [percentiles(lambda text: index.suggest(Query(text)), wrong)]),
    ):
        worst = max(last for _, last in timed)
        lengths = "p50 " + ", ".join(f"{middle:.0f}" for middle, _ in timed)
        rows.append(Row(f"{case}, p99", [worst], unit="µs", note=lengths))
    return rows


def hit_ratio(url: str, found: "Sequence[str]", count: int) -> list[Row]:
    """Replay a log of keystrokes on a server that has warmed itself up, and read its own counters."""
    with serving(url, "--cache-entries", "50000", core=None) as segue:
        before = _lookups(segue.text("/metrics"))
        for query in keystrokes(list(found), count, seed=5):
            with urllib.request.urlopen(segue.url + path_of(query)) as answer:
                answer.read()
        after = _lookups(segue.text("/metrics"))
        stale = _sample(segue.text("/metrics"), "segue_staleness_seconds")
    hits = after.get("hit", 0) - before.get("hit", 0)
    asked = sum(after.values()) - sum(before.values())
    if asked < count:
        raise WrongResult(f"{count:,} requests made only {asked:,} look-ups")
    row = Row("cache, keystrokes by Zipf's law", [hits / asked], unit="", note=f"staleness {stale:.2f} s then")
    row.ratio, row.target, row.limit = hits / asked, 0.80, None
    return [row]


def _lookups(metrics: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, value in re.findall(r"^segue_cache_lookups_total\{([^}]*)\} (\S+)", metrics, re.MULTILINE):
        if 'cache="suggestions"' in labels and 'tier="l1"' in labels:
            result = re.search(r'result="(\w+)"', labels)
            assert result is not None
            found[result[1]] = found.get(result[1], 0.0) + float(value)
    return found


def _sample(metrics: str, name: str) -> float:
    values = [float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)", metrics, re.MULTILINE)]
    return max(values, default=float("nan"))


def visibility(url: str, options: argparse.Namespace) -> list[Row]:
    """Commit new tags one by one under load; a tag is visible when no worker leaves it out any more."""
    seen = []
    with (
        serving(url, "--workers", "2", core=None) as segue,
        _under_load(segue, options),
        psycopg.connect(url) as writer,
    ):
        for number in range(5 if options.quick else 40):
            name = f"qqfresh {number:04d}"
            writer.execute("INSERT INTO tags (name, normalized_name) VALUES (%s, %s)", [name, name])
            writer.commit()
            committed = last_miss = time.monotonic()
            visible_at: float | None = None
            while time.monotonic() - last_miss < 0.5:
                asked = time.monotonic()
                with urllib.request.urlopen(segue.url + path_of(name)) as answer:  # a new connection: any worker
                    if name.encode() not in answer.read():
                        last_miss, visible_at = asked, None
                    elif visible_at is None:
                        visible_at = time.monotonic()
                if asked - committed > 30:
                    raise WrongResult(f"{name!r} is not visible in every worker after 30 s")
            assert visible_at is not None
            seen.append(1e3 * (visible_at - committed))
        writer.execute("DELETE FROM tags WHERE name LIKE 'qqfresh %'")
        writer.commit()
    seen.sort()
    note = f"under {options.rate:,} requests/s; {len(seen)} tags, polled"
    return [
        Row("a new tag in every worker, p50", [median(seen)], unit="ms", note=note),
        Row("a new tag in every worker, p99", [seen[int(len(seen) * 0.99)]], unit="ms", note=note),
    ]


@contextmanager
def _under_load(segue: Any, options: argparse.Namespace) -> "Iterator[None]":
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            pace(segue.url, segue.pid, [path_of(text) for text in ("a", "be", "cla")], options.rate, options.seconds)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def peers(url: str, found: "Sequence[str]", most: int) -> list[Row]:
    """Have others complete the same prefixes of one to five characters, `most` of each length."""
    queries = [text for length in range(1, 6) for text in _of_length(found, length, most)]
    rng = random.Random(12)
    wrong = [misspelled(name, rng) for name in rng.choices(found, k=100) if len(name) > 8]
    rows: list[Row] = []

    def add(case: str, look: Any, asked: "Sequence[str]" = queries) -> None:
        middle, last = percentiles(look, asked)
        rows.append(Row(f"{case}, p50", [middle], unit="µs", note=f"p99 {last:,.0f} µs"))

    with postgres_left(url) as look:
        add("PostgreSQL, left(name, n) indexes", look)
    with postgres_trigrams(url) as look:
        add("PostgreSQL, pg_trgm, one typing error", look, wrong)
    try:
        with redis_server() as redis_url, redis_sets(redis_url, found) as look:
            add("Redis, sorted sets", look)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise WrongResult(f"Redis: {error}; first: apt-get install redis-server") from error
    with sqlite_fts(found) as look:
        add("SQLite FTS5, prefix='1 2 3'", look)
    with tantivy_prefix(found) as look:
        add("tantivy, regular expression", look)
    return rows


def searches(bench: Any, songs: int, *, peer: bool) -> list[Row]:
    """Search songs by tags with every facet: in process, over HTTP, and with a GIN index in PostgreSQL."""
    bench.make_empty("songs")
    url, tags = bench.url("songs"), max(50, songs // 100)
    fill_songs(url, songs, tags)
    asked = questions(songs, tags, 400)
    own = songs_in_process(url, tags, asked)
    rows = [
        Row("search, load", [own.load_seconds]),
        Row("search in process, p50", [own.at(0.5)], unit="ms"),
        Row("search in process, p95", [own.at(0.95)], unit="ms"),
    ]
    with serving(url, core=None) as segue:
        rows.append(Row("memory of a server with the songs", [segue.memory_mb()], unit="MB"))
        address = urlsplit(segue.url)
        served = over_http(str(address.hostname), int(address.port or 0), tags, asked)
    if served.totals != own.totals:
        raise WrongResult("the search over HTTP finds different numbers of songs")
    rows.append(Row("search over HTTP, p95", [served.at(0.95)], unit="ms", note=f"p50 {served.at(0.5):.2f} ms"))
    if peer:
        gin = in_gin(url, songs, tags, asked)
        if gin.totals != own.totals:
            raise WrongResult("the search and the GIN index find different numbers of songs")
        row = Row("search, PostgreSQL GIN on int[], p95", [gin.at(0.95)], unit="ms", note="ratio: how much faster")
        row.ratio, row.target = gin.at(0.95) / own.at(0.95), 10.0
        rows.append(row)
    return rows
