"""Pages of rows with huge arrays are bounded by bytes; others are not looked at."""

import random
import uuid
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


def test_a_page_is_bounded_by_bytes(songs: Any, connection: Any, segue: Any, asked: Any, monkeypatch: Any) -> None:
    """Chunks hold fewer of the rows that are large, and as many as ever of the others; the sums are the same."""
    chance = random.Random(5)
    large = [[f"{chance.randrange(10**9):09}" for _ in range(3_000)] for _ in range(12)]
    songs([(uuid.UUID(int=n + 1), ["Hope"] if n < 40 else large[n - 40]) for n in range(52)])
    clean = segue("migrate", "--workers", "1", "-b", "40", "--json").json
    assert "source.fit_page" not in asked
    assert 0 == segue("rollback").code
    monkeypatch.setattr(source, "MOST_BYTES", 60_000)
    sizes: list[int] = []
    (stored,) = connection.execute("SELECT max(pg_column_size(themes)) FROM songs").fetchone()
    assert 10_000 < stored < 60_000
    result = segue("migrate", "--workers", "1", "-b", "40", "--json", "-v")
    sizes = [
        int(line.split('"rows": ')[1].split(",")[0]) for line in result.stderr.splitlines() if "ChunkCommitted" in line
    ]
    assert clean["elements"] == result.json["elements"]
    assert 52 == sum(sizes)
    assert 40 <= sizes[0] <= 43
    assert max(sizes[1:]) <= 60_000 // 10_000
    assert "source.fit_page" in asked
    assert 52 == segue("migrate", "--dry-run", "--fresh", "-b", "40", "--json").json["rows"]["processed"]


def test_a_row_larger_than_the_bound_is_a_chunk(
    songs: Any, connection: psycopg.Connection, segue: Any, monkeypatch: Any
) -> None:
    """One row alone may be larger; the run ends."""
    chance = random.Random(6)
    songs([(uuid.UUID(int=n + 1), [f"{chance.randrange(10**9):09}" for _ in range(2_000)]) for n in range(3)])
    monkeypatch.setattr(source, "MOST_BYTES", 1_000)
    assert 0 == segue("migrate", "--workers", "1").code
    assert (3,) == connection.execute("SELECT sum(row_count) FROM segue.partitions WHERE seq >= 3").fetchone()
