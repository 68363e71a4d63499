"""Usage counts under a mirror: users' transactions leave them alone, the next command settles them."""

from typing import Any

import psycopg
import pytest

from tests.mirror.test_forward import FORWARD, HOPE

WRONG = (
    "SELECT t.normalized_name, t.usage_count, count(l.tag_id) FROM tags t LEFT JOIN song_tags l ON l.tag_id = t.id"
    " GROUP BY t.id HAVING t.usage_count <> count(l.tag_id) ORDER BY 1"
)


def count_of(connection: psycopg.Connection[Any], tag: str) -> int:
    """Return a tag's usage count."""
    return connection.execute("SELECT usage_count FROM tags WHERE normalized_name = %s", [tag]).fetchone()[0]


@pytest.mark.parametrize("command", ["migrate", "validate"])
def test_the_next_command_settles_them(command, songs, segue, connection) -> None:
    """They stand still while users write, are right after it, for new tags and unused ones too, and rollback leaves none."""
    songs(HOPE, key_type="bigint")
    assert 0 == segue(*FORWARD).code
    assert [] == connection.execute(WRONG).fetchall()
    connection.execute("UPDATE songs SET themes = '{Joy, Quite New}' WHERE id <= 10")
    connection.execute("DELETE FROM songs WHERE id > 25")
    assert (30, 0) == (count_of(connection, "hope"), count_of(connection, "quite new"))
    assert 4 <= len(connection.execute(WRONG).fetchall())

    assert 0 == segue(command).code
    assert [] == connection.execute(WRONG).fetchall()
    assert (15, 10) == (count_of(connection, "hope"), count_of(connection, "quite new"))

    connection.execute("UPDATE songs SET themes = '{}'")
    assert 0 == segue(command).code
    assert (0, 0) == (count_of(connection, "hope"), count_of(connection, "quite new"))
    assert 0 == segue("rollback").code
    assert (0,) == connection.execute("SELECT count(*) FROM tags").fetchone()
