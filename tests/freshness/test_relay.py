"""From the outbox to the log: numbers without gaps, one notification a batch, one leader."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis

from service.freshness.events import Failed, LeadershipChanged, Relayed
from service.freshness.relay import LEASE_SECONDS, Relay
from sql.database import Database
from tests.freshness.serving import Observed, eventually
from tests.redis_server import redis_server

Connection = psycopg.Connection[Any]
ROOT = Path(__file__).parents[2]


def leave(connection: Connection, *rows: tuple[str, list[str] | None]) -> None:
    """Commit rows into the outbox at once, like a writer's triggers."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO segue.outbox (kind, keys) VALUES (%s, %s)", rows)


def log(connection: Connection) -> list[tuple[int, str, set[str] | None]]:
    """Return number, kind and keys of all changes."""
    rows = connection.execute("SELECT number, kind, keys FROM segue.changes ORDER BY number").fetchall()
    return [(number, kind, None if keys is None else set(keys)) for number, kind, keys in rows]


def is_drained(connection: Connection) -> bool:
    """Tell whether the outbox is empty."""
    return connection.execute("SELECT NOT EXISTS (SELECT FROM segue.outbox)").fetchone() == (True,)


@pytest.fixture
def listener(database_url: str) -> Iterator[Connection]:
    """A connection that listens to the relay."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("LISTEN segue_changes")
        yield connection


def test_batch_becomes_one_change_a_kind(database: Database, connection: Connection, listener: Connection) -> None:
    """Rows that wait together are one change of tags and one of songs, and one notification with the newest number."""
    leave(connection, ("tags", ["a", "b"]), ("songs", ["1"]), ("tags", ["b", "c"]), ("songs", ["2"]))
    seen = Observed()
    with Relay(database, observers=(seen,)):
        eventually(lambda: is_drained(connection))
        leave(connection, ("tags", ["d"]))
        eventually(lambda: is_drained(connection))
        leave(connection, ("songs", ["3"]), ("songs", None))
        eventually(lambda: is_drained(connection))

    songs, tags = {"1", "2"}, {"a", "b", "c"}
    assert [(1, "songs", songs), (2, "tags", tags), (3, "tags", {"d"}), (4, "songs", None)] == log(connection)
    assert ["2", "3", "4"] == [notify.payload for notify in listener.notifies(timeout=0.5)]
    assert [Relayed(4, 2), Relayed(1, 3), Relayed(2, 4)] == seen.of(Relayed)
    assert (4,) == connection.execute("SELECT number FROM segue.relay").fetchone()


def test_very_many_keys_are_not_named(database: Database, connection: Connection) -> None:
    """Above 10,000 keys in a batch the change says that anything of the kind may have changed; others stay as they are."""
    leave(connection, *(("tags", [f"{row}-{key}" for key in range(1_000)]) for row in range(11)), ("songs", ["1"]))

    with Relay(database):
        eventually(lambda: is_drained(connection))

    assert [(1, "songs", {"1"}), (2, "tags", None)] == log(connection)


def test_long_outbox_is_drained_in_bounded_batches(database: Database, connection: Connection) -> None:
    """What no server relayed for a long time is moved batch after batch, without a pause between them."""
    connection.execute(
        "INSERT INTO segue.outbox (kind, keys) SELECT 'tags', ARRAY[n::text] FROM generate_series(1, 5001) AS n"
    )
    seen = Observed()

    with Relay(database, observers=(seen,)):
        assert eventually(lambda: is_drained(connection)) < 5

    assert [2_000, 2_000, 1_001] == [event.rows for event in seen.of(Relayed)]
    assert {str(number) for number in range(1, 5_002)} == set().union(*(keys for _, _, keys in log(connection)))


def test_writer_that_is_late_is_not_older_than_its_commit(
    database: Database, connection: Connection, database_url: str
) -> None:
    """A row written long before its commit counts from the last look that did not find it."""
    with Relay(database), psycopg.connect(database_url) as writer:
        writer.execute("INSERT INTO segue.outbox (kind, keys) VALUES ('tags', '{a}')")
        time.sleep(1)
        writer.commit()
        eventually(lambda: log(connection))

    ((age,),) = connection.execute("SELECT extract(epoch FROM relayed_at - written_at) FROM segue.changes").fetchall()
    assert 0 <= age < 0.9


def test_log_is_trimmed_but_never_short(database: Database, connection: Connection) -> None:
    """Old changes go when there are many; recent ones and the newest ones stay."""
    connection.execute(
        """
        INSERT INTO segue.changes (number, kind, keys, written_at, relayed_at)
        SELECT n, 'tags', '{a}', now(), now() - CASE WHEN n <= 50 THEN interval '2 hours' ELSE interval '0' END
        FROM generate_series(1, 100) AS n;
        UPDATE segue.relay SET number = 100
        """
    )
    with Relay(database, keep_rows=70):
        eventually(lambda: log(connection)[0][0] > 1)
    assert list(range(31, 101)) == [number for number, _, _ in log(connection)]

    with Relay(database, keep_rows=10):
        eventually(lambda: log(connection)[0][0] > 31)
    assert list(range(51, 101)) == [number for number, _, _ in log(connection)]


def test_one_process_relays_and_hands_over_at_once(database: Database, connection: Connection) -> None:
    """Of two relays one leads; when it stops, the other one does within moments."""
    first, second = Relay(database), Relay(database)
    with second:
        with first:
            eventually(lambda: first.is_leader or second.is_leader)
            time.sleep(2 * LEASE_SECONDS)
            assert 1 == [first.is_leader, second.is_leader].count(True)
            leader, other = (first, second) if first.is_leader else (second, first)
            leader.stop()
            assert eventually(lambda: other.is_leader) < 1
        leave(connection, ("tags", ["a"]))
        if other is second:
            eventually(lambda: is_drained(connection))


def test_relay_that_is_gone_is_replaced_within_two_seconds(
    database: Database, connection: Connection, database_url: str
) -> None:
    """After kill -9 of the process that relays, what it left waiting is relayed by another one."""
    program = (
        "import sys, time; from service.freshness.relay import Relay; from sql.database import Database;"
        "Relay(Database(sys.argv[1])).start(); time.sleep(60)"
    )
    leave(connection, ("tags", ["a"]))
    process = subprocess.Popen([sys.executable, "-c", program, database_url], cwd=ROOT)
    try:
        eventually(lambda: is_drained(connection))
        with Relay(database) as standby:
            time.sleep(0.6)
            assert not standby.is_leader
            os.kill(process.pid, signal.SIGKILL)
            leave(connection, ("tags", ["b"]))
            assert eventually(lambda: is_drained(connection)) < 2
            assert standby.is_leader
    finally:
        process.kill()
        process.wait()

    assert [(1, "tags", {"a"}), (2, "tags", {"b"})] == log(connection)


def test_deposed_relay_moves_nothing(database: Database, connection: Connection) -> None:
    """Whoever lost the lease without noticing finds out before it takes a row."""
    seen = Observed()
    with Relay(database, observers=(seen,)) as relay:
        eventually(lambda: relay.is_leader)
        with connection.transaction():
            connection.execute("UPDATE segue.relay SET holder = %s, held_until = 'infinity'", [uuid4()])
            connection.execute("INSERT INTO segue.outbox (kind, keys) VALUES ('tags', '{a}')")
        eventually(lambda: not relay.is_leader)
        time.sleep(0.5)
        assert not is_drained(connection)
        connection.execute("UPDATE segue.relay SET held_until = NULL")
        eventually(lambda: is_drained(connection))

    assert [True, False, True, False] == [event.is_leader for event in seen.of(LeadershipChanged)]


def test_lost_connection_is_made_again(database: Database, connection: Connection) -> None:
    """When the server ends its sessions, the relay goes on with new ones."""
    seen = Observed()
    with Relay(database, observers=(seen,)) as relay:
        eventually(lambda: relay.is_leader)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        leave(connection, ("tags", ["a"]))
        eventually(lambda: is_drained(connection))

    assert "relay" in [event.what for event in seen.of(Failed)]


def test_redis_is_told_the_newest_number(database: Database, connection: Connection) -> None:
    """Whoever subscribes hears after each batch."""
    with redis_server() as url, redis.Redis.from_url(url) as client, Relay(database, client):
        subscription = client.pubsub(ignore_subscribe_messages=True)
        subscription.subscribe("segue_changes")
        subscription.get_message(timeout=5)
        for number in (b"1", b"2"):
            leave(connection, ("tags", ["a"]))
            heard = subscription.get_message(ignore_subscribe_messages=True, timeout=5)
            assert (b"segue_changes", number) == (heard["channel"], heard["data"])
        subscription.close()


def test_dead_redis_delays_nothing(database: Database, connection: Connection) -> None:
    """The client may retry for seconds, as it does by default: the log does not wait for it."""
    client = redis.Redis(unix_socket_path="/nowhere/redis.sock")
    with Relay(database, client):
        for key in "abc":
            leave(connection, ("tags", [key]))
            assert eventually(lambda: is_drained(connection)) < 1
    client.close()

    assert 3 == len(log(connection))
