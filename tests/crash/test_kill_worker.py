"""SIGKILL of `segue worker` around everything that it writes about a job: the next worker ends with the same."""

import uuid
from typing import Any

import psycopg
import pytest

from tests.crash.zygote import Zygote

SONGS = [(str(uuid.UUID(int=number)), ["Hope", f"Theme {number}"]) for number in range(1, 41)]

POINTS = [
    "after:jobs.claim_job",
    "after:runs.create_promised_run",
    "after:themes.convert#2",
    "after:runs.save_validation",
    "before:jobs.end_job",
    "after:jobs.end_job",
]


def ask(connection: psycopg.Connection[Any], kind: str, run_id: int) -> None:
    """Put a job into the queue."""
    connection.execute(
        "INSERT INTO segue.jobs (kind, migration, run_id, settings, options, asked_by)"
        """ VALUES (%s, 'themes', %s, '{}', '{"batch_size": 10}', 'test')""",
        [kind, run_id],
    )


@pytest.fixture
def asked(connection: psycopg.Connection[Any], songs: Any) -> int:
    """A run that is asked for, by its number."""
    songs(SONGS)
    run_id = connection.execute("SELECT nextval(pg_get_serial_sequence('segue.runs', 'id'))").fetchone()[0]  # type: ignore[index]
    ask(connection, "migrate", run_id)
    return int(run_id)


def states(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Return jobs and runs as they are."""
    return connection.execute(
        "SELECT job.kind, job.state, job.outcome, run.status FROM segue.jobs AS job JOIN segue.runs AS run ON run.id = run_id ORDER BY job.id"
    ).fetchall()


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(
    point: str, asked: int, database_url: str, connection: psycopg.Connection[Any], zygotes: list[Zygote], links: Any
) -> None:
    """Wherever the worker dies, one more call does the job, once."""
    assert -9 == zygotes[0].run(database_url, "worker", "--once", failpoint=point)[0]
    code, _, stderr = zygotes[0].run(database_url, "worker", "--once")

    assert 0 == code, stderr
    assert [("migrate", "ended", "done", "complete")] == states(connection)
    assert 80 == len(links())


def test_killed_in_a_rollback(
    asked: int, database_url: str, connection: psycopg.Connection[Any], zygotes: list[Zygote], links: Any
) -> None:
    """A rollback that is cut off, also after its last word, goes on."""
    assert 0 == zygotes[0].run(database_url, "worker", "--once")[0]
    ask(connection, "rollback", asked)
    for point in ("after:rollback.delete_rows", "before:jobs.end_job"):
        assert -9 == zygotes[0].run(database_url, "worker", "--once", failpoint=point)[0]
    assert 0 == zygotes[0].run(database_url, "worker", "--once")[0]

    assert ("rollback", "ended", "done", "rolled_back") == states(connection)[1]
    assert [] == links()


def test_a_job_that_kills_every_worker_is_given_up(
    asked: int, database_url: str, connection: psycopg.Connection[Any], zygotes: list[Zygote]
) -> None:
    """After ten deaths the job is failed, and says so; whoever mends the cause asks again."""
    connection.execute("UPDATE segue.jobs SET failures = 9")
    assert -9 == zygotes[0].run(database_url, "worker", "--once", failpoint="after:runs.create_promised_run")[0]
    code, stdout, _ = zygotes[0].run(database_url, "worker", "--once")

    assert (1, True) == (code, "10 times" in stdout)
    assert [("ended", "failed")] == connection.execute("SELECT state, outcome FROM segue.jobs").fetchall()


def test_two_at_once_take_two_jobs(asked: int, database_url: str, connection: psycopg.Connection[Any]) -> None:
    """A job that another transaction is just claiming is passed over, not waited for."""
    from migrator import jobs
    from sql.database import Database, Transaction

    with psycopg.connect(database_url) as rival:
        values = {"migrations": ["themes"], "token": str(uuid.uuid4()), "holder": "rival", "lease": "30 seconds"}
        assert Transaction(rival).first("jobs.claim_job", **values) is not None
        database = Database(database_url, lock_timeout_ms=100)
        try:
            assert jobs.claim(database, ["themes"]) is None
            rival.rollback()
            assert jobs.claim(database, ["snapshots"]) is None, "a worker takes only what it can do"
            job = jobs.claim(database, ["themes"])
            assert job is not None
            assert not job.was_taken_over
            assert not jobs.end(database, jobs.Job(**{**vars(job), "token": str(uuid.uuid4())}), "done", exit_code=0)
        finally:
            database.close()
