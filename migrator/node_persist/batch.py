"""Statements composed once, and sent together: the server works through them without waiting for this side's turns."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from sql import failpoints
from sql.database import Fragments, Transaction, compose


class Statements:
    """The texts of named statements, composed at their first use; the fragments of one name and table never change."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, object], bytes] = {}

    def text(self, name: str, about: object, fragments: Callable[[], Fragments]) -> bytes:
        """Return a statement's text.

        Args:
            name: of the query.
            about: what tells its fragments from those of the same query elsewhere.
            fragments: makes them.
        """
        text = self._texts.get((name, about))
        if text is None:
            text = self._texts[name, about] = compose(name, fragments()).as_bytes(None)
        return text


class Batch:
    """Statements on their way; how many rows each touched is known when the batch has ended."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def run(self, name: str, text: bytes, values: Mapping[str, object]) -> "psycopg.Cursor[Any]":
        """Send a statement; its cursor's `rowcount` counts after the batch."""
        cursor = self._connection.cursor()
        failpoints.reach(f"before:{name}")
        cursor.execute(text, values)
        failpoints.reach(f"after:{name}")
        return cursor


@contextmanager
def together(transaction: Transaction) -> Iterator[Batch]:
    """Send the block's statements in one trip and wait for all of them at its end.

    The first error is raised as the driver tells it; those after it were not run. It is translated, like
    every other, where the transaction was opened.
    """
    first: Exception | None = None
    try:
        with transaction.connection.pipeline():
            try:
                yield Batch(transaction.connection)
            except Exception as error:
                first = error  # raised below: while it is on its way, the driver would log what became of the rest
    except Exception as error:
        first = first or error
    if first is not None:
        raise first
