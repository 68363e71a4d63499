"""Signals: the first finishes the chunk, the second aborts it; both leave a run that the same command goes on with."""

import json
import signal

import psycopg
import pytest

from tests.conftest import dump
from tests.crash.conftest import wait_until
from tests.crash.state import SONGS, checkpoints, image, made_links, require_checkpoints_agree

MIGRATE = ("migrate", "--batch-size", "6", "--workers", "1", "--json")
PATIENT = ("--lock-timeout-ms", "600000")
SIGNALS = [signal.SIGINT, signal.SIGTERM]

WAITS = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def clean(songs, connection, database_url, copy_of, zygotes):
    """Fill the source; return the image of an uninterrupted run and the links that it makes."""
    songs(SONGS)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            return image(looking), made_links(looking)


@pytest.fixture
def one_chunk(clean, database_url, zygotes):
    """A run that is paused after its first chunk."""
    assert 6 == zygotes[0].run(database_url, *MIGRATE, "--max-chunks", "1")[0]


def look(url: str, query: str) -> object:
    """Return the one value of a query, on a connection of its own."""
    with psycopg.connect(url) as looking:
        return looking.execute(query).fetchone()[0]


def sequence(url: str) -> list[int]:
    """Return the checkpoints' sequence numbers."""
    with psycopg.connect(url) as looking:
        return [part.seq for part in checkpoints(looking)]


@pytest.mark.parametrize("number", SIGNALS)
def test_one_signal_finishes_the_chunk(number, clean, one_chunk, database_url, segue_process, zygotes) -> None:
    """After one signal the chunk under way is committed, the exit code is 6, and the run is paused and resumable."""
    with psycopg.connect(database_url) as lock:
        lock.execute("LOCK TABLE song_tags IN ACCESS EXCLUSIVE MODE")
        process = segue_process(*PATIENT, *MIGRATE)
        wait_until(lambda: look(database_url, WAITS), "the chunk waits for the lock")
        process.send_signal(number)
        with pytest.raises(Exception, match="timed out"):
            process.wait(timeout=0.5)  # the one signal does not abort the statement
    out, stderr = process.communicate(timeout=60)

    assert 6 == process.returncode, stderr
    assert ("paused", 12) == (json.loads(out)["status"], json.loads(out)["rows"]["processed"])
    assert f"signal {number.name}" in json.loads(out)["error"]
    assert [2] == sequence(database_url)
    assert 4 == zygotes[0].run(database_url, *MIGRATE)[0]
    with psycopg.connect(database_url) as looking:
        assert clean[0] == image(looking)


@pytest.mark.parametrize("number", SIGNALS)
def test_two_signals_abort_the_chunk(number, clean, one_chunk, database_url, segue_process, zygotes) -> None:
    """After two signals the chunk under way is rolled back at once, the exit code is 6, and the run is resumable."""
    with psycopg.connect(database_url) as lock:
        lock.execute("LOCK TABLE song_tags IN ACCESS EXCLUSIVE MODE")
        process = segue_process(*PATIENT, *MIGRATE)
        wait_until(lambda: look(database_url, WAITS), "the chunk waits for the lock")
        process.send_signal(number)
        with pytest.raises(Exception, match="timed out"):
            process.wait(timeout=0.5)
        process.send_signal(number)
        wait_until(lambda: process.poll() is not None or not look(database_url, WAITS), "the statement is cancelled")
    out, stderr = process.communicate(timeout=60)

    assert 6 == process.returncode, stderr
    assert ("paused", 6) == (json.loads(out)["status"], json.loads(out)["rows"]["processed"])
    with psycopg.connect(database_url) as looking:
        require_checkpoints_agree(looking, clean[1])
    assert [1] == sequence(database_url)
    assert 4 == zygotes[0].run(database_url, *MIGRATE)[0]
    with psycopg.connect(database_url) as looking:
        assert clean[0] == image(looking)


@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_rollback_is_stopped_and_goes_on(
    number, signals, songs, connection, database_url, segue_process, zygotes
) -> None:
    """A rollback that is told to stop exits 6 (twice: at once), and the same command then restores every byte."""
    songs(SONGS)
    before = dump(connection)
    connection.close()
    assert 4 == zygotes[0].run(database_url, *MIGRATE)[0]
    removed = "SELECT count(*) = 0 FROM song_tags"
    with psycopg.connect(database_url) as lock:
        lock.execute("SELECT FROM song_tags LIMIT 1 FOR UPDATE")
        process = segue_process(*PATIENT, "rollback", "--json")
        wait_until(lambda: look(database_url, WAITS), "the deletion waits for the lock")
        for _ in range(signals):
            with pytest.raises(Exception, match="timed out"):
                process.wait(timeout=0.5)
            process.send_signal(number)
        if signals == 2:
            wait_until(lambda: process.poll() is not None, "the statement is cancelled")
    _, stderr = process.communicate(timeout=60)

    assert 6 == process.returncode, stderr
    assert "rolling_back" == look(database_url, "SELECT status FROM segue.runs")
    assert (signals == 1) == look(database_url, removed)
    assert 5 == zygotes[0].run(database_url, *MIGRATE)[0]  # a migration does not meddle with half a rollback
    assert 0 == zygotes[0].run(database_url, "rollback")[0]
    with psycopg.connect(database_url) as looking:
        assert before == dump(looking)
