"""What a database looks like to somebody who does not care when it was made, and what must hold at any instant."""

import uuid
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from tests.conftest import dump

#: NULL and empty arrays, NULL and blank elements, spellings of one tag, synonyms, and texts for quarantine.
THEMES: list[list[str | None] | None] = [
    ["Xmas", " christmas ", None, "", "Hope"],
    None,
    ["x" * 51, "HOPE", "hope\u200b"],
    [],
    ["Grace", "grace", "GRACE ", "Mercy"],
    ["Yuletide", "joy"],
    ["y" * 60, "y" * 60, "Peace"],
    ["Advent", "lent", "Easter", "Thanks giving"],
]


def song_id(number: int) -> str:
    """Return the id of a song; ids are in the order of the numbers."""
    return str(uuid.UUID(int=number << 100))


#: 30 songs: three chunks of at most 12.
SONGS = [(song_id(number), THEMES[number % 8]) for number in range(1, 31)]

_FORGOTTEN = ["created_at", "added_at", "run_id", "lease_token", "checkpoint_at", "undone_at", "created_by"]
_OPERATIONAL = ("partitions", "quarantine", "vocabulary", "journal")


def image(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Return everything that must be the same however often the run was interrupted: ids yes, times and run number no.

    The application's tables with their schema, and what the run knows: checkpoints, quarantine, vocabulary, journal.
    """
    found = dump(connection, schemas=("public",))
    for name, table in found.items():
        if name != "sequences":
            table["rows"] = _rows(connection, *name.split(".", 1))
    for name in _OPERATIONAL:
        found[f"segue.{name}"] = _rows(connection, "segue", name)
    found["runs"] = connection.execute("SELECT migration, status, total_rows, plan FROM segue.runs").fetchall()
    return found


def _rows(connection: psycopg.Connection[Any], schema: str, table: str) -> list[Any]:
    query = sql.SQL(
        "SELECT (to_jsonb(t) - %s::text[])::text, (to_jsonb(t) -> 'run_id') IS DISTINCT FROM 'null' FROM {} AS t"
    ).format(sql.Identifier(schema, table))
    return sorted(connection.execute(query, [_FORGOTTEN]).fetchall())


def legacy(connection: psycopg.Connection[Any]) -> list[Any]:
    """Return the legacy rows with the transactions that wrote them: equal means never touched."""
    return connection.execute("SELECT xmin::text, ctid::text, t::text FROM songs AS t ORDER BY id").fetchall()


def made_links(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Return (song, tag) of the links that a run made."""
    return connection.execute(
        "SELECT song_id::text, tag_id::text FROM song_tags WHERE run_id IS NOT NULL ORDER BY 1, 2"
    ).fetchall()


class Checkpoint(NamedTuple):
    """What a partition says of itself."""

    after: str | None
    cursor: str | None
    seq: int
    rows: int
    created: int


def checkpoints(connection: psycopg.Connection[Any]) -> list[Checkpoint]:
    """Return the partitions' checkpoints."""
    rows = connection.execute(
        "SELECT after_key, cursor, seq, row_count, created FROM segue.partitions ORDER BY ordinal"
    ).fetchall()
    return [Checkpoint(*row) for row in rows]


def require_checkpoints_agree(connection: psycopg.Connection[Any], due: list[tuple[str, str]]) -> None:
    """Assert that exactly the links up to each checkpoint are stored, and that its counters say the same.

    Args:
        connection: to the half-done database.
        due: (song, tag) of the links that an uninterrupted run makes.
    """
    expected = []
    songs = [row[0] for row in connection.execute("SELECT id::text FROM songs").fetchall()]
    for part in checkpoints(connection):
        done = [link for link in due if (part.after or "") < link[0] <= (part.cursor or "")]
        expected += done
        assert len(done) == part.created
        assert len([song for song in songs if (part.after or "") < song <= (part.cursor or "")]) == part.rows
    assert sorted(expected) == made_links(connection)
