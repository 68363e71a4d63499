"""The server is stopped in immediate mode, as by a crash, while a process migrates; it comes back and recovers."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from sql.database import Database
from sql.embedded import EmbeddedServer
from sql.schema import upgrade
from tests.crash.conftest import wait_until
from tests.crash.state import made_links
from tests.crash.zygote import ROOT

ROWS = 30_000
MIGRATE = ("migrate", "--batch-size", "1000", "--workers", "2")

#: Own server: this one is durable, so a commit that was answered survives.
SONGS = f"""
CREATE TABLE songs (id uuid PRIMARY KEY, title text, themes text[]);
INSERT INTO songs
SELECT md5(n::text)::uuid, 'a title',
    ARRAY['Hope', 'xmas', 'Own ' || mod(n, 500), CASE WHEN mod(n, 7) = 0 THEN NULL ELSE 'Grace ' END]
FROM generate_series(1, {ROWS}) AS n;
ANALYZE songs
"""


@pytest.fixture(scope="module")
def crashing():
    """A server of our own with a filled database to copy, and the links that a clean run makes."""
    with tempfile.TemporaryDirectory(prefix="segue-crash-") as home:
        Path(home).chmod(0o711)
        server = EmbeddedServer(Path(home) / "home", pg_bin=os.environ.get("SEGUE_TEST_PG_BIN"))
        server.up()
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
                connection.execute("CREATE DATABASE origin")
            database = Database(server.url("origin"))
            upgrade(database)
            database.close()
            with psycopg.connect(server.url("origin")) as connection:
                connection.execute(SONGS)
            url = copy(server, "clean")
            process = start(url)
            assert 0 == (process.communicate(timeout=120), process.returncode)[1]
            yield server, links(url)
        finally:
            server.down(immediate=True)


def copy(server: EmbeddedServer, name: str) -> str:
    """Copy the filled database and return the copy's URL."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE origin")
    return server.url(name)


def start(url: str) -> "subprocess.Popen[str]":
    """Start the migration."""
    return subprocess.Popen(
        [sys.executable, "-c", "from migrator.cli import main; main()", *MIGRATE],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def links(url: str) -> list[tuple[str, str]]:
    """Return the links that the run made."""
    with psycopg.connect(url) as connection:
        return made_links(connection)


def chunks(url: str) -> int:
    """Return how many chunks are committed."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT coalesce(sum(seq), 0) FROM segue.partitions").fetchone()[0]


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 9, 20])
def test_immediate_stop(moment, crashing) -> None:
    """A process survives the server's crash by retrying, or says 1 or 6; the same command then ends as a clean run."""
    server, expected = crashing
    url = copy(server, f"crash_{moment}")
    process = start(url)
    wait_until(lambda: chunks(url) >= moment, f"chunk {moment} is committed")
    server.down(immediate=True)
    was_alive = process.poll() is None
    assert url == (server.up(), server.url(f"crash_{moment}"))[1]
    _, said = process.communicate(timeout=120)

    assert was_alive
    assert process.returncode in {0, 1, 6}, said
    again = start(url)
    _, said = again.communicate(timeout=120)
    assert 0 == again.returncode, said
    assert expected == links(url)
    with psycopg.connect(url) as connection:
        counted = "SELECT sum(row_count), bool_and(is_done) FROM segue.partitions"
        assert (ROWS, True) == connection.execute(counted).fetchone()
        assert [("complete",)] == connection.execute("SELECT status FROM segue.runs").fetchall()
