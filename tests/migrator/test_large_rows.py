"""Pages of rows with huge arrays are bounded by bytes; others are not looked at."""

import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from migrator import source
from sql.database import Transaction


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the queries that were run."""
    names: list[str] = []
    execute = Transaction._execute

    def noting(self: Transaction, name: str, *rest: Any) -> Any:
        names.append(name)
        return execute(self, name, *rest)

    monkeypatch.setattr(Transaction, "_execute", noting)
    return names


@pytest.fixture
def fill(songs: Any, connection: psycopg.Connection[Any]) -> Callable[[list[int]], None]:
    """Return a function that makes a song of so many themes for each number; arrays are stored as they are."""

    def make(numbers: list[int]) -> None:
        chance = random.Random(5)
        songs([])
        connection.execute("ALTER TABLE songs ALTER COLUMN themes SET STORAGE EXTERNAL")
        themes = [[f"Theme {chance.randrange(50)}" for _ in range(number)] for number in numbers]
        songs([(uuid.UUID(int=place), each) for place, each in enumerate(themes, 1)])

    return make


def test_a_page_is_bounded_by_bytes(
    fill: Any, connection: psycopg.Connection[Any], segue: Any, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks hold fewer of the rows that are large, and as many as ever of the others; the sums are the same."""
    fill([1] * 40 + [1_000] * 12)
    migrate = ("migrate", "--workers", "1", "-b", "46", "--json")
    clean = segue(*migrate).json
    assert "source.fit_page" not in asked
    assert 0 == segue("rollback").code
    monkeypatch.setattr(source, "MOST_BYTES", 60_000)
    stored = connection.execute("SELECT max(pg_column_size(themes)) FROM songs").fetchone()
    assert stored is not None
    result = segue(*migrate, "-v")
    events = [json.loads(line) for line in result.stderr.splitlines() if "ChunkCommitted" in line]
    sizes = [event["rows"] for event in events]
    assert clean["elements"] == result.json["elements"]
    assert 52 == sum(sizes)
    assert 10_000 < stored[0] < 20_000
    assert 40 < sizes[0] < 46
    assert max(sizes[1:]) <= 60_000 // 10_000
    assert "source.fit_page" in asked
    assert 52 == segue(*migrate, "--dry-run").json["rows"]["processed"]


def test_a_row_larger_than_the_bound_is_a_chunk(
    fill: Any, connection: psycopg.Connection[Any], segue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row alone may be larger; the run ends."""
    fill([1_000] * 3)
    monkeypatch.setattr(source, "MOST_BYTES", 1_000)
    assert 0 == segue("migrate", "--workers", "1").code
    assert (3,) == connection.execute("SELECT sum(row_count) FROM segue.partitions WHERE seq >= 3").fetchone()
