"""The server is stopped in immediate mode while an import runs; the same command then ends as a clean run."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sql.database import Database
from sql.embedded import EmbeddedServer
from sql.schema import upgrade
from tests.crash.conftest import wait_until
from tests.crash.test_kill_node_persist import image, require_like
from tests.crash.zygote import ROOT
from tests.node_persist.people import write_users

FILES = 60


@pytest.fixture(scope="module")
def crashing() -> Iterator[tuple[EmbeddedServer, Path]]:
    """A server of our own, durable, with Segue's schema in a database to copy; and a store."""
    with tempfile.TemporaryDirectory(prefix="segue-crash-") as home:
        Path(home).chmod(0o711)
        write_users(Path(home) / "storage", FILES)
        server = EmbeddedServer(Path(home) / "home", pg_bin=os.environ.get("SEGUE_TEST_PG_BIN"))
        server.up()
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
                connection.execute("CREATE DATABASE origin")
            database = Database(server.url("origin"))
            upgrade(database)
            database.close()
            yield server, Path(home) / "storage"
        finally:
            server.down(immediate=True)


def copy(server: EmbeddedServer, name: str) -> str:
    """Copy the empty database and return the copy's URL."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE origin")
    return server.url(name)


def start(url: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command."""
    return subprocess.Popen(
        [sys.executable, "-c", "from migrator.cli import main; main()", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask(url: str, query: str) -> Any:
    """Return a query's only value."""
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()[0]  # type: ignore[index, arg-type]


@pytest.mark.slow
def test_immediate_stop(crashing: tuple[EmbeddedServer, Path]) -> None:
    """A process survives the server's crash by retrying, or says 1 or 6; given again, it ends as a clean run."""
    server, store = crashing
    migrate = ("migrate", "node-persist", "--source", str(store), "-b", "2", "--json")
    clean = copy(server, "clean")
    assert 0 == (process := start(clean, *migrate), process.communicate(timeout=120), process.returncode)[2]
    expected = image(clean)
    for moment in (1, 12, 25):
        url = copy(server, f"crash_{moment}")
        process = start(url, *migrate)
        wait_until(
            lambda url=url, moment=moment: ask(url, "SELECT coalesce(sum(seq), 0) FROM segue.partitions") >= moment,
            f"chunk {moment} is committed",
        )
        server.down(immediate=True)
        was_alive = process.poll() is None
        server.up()
        _, said = process.communicate(timeout=120)
        assert was_alive
        assert process.returncode in {0, 1, 6}, said
        again = start(url, *migrate)
        _, said = again.communicate(timeout=120)
        assert 0 == again.returncode, said
        require_like(expected, url)
        rollback = start(url, "rollback", "1")
        assert 0 == (rollback.communicate(timeout=120), rollback.returncode)[1]
        assert 0 == ask(url, "SELECT count(*) FROM tracks")
