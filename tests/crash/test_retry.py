"""Transient failures are retried, a bounded number of times; others end the run with a message, resumable."""

import json
import os
import subprocess
import sys
import threading

import psycopg
import pytest

from tests.crash.conftest import wait_until
from tests.crash.state import SONGS, image, made_links, require_checkpoints_agree, song_id
from tests.crash.test_signals import WAITS, look
from tests.crash.zygote import ROOT

#: `segue` with shorter waits between its attempts.
HASTY = "from migrator import cli, retry; retry.FIRST_WAIT_SECONDS = 0.01; cli.main()"

#: Whether a process has the newest run, and its token is on every partition.
HELD = """
SELECT bool_and(part.lease_token = run.lease_token)
FROM segue.runs AS run JOIN segue.partitions AS part ON part.run_id = run.id
"""

MIGRATE = ("migrate", "--batch-size", "6", "--workers", "1", "--json")


@pytest.fixture
def clean(songs, connection, database_url, copy_of, zygotes):
    """Fill the source; return the image of an uninterrupted run and its links."""
    songs(SONGS)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            return image(looking), made_links(looking)


def retries(stderr: str) -> list[str]:
    """Return the SQLSTATEs of the retries that a process told of."""
    events = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    return [event.get("sqlstate") for event in events if event["event"] == "ChunkRetried"]


@pytest.mark.parametrize("lock", ["LOCK TABLE song_tags IN SHARE MODE", "SELECT FROM segue.partitions FOR UPDATE"])
def test_a_lock_timeout_is_retried(lock, clean, database_url, segue_process, zygotes) -> None:
    """A chunk that cannot get its lock gives up after lock_timeout, tries again, and the run ends as a clean one."""
    assert 6 == zygotes[0].run(database_url, *MIGRATE, "--max-chunks", "1")[0]
    lines: list[str] = []
    with psycopg.connect(database_url) as holder:
        process = segue_process("--lock-timeout-ms", "100", *MIGRATE)
        # The lock is taken once the process holds the run and its partitions, so that it meets a chunk and not the start.
        wait_until(lambda: look(database_url, HELD), "the run is held")
        holder.execute(lock)
        reader = threading.Thread(target=lambda: lines.extend(process.stderr))
        reader.start()
        wait_until(lambda: len(retries("".join(lines))) >= 2 or process.poll() is not None, "two retries")
    with process:  # waits, and closes its streams
        process.stdout.read()
        reader.join(timeout=60)
    assert 4 == process.returncode, lines
    assert {"55P03"} == set(retries("".join(lines)))
    with psycopg.connect(database_url) as looking:
        assert clean[0] == image(looking)


def test_a_deadlock_is_retried(clean, database_url, segue_process, zygotes) -> None:
    """A chunk that is the victim of a deadlock runs again."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        # The trigger raises a deadlock twice: sequences do not roll back.
        connection.execute("CREATE SEQUENCE deadlocks")
        _raise_on_links(
            connection, "IF nextval('public.deadlocks') <= 2 THEN RAISE 'deadlock' USING ERRCODE = '40P01'; END IF;"
        )
    code, _, stderr = zygotes[0].run(database_url, *MIGRATE)
    assert (4, ["40P01", "40P01"]) == (code, retries(stderr))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP FUNCTION refuse CASCADE")
        connection.execute("DROP SEQUENCE deadlocks")
        assert clean[0] == image(connection)


def test_other_errors_are_not_retried(clean, database_url, zygotes) -> None:
    """An error that will not pass ends the run: exit 1, failed, with the reason; mended, the same command completes."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        # No row's fault: a row that the application refuses would go to quarantine.
        body = f"IF NEW.song_id = '{song_id(15)}' THEN RAISE 'no tags for this song' USING ERRCODE = 'XX001'; END IF;"
        _raise_on_links(connection, body)
    code, out, stderr = zygotes[0].run(database_url, *MIGRATE)

    assert (1, []) == (code, retries(stderr))
    assert "segue: no tags for this song" in stderr.splitlines()
    assert 1 == json.loads(out)["exit_code"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        state = connection.execute("SELECT status, error, holder FROM segue.runs").fetchall()
        assert [("failed", "no tags for this song", None)] == state
        require_checkpoints_agree(connection, clean[1])
        connection.execute("DROP FUNCTION refuse CASCADE")
    assert 4 == zygotes[0].run(database_url, *MIGRATE)[0]
    with psycopg.connect(database_url) as looking:
        assert clean[0] == image(looking)


def test_a_lock_that_never_goes_away_ends_the_run(clean, database_url, zygotes) -> None:
    """Retries are bounded: the run fails with the reason, and the same command completes it once the lock is gone."""
    assert 6 == zygotes[0].run(database_url, *MIGRATE, "--max-chunks", "1")[0]
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE song_tags IN SHARE MODE")
        assert False is look(database_url, WAITS)
        process = subprocess.run(
            [sys.executable, "-c", HASTY, "--lock-timeout-ms", "20", *MIGRATE],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url},
            capture_output=True,
            text=True,
        )
        stderr = process.stderr
    assert 1 == process.returncode
    assert 7 == len(retries(stderr))
    assert "lock timeout, 8 times" in stderr.splitlines()[-1]
    assert "segue doctor" in stderr.splitlines()[-1]
    assert 4 == zygotes[0].run(database_url, *MIGRATE)[0]
    with psycopg.connect(database_url) as looking:
        assert clean[0] == image(looking)


def _raise_on_links(connection: psycopg.Connection, body: str) -> None:
    connection.execute(
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$"
    )
    connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON song_tags FOR EACH ROW EXECUTE FUNCTION refuse()")
