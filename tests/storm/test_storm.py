"""Users write all the time, and at the end tags, legacy arrays and the ledger of acknowledged writes agree exactly."""

import psycopg
import pytest

from tests.crash.conftest import zygotes  # noqa: F401 - the fixture
from tests.storm.agreement import legacy_differences, tag_differences
from tests.storm.storm import Storm
from tests.storm.writers import Writers

SEEDS = range(2)


def test_harness_is_sound(database_url, connection) -> None:
    """Without a migration the ledger is what is stored; one write behind its back, or one lost, is seen."""
    users = Writers(database_url, 1)
    users.start()
    connection.execute("SELECT pg_sleep(1)")
    users.stop()

    assert users.ledger.writes > 4_096 + 200
    assert [] == legacy_differences(connection, users.ledger.due())
    assert tag_differences(connection, users.ledger.due())
    song = next(iter(users.ledger.due()))
    connection.execute("UPDATE songs SET themes = '{behind}' WHERE id = %s", [song])
    assert [f"song {song}:"] == [
        said[: len(f"song {song}:")] for said in legacy_differences(connection, users.ledger.due())
    ]


@pytest.mark.parametrize(("seed", "mirror", "links"), [*((seed, "forward", 0.0) for seed in SEEDS), (2, "both", 0.3)])
def test_nothing_is_lost(seed, mirror, links, database_url, zygotes) -> None:  # noqa: F811
    """Migrated, killed, resumed, paused and rolled back under users: no write of theirs fails, waits for ever or is lost."""
    users = Writers(database_url, seed, pause=0.02, links=links)
    storm = Storm(database_url, zygotes, seed, users, mirror)
    users.start()
    try:
        storm.migrate()
        storm.rest(0.3)
    finally:
        users.stop()
    assert [] == storm.differences(is_migrated=True), storm.log
    assert [] == storm.catch_up(), storm.log

    users.start()
    try:
        storm.rest(0.2)
        storm.rollback()
    finally:
        users.stop()
    assert [] == storm.differences(is_migrated=False), storm.log
    with psycopg.connect(database_url) as connection:
        assert (0,) == connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
