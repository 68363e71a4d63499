"""One function says whether the holder of a lease is alive, and nothing else compares sessions."""

import os
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

QUERIES = Path(__file__).parents[2] / "sql" / "queries"


@pytest.fixture
def alive(connection, database_url):
    """Return a function that asks about a lease of some seconds and one of several sessions."""
    with psycopg.connect(database_url) as other:
        (start,) = other.execute(
            "SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone() or (None,)
        sessions: dict[str, tuple[Any, Any]] = {
            "its own": (other.info.backend_pid, start),
            "hidden": (None, None),
            "of another process by now": (other.info.backend_pid, "2020-01-01"),
            "gone": (2**22 + 1, start),
        }

        def ask(seconds: float | None, session: str, *, is_patient: bool) -> bool:
            query = (
                "SELECT segue.is_alive(clock_timestamp() + make_interval(secs => %s), %s, %s::timestamptz, %s) AS told"
            )
            (told,) = connection.execute(query, [seconds, *sessions[session], is_patient]).fetchone()
            return bool(told)

        yield ask


def test_strictly(alive) -> None:
    """The lease goes on, and the session that it shows, if any, is there and the same."""
    for session, is_there in (
        ("its own", True),
        ("hidden", True),
        ("of another process by now", False),
        ("gone", False),
    ):
        assert is_there is alive(29, session, is_patient=False), session
        assert is_there is alive(1, session, is_patient=False), session
        assert not alive(-1, session, is_patient=False), session
        assert not alive(None, session, is_patient=False), session


def test_with_patience(alive, connection) -> None:
    """A lease that was just renewed counts without its session; and nobody is dead right after the server started."""
    up = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())"
    while (age := connection.execute(up).fetchone()[0]) < 10:
        assert alive(-1, "gone", is_patient=True)
        time.sleep(float(10 - age) + 0.05)
    assert alive(29, "gone", is_patient=True)
    assert not alive(19, "gone", is_patient=True)
    assert alive(19, "its own", is_patient=True)
    assert not alive(-1, "its own", is_patient=True)


def test_it_stands_once() -> None:
    """No query compares a session's start, or a lease with the clock, itself."""
    texts = {path.name: path.read_text("utf-8") for path in QUERIES.glob("*.sql")}
    assert [] == [name for name, text in texts.items() if "other.backend_start" in text]
    wrong = [
        name
        for name, text in texts.items()
        for line in text.splitlines()
        if "lease_until <" in line or "lease_until >" in line
    ]
    assert [] == wrong


def test_a_killed_process_is_dead_at_once(segue_process, songs, connection) -> None:
    """A real kill -9 on a direct connection: strictly dead within a moment, its lease still going on."""
    songs([(number, ["Hope"]) for number in range(1, 200)], key_type="bigint")
    process = segue_process("migrate", "-b", "1", "--nice", "20")
    look = "SELECT segue.is_alive(lease_until, backend_pid, backend_start), lease_until > clock_timestamp() FROM segue.runs"
    deadline = time.monotonic() + 20
    while connection.execute(f"{look} WHERE status = 'migrating'").fetchone() != (True, True):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, 9)
    process.communicate()
    while connection.execute(look).fetchone() != (False, True):
        assert time.monotonic() < deadline
        time.sleep(0.02)
