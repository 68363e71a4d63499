"""Every named query of the rehearsal is valid SQL."""

import psycopg
import pytest
from psycopg import sql as psql

from migrator.source import TableSource
from sql import queries
from sql.database import Database, compose
from tests.sql.test_queries import UTILITIES, numbered


@pytest.mark.system
def test_every_query_can_be_prepared(songs, database_url: str, connection: psycopg.Connection) -> None:
    """PostgreSQL parses and plans each of them."""
    songs([])
    database = Database(database_url)
    with database.transaction() as transaction:
        source = TableSource.find(transaction, table="songs", key="id", column="themes", schema="public")
    database.close()
    fragments = {
        **source.fragments,
        "column": psql.Identifier("themes"),
        "target": psql.Identifier("song_tags"),
        **dict.fromkeys(("name", "kept", "schema"), psql.Identifier("a_name")),
        **dict.fromkeys(("columns", "names", "sample", "encoding", "collate", "ctype"), psql.SQL("")),
    }
    for name in queries("rehearsing"):
        text = numbered(compose(f"rehearsing.{name}", fragments).as_string(connection))
        if not text.lower().lstrip().startswith(UTILITIES):
            result = connection.pgconn.prepare(f"rehearsing_{name}".encode(), text.encode())
            assert (name, b"") == (name, result.error_message)
