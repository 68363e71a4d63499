"""Runs over HTTP, without the network: what is taken, what is refused, and what a worker then does."""

import asyncio
import uuid
from typing import Any

import psycopg
import pytest

from migrator import run_store
from migrator.lease import Lease
from migrator.stop import StopSignal
from service.http import event_stream
from service.http.problems import Problem
from sql.database import Database
from tests.conftest import Command
from tests.http.site import RUNS, Operator
from tests.http.test_bad_input import problem

SONGS = [(str(uuid.UUID(int=number)), ["Hope", f"Theme {number}"]) for number in range(1, 41)]


@pytest.fixture
def operator(database_url: str, connection: psycopg.Connection[Any], segue: Command, songs: Any) -> Any:
    """An operator of a database with forty songs, and no other tags."""
    from tests.http.conftest import _make

    songs(SONGS)
    for make in _make(database_url):
        yield Operator(make(), connection, segue)


def test_a_runs_life(operator: Operator, links: Any) -> None:
    """Queued, done, brought up to date, taken back: the same run's number throughout, and its story in its events."""
    got = operator.ask("POST", RUNS)
    assert (202, "/v1/runs/1") == (got.status, got.headers["location"])
    assert {"run_id": 1, "job_id": 1, "kind": "migrate", "migration": "themes"} == got.json
    queued = operator.status(1)
    assert ("queued", "queued", "test operate") == (
        queued["status"],
        queued["job"]["state"],
        queued["job"]["asked_by"],
    )

    done = operator.work()
    seen = operator.status(1)
    assert ("done", 0, 1) == (done["outcome"], done["exit_code"], done["run_id"])
    assert ("complete", "done", True) == (seen["status"], seen["job"]["outcome"], seen["validated_equal"])
    assert {"total": 40, "processed": 40, "quarantined": 0} == seen["rows"] == done["report"]["rows"]
    assert done["report"]["elements"] == seen["elements"]
    assert 80 == len(links())

    assert 1 == operator.post(RUNS)["run_id"], "the same settings: the complete run is looked at again"
    assert operator.work()["report"]["unchanged"]
    fresh = operator.post(RUNS, {"fresh": True})["run_id"]
    assert fresh > 1
    operator.post(f"/v1/runs/{fresh}/cancel")
    assert "cancelled" == operator.status(fresh)["status"]

    operator.post("/v1/runs/1/rollback")
    assert {"song_tags": 80, "tags": 41} == {k: v for k, v in operator.work()["report"]["removed"].items() if v}
    assert "rolled_back" == operator.status(1)["status"]
    assert [] == links()
    kinds = [kind if kind != "status" else to for kind, to in operator.events(1)]
    assert kinds[:7] == ["job-queued", "job-claimed", "preparing", "migrating", "validating", "complete", "job-ended"]
    assert kinds[-2:] == ["rolled_back", "job-ended"]


def test_steps_of_a_run(operator: Operator) -> None:
    """With --max-seconds each call makes at least a chunk, puts the job back, and the next goes on; then it is done."""
    operator.post(RUNS, {"batch_size": 10, "controls": {"nice": 0.001}})
    rows = []
    for _ in range(10):
        done = operator.segue("worker", "--once", "--json", "--max-seconds", "0").json
        rows.append(operator.status(1)["rows"]["processed"])
        if done["outcome"] != "put_back":
            break
        assert (6, "max-seconds") == (done["exit_code"], done["error"])
        assert ("paused", "queued") == (operator.status(1)["status"], operator.status(1)["job"]["state"])
        if len(rows) == 1:
            assert {"nice": "0.001"} == operator.status(1)["controls"]
            operator.post("/v1/runs/1/retune", {"controls": {"nice": 0.002}}, 200)
    assert {"nice": "0.002"} == operator.status(1)["controls"], "a step does not take back what was retuned"
    assert [10, 20, 30, 40] == rows[:4]
    assert "complete" == operator.status(1)["status"]

    operator.post("/v1/runs/1/rollback")
    while operator.segue("worker", "--once", "--json", "--max-seconds", "0").json["outcome"] == "put_back":
        assert operator.status(1)["status"] == "rolling_back"
    assert "rolled_back" == operator.status(1)["status"]
    assert {"job": None, "run_id": None, "outcome": "idle", "exit_code": 0} == operator.work()


def test_pause_resume_cancel_of_what_waits(operator: Operator) -> None:
    """A job that waits is taken away; its run is resumed with the options that it was asked for with."""
    operator.post(RUNS, {"batch_size": 10, "validation": "full"})
    problem(operator.ask("POST", "/v1/runs/1/pause"), 409)
    problem(operator.ask("POST", "/v1/runs/1/resume"), 409)
    operator.work(6, "--max-seconds", "0")

    assert "paused" == operator.post("/v1/runs/1/pause")["status"]
    assert "stopped" == operator.status(1)["job"]["outcome"]
    assert "idle" == operator.work()["outcome"]
    assert "paused" == operator.post("/v1/runs/1/pause")["status"], "twice is once"
    assert "run 1 of themes is paused" in problem(operator.ask("POST", RUNS), 409)["detail"]

    assert 1 == operator.post("/v1/runs/1/resume")["run_id"]
    operator.work(6, "--max-seconds", "0")
    assert 20 == operator.status(1)["rows"]["processed"]
    assert "cancelled" == operator.post("/v1/runs/1/cancel")["status"]
    assert "cancelled" == operator.status(1)["job"]["outcome"]
    problem(operator.ask("POST", "/v1/runs/1/resume"), 409)
    problem(operator.ask("POST", "/v1/runs/1/retune", {"controls": {"nice": 1}}), 409)
    assert "take it back first" in problem(operator.ask("POST", RUNS), 409)["detail"]

    operator.post("/v1/runs/1/rollback", {"on_conflict": "force"})
    operator.work()
    problem(operator.ask("POST", "/v1/runs/1/rollback"), 409)
    assert operator.post(RUNS)["run_id"] > 1


def test_a_run_of_the_command_line(operator: Operator) -> None:
    """Runs that nobody asked for over HTTP are seen, retuned, resumed and taken back all the same."""
    operator.segue("migrate", "--max-chunks", "1", "--batch-size", "10", "--workers", "1")
    assert ("paused", None, 10) == tuple(
        operator.status(1)[name] if name != "rows" else operator.status(1)[name]["processed"]
        for name in ("status", "job", "rows")
    )
    controls = {"nice": 0.5, "throttle_lag": {"wait": 5, "stop": 30}, "throttle_waiters": None, "workers": 2}
    assert {"nice": "0.5", "throttle-lag": "5:30", "throttle-waiters": "off", "workers": "2"} == operator.post(
        "/v1/runs/1/retune", {"controls": controls}, 200
    )["controls"]
    assert "throttle-lag" in operator.segue("set", "1", "--json").json["controls"]
    assert ("set", None) == operator.events(1)[-1]
    operator.post("/v1/runs/1/resume")
    assert "complete" == operator.work()["report"]["status"]


def test_what_cannot_be_meant(operator: Operator) -> None:
    """404 with the nearest name, 422 with a pointer as soon as the options are known, 409 for what contradicts."""
    assert "'themes'?" in problem(operator.ask("POST", "/v1/migrations/theems/runs"), 404)["detail"]
    problem(operator.ask("GET", "/v1/runs/77"), 404)
    for act in ("pause", "resume", "cancel", "rollback"):
        problem(operator.ask("POST", f"/v1/runs/77/{act}"), 404)
    problem(operator.ask("POST", "/v1/runs/77/retune", {"controls": {}}), 404)
    problem(operator.ask("GET", "/v1/runs/77/events"), 404)

    operator.work()  # a worker tells which options there are
    for settings, pointer in (
        ({"tabel": "songs"}, "/settings/tabel"),
        ({"load": "quick"}, "/settings/load"),
        ({"a/b~": "1"}, "/settings/a~1b~0"),
    ):
        found = problem(operator.ask("POST", RUNS, {"settings": settings}), 422)
        assert [pointer] == [fault["pointer"] for fault in found["errors"]]
    found = problem(operator.ask("POST", "/v1/migrations/node-persist/runs", {"settings": {"source": "data"}}), 422)
    assert "/settings/source" == found["errors"][0]["pointer"]
    for body, pointer in (
        ({"workers": 0}, "/workers"),
        ({"max_errors": "many"}, "/max_errors"),
        ({"controls": {"throttle_lag": {"wait": 5, "stop": 5}}}, "/controls/throttle_lag/stop"),
        ({"controls": {"throttle_sql": "SELECT 1"}}, "/controls/throttle_sql"),
    ):
        assert pointer == problem(operator.ask("POST", RUNS, body), 422)["errors"][0]["pointer"]
    assert [] == operator.jobs()


def test_settings_that_only_the_worker_can_judge(operator: Operator) -> None:
    """A table that is not there: the job is refused with the reason, and no run is left behind."""
    operator.post(RUNS, {"settings": {"table": "sogns"}})
    done = operator.work(2)
    seen = operator.status(1)

    assert ("refused", 2) == (done["outcome"], done["exit_code"])
    assert "sogns" in done["error"] == seen["error"]
    assert ("refused", "ended") == (seen["status"], seen["job"]["state"])
    assert 0 == operator.connection.execute("SELECT count(*) FROM segue.runs").fetchone()[0]  # type: ignore[index]
    operator.post(RUNS)
    assert "done" == operator.work()["outcome"]


def test_idempotency(operator: Operator) -> None:
    """One key, one job, one answer: also after the run is done; another body is 422, another token another key."""
    key = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
    first = operator.ask("POST", RUNS, {"workers": 1}, idempotency_key=key)
    operator.work()
    again = operator.ask("POST", RUNS, {"workers": 1}, idempotency_key=key.strip('"'))

    assert (first.status, first.body, first.headers["location"]) == (
        again.status,
        again.body,
        again.headers["location"],
    )
    assert ("idempotency-replayed" in first.headers, "true") == (False, again.headers["idempotency-replayed"])
    problem(operator.ask("POST", RUNS, {"workers": 2}, idempotency_key=key), 422)
    problem(operator.ask("POST", "/v1/runs/1/rollback", idempotency_key=key), 422)
    assert 202 == operator.ask("POST", RUNS, {"workers": 1}, token="all", idempotency_key=key).status
    for bad in ('"', '""', 'a"b', "é", "x" * 300):
        found = problem(operator.ask("POST", RUNS, idempotency_key=bad), 422)
        assert "idempotency-key" == found["errors"][0]["parameter"]
    assert 2 == len(operator.jobs())


def test_an_outside_run_has_precedence(operator: Operator) -> None:
    """Whoever starts a run past the queue is not overtaken: the job is refused, and says by whom."""
    operator.post(RUNS)
    operator.segue("migrate")

    assert "run 2 of themes was started meanwhile" in operator.work(5)["error"]


def test_a_limit_stops_and_does_not_stand_in_the_way(operator: Operator) -> None:
    """More quarantined rows than allowed: stopped, told why; resumed, it goes through, as on the command line."""
    operator.connection.execute("UPDATE songs SET themes = ARRAY[repeat('x', 51)]")
    operator.post(RUNS, {"max_errors": "10%", "batch_size": 10})
    stopped = operator.work(6)
    assert ("stopped", "max-errors") == (stopped["outcome"], stopped["error"])
    assert 20 > operator.status(1)["rows"]["quarantined"] > 0
    assert "longer than 50 characters" == operator.status(1)["errors"][0]["error"]
    operator.post("/v1/runs/1/resume")
    assert "done" == operator.work(4)["outcome"]


def test_a_run_that_somebody_holds(operator: Operator, database_url: str) -> None:
    """The job waits until the run is free; that is no failure of a worker."""
    operator.post(RUNS, {"batch_size": 10})
    operator.work(6, "--max-seconds", "0")
    database = Database(database_url)
    try:
        with database.transaction() as transaction:
            run = run_store.find(transaction, 1)
        with Lease(database, run, StopSignal()):
            busy = operator.work(6)
            assert ("put_back", True) == (busy["outcome"], "is held by" in busy["error"])
            assert operator.status(1)["held_by"]
            assert "idle" == operator.work()["outcome"], "not at once again"
            problem(operator.ask("POST", "/v1/runs/1/rollback"), 409)
    finally:
        database.close()
    operator.connection.execute("UPDATE segue.jobs SET due_at = now()")
    assert "done" == operator.work()["outcome"]
    assert [(0,)] == operator.connection.execute("SELECT failures FROM segue.jobs").fetchall()


def test_a_quiet_stream_stays_open(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing happens comments keep the connection; a place is given back however the stream ends."""
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.0)
    monkeypatch.setattr(event_stream, "_LOOK_SECONDS", 0.01)
    operator.post(RUNS)
    places = event_stream.Places(1)

    async def listen() -> list[bytes]:
        pieces = aiter(event_stream.EventStream(operator.inside.state, 1, 0, places))
        heard = [await anext(pieces) for _ in range(5)]
        with pytest.raises(Problem, match="too many follow"):
            places.require()
        operator.inside.state.is_stopping = True
        return heard + [piece async for piece in pieces]

    heard = asyncio.run(listen())
    assert heard[0] == b"retry: 2000\n\n"
    assert heard[1].startswith(b"id: 1\nevent: job-queued\ndata: {")
    assert b'"status":"queued"' in heard[2]
    assert heard[3] == heard[4] == b": still here\n\n"
    places.require()
