"""Controls change how hard a run works and when it waits, while it goes on, and never what it makes."""

import json
import threading
import time
import uuid

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator import throttle as throttling
from migrator.controls import DEFAULTS, LOADS, Controls, Limit, differences
from migrator.errors import UsageError
from migrator.stop import StopSignal
from migrator.throttle import Throttle
from sql.database import Database

SONGS = [(str(uuid.UUID(int=number)), ["Hope", f"Theme {number}"]) for number in range(1, 41)]

NUMBERS = st.floats(0, 1e6).map(lambda value: float(f"{value:g}"))
LIMITS = NUMBERS.flatmap(
    lambda wait: st.none().map(lambda _: Limit(wait)) | st.just(Limit(wait, float(f"{wait + 1 + wait / 10:g}")))
)


@given(
    st.builds(
        Controls,
        st.floats(0, 100).map(lambda value: float(f"{value:g}")),
        st.integers(1, 60_000),
        st.none() | st.integers(1, 64),
        st.dictionaries(st.sampled_from(sorted(LOADS)), LIMITS),
        st.none() | st.sampled_from(["SELECT 1", "SELECT count(*) FROM jobs WHERE name = 'a=b'"]),
    )
)
def test_what_is_stored_is_what_was_set(controls) -> None:
    """Stored controls, of which only the differences from the defaults are kept, read back as they were."""
    stored = json.loads(json.dumps(controls.as_json()))
    assert controls == Controls.of(stored)
    assert {} == differences(controls, Controls.of(stored))
    assert {} == Controls().as_json()


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("nice", ["'nice' is no assignment", "nice=1"]),
        ("nice=much", ["nice=much", "from 0 to 100"]),
        ("nice=-1", ["from 0 to 100"]),
        ("nice=nan", ["from 0 to 100"]),
        ("chunk-ms=0", ["from 1 to 60000"]),
        ("workers=65", ["from 1 to 64"]),
        ("throttle-lag=5:4", ["above the one to wait at"]),
        ("throttle-lags=5", ["no control named 'throttle-lags'", "did you mean 'throttle-lag'"]),
        ("speed=5", ["no control named 'speed'"]),
    ],
)
def test_nonsense_is_explained(assignment, words, segue, songs) -> None:
    """An assignment that cannot be meant exits 2, names what may be, and starts no run."""
    songs(SONGS)
    with pytest.raises(UsageError) as refused:
        Controls().changed([assignment])
    assert all(word in str(refused.value) for word in words)
    result = segue("migrate", "--set", assignment)
    assert 2 == result.code
    assert all(word in result.stderr for word in words)
    assert [] == segue("status", "--json").json["runs"]


def test_limits_can_be_switched_off_and_on() -> None:
    """A load whose limit is off is not watched."""
    controls = Controls().changed(["throttle-lag=off", "throttle-vacuum=1", "throttle-waiters=3:9"])
    assert "lag" not in controls.limits
    assert Limit(1.0) == controls.limits["vacuum"]
    assert Limit(3.0, 9.0) == controls.limits["waiters"]
    assert DEFAULTS == controls.changed(["throttle-lag=10", "throttle-vacuum=off", "throttle-waiters=10"]).limits


@pytest.mark.parametrize("statement", ["SELECT 'a'", "SELECT nothing", "SELECT 1 FROM songs", "DELETE FROM songs"])
def test_a_statement_that_is_no_query_of_one_number(statement, segue, songs, connection) -> None:
    """It is tried, read-only, when it is set; then the run is as it was, and can go on."""
    songs(SONGS)
    assert 6 == segue("migrate", "--max-chunks", "1", "-b", "5").code
    result = segue("set", "1", "nice=2", f"throttle-sql={statement}")

    assert 2 == result.code
    assert "throttle-sql" in result.stderr
    assert "0" == segue("set", "1", "--json").json["controls"]["nice"]
    assert (len(SONGS),) == connection.execute("SELECT count(*) FROM songs").fetchone()
    assert 0 == segue("resume", "1").code


def test_changes_are_events_and_outlive_the_process(segue, songs, connection) -> None:
    """Who changed what, from which value to which; a resumed run goes on with it, a finished one refuses."""
    songs(SONGS)
    assert 6 == segue("migrate", "--max-chunks", "1", "-b", "5", "--nice", "0.5").code
    assert "0.5" == segue("set", "1", "--json").json["controls"]["nice"]
    assert 0 == segue("set", "1", "nice=0.25", "throttle-lag=5:60").code
    details = connection.execute("SELECT actor, detail FROM segue.events WHERE kind = 'set' ORDER BY id").fetchall()

    assert [{"nice": ["0", "0.5"]}, {"nice": ["0.5", "0.25"], "throttle-lag": ["10", "5:60"]}] == [
        d for _, d in details
    ]
    assert all(actor for actor, _ in details)
    assert 0 == segue("resume", "1").code
    assert "0.25" == segue("set", "1", "--json").json["controls"]["nice"]
    assert 5 == segue("set", "1", "nice=1").code
    assert 2 == segue("set", "7").code


def wait_for(connection, query: str) -> None:
    """Wait until a query returns true."""
    deadline = time.monotonic() + 30
    while connection.execute(query).fetchone() != (True,):
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


def test_a_live_run_waits_and_goes_on_when_told(segue, segue_process, songs, connection) -> None:
    """A load over its limit makes it wait, which status shows; `segue set` takes effect while it waits."""
    songs(SONGS)
    connection.execute("CREATE TABLE load AS SELECT 5 AS value")
    process = segue_process(
        *("migrate", "--workers", "1", "-b", "1", "--json", "--set", "throttle-sql=SELECT value FROM load"),
        *("--set", "throttle-sql-limit=4", "--nice", "9"),
    )
    wait_for(connection, "SELECT throttled IS NOT NULL FROM segue.runs")
    (run,) = segue("status", "--json").json["runs"]
    assert "sql 5, limit 4" == run["throttled"]
    assert "waiting: sql 5, limit 4" in segue("status").stdout
    processed = run["rows"]["processed"]
    assert processed < len(SONGS)
    time.sleep(0.5)
    assert processed == segue("status", "--json").json["runs"][0]["rows"]["processed"]

    connection.execute("UPDATE load SET value = 3.5")  # under the limit, but not by a fifth
    time.sleep(1)
    assert connection.execute("SELECT throttled IS NOT NULL FROM segue.runs").fetchone() == (True,)
    assert 0 == segue("set", "1", "throttle-sql=off", "nice=0").code
    with process:
        out, told = process.communicate(timeout=60)

    assert 0 == process.returncode, told
    assert json.loads(out)["throttled"] is None
    assert "Throttled" in told
    assert (len(SONGS) * 2,) == connection.execute("SELECT count(*) FROM song_tags").fetchone()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "throttle-sql-limit=2:5"), "throttle: sql 9, limit 5"),
        (("--set", "throttle-sql-limit=2", "--max-seconds", "2"), "max-seconds"),
    ],
)
def test_a_wait_can_end_the_run_early(arguments, words, segue, songs, monkeypatch) -> None:
    """At the second level, or when its time is over while it waits, the run stops, resumable."""
    monkeypatch.setattr(throttling, "LOOK_SECONDS", 0)
    songs(SONGS)
    options = ("migrate", "--workers", "1", "-b", "5", "--set", "throttle-sql=SELECT 9", *arguments, "--json")
    result = segue(*options)

    assert 6 == result.code
    assert words in result.json["error"]
    assert 0 == segue("set", "1", "throttle-sql=off").code
    assert 0 == segue("resume", "1").code


@pytest.fixture
def throttle(database_url, connection):
    """A throttle of some run, as its holder has it."""
    token = str(uuid.uuid4())
    connection.execute(
        "INSERT INTO segue.runs (migration, status, settings, fingerprint, lease_token)"
        " VALUES ('themes', 'migrating', '{}', '', %s)",
        [token],
    )
    told = []
    database = Database(database_url)
    yield (
        Throttle(
            database, 1, token, ["public.song_tags"], StopSignal(), (told.append,), Controls(), lambda: None, workers=2
        ),
        told,
    )
    database.close()


def test_sessions_that_wait_for_a_lock(throttle, connection, database_url, monkeypatch) -> None:
    """Users who wait for locks make the run wait until they have them."""
    monkeypatch.setattr(throttling, "LOOK_SECONDS", 0)
    monkeypatch.setattr(throttling, "WAIT_SECONDS", 0.02)
    gate, told = throttle
    connection.execute("UPDATE segue.runs SET controls = %s", ['{"throttle-waiters": "2"}'])
    connection.execute("CREATE TABLE hot ()")

    def read() -> None:
        with psycopg.connect(database_url) as user:
            user.execute("TABLE hot")

    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE hot")
        users = [threading.Thread(target=read) for _ in range(2)]
        for user in users:
            user.start()
        wait_for(connection, "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        worker = threading.Thread(target=gate.enter)
        worker.start()
        wait_for(connection, "SELECT throttled LIKE 'waiters 2%' FROM segue.runs")
        assert worker.is_alive()
    for thread in (*users, worker):
        thread.join(timeout=30)

    assert not worker.is_alive()
    assert {"waiters 2, limit 2"} == {event.reason for event in told}
    assert connection.execute("SELECT throttled FROM segue.runs").fetchone() == (None,)


def test_as_many_workers_as_are_allowed(throttle) -> None:
    """A second worker waits for the first one's place, and gets it too when it is given more."""
    gate, _ = throttle
    gate.obey(Controls().changed(["workers=1"]))
    gate.enter()
    second = threading.Thread(target=gate.enter)
    second.start()
    second.join(timeout=0.3)
    assert second.is_alive()
    gate.leave()
    second.join(timeout=10)
    assert not second.is_alive()
    third = threading.Thread(target=gate.enter)
    third.start()
    gate.obey(Controls().changed(["workers=2"]))
    third.join(timeout=10)
    assert not third.is_alive()


def test_nice_workers_take_turns(throttle) -> None:
    """Two that rest as long as they work are never at work together; with less rest they may be."""
    gate, _ = throttle
    gate.obey(Controls().changed(["nice=1"]))
    gate.enter()
    second = threading.Thread(target=gate.enter)
    second.start()
    second.join(timeout=0.3)
    assert second.is_alive()
    gate.obey(Controls().changed(["nice=0.5"]))
    second.join(timeout=10)
    assert not second.is_alive()


def test_nice_sleeps_beside_work(throttle) -> None:
    """R times as long as the chunk took, and not beyond a stop."""
    gate, _ = throttle
    gate.rest(0.2)
    gate.obey(Controls().changed(["nice=3"]))
    started = time.monotonic()
    gate.rest(0.1)
    assert 0.3 <= time.monotonic() - started < 3
    gate.stop.set("test")
    started = time.monotonic()
    gate.rest(10)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(("nice", "processes"), [("0", ["2"]), ("1", ["0"])])
def test_a_nice_run_builds_indexes_alone(nice, processes, segue, songs, connection) -> None:
    """With `nice`, planning and closing use one server process each, and two builds never run at a time."""
    songs([(f"00000000-0000-0000-0000-{number:012}", ["Hope"]) for number in range(50)])
    connection.execute("CREATE TABLE built (workers text, at timestamptz, until timestamptz)")
    connection.execute(
        "CREATE FUNCTION note_build() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO built SELECT current_setting('max_parallel_maintenance_workers'), now(), clock_timestamp()"
        " FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%.song_tags%';"
        " PERFORM pg_sleep(0.05); END $$"
    )
    connection.execute(
        "CREATE EVENT TRIGGER note_build ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION note_build()"
    )
    assert 0 == segue("migrate", "--nice", nice, "--load", "fresh").code
    built = connection.execute("SELECT workers, at, until FROM built ORDER BY at").fetchall()
    assert 2 == len(built)
    assert processes == sorted({workers for workers, _, _ in built})
    if nice == "1":
        assert built[0][2] < built[1][1]
