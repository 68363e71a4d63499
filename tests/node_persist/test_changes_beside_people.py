"""Files change and people edit the same rows: the files' changes are taken in, people's are never lost."""

import pytest

from tests.node_persist.people import play, rows, track, user, write_users
from tests.node_persist.stores import file_name, write


@pytest.fixture
def store(tmp_path):
    """A store of eight users."""
    write_users(tmp_path / "storage", 8)
    return tmp_path / "storage"


@pytest.fixture
def migrate(segue, store):
    """Return a function that imports the store and returns the report."""

    def run():
        result = segue("migrate", "node-persist", "--source", str(store), "--json")
        assert 0 == result.code, result.stderr
        return result.json

    return run


def test_edits_of_people_stand(migrate, connection, store) -> None:
    """A user row that somebody edited keeps the edit, and is never deleted, whatever becomes of the file."""
    migrate()
    connection.execute("UPDATE users SET display_name = 'Edited' WHERE spotify_id IN ('u01', 'u02')")
    connection.execute(
        "INSERT INTO user_saved_tracks (user_id, track_id) SELECT id, 's1' FROM users WHERE spotify_id = 'u03'"
    )
    write(store, 4, "u01", user("u01", 12))
    for name in ("u02", "u03"):
        (store / file_name(4, name)).unlink()
    migrate()
    query = "SELECT spotify_id, display_name FROM users WHERE spotify_id IN ('u01', 'u02', 'u03') ORDER BY 1"
    assert [("u01", "Edited"), ("u02", "Edited"), ("u03", "Name u03")] == rows(connection, query)
    assert [(1,)] == rows(connection, "SELECT count(*) FROM user_saved_tracks WHERE run_id IS NULL AND track_id = 's1'")


def test_rollback_after_changes(migrate, segue, connection, snapshot, store) -> None:
    """However often a run was brought up to date, its rollback leaves the database as before the run."""
    connection.execute("INSERT INTO users (spotify_id, country) VALUES ('u01', 'FR'), ('u02', NULL)")
    connection.execute("INSERT INTO tracks (id, name) VALUES ('t1', 'Track t1'), ('s2', 'Zz')")
    before = snapshot()
    migrate()
    write(store, 4, "u01", user("u01", 11))
    write(store, 4, "u02", user("u02", 2, recentlyPlayed=[play("t1", 9, track=track("t1", popularity=77))]))
    (store / file_name(4, "u04")).unlink()
    migrate()
    assert 0 == segue("rollback").code
    assert before == snapshot()
