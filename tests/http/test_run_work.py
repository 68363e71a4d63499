"""Runs over HTTP for real: a server, workers that are killed, clients that follow and are cut off."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from service.tokens import create_token
from sql.database import Transaction
from tests.conftest import Server, _fresh
from tests.http.servers import ROOT, serving, wait_for
from tests.http.site import RUNS, SLOW, SONGS, Site, events_of, free_port, scraped

Worker = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def site(server: Server, template: str) -> Iterator[Site]:
    """One server for the module."""
    for url in _fresh(server, template):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE songs (id uuid PRIMARY KEY, title text, themes text[])")
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO songs VALUES (%s, 'a title', %s)",
                    [
                        (uuid.UUID(int=n), ["Hope", f"Theme {n % 50}", "x" * (51 if n % 40 == 0 else 3)])
                        for n in range(1, SONGS + 1)
                    ],
                )
            with connection.transaction():
                token = create_token(Transaction(connection), "operator", ["operate"], created_by="test").text
        with serving(url, "--drain-seconds", "0") as running:
            yield Site(url, running, token)


@pytest.fixture(autouse=True)
def clean(site: Site) -> None:
    """Forget runs, jobs and what they made, before each test."""
    with psycopg.connect(site.url, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE segue.runs, segue.partitions, segue.jobs, segue.events, segue.vocabulary, segue.quarantine CASCADE"
        )
        connection.execute("TRUNCATE song_tags, tags, tag_synonyms")


@pytest.fixture
def start(site: Site) -> Iterator[Worker]:
    """Start workers; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", "from migrator.cli import main; main()", "worker", *options],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": site.url},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_worker_is_killed_and_another_goes_on(site: Site, start: Worker) -> None:
    """Kill -9 in the middle: the next worker finishes the same run; a client that is cut off misses no event."""
    first = start()
    run_id = site.post(RUNS, SLOW)["run_id"]
    seen: list[dict[str, Any]] = []
    with site.following(run_id) as answer:
        assert (200, "text/event-stream; charset=utf-8") == (answer.status, answer.headers["content-type"])
        for event in events_of(answer):
            seen.append(event)
            if event["event"] == "progress" and event["data"]["rows"]["processed"] >= 20:
                break
    first.send_signal(signal.SIGKILL)
    first.wait()
    at_kill = site.rows(run_id)
    assert 20 <= at_kill < SONGS
    assert "migrating" == site.run(run_id)["status"]

    port = free_port()
    start("--metrics-port", str(port))
    wait_for(lambda: site.rows(run_id) > at_kill)
    site.post(f"/v1/runs/{run_id}/retune", {"controls": {"nice": 0}})
    last = max(int(event["id"]) for event in seen if "id" in event)
    with site.following(run_id, after=last) as answer:
        rest = list(events_of(answer))
    done = site.wait_for_status(run_id, "complete")

    assert ({"total": SONGS, "processed": SONGS, "quarantined": SONGS // 40}, 4) == (
        done["rows"],
        done["job"]["exit_code"],
    )
    assert ("end", {"status": "complete"}) == (rest[-1]["event"], rest[-1]["data"])
    ids = [int(event["id"]) for event in [*seen, *rest] if "id" in event]
    with psycopg.connect(site.url) as connection:
        stored = connection.execute("SELECT id FROM segue.events WHERE run_id = %s ORDER BY id", [run_id]).fetchall()
    assert [number for (number,) in stored] == ids, "each once, in order, whatever was cut in between"
    kinds = [event["event"] for event in [*seen, *rest] if "id" in event]
    assert 2 == kinds.count("job-claimed")
    assert 1 == scraped(port)["segue_migration_leases_lost_total", "migration=themes"]
    with site.following(run_id, after=ids[-1]) as answer:
        assert 204 == answer.status, "a browser stops asking"


def test_metrics_are_those_of_the_report(site: Site, start: Worker) -> None:
    """Scraped while a run works, they only grow and say how it stands; at the end they equal its report."""
    port = free_port()
    start("--metrics-port", str(port))
    run_id = site.post(RUNS, SLOW)["run_id"]
    processed = ("segue_migration_rows_total", "migration=themes,outcome=processed")
    wait_for(lambda: scraped(port).get(processed, 0) >= 30)
    rows, middle = site.rows(run_id), scraped(port)
    assert rows <= middle[processed] <= site.rows(run_id) + 5
    assert 0 <= middle["segue_migration_checkpoint_age_seconds", "migration=themes"] < 5
    assert middle["segue_migration_eta_seconds", "migration=themes"] > 0
    assert 5 == middle["segue_migration_chunk_size", "migration=themes"]

    site.post(f"/v1/runs/{run_id}/retune", {"controls": {"nice": 0}})
    report = site.wait_for_status(run_id, "complete")["job"]["report"]
    end = scraped(port)
    assert report["rows"]["processed"] == end[processed] == SONGS
    assert report["rows"]["quarantined"] == end["segue_migration_quarantined_rows", "migration=themes"] == SONGS // 40
    assert SONGS // 40 == end["segue_migration_rows_total", "migration=themes,outcome=quarantined"]
    assert SONGS // 5 <= end["segue_migration_chunk_duration_seconds_count", "migration=themes"] <= SONGS // 5 + 1
    assert 0 == end["segue_validation_mismatches_total", "migration=themes"]
    assert not any(name == "segue_migration_checkpoint_age_seconds" for name, _ in end), "nothing is behind any more"

    site.post(f"/v1/runs/{run_id}/rollback")
    removed = site.wait_for_status(run_id, "rolled_back")["job"]["report"]["removed"]
    assert sum(removed.values()) == scraped(port)["segue_rollback_rows_total", "migration=themes"] > SONGS


def test_steering_a_run_at_work(site: Site, start: Worker) -> None:
    """Pause within a chunk, resume where it was, cancel, roll back: all by HTTP, with one worker all the time."""
    worker = start()
    run_id = site.post(RUNS, SLOW)["run_id"]
    wait_for(lambda: site.rows(run_id) >= 10)
    started = time.monotonic()
    assert "pause" == site.post(f"/v1/runs/{run_id}/pause")["job"]["request"]
    paused = site.wait_for_status(run_id, "paused")
    assert time.monotonic() - started < 3
    assert "stopped" == paused["job"]["outcome"]
    assert paused["rows"]["processed"] < SONGS

    site.post(f"/v1/runs/{run_id}/resume")
    wait_for(lambda: site.rows(run_id) > paused["rows"]["processed"])
    site.post(f"/v1/runs/{run_id}/cancel")
    assert "cancelled" == site.wait_for_status(run_id, "cancelled")["job"]["outcome"]
    site.post(f"/v1/runs/{run_id}/rollback")
    assert 0 == site.wait_for_status(run_id, "rolled_back")["job"]["exit_code"]
    with psycopg.connect(site.url) as connection:
        assert [(0, 0)] == connection.execute("SELECT (SELECT count(*) FROM song_tags), count(*) FROM tags").fetchall()
        actors = connection.execute(
            "SELECT kind, actor FROM segue.events WHERE kind IN ('pause', 'cancel') AND actor LIKE 'token %' ORDER BY id"
        ).fetchall()
    assert [("pause", "token operator"), ("cancel", "token operator")] == actors

    worker.send_signal(signal.SIGTERM)
    assert 0 == worker.wait(timeout=10), "idle: stopped is done"


def test_sigterm_puts_the_job_back(site: Site, start: Worker) -> None:
    """A deployment stops a worker after its chunk; the run is paused, the job waits, and the next worker goes on."""
    worker = start()
    run_id = site.post(RUNS, SLOW)["run_id"]
    wait_for(lambda: site.rows(run_id) >= 10)
    worker.send_signal(signal.SIGTERM)
    assert 6 == worker.wait(timeout=10)
    waiting = site.run(run_id)
    assert ("paused", "queued") == (waiting["status"], waiting["job"]["state"])

    site.post(f"/v1/runs/{run_id}/retune", {"controls": {"nice": 0}})
    assert 4 == start("--once").wait(timeout=30)
    assert "complete" == site.run(run_id)["status"]


def test_sigterm_in_the_last_moment(site: Site, start: Worker) -> None:
    """A run that can only end well is ended, and then the worker, which does not take the next job."""
    with psycopg.connect(site.url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END'"
        )
        connection.execute(
            "CREATE TRIGGER linger BEFORE UPDATE ON segue.runs FOR EACH ROW WHEN (NEW.status = 'complete') EXECUTE FUNCTION linger()"
        )
        try:
            worker = start()
            run_id = site.post(RUNS)["run_id"]
            lingers = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
            )
            wait_for(lambda: connection.execute(lingers).fetchone() == (1,))
            worker.send_signal(signal.SIGTERM)
            assert 0 == worker.wait(timeout=10)
        finally:
            connection.execute("DROP FUNCTION linger() CASCADE")
    assert ("complete", "done") == (site.run(run_id)["status"], site.run(run_id)["job"]["outcome"])


@pytest.mark.parametrize("has_key", [True, False])
def test_twenty_ask_at_once(site: Site, has_key: bool) -> None:
    """Exactly one run: with a key all get its answer, without one all but one are told that it is there."""
    headers = {"idempotency_key": '"the-same"'} if has_key else {}
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: site.ask("POST", RUNS, {}, **headers), range(20)))

    accepted = [answer for status, answer in answers if status == 202]
    assert (20 if has_key else 1) == len(accepted)
    assert {409} >= {status for status, _ in answers if status != 202}
    assert 1 == len({json.dumps(answer) for answer in accepted})
    with psycopg.connect(site.url) as connection:
        assert [(1,)] == connection.execute("SELECT count(*) FROM segue.jobs").fetchall()
        (begun,) = connection.execute("SELECT count(*) FROM segue.events WHERE kind = 'job-queued'").fetchone()  # type: ignore[misc]
    assert 1 == begun


def test_two_workers_share_the_queue(site: Site, start: Worker) -> None:
    """However many workers there are, a job is done by one."""
    for _ in range(2):
        start()
    for _ in range(2):
        run_id = site.post(RUNS, {"fresh": True})["run_id"]
        site.wait_for_status(run_id, "complete")
        site.post(f"/v1/runs/{run_id}/rollback")
        site.wait_for_status(run_id, "rolled_back")
    with psycopg.connect(site.url) as connection:
        claims = connection.execute(
            "SELECT detail ->> 'job', count(*) FROM segue.events WHERE kind = 'job-claimed' GROUP BY 1"
        ).fetchall()
    assert {1} == {count for _, count in claims}
    assert 4 == len(claims)


def events_are_told(site: Site, run_id: int) -> bool:
    """Follow a run for one event, and hang up; False when no place is free."""
    with site.following(run_id) as answer:
        return answer.status == 200 and next(events_of(answer))["event"] == "job-queued"


def test_a_stream_ends_with_its_server(site: Site, start: Worker) -> None:
    """Followers do not keep a server from stopping, and take no more places than there are."""
    run_id = site.post(RUNS, SLOW)["run_id"]
    with site.following(run_id) as answer:
        first = next(events_of(answer))
        assert ("job-queued", "operator") == (first["event"], first["data"]["actor"].removeprefix("token "))
        text = site.server.get("/metrics")[1].decode()
        assert re.search(r"segue_http_requests_in_progress [1-9]", text)
    for _ in range(20):  # more than there are places
        wait_for(lambda: events_are_told(site, run_id), 10)
    with serving(site.url, "--drain-seconds", "0", "--stop-seconds", "20") as other:
        there = Site(site.url, other, site.token)
        with there.following(run_id) as answer:
            events = events_of(answer)
            next(events)
            started = time.monotonic()
            other.send(signal.SIGTERM)
            assert [] == [event for event in events if event["event"] == "end"], "the run has not ended"
        other.process.wait(timeout=15)
        assert time.monotonic() - started < 10
