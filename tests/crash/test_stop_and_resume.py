"""Stopping early: pause, cancel, resume, limits; and what a resumed run insists on."""

import json

import psycopg
import pytest

from tests.crash.conftest import wait_until
from tests.crash.state import SONGS, checkpoints, image
from tests.crash.test_signals import PATIENT, WAITS, look, sequence

MIGRATE = ("migrate", "--batch-size", "6", "--workers", "1", "--json")
STATUS = "SELECT status FROM segue.runs"


@pytest.fixture
def clean(songs, connection, database_url, copy_of, zygotes):
    """Fill the source; return the image of an uninterrupted run."""
    songs(SONGS)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            return image(looking)


def require_clean(url: str, clean: object) -> None:
    """Assert that the database is as after an uninterrupted run."""
    with psycopg.connect(url) as looking:
        assert clean == image(looking)


@pytest.mark.parametrize(("request_", "status", "resumed"), [("pause", "paused", 4), ("cancel", "cancelled", 5)])
def test_a_live_run_is_asked_to_stop(request_, status, resumed, clean, database_url, segue_process, zygotes) -> None:
    """`pause` and `cancel` of a live run end it after its chunk with exit 6; only a paused one can be resumed."""
    run = zygotes[0].run
    assert 6 == run(database_url, *MIGRATE, "--max-chunks", "1")[0]
    with psycopg.connect(database_url) as lock:
        lock.execute("LOCK TABLE song_tags IN ACCESS EXCLUSIVE MODE")
        process = segue_process(*PATIENT, *MIGRATE)
        wait_until(lambda: look(database_url, WAITS), "the chunk waits for the lock")
        assert 0 == run(database_url, request_, "1")[0]
        asked = "SELECT lease_until FROM segue.runs"
        before = look(database_url, asked)
        wait_until(lambda: look(database_url, asked) > before, "a heartbeat has read the request")
    out, stderr = process.communicate(timeout=60)

    assert 6 == process.returncode, stderr
    assert status == json.loads(out)["status"] == look(database_url, STATUS)
    assert [2] == sequence(database_url)
    assert resumed == run(database_url, "resume", "1")[0]
    if status == "paused":
        # Resuming is not bound to the batch size: the rest is one chunk of the checkpoint's own size.
        assert "complete" == look(database_url, STATUS)
    else:
        assert 5 == run(database_url, *MIGRATE)[0]  # it can only be rolled back
        assert 0 == run(database_url, "rollback", "1")[0]
        assert 4 == run(database_url, *MIGRATE)[0]


def test_a_run_at_rest_is_paused_and_cancelled(clean, database_url, zygotes) -> None:
    """A stopped run can be cancelled; a complete one can be neither paused nor cancelled nor resumed."""
    run = zygotes[0].run
    assert 6 == run(database_url, *MIGRATE, "--max-chunks", "2")[0]
    assert 5 == run(database_url, "pause", "1")[0]  # already
    assert 4 == run(database_url, *MIGRATE)[0]
    require_clean(database_url, clean)
    for command in ("pause", "cancel", "resume"):
        code, _, stderr = run(database_url, command, "1")
        assert (5, True) == (code, "run 1 is complete" in stderr), stderr
    require_clean(database_url, clean)


@pytest.mark.parametrize(
    ("limit", "value", "chunks"),
    [
        ("--max-chunks", "0", 0),
        ("--max-chunks", "1", 1),
        ("--max-chunks", "3", 3),
        ("--max-seconds", "0", 1),
        ("--max-errors", "0", 1),  # the first six songs hold three texts for quarantine
        ("--max-errors", "10%", 1),
        ("--max-errors", "3", 3),
    ],
)
def test_limits_stop_after_a_chunk(limit, value, chunks, clean, database_url, zygotes) -> None:
    """A limit ends the run with exit 6 after a whole chunk, says which limit it was, and the run goes on later."""
    code, out, _ = zygotes[0].run(database_url, *MIGRATE, limit, value)
    assert 6 == code
    assert ("paused", min(6 * chunks, 30)) == (json.loads(out)["status"], json.loads(out)["rows"]["processed"])
    assert limit[2:] in json.loads(out)["error"]
    assert [chunks] == sequence(database_url)

    assert 4 == zygotes[0].run(database_url, *MIGRATE)[0]
    require_clean(database_url, clean)


def test_chunk_by_chunk(clean, database_url, zygotes) -> None:
    """A run stopped after every chunk ends as one clean run."""
    codes = [zygotes[0].run(database_url, *MIGRATE, "--max-chunks", "1")[0] for _ in range(6)]
    assert [6, 6, 6, 6, 6, 4] == codes
    require_clean(database_url, clean)


def test_other_settings_are_refused(clean, database_url, zygotes) -> None:
    """An unfinished run is not resumed with other settings, nor by --fresh; the refusal names the difference."""
    run = zygotes[0].run
    assert 6 == run(database_url, *MIGRATE, "--max-chunks", "1")[0]
    before = checkpoints_of(database_url)

    code, _, stderr = run(database_url, *MIGRATE, "--split", ";")
    assert 5 == code
    assert "run 1 is unfinished and was started with other settings (split: the run has None, you gave ';')" in stderr
    code, _, stderr = run(database_url, *MIGRATE, "--fresh")
    assert 5 == code
    assert "run 1 is unfinished (paused); resume it without --fresh" in stderr
    assert before == checkpoints_of(database_url)

    assert 4 == run(database_url, *MIGRATE)[0]
    require_clean(database_url, clean)


def checkpoints_of(url: str) -> object:
    """Return the checkpoints, on a connection of its own."""
    with psycopg.connect(url) as looking:
        return checkpoints(looking)
