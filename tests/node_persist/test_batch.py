"""Statements that are sent together: counts come after, the first error is told, and nothing after it was done."""

import logging

import psycopg
import pytest

from migrator.node_persist.batch import Batch, Statements, together
from sql.database import Transaction

pytestmark = pytest.mark.system


def insert(batch: Batch, number: int) -> "psycopg.Cursor[object]":
    """Send one row."""
    return batch.run("a.b", b"INSERT INTO numbers (id) VALUES (%(id)s)", {"id": number})


@pytest.fixture
def transaction(connection: psycopg.Connection) -> Transaction:
    """A transaction with a table of its own."""
    connection.execute("CREATE TEMP TABLE numbers (id int PRIMARY KEY)")
    return Transaction(connection)


def test_counts_are_known_after_the_batch(transaction: Transaction) -> None:
    """Each statement's own."""
    with together(transaction) as batch:
        first = insert(batch, 1)
        both = batch.run("a.b", b"INSERT INTO numbers SELECT generate_series(2, %(upto)s)", {"upto": 3})

    assert (1, 2) == (first.rowcount, both.rowcount)


def send(transaction: Transaction, first: bytes, numbers: list[int]) -> None:
    """Send a statement and some rows after it, in a transaction."""
    with transaction.connection.transaction(), together(transaction) as batch:
        batch.run("a.b", first, {})
        for number in numbers:
            insert(batch, number)


@pytest.mark.parametrize("after", [0, 3, 200])
def test_the_first_error_is_told_without_noise(
    transaction: Transaction, caplog: pytest.LogCaptureFixture, after: int
) -> None:
    """Whether it comes back while statements are being sent or at the end."""
    with caplog.at_level(logging.DEBUG), pytest.raises(psycopg.errors.UniqueViolation, match="numbers_pkey"):
        send(transaction, b"INSERT INTO numbers VALUES (1)", [1, *range(2, after)])

    assert [] == caplog.records
    assert (0,) == transaction.connection.execute("SELECT count(*) FROM numbers").fetchone()


def test_a_lost_connection_is_told_as_one(transaction: Transaction, caplog: pytest.LogCaptureFixture) -> None:
    """So that it is tried again."""
    with caplog.at_level(logging.DEBUG), pytest.raises(psycopg.OperationalError, match="connection"):
        send(transaction, b"SELECT pg_terminate_backend(pg_backend_pid())", list(range(200)))


def test_a_statement_is_composed_once() -> None:
    """Fragments are asked for at the first use of a name about a table."""
    statements, asked = Statements(), []

    def fragments() -> dict[str, object]:
        asked.append(1)
        return {}

    texts = {statements.text("stage.has_stage", about, fragments) for about in ("a", "a", "b")}  # type: ignore[arg-type]

    assert 1 == len(texts)
    assert 2 == len(asked)
