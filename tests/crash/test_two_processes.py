"""Two processes want one run: one works, the other is refused or, when it has lost the run, cannot commit."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.crash.conftest import wait_until
from tests.crash.state import SONGS, checkpoints, image, made_links
from tests.crash.zygote import ROOT

MIGRATE = ("migrate", "--batch-size", "12", "--workers", "1")

#: `segue`, stopped by SIGSTOP when it passes a failpoint for the N-th time.
STOPPING = """
import os, signal, sys
from sql import failpoints
from sql import database
database.IDLE_SECONDS = 2
name, left = sys.argv.pop(1), int(sys.argv.pop(1))
def reach(passed):
    global left
    left -= passed == name
    if passed == name and left == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
failpoints.reach = reach
from migrator.cli import main
main()
"""


@pytest.fixture
def stopping(database_url):
    """Start `segue` so that it stops at a failpoint; it is killed in the end whatever happens."""
    started = []

    def start(point: str, nth: int, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", STOPPING, point, str(nth), *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        wait_until(lambda: _state(process.pid) == "T", "the process has stopped")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def clean(songs, connection, database_url, copy_of, zygotes):
    """Fill the source and return the image of one uninterrupted run."""
    songs(SONGS)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            return image(looking)


@pytest.mark.parametrize("attempt", range(4))
def test_of_two_at_once_one_works(attempt, clean, database_url, segue_process) -> None:
    """Of two processes started together one completes the run and the other is refused and names the run."""
    with psycopg.connect(database_url) as lock:
        # Planning waits for this lock, so the winner is still at work when the other comes.
        lock.execute("LOCK TABLE songs IN ACCESS EXCLUSIVE MODE")
        both = [segue_process(*MIGRATE) for _ in range(2)]
        wait_until(lambda: any(process.poll() is not None for process in both), "one of the two has given up")
        loser, winner = sorted(both, key=lambda process: process.poll() is None)
        assert winner.poll() is None
    said = loser.communicate(timeout=60)[1]
    assert 5 == loser.returncode, said
    assert re.search(r"run 1 is held by (\S+ pid \d+|another process) since (\d{4}-\d\d-\d\dT|a moment ago)", said), (
        said
    )
    assert 4 == (winner.communicate(timeout=60), winner.returncode)[1]
    with psycopg.connect(database_url) as looking:
        assert clean == image(looking)


def test_the_refusal_names_the_holder(clean, database_url, stopping, zygotes) -> None:
    """While a process holds a run, migrate and rollback exit 5, say who holds it and since when, and change nothing."""
    holder = stopping("after:themes.convert", 2, *MIGRATE)
    with psycopg.connect(database_url) as looking:
        since = looking.execute("SELECT held_since FROM segue.runs").fetchone()[0]
    before = _image(database_url)

    for command in (MIGRATE, ("rollback",), ("rollback", "1")):
        code, _, stderr = zygotes[0].run(database_url, *command)
        assert 5 == code, stderr
        assert f"pid {holder.pid} since {since.isoformat(timespec='seconds')}" in stderr
    assert before == _image(database_url)

    os.kill(holder.pid, signal.SIGCONT)
    assert 4 == (holder.communicate(timeout=60), holder.returncode)[1]
    assert clean == _image(database_url)


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        ("after:runs.read_partition", 2),  # the transaction has its snapshot
        ("after:themes.convert", 2),  # links are written
        ("after:runs.save_checkpoint", 2),  # the partition's row is locked: the rival's fence waits for it
        ("before:commit", 9),
        ("after:commit", 9),  # between two chunks
    ],
)
def test_a_superseded_process_cannot_commit(point, nth, clean, database_url, stopping, segue_process) -> None:
    """A process that slept through its lease loses the run to another; its transactions fail, nothing is doubled."""
    sleeper = stopping(point, nth, *MIGRATE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE segue.runs SET lease_until = now() - interval '1 second'")
        rival = segue_process(*MIGRATE)
        holder = "SELECT holder LIKE %s FROM segue.runs"
        wait_until(lambda: connection.execute(holder, [f"%pid {rival.pid}"]).fetchone()[0], "the rival holds the run")
        os.kill(sleeper.pid, signal.SIGCONT)
        _, said = rival.communicate(timeout=60)
        assert 4 == rival.returncode, said
    _, said = sleeper.communicate(timeout=60)
    assert 5 == sleeper.returncode, said
    assert re.search("taken over by another process|another process has taken|another worker has gone on", said), said
    assert clean == _image(database_url)


@pytest.mark.parametrize(
    ("point", "nth"), [("after:runs.read_partition", 2), ("after:themes.convert", 2), ("after:commit", 9)]
)
def test_a_superseded_process_commits_nothing(point, nth, clean, database_url, stopping) -> None:
    """From the moment that another process has fenced the run, not one more chunk of the old process is committed."""
    sleeper = stopping(point, nth, *MIGRATE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE segue.runs SET lease_until = now() - interval '1 second'")
        rival = stopping("after:runs.fence_partitions", 1, *MIGRATE)
        before = made_links(connection), checkpoints(connection)
        os.kill(sleeper.pid, signal.SIGCONT)
        _, said = sleeper.communicate(timeout=60)
        assert 5 == sleeper.returncode, said
        assert before == (made_links(connection), checkpoints(connection))
    os.kill(rival.pid, signal.SIGCONT)
    _, said = rival.communicate(timeout=60)
    assert 4 == rival.returncode, said
    assert clean == _image(database_url)


def test_a_holder_that_sleeps_for_ever_does_not_hold_its_locks(clean, database_url, stopping, segue_process) -> None:
    """The server ends a stopped process's transaction, so that its successor gets the locks and the run."""
    sleeper = stopping("after:runs.save_checkpoint", 2, *MIGRATE)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE segue.runs SET lease_until = now() - interval '1 second'")
    rival = segue_process(*MIGRATE)
    _, said = rival.communicate(timeout=60)
    assert 4 == rival.returncode, said
    assert clean == _image(database_url)

    os.kill(sleeper.pid, signal.SIGCONT)
    _, said = sleeper.communicate(timeout=60)
    assert 5 == sleeper.returncode, said
    assert clean == _image(database_url)


def test_a_dead_holder_is_replaced_at_once(clean, database_url, stopping, zygotes) -> None:
    """After kill -9 of the holder a new process takes over in seconds, although the lease has 30 s to go."""
    holder = stopping("after:themes.convert", 2, *MIGRATE)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    started = time.monotonic()
    with psycopg.connect(database_url, autocommit=True) as connection:
        left = "SELECT lease_until - now() > interval '20 seconds' FROM segue.runs"
        assert (True,) == connection.execute(left).fetchone()
    assert 4 == zygotes[0].run(database_url, *MIGRATE)[0]
    assert time.monotonic() - started < 10
    assert clean == _image(database_url)


def _image(url: str) -> object:
    with psycopg.connect(url) as looking:
        return image(looking)
