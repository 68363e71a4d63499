"""Every named query of cleanup and undo is valid SQL against the real schema."""

import psycopg
import pytest
from psycopg import sql as psql

from migrator.cleanup.cleaning import Cleaning
from migrator.cleanup_record import Record
from sql import queries
from sql.database import compose
from tests.sql.test_queries import UTILITIES, numbered


@pytest.mark.system
def test_every_query_can_be_prepared(songs, segue, connection: psycopg.Connection, monkeypatch) -> None:
    """PostgreSQL parses and plans each of them while the archive is there, and the column still is."""
    songs([("00000000-0000-0000-0000-000000000001", ["Grace"])])
    segue("migrate")

    def stop(self: Cleaning) -> None:
        raise LookupError

    monkeypatch.setattr(Cleaning, "_prove", stop)
    with pytest.raises(LookupError):
        segue("cleanup")
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    record = Record.of(cursor.execute("SELECT * FROM segue.cleanups").fetchone())
    connection.execute("ALTER TABLE songs ADD COLUMN segue_restoring_1 text[]")
    fragments = {
        **record.fragments,
        "conditions": psql.SQL("true"),
        **dict.fromkeys(("trigger", "name", "before", "after", "role"), psql.Identifier("a_name")),
        **dict.fromkeys(("type", "change", "comment", "privilege", "option", "enabling"), psql.SQL("")),
        "definition": psql.SQL("CREATE INDEX"),
    }
    utilities = (*UTILITIES, "comment", "grant")
    prepared = 0
    for area in ("cleanup", "cleanup_look", "cleanup_undo"):
        for name in queries(area):
            text = numbered(compose(f"{area}.{name}", fragments).as_string(connection))
            if not text.lower().lstrip().startswith(utilities):
                result = connection.pgconn.prepare(f"{area}_{name}".encode(), text.encode())
                assert (name, b"") == (name, result.error_message)
                prepared += 1

    assert prepared > 25
