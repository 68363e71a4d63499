"""`segue status --watch` on a terminal draws one table anew; elsewhere it prints lines."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from tests.conftest import ROOT, Command


def on_terminal(url: str, *arguments: str, once: tuple[str, Callable[[], object]] = ("", lambda: None)) -> str:
    """Run `segue` on a terminal of its own and return all that it drew; do something `once` a text was drawn."""
    text, action = once
    mine, theirs = pty.openpty()
    environment = {**os.environ, "DATABASE_URL": url, "TERM": "xterm", "COLUMNS": "220", "LINES": "40"}
    with subprocess.Popen(
        [sys.executable, "-c", "from migrator.cli import main; main()", *arguments],
        cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        drawn = b""
        with suppress(OSError):  # the terminal is gone when its process is
            while part := os.read(mine, 65_536):
                drawn += part
                if text and text.encode() in drawn:
                    text = ""
                    action()
    os.close(mine)
    assert process.returncode == 0, drawn
    return drawn.decode()


def test_a_live_table(segue: Command, songs: Any, connection: psycopg.Connection[Any], database_url: str) -> None:
    """It shows rows, partitions and who holds which, again until nobody works any more, and stays in the end."""
    songs([(f"00000000-0000-0000-0000-{number:012}", ["Hope"]) for number in range(20)])
    assert 6 == segue("migrate", "-b", "5", "--max-chunks", "2").code
    # A run that two processes work on, for as long as their leases last.
    lease = "lease_until = now() + interval '3 seconds', holder = %s, held_since = now()"
    connection.execute(
        f"UPDATE segue.runs SET status = 'migrating', lease_token = gen_random_uuid(), {lease}", ["ann@north pid 1"]
    )
    connection.execute(
        "INSERT INTO segue.workers (token, run_id, holder, lease_until)"
        " VALUES (gen_random_uuid(), 1, 'bob@south pid 2', now() + interval '3 seconds')"
    )
    connection.execute("UPDATE segue.partitions SET lease_token = (SELECT token FROM segue.workers)")
    drawn = on_terminal(database_url, "status", "--watch")
    assert "10 of 20" in drawn
    assert "0 of 1" in drawn
    assert "ann@north pid 1 leads" in drawn
    assert "bob@south pid 2 has joined, partition 0" in drawn
    assert drawn.count("10 of 20") > 1  # with its processes, and when they are gone
    assert "\x1b[" in drawn
    said = segue("status", "--watch").stdout
    assert "\x1b[" not in said
    assert "run 1  themes  migrating  10 of 20 rows (50 %)" in said
