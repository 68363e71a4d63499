"""`rollback --on-conflict`: rows that the application added since, and that refer to what the import made."""

from pathlib import Path

import pytest

from tests.node_persist.people import rows, write_users

ADDED = """
INSERT INTO user_saved_tracks (user_id, track_id) SELECT u.id, t.id FROM users AS u, tracks AS t
WHERE NOT EXISTS (SELECT FROM user_saved_tracks AS s WHERE s.user_id = u.id AND s.track_id = t.id)
ORDER BY u.spotify_id, t.id LIMIT 1
"""


@pytest.fixture
def imported(segue, connection, tmp_path: Path) -> None:
    """An import, and since then a saved track and a favourite of the application's own."""
    write_users(tmp_path / "store", 4)
    assert 0 == segue("migrate", "node-persist", "--source", str(tmp_path / "store")).code
    connection.execute(ADDED)
    connection.execute("CREATE TABLE favourites (id int PRIMARY KEY, artist text REFERENCES artists (id))")
    connection.execute("INSERT INTO favourites SELECT 1, min(id) FROM artists")


def test_keep_leaves_what_is_used(imported, segue, connection) -> None:
    """The user, the track and the artist that the application's rows refer to stay, as its own."""
    done = segue("rollback", "--json")

    assert 7 == done.code
    kept = sorted(conflict["key"].split(" ")[0] for conflict in done.json["conflicts"])
    assert ["artists", "tracks", "users"] == kept
    assert [(None,)] == rows(connection, "SELECT run_id FROM users")
    assert [(None,)] == rows(connection, "SELECT run_id FROM tracks")
    assert [(None,)] == rows(connection, "SELECT run_id FROM artists")
    assert [(1,)] == rows(connection, "SELECT count(*) FROM user_saved_tracks")


def test_force_removes_the_uses_too(imported, segue, connection) -> None:
    """Nothing of the run stays, nor what referred to it."""
    assert 0 == segue("rollback", "--on-conflict", "force").code

    for table in ("users", "tracks", "artists", "user_saved_tracks", "favourites"):
        assert [(0,)] == rows(connection, f"SELECT count(*) FROM {table}"), table


def test_abort_changes_nothing(imported, segue, snapshot) -> None:
    """It refuses and names the first conflict."""
    before = snapshot()

    refused = segue("rollback", "--on-conflict", "abort")

    assert 5 == refused.code
    assert "refer" in refused.stderr
    assert before == snapshot()
