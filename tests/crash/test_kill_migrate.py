"""SIGKILL at every boundary of a migration: before and after every statement, COPY and COMMIT."""

import json

import psycopg
import pytest

from tests.crash.state import SONGS, THEMES, image, legacy, made_links, checkpoints, require_checkpoints_agree

MIGRATE = ("migrate", "--batch-size", "12", "--workers", "1", "--json")


def committed_chunks(stderr: str) -> int:
    """Return how many chunks a process said it committed."""
    return sum(json.loads(line)["event"] == "ChunkCommitted" for line in stderr.splitlines() if line.startswith("{"))


def connect(url: str) -> "psycopg.Connection":
    """Connect to look."""
    return psycopg.connect(url, autocommit=True)


def check_every_kill(template: str, arguments: tuple[str, ...], copy_of, sweep, zygotes) -> int:
    """Kill at every boundary, resume, and compare with one clean run; return the number of boundaries."""
    with copy_of(template) as url:
        clean = zygotes[0].run(url, *arguments)
        assert 4 == clean[0], clean
        with connect(url) as connection:
            expected, untouched, due = image(connection), legacy(connection), made_links(connection)
            clean_chunks = sum(row[3] for row in checkpoints(connection))
    assert clean_chunks == committed_chunks(clean[2])

    def attempt(zygote, number: int) -> bool:
        with copy_of(template) as url:
            code, _, stderr = zygote.run(url, *arguments, failpoint=f"*#{number}")
            assert code in {-9, 4}, stderr
            with connect(url) as connection:
                require_checkpoints_agree(connection, due)
                assert untouched == legacy(connection)
                chunks_before = sum(row[3] for row in checkpoints(connection))
            again = zygote.run(url, *arguments)
            assert 4 == again[0], again
            # Every chunk is committed once: by the first process or by the second, never by both.
            assert clean_chunks - chunks_before == committed_chunks(again[2])
            assert 0 == zygote.run(url, "validate")[0]
            with connect(url) as connection:
                assert expected == image(connection)
                assert untouched == legacy(connection)
        return code == -9

    return sweep(attempt)


def test_kill_at_every_boundary(songs, connection, database_url, copy_of, sweep, zygotes) -> None:
    """A migration killed at any boundary and run again ends as one clean run, with at most one chunk redone."""
    songs(SONGS)
    connection.close()

    boundaries = check_every_kill(database_url, MIGRATE, copy_of, sweep, zygotes)

    assert boundaries > 150
