"""Bad networks: whatever a connection suffers, the run goes on or stops resumable, and ends as a clean one."""

import time
from datetime import datetime
from typing import Any

import psycopg
import pytest

from migrator import retry
from sql import silence
from tests.crash.state import SONGS, image
from tests.crash.test_commit_in_flight import tcp
from tests.crash.weather import KINDS, Weather

MIGRATE = ("migrate", "--workers", "1", "-b", "3", "--json")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits: between attempts, and for replies."""
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(retry, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(silence, "SILENT_SECONDS", 0.4)
    monkeypatch.setattr(silence, "LOOK_SECONDS", 0.2)


@pytest.fixture
def clean(songs: Any, connection: psycopg.Connection[Any], database_url: str, copy_of: Any, zygotes: Any) -> Any:
    """Fill the source; return the image of an uninterrupted run."""
    songs(SONGS)
    connection.close()
    with copy_of(database_url) as url:
        assert 4 == zygotes[0].run(url, *MIGRATE)[0]
        with psycopg.connect(url) as looking:
            return image(looking)


def run(segue: Any, url: str, direct: str) -> list[int]:
    """Run the command until it is through, at most six times; return its exit codes. The last run goes directly."""
    codes: list[int] = []
    while len(codes) < 6 and codes[-1:] != [4]:
        done = segue(*MIGRATE, url=direct if len(codes) == 5 else url)
        codes.append(done.code)
    return codes


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_any_weather(kind: str, seed: int, clean: Any, database_url: str, server: Any, segue: Any, hasty: None) -> None:
    """Late, reset, cut short, swallowed: the command ends as a clean run, or says 1 (at the start), 5 or 6 and then does."""
    with Weather(tcp(server, database_url), kind, seed) as weather:
        codes = run(segue, weather.url, database_url)
    assert 4 == codes[-1], codes
    assert set(codes[:-1]) <= {1, 5, 6}
    assert kind == "delay" or weather.accidents
    with psycopg.connect(database_url) as looking:
        assert clean == image(looking)


@pytest.mark.slow
def test_a_server_that_is_gone(clean: Any, database_url: str, server: Any, segue: Any, hasty: None) -> None:
    """The connection is swallowed and no other is let in: exit 6 in bounded time, and the same command goes on."""
    started = time.monotonic()
    with Weather(tcp(server, database_url), "swallow", 3, spared=1, struck=1, is_final=True) as weather:
        result = segue(*MIGRATE, "-b", "1", url=weather.url)
    assert 6 == result.code, result.stderr
    assert "stopped early" in result.stderr
    assert time.monotonic() - started < 30
    assert 4 == segue(*MIGRATE).code
    with psycopg.connect(database_url) as looking:
        assert clean == image(looking)


def test_a_long_statement_is_left_alone(
    database_url: str, server: Any, hasty: None, connection: psycopg.Connection[Any]
) -> None:
    """Silence alone is no reason: while the server works for a connection, it is not cut."""
    from sql.database import Database

    database = Database(tcp(server, database_url))
    connection.execute("CREATE FUNCTION sleepy() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(2)'")
    with silence.SilenceWatch(database), database.session() as session:
        assert (1,) == session.execute("SELECT sleepy()").fetchone()
    database.close()


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_that_jumps(hours: int, clean: Any, database_url: str, segue: Any, monkeypatch: Any) -> None:
    """The client's clock decides nothing: a holder with a wrong one keeps its run, a rival with a wrong one is refused."""
    real, shift = time.time, 0.0

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Shifted":
            return cls.fromtimestamp(real() + shift, tz)

    monkeypatch.setattr(time, "time", lambda: real() + shift)
    monkeypatch.setattr("migrator.migration.datetime", Shifted)
    assert 6 == segue(*MIGRATE, "--max-chunks", "1").code
    shift = hours * 3_600.0
    assert 6 == segue(*MIGRATE, "--max-chunks", "1").code
    with psycopg.connect(database_url, autocommit=True) as holder:
        pid = holder.info.backend_pid
        holder.execute(
            "UPDATE segue.runs SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + interval '30 s',"
            " holder = 'another', held_since = clock_timestamp(), backend_pid = %s, backend_start ="
            " (SELECT backend_start FROM pg_stat_activity WHERE pid = %s)",
            [pid, pid],
        )
        assert 5 == segue(*MIGRATE).code
    assert 4 == segue(*MIGRATE).code
    with psycopg.connect(database_url) as looking:
        assert clean == image(looking)
