"""Many writers whose commits come in another order than their writes, while everything between them and the reader breaks."""

import random
import threading
import time
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from service.freshness.follower import Follower
from service.freshness.relay import Relay
from sql.database import Database
from tests.conftest import Command
from tests.freshness.serving import State, eventually, names, stored

Connection = psycopg.Connection[Any]
WRITERS, ROUNDS, TAGS = 6, 25, 30


class Writers:
    """Threads that change tags of their own and common ones, wait, and commit or roll back; each has its own seed."""

    def __init__(self, url: str, seed: int, tags: list[UUID]) -> None:
        self._url = url
        self._tags = tags
        self.committed: set[str] = set()
        self.rolled_back: set[str] = set()
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(f"{seed} {n}"),)) for n in range(WRITERS)
        ]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _write(self, chance: random.Random) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            for _ in range(ROUNDS):
                is_kept = chance.random() < 0.7
                touched = set()
                with connection.transaction(force_rollback=not is_kept):
                    # In one order, so that writers wait for each other but never deadlock.
                    for tag in sorted(chance.sample(self._tags, chance.randint(0, 3))):
                        connection.execute("UPDATE tags SET usage_count = usage_count + 1 WHERE id = %s", [tag])
                        touched.add(str(tag))
                    new = uuid4()
                    connection.execute(
                        "INSERT INTO tags (id, name, normalized_name) VALUES (%s, %s, %s)",
                        [new, f"N {new}", f"n {new}"],
                    )
                    touched.add(str(new))
                    with connection.transaction(force_rollback=True):
                        connection.execute("DELETE FROM tags WHERE id = %s", [new])
                    time.sleep(chance.choice([0, 0, 0.001, 0.02, 0.15]))
                (self.committed if is_kept else self.rolled_back).update(touched)


@pytest.fixture
def tags(connection: Connection) -> list[UUID]:
    """Tags that all writers change."""
    return [
        tag_id
        for (tag_id,) in connection.execute(
            "INSERT INTO tags (name, normalized_name) SELECT 'T' || n, 't' || n FROM generate_series(1, %s) AS n RETURNING id",
            [TAGS],
        ).fetchall()
    ]


@pytest.mark.parametrize("seed", range(2))
def test_no_committed_change_is_lost(
    seed: int, followed: Database, connection: Connection, database_url: str, tags: list[UUID], state: State
) -> None:
    """Every committed change is in the log, numbers have no gap, and the index ends equal to the table."""
    with Relay(followed), Follower(followed, "public", state) as follower:
        eventually(lambda: follower.staleness is not None)
        with Writers(database_url, seed, tags) as writers:
            pass
        assert eventually(lambda: names(state) == stored(connection)) < 1

    numbers = [
        number for (number,) in connection.execute("SELECT number FROM segue.changes ORDER BY number").fetchall()
    ]
    logged = {key for (keys,) in connection.execute("SELECT keys FROM segue.changes").fetchall() for key in keys}
    assert list(range(1, len(numbers) + 1)) == numbers
    assert writers.committed <= logged
    assert not (writers.rolled_back - writers.committed - set(map(str, tags))) & logged
    assert WRITERS * ROUNDS / 2 < len(writers.committed)


def test_nothing_is_lost_when_everything_breaks(
    followed: Database, connection: Connection, database_url: str, tags: list[UUID], state: State
) -> None:
    """Relays come and go, sessions of relays and followers are ended at random, and builds run in between."""
    other = State()
    stop = threading.Event()
    chance = random.Random(4)

    def break_things() -> None:
        with psycopg.connect(database_url, autocommit=True) as admin:
            while not stop.wait(chance.uniform(0.05, 0.25)):
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'segue'"
                    " AND datname = current_database() AND random() < 0.5"
                )
                if chance.random() < 0.2:
                    admin.execute("INSERT INTO segue.outbox (kind) VALUES ('tags')")

    breaking = threading.Thread(target=break_things)
    with (
        Relay(followed),
        Relay(followed),
        Follower(followed, "public", state, most_changes=20),
        Follower(followed, "public", other),
    ):
        eventually(lambda: state.index is not None and other.index is not None)
        breaking.start()
        with Writers(database_url, 9, tags):
            pass
        stop.set()
        breaking.join()
        eventually(lambda: names(state) == stored(connection) == names(other))

    numbers = [
        number for (number,) in connection.execute("SELECT number FROM segue.changes ORDER BY number").fetchall()
    ]
    assert list(range(1, len(numbers) + 1)) == numbers


def test_migration_is_followed_while_it_runs(
    followed: Database, connection: Connection, segue: Command, songs: Any, state: State
) -> None:
    """A dry run changes nothing in the index; a run's new tags, their counts and a rollback are all seen."""
    songs([(uuid4(), [f"Theme {number % 400}", "Hope", "hope "]) for number in range(2_000)])
    with Relay(followed), Follower(followed, "public", state) as follower:
        eventually(lambda: follower.staleness is not None)
        assert 0 == segue("migrate", "--dry-run").code
        eventually(lambda: follower.staleness < 0.3)
        assert (0, 0) == (len(state.index), follower.number)

        assert 0 == segue("migrate", "--batch-size", "500").code
        assert eventually(lambda: names(state) == stored(connection)) < 2
        assert 401 == len(state.index)
        assert 2_000 == state.index.by_name("hope").usage_count

        assert 0 == segue("rollback").code
        assert eventually(lambda: names(state) == stored(connection)) < 2
        assert 0 == len(state.index)
