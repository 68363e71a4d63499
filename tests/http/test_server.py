"""Whole servers: ready when warm, fresh in every worker, and no request lost whatever is taken from them."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from sql.database import Database
from sql.embedded import EmbeddedServer
from sql.schema import upgrade
from tests.conftest import Server, _fresh
from tests.http.conftest import fill
from tests.http.servers import AUTOCOMPLETE, Load, SegueServer, serving, wait_for
from tests.redis_server import RedisProcess, redis_process

TARGETS = [f"{AUTOCOMPLETE}?q={text}" for text in ("g", "gr", "grace", "ho", "ho+sp", "tag", "xyz", "kyrei", "holy+gh")]

Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def url(server: Server, template: str) -> Iterator[str]:
    """A filled database for the module."""
    for each in _fresh(server, template):
        with psycopg.connect(each, autocommit=True) as connection:
            fill(connection)
        yield each


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisProcess]:
    """A Redis that may be killed."""
    with redis_process() as process:
        yield process


@pytest.fixture(scope="module")
def running(url: str, redis: RedisProcess) -> Iterator[SegueServer]:
    """A server with two workers."""
    with serving(url, "--workers", "2", "--drain-seconds", "0.5", "--redis-url", redis.url) as server:
        wait_for(lambda: len(server.find("worker ready")) == 2)
        yield server


@pytest.fixture
def database(url: str) -> Iterator[Connection]:
    """A connection to the servers' database."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def add_tag(connection: Connection, name: str) -> float:
    """Make a tag and return when that was committed."""
    connection.execute("INSERT INTO tags (name, normalized_name) VALUES (%s, lower(%s))", [name, name])
    return time.monotonic()


def seen_by_all(server: SegueServer, query: str, name: str) -> bool:
    """Tell whether a name is suggested on each of many connections, which all workers share."""
    return all(name in server.suggested(query) for _ in range(16))


def test_every_request_is_counted(running: SegueServer) -> None:
    """The metrics of all workers together count what was sent, no more and no less."""

    def counted() -> int:
        text = running.get("/metrics")[1].decode()
        found = re.search(r'_count\{code="200",method="GET",route="/v1/tags/autocomplete"\} (\d+)', text)
        return int(found[1]) if found else 0

    before = counted()
    with Load(running.port, TARGETS, clients=6) as load:
        time.sleep(1)

    assert not load.failures
    assert {200} == set(load.answers)
    wait_for(lambda: counted() - before == load.answers[200], 3)
    assert "segue_workers 2.0" in running.get("/metrics")[1].decode()


def test_a_new_tag_is_seen_in_every_worker_within_a_second(running: SegueServer, database: Connection) -> None:
    """Also while answers to the same query come from the cache."""
    with Load(running.port, [f"{AUTOCOMPLETE}?q=quick", *TARGETS], clients=2):
        for number in range(3):
            committed = add_tag(database, f"Quicksilver {number}")
            wait_for(lambda name=f"Quicksilver {number}": seen_by_all(running, "quick", name), 5)  # type: ignore[misc]
            # Looking on sixteen connections takes a part of it.
            assert time.monotonic() - committed < 1.2


def test_sighup_loses_no_request(running: SegueServer) -> None:
    """A rolling restart under load: all workers are new afterwards, and every request was answered 200."""
    before = running.workers()
    with Load(running.port, [*TARGETS, "/v1/tags/popular", "/v1/tags?limit=3"], clients=6) as load:
        running.send(signal.SIGHUP)
        wait_for(lambda: not before & running.workers() and len(running.workers()) == 2, 30)

    assert [] == load.failures
    assert {200} == set(load.answers)


def test_a_killed_worker_costs_its_own_requests_at_most(running: SegueServer) -> None:
    """With kill -9: the other worker answers on, and soon there are two again."""
    victim = min(running.workers())
    with Load(running.port, TARGETS, clients=4) as load:
        time.sleep(0.2)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(running.workers() - {victim}) == 2)
        time.sleep(0.5)

    assert {200} == set(load.answers)
    assert len(load.failures) <= 4, "what was under way in the killed process, and no more"
    assert victim not in running.workers()


def test_redis_may_go_and_come(running: SegueServer, redis: RedisProcess, database: Connection) -> None:
    """Without Redis every request is answered 200, changes still arrive, and /readyz says that it is degraded."""
    with Load(running.port, TARGETS, clients=2) as load:
        redis.kill()
        wait_for(lambda: running.json("/readyz")["status"] == "degraded")
        add_tag(database, "Redisless")
        wait_for(lambda: seen_by_all(running, "redisl", "Redisless"), 5)
        redis.start()
        wait_for(lambda: all(running.json("/readyz")["status"] == "ok" for _ in range(8)))

    assert [] == load.failures
    assert {200} == set(load.answers)


def test_without_a_relay_it_answers_on(running: SegueServer, database: Connection) -> None:
    """When nobody relays, requests are answered from what is known; afterwards what was missed arrives."""
    with Load(running.port, TARGETS, clients=2) as load:
        database.execute("UPDATE segue.relay SET holder = gen_random_uuid(), held_until = 'infinity'")
        add_tag(database, "Unrelayed")
        time.sleep(0.7)
        assert "Unrelayed" not in running.suggested("unrel")
        database.execute("UPDATE segue.relay SET holder = NULL, held_until = NULL")
        wait_for(lambda: seen_by_all(running, "unrel", "Unrelayed"), 5)

    assert [] == load.failures
    assert {200} == set(load.answers)


def test_from_start_to_stop(url: str) -> None:
    """Alive at once, ready only when index and cache are filled; after SIGTERM not ready, and no request is lost."""
    with psycopg.connect(url) as locking, ExitStack() as stack:
        locking.execute("LOCK TABLE tags IN ACCESS EXCLUSIVE MODE")
        server = SegueServer(url, "--drain-seconds", "0.8", SEGUE_LOCK_TIMEOUT_MS="300")
        stack.callback(server.end)
        wait_for(lambda: server.get("/livez")[0] == 200)
        assert [503] * 3 == [server.get(path)[0] for path in ("/readyz", "/startupz", TARGETS[0])]
        locking.rollback()
        server.wait_until_ready()
        assert 200 == server.get("/startupz")[0]
        text = server.get("/metrics")[1].decode()
        entries = re.search(r'segue_cache_entries\{cache="suggestions"\} (\S+)', text)
        assert entries is not None
        assert float(entries[1]) > 20, "the popular names' beginnings are there before the first request"

        # A balancer that heeds /readyz loses no request.
        with Load(server.port, TARGETS, clients=4) as load:
            time.sleep(0.2)
            server.send(signal.SIGTERM)
            wait_for(lambda: server.get("/readyz")[0] == 503, 3)
            time.sleep(0.2)
            load.stop()
        assert 0 == server.process.wait(10)

    assert [] == load.failures
    assert {200} == set(load.answers)


def test_memory_stays_flat(running: SegueServer, database: Connection) -> None:
    """Requests and changes for a while: what the workers hold does not grow. SEGUE_TEST_SOAK_SECONDS makes it longer."""
    seconds = float(os.environ.get("SEGUE_TEST_SOAK_SECONDS", "6"))

    def held() -> int:
        return sum(psutil.Process(worker).memory_full_info().uss for worker in running.workers())

    targets = [f"{AUTOCOMPLETE}?q={a}{b}" for a in "abcdefghijklmnopqrstuvwxyz" for b in "aeiou"]
    with Load(running.port, [*targets, "/v1/tags/popular", "/v1/tags", "/metrics"], clients=4) as load:
        time.sleep(seconds / 3)
        before = held()
        end = time.monotonic() + seconds * 2 / 3
        while time.monotonic() < end:
            database.execute("UPDATE tags SET usage_count = usage_count + 1 WHERE name LIKE 'Tag 0%'")
            time.sleep(0.05)
        after = held()

    assert [] == load.failures
    assert {200} == set(load.answers)
    assert after - before < 10_000_000 + 0.02 * before, f"{before:,} -> {after:,} bytes"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--cors-origin", "example.org"], 2, "is no origin"),
        (["--trusted-proxy", "nonsense"], 2, "is no network"),
        (["--sentry-dsn", "https://secret-key"], 2, "--sentry-dsn is no DSN"),
        (["--port", "70000"], 2, "not in the range"),
        (["--table", "no_such"], 5, "no_such"),
        (["--key", "nonsense"], 5, "nonsense"),
        (["--host", "192.0.2.1"], 1, "cannot listen on 192.0.2.1:8000"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    segue: Callable[..., Any], url: str, options: list[str], code: int, said: str
) -> None:
    """Before anything starts, with the command line's exit codes."""
    result = segue("serve", *options, url=url)

    assert (code, True) == (result.code, said in result.stderr)
    assert "secret-key" not in result.stderr


def test_databases_that_cannot_be_served(segue: Callable[..., Any], bare_url: str, url: str) -> None:
    """Unreachable is 1, without or for another schema is 5; each says what to do."""
    unreachable = segue("serve", url="postgresql://nobody@127.0.0.1:1/nowhere")
    assert (1, True) == (unreachable.code, "cannot connect" in unreachable.stderr)
    bare = segue("serve", url=bare_url)
    assert (5, True) == (bare.code, "segue db upgrade" in bare.stderr)
    other = segue("--schema", "elsewhere", "serve", url=url)
    assert (5, True) == (other.code, "--schema public" in other.stderr)


def test_a_taken_port_is_said(running: SegueServer, segue: Callable[..., Any], url: str) -> None:
    """Another server on the port: 1, with the port and what to do."""
    result = segue("serve", "--port", str(running.port), url=url)

    assert (1, True) == (result.code, f"127.0.0.1:{running.port}" in result.stderr)


@pytest.mark.slow
def test_postgresql_may_stop_and_come_back(tmp_path: Path) -> None:
    """Without the database every autocomplete request is answered 200; when it is back, so is everything."""
    # It also forgets its last commits, as a standby does that takes over: the triggers that the server has just made.
    quick = {"fsync": "off", "synchronous_commit": "off"}
    tmp_path.chmod(0o711)  # reachable by the account that the server drops to when the suite runs as root
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o711)
    embedded = EmbeddedServer(tmp_path / "home", pg_bin=os.environ.get("SEGUE_TEST_PG_BIN"), settings=quick)
    own_url = embedded.up()
    try:
        own = Database(own_url)
        upgrade(own)
        own.close()
        with psycopg.connect(own_url, autocommit=True) as connection:
            fill(connection)
        with serving(own_url) as server, Load(server.port, TARGETS, clients=2) as load:
            embedded.down(immediate=True)
            wait_for(lambda: server.json("/readyz")["status"] == "degraded")
            assert 200 == server.get("/readyz")[0], "it still answers, so balancers must not turn away"
            assert 503 == server.get("/v1/tags")[0]
            assert 200 == server.get("/v1/songs/search?tags=grace")[0]
            embedded.up()
            with psycopg.connect(own_url, autocommit=True) as connection:
                add_tag(connection, "Risen")
            wait_for(lambda: "Risen" in server.suggested("rise"))
            wait_for(lambda: server.json("/readyz")["status"] == "ok")
            assert 200 == server.get("/v1/tags")[0]
            load.stop()
            assert [] == load.failures
            assert {200} == set(load.answers)
    finally:
        embedded.down(immediate=True)
