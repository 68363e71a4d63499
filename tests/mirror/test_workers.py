"""A mirrored run with several workers, directly and through a PgBouncer: what users write meanwhile ends right."""

import random
import threading
from typing import Any

import psycopg
import pytest

from tests.crash.conftest import nursery, start, wait_until  # noqa: F401 - fixtures
from tests.crash.state import THEMES
from tests.mirror.test_forward import late
from tests.pgbouncer import pooled
from tests.storm.agreement import legacy_differences, tag_differences
from tests.storm.writers import texts

SONGS = [(number, THEMES[number % 8]) for number in range(1, 301)]
MIRRORED = ("migrate", "--mirror", "forward", "--workers", "2", "-b", "5", "--nice", "4", "--json")


class User(threading.Thread):
    """Writes songs of its own, one transaction after the other, and remembers what the server acknowledged."""

    def __init__(self, url: str, seed: int, due: dict[int, Any]) -> None:
        super().__init__(name=f"user {seed}")
        self._url, self._chance, self._due = url, random.Random(seed), due
        self.is_over = threading.Event()
        self.writes, self.error = 0, None

    def run(self) -> None:
        """Write until it is told to stop."""
        try:
            with psycopg.connect(self._url, autocommit=True, prepare_threshold=None) as connection:
                while not self.is_over.wait(0.005):
                    self._write(connection)
        except psycopg.Error as error:
            self.error = error

    def _write(self, connection: psycopg.Connection[Any]) -> None:
        song, themes = self._chance.choice(sorted(self._due)), texts(self._chance)
        kind = self._chance.choice(["set", "set", "append", "delete"])
        query = {
            "set": "INSERT INTO songs VALUES (%(song)s, 't', %(themes)s)"
            " ON CONFLICT (id) DO UPDATE SET themes = excluded.themes RETURNING themes",
            "append": "UPDATE songs SET themes = themes || %(themes)s::text[] WHERE id = %(song)s RETURNING themes",
            "delete": "DELETE FROM songs WHERE id = %(song)s RETURNING 'gone'",
        }[kind]
        row = connection.execute(query, {"song": song, "themes": themes}).fetchone()
        self._due[song] = row[0] if row is not None else self._due[song]
        self.writes += 1


@pytest.mark.parametrize("path", ["direct", "pooled"])
def test_users_write_while_two_workers_convert(path, songs, start, segue, database_url, connection) -> None:  # noqa: F811
    """Tags, legacy arrays and what was acknowledged agree; at least two partitions were converted under the writers."""
    songs(SONGS, key_type="bigint")
    if path == "direct":
        due = under_writers(start, connection, database_url)
    else:
        with pooled(database_url) as url:
            due = under_writers(start, connection, url)
    (partitions,) = connection.execute("SELECT count(*) FROM segue.partitions WHERE is_done").fetchone()
    assert partitions >= 2
    assert [] == legacy_differences(connection, due)
    assert [] == tag_differences(connection, due)
    assert 0 == segue("validate").code
    assert [] == late(connection)
    assert [] == tag_differences(connection, due)


def under_writers(start, connection, url: str) -> dict[int, Any]:  # noqa: F811
    """Migrate while two users write; return the songs as the server has acknowledged them."""
    every = dict(SONGS)
    users = [User(url, seed, {song: every[song] for song in every if song % 2 == seed}) for seed in range(2)]
    machine = start("ann", *MIRRORED, url=url)
    under_way = "SELECT count(*) FROM segue.partitions WHERE NOT is_done AND seq > 0"
    wait_until(lambda: connection.execute(under_way).fetchone()[0] >= 2 or not machine.is_running, "two are at work")
    assert machine.is_running
    for user in users:
        user.start()
    try:
        code, body, said = machine.end()
    finally:
        for user in users:
            user.is_over.set()
            user.join()
    assert 4 == code, said
    assert ("complete", "forward", True) == (body["status"], body["mirror"], body["digest"]["equal"])
    assert [None, None] == [user.error for user in users]
    assert all(user.writes > 20 for user in users), [user.writes for user in users]
    due = users[0]._due | users[1]._due
    return {song: themes for song, themes in due.items() if themes != "gone"}
