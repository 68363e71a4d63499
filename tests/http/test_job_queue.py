"""Jobs that wait: seen in `segue status` and `segue doctor`, closed when nobody takes them, forgotten when they are old."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from migrator import job_queue
from migrator.cli import segue as group
from sql.database import Database
from tests.crash.conftest import wait_until
from tests.http.site import RUNS, Operator
from tests.http.test_runs import operator  # noqa: F401 - a fixture
from tests.migrator.test_watch import on_terminal

Findings = Callable[[str], list[tuple[str, str, str]]]


@pytest.fixture
def findings(segue: Any) -> Findings:
    """Return a function that gives doctor's findings of one check: level, message, fix."""

    def ask(check: str) -> list[tuple[str, str, str]]:
        found = segue("doctor", "--json").json["findings"]
        return [(f["level"], f["message"], f["fix"]) for f in found if f["check"] == check]

    return ask


@pytest.fixture
def worker(segue_process: Any) -> Any:
    """A living worker."""
    process = segue_process("worker")
    yield process
    process.kill()
    process.communicate()


def aged(operator: Operator, interval: str) -> None:  # noqa: F811
    """Make everything in the queue older."""
    operator.connection.execute(
        "UPDATE segue.jobs SET asked_at = asked_at - %(by)s::interval, waiting_since = waiting_since - %(by)s::interval,"
        " due_at = due_at - %(by)s::interval, lease_until = lease_until - %(by)s::interval,"
        " ended_at = ended_at - %(by)s::interval",
        {"by": interval},
    )
    operator.connection.execute(
        "UPDATE segue.job_workers SET heard_at = heard_at - %(by)s::interval, lease_until = lease_until - %(by)s::interval",
        {"by": interval},
    )


def test_what_waits_is_seen(
    operator: Operator,  # noqa: F811
    segue: Any,
    segue_process: Any,
    findings: Findings,
    database_url: str,
) -> None:
    """Id, migration, what is asked, since when, by whom; a run that has no row yet is shown by its job, too."""
    assert [("ok", "none waits", "")] == findings("jobs")
    assert [] == segue("status", "--json").json["jobs"]
    run_id = operator.post(RUNS, {"settings": {"split": ","}, "workers": 2})["run_id"]
    assert 2 == segue("status", str(run_id + 1)).code
    for arguments in ((), (str(run_id),)):
        body = segue("status", *arguments, "--json").json
        (job,) = body["jobs"]
        assert [] == body["runs"]
        assert (1, "migrate", "themes", run_id, "queued", "test operate") == tuple(
            job[key] for key in ("job", "kind", "migration", "run_id", "state", "asked_by")
        )
        assert (",", 2, None, 0, job["since"]) == (
            job["settings"]["split"],
            job["options"]["workers"],
            job["worker"],
            job["live_workers"],
            job["asked_at"],
        )
    said = segue("status").stdout
    assert "job 1  migrate themes (run 1)  waits for a worker since 20" in said
    assert "asked for by test operate: " in said
    assert "split=,, " in said
    assert "workers=2" in said
    assert "no worker lives; next: segue worker" in said
    ((level, message, fix),) = findings("jobs")
    assert ("warning", "segue worker") == (level, fix)
    assert "job 1 (migrate themes, run 1) waits since 0 s and no worker lives" in message

    # The command that doctor names mends it; on a terminal the job is drawn until then.
    waits, started = "job 1  migrate themes (run 1)  waits for a worker", []
    drawn = on_terminal(
        database_url, "status", "--watch", once=(waits, lambda: started.append(segue_process("worker", "--once")))
    )
    (process,) = started
    assert 0 == process.wait(timeout=30)
    process.communicate()
    assert waits in drawn
    assert "complete" in drawn
    assert [] == segue("status", "--json").json["jobs"]
    assert [("ok", "none waits", "")] == findings("jobs")


def test_workers_that_live(operator: Operator, worker: Any, segue: Any, findings: Findings) -> None:  # noqa: F811
    """A worker shows itself; a killed one is missed; one that lacks the migration is told apart; one that ends has gone."""
    alive = "SELECT count(*) FROM segue.job_workers WHERE segue.is_alive(lease_until, NULL, NULL)"
    wait_until(lambda: operator.connection.execute(alive).fetchone() == (1,), "it shows itself")
    os.kill(worker.pid, signal.SIGSTOP)
    operator.post(RUNS)
    assert 1 == segue("status", "--json").json["jobs"][0]["live_workers"]
    ((level, message, _),) = findings("jobs")
    assert ("ok", True) == (level, "1 workers live" in message)
    operator.connection.execute("UPDATE segue.job_workers SET migrations = '{snapshots}'")
    ((level, message, _),) = findings("jobs")
    assert ("warning", True) == (level, "no worker lives that has the migration themes" in message)
    worker.kill()
    aged(operator, "40 seconds")
    ((level, message, fix),) = findings("jobs")
    assert ("warning", True, "segue worker") == (level, f"pid {worker.pid}, was heard of 4" in message, fix)


def test_a_worker_that_ends_is_forgotten(operator: Operator, worker: Any) -> None:  # noqa: F811
    """SIGTERM while idle: nothing is left of it."""
    shown = "SELECT count(*) FROM segue.job_workers"
    wait_until(lambda: operator.connection.execute(shown).fetchone() == (1,), "it shows itself")
    worker.send_signal(signal.SIGTERM)
    assert 0 == worker.wait(timeout=20)
    assert (0,) == operator.connection.execute(shown).fetchone()


def test_a_job_whose_worker_died(operator: Operator, findings: Findings, segue: Any) -> None:  # noqa: F811
    """Doctor names the dead worker and for how long it is silent; the next worker goes on."""
    operator.post(RUNS)
    operator.connection.execute(
        "UPDATE segue.jobs SET state = 'working', holder = 'ann@north pid 7', lease_token = gen_random_uuid(),"
        " lease_until = clock_timestamp() - interval '20 seconds'"
    )
    ((level, message, fix),) = findings("jobs")
    assert ("warning", "segue worker") == (level, fix)
    assert "its worker, ann@north pid 7, has not been heard of for 50 s and no worker lives" in message
    assert None is segue("status", "--json").json["jobs"][0]["worker"]
    assert "done" == operator.work()["outcome"]


def test_processes_of_a_run(operator: Operator, findings: Findings) -> None:  # noqa: F811
    """Joiners of a run are listed with what they hold; one that is silent is named, with how to replace it."""
    assert [("ok", "no run is under way", "")] == findings("processes")
    assert 6 == operator.segue("migrate", "-b", "5", "--max-chunks", "1").code
    held = "holder = %s, held_since = now(), lease_until = now() + interval '30 seconds'"
    operator.connection.execute(
        f"UPDATE segue.runs SET status = 'migrating', lease_token = gen_random_uuid(), {held}", ["ann@north pid 1"]
    )
    join = "INSERT INTO segue.workers (token, run_id, holder, lease_until) VALUES (gen_random_uuid(), 1, %s, now() + %s::interval)"
    operator.connection.execute(join, ["bob@south pid 2", "29 seconds"])
    operator.connection.execute("UPDATE segue.partitions SET lease_token = (SELECT token FROM segue.workers)")
    operator.connection.execute(join, ["cid@west pid 3", "-10 seconds"])
    found = findings("processes")
    assert ("ok", "ann@north pid 1 leads run 1 of themes", "") in found
    assert ("ok", "bob@south pid 2 has joined run 1 of themes, partition 0", "") in found
    ((message, fix),) = [(message, fix) for level, message, fix in found if level == "warning"]
    assert "cid@west pid 3 has joined run 1 of themes, and has not been heard of for 40 s" == message
    assert "segue migrate themes --join" == fix
    operator.connection.execute("UPDATE segue.runs SET lease_until = now() - interval '1 second'")
    assert "segue resume 1" in {fix for _, _, fix in findings("processes")}


def test_a_job_expires(operator: Operator, database_url: str) -> None:  # noqa: F811
    """Older than a day, or than it is told to: closed as expired, said with what to do, and never begun."""
    run_id = operator.post(RUNS)["run_id"]
    aged(operator, "23 hours")
    database = Database(database_url)
    assert [] == job_queue.expire(database, 24)
    database.close()
    aged(operator, "2 hours")
    assert "idle" == operator.work()["outcome"]
    seen = operator.status(run_id)
    assert ("expired", "expired", None) == (seen["status"], seen["job"]["outcome"], seen["started_at"])
    assert "no worker took it, or went on with it, within 24 h; ask for it again" == seen["error"]
    assert ["job-queued", "job-ended"] == [kind for kind, _ in operator.events(run_id)]
    assert (0,) == operator.connection.execute("SELECT count(*) FROM segue.runs").fetchone()

    run_id = operator.post(RUNS)["run_id"]
    aged(operator, "25 hours")
    assert run_id == operator.work(0, "--expire-hours", "48")["run_id"]
    assert "complete" == operator.status(run_id)["status"]


def test_only_what_waits_expires(operator: Operator) -> None:  # noqa: F811
    """A long run in steps waits anew after each; one that a dead worker left a day ago is closed, its run resumable."""
    run_id = operator.post(RUNS, {"batch_size": 10, "controls": {"nice": 0.001}})["run_id"]
    aged(operator, "23 hours")
    assert "put_back" == operator.work(6, "--max-seconds", "0")["outcome"]
    aged(operator, "23 hours")
    assert "put_back" == operator.work(6, "--max-seconds", "0")["outcome"]
    operator.connection.execute(
        "UPDATE segue.jobs SET state = 'working', lease_token = gen_random_uuid(), lease_until = clock_timestamp()"
    )
    aged(operator, "25 hours")
    assert "idle" == operator.work()["outcome"]
    assert ("paused", "expired") == (operator.status(run_id)["status"], operator.status(run_id)["job"]["outcome"])
    operator.post(f"/v1/runs/{run_id}/resume")
    assert "done" == operator.work()["outcome"]


def test_a_job_that_found_its_run_held_waits_on(operator: Operator) -> None:  # noqa: F811
    """Put back because another process has the run, it is as old as before."""
    assert 6 == operator.segue("migrate", "-b", "5", "--max-chunks", "1").code
    operator.post("/v1/runs/1/resume")
    aged(operator, "20 hours")
    operator.connection.execute(
        "UPDATE segue.runs SET lease_token = gen_random_uuid(), holder = 'ann', held_since = now(),"
        " lease_until = now() + interval '30 s'"
    )
    assert "put_back" == operator.work(6)["outcome"]
    aged(operator, "5 hours")
    assert "idle" == operator.work()["outcome"]
    assert [("migrate", 1, "ended", "expired")] == operator.jobs()


def test_old_jobs_are_removed(operator: Operator) -> None:  # noqa: F811
    """A month after its end a job is gone, unless its run is unfinished and may want its options; killed workers go, too."""
    operator.post(RUNS)
    operator.work()
    operator.post("/v1/runs/1/rollback")
    operator.work()
    operator.post(RUNS, {"batch_size": 1})
    operator.work(6, "--max-seconds", "0")
    operator.post("/v1/runs/2/pause")
    aged(operator, "29 days")
    operator.work()
    assert 3 == len(operator.jobs())
    aged(operator, "2 days")
    operator.work()
    assert [("migrate", 2, "ended", "stopped")] == operator.jobs()
    assert "rolled_back" == operator.status(1)["status"]
    assert None is operator.status(1)["job"]
    operator.work(0, "--keep-days", "1")
    assert (1,) == operator.connection.execute("SELECT count(*) FROM segue.job_workers").fetchone()


def test_defaults_are_documented() -> None:
    """The options say what the constants are."""
    options = {parameter.name: parameter for parameter in group.get_command(None, "worker").params}  # type: ignore[arg-type,union-attr]
    assert (24, 30) == (options["expire_hours"].default, options["keep_days"].default)
