"""How others complete a prefix, on the same tags: the ten most used names that begin with it, one client at a time.

None of them does what the index does (words, synonyms, typing errors, one row a tag); they do its simplest part.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

Look = Callable[[str], Sequence[Any]]


def percentiles(look: Callable[[str], object], queries: Sequence[str]) -> tuple[float, float]:
    """Return the median and the 99th percentile of one call in microseconds, each query once, cold caches aside."""
    for query in queries[:20]:
        look(query)
    seen = []
    for query in queries:
        started = time.perf_counter()
        look(query)
        seen.append((time.perf_counter() - started) * 1e6)
    seen.sort()
    return seen[len(seen) // 2], seen[int(len(seen) * 0.99)]


@contextmanager
def postgres_left(url: str) -> Iterator[Look]:
    """PostgreSQL with an index on (left(name, n), usage_count) for n = 1, 2, 3, and a range of the name beyond."""
    with psycopg.connect(url, autocommit=True) as connection:
        for size in (1, 2, 3):
            connection.execute(
                f"CREATE INDEX bench_left_{size} ON tags (left(normalized_name, {size}), usage_count DESC)"
            )
        connection.execute("ANALYZE tags")

        def look(query: str) -> Sequence[Any]:
            if len(query) <= 3:
                return connection.execute(
                    f"SELECT name FROM tags WHERE left(normalized_name, {len(query)}) = %s"
                    " ORDER BY usage_count DESC LIMIT 10",
                    [query],
                ).fetchall()
            return connection.execute(
                "SELECT name FROM tags WHERE normalized_name >= %s AND normalized_name < %s"
                " ORDER BY usage_count DESC LIMIT 10",
                [query, query + "\U0010ffff"],
            ).fetchall()

        yield look
        for size in (1, 2, 3):
            connection.execute(f"DROP INDEX bench_left_{size}")


@contextmanager
def postgres_trigrams(url: str) -> Iterator[Look]:
    """PostgreSQL's pg_trgm with a GIN index: similar names, for misspelled queries."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        connection.execute("CREATE INDEX bench_trgm ON tags USING gin (normalized_name gin_trgm_ops)")

        def look(query: str) -> Sequence[Any]:
            return connection.execute(
                "SELECT name FROM tags WHERE %s <%% normalized_name"
                " ORDER BY %s <<-> normalized_name, usage_count DESC LIMIT 10",
                [query, query],
            ).fetchall()

        yield look
        connection.execute("DROP INDEX bench_trgm")


@contextmanager
def redis_sets(url: str, names: Sequence[str]) -> Iterator[Look]:
    """Redis: one sorted set by usage for each prefix of one to three characters, a lexical range beyond."""
    import redis  # noqa: PLC0415 - an extra

    client = redis.Redis.from_url(url)
    pipe = client.pipeline(transaction=False)
    for rank, name in enumerate(names):
        for size in (1, 2, 3):
            pipe.zadd(f"p:{name[:size]}", {name: -rank})
        pipe.zadd("lex", {name: 0})
        if rank % 20_000 == 0:
            pipe.execute()
    pipe.execute()

    def look(query: str) -> Any:
        if len(query) <= 3:
            return client.zrevrange(f"p:{query}", 0, 9)
        return client.zrangebylex("lex", b"[" + query.encode(), b"[" + query.encode() + b"\xff")[:10]

    yield look
    client.close()


@contextmanager
def sqlite_fts(names: Sequence[str]) -> Iterator[Look]:
    """SQLite's FTS5 with prefix indexes; the row's number is its rank, so that a match comes out most used first."""
    with tempfile.TemporaryDirectory() as folder, sqlite3.connect(Path(folder, "tags.db")) as connection:
        connection.execute("CREATE VIRTUAL TABLE tags USING fts5(name, prefix='1 2 3', detail=none)")
        connection.executemany("INSERT INTO tags (rowid, name) VALUES (?, ?)", enumerate(names, 1))
        connection.commit()

        def look(query: str) -> Sequence[Any]:
            return connection.execute(
                "SELECT name FROM tags WHERE tags MATCH ? ORDER BY rowid LIMIT 10", [f'"{query}"*']
            ).fetchall()

        yield look


@contextmanager
def tantivy_prefix(names: Sequence[str]) -> Iterator[Look]:
    """Run tantivy: a prefix as a regular expression over whole names, ordered by a fast field."""
    import tantivy  # noqa: PLC0415 - only this benchmark uses it

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("name", stored=True, tokenizer_name="raw")
    builder.add_unsigned_field("usage", fast=True)
    schema = builder.build()
    index = tantivy.Index(schema)
    writer = index.writer(256_000_000, 1)
    for rank, name in enumerate(names):
        document = tantivy.Document()
        document.add_text("name", name)
        document.add_unsigned("usage", len(names) - rank)
        writer.add_document(document)
    writer.commit()
    index.reload()
    searcher = index.searcher()

    def look(query: str) -> Any:
        found = searcher.search(
            tantivy.Query.regex_query(schema, "name", query.replace(" ", "\\ ") + ".*"), 10, order_by_field="usage"
        )
        return found.hits

    yield look
