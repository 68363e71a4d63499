"""People write while a run is half-way: nothing that they made is lost, and the run ends."""

import pytest

from tests.node_persist.people import rows, tables, write_users

#: What people may write while the tables of users' rows have lost their keys to a first load.
SAME = {
    "user_saved_tracks": "INSERT INTO user_saved_tracks (user_id, track_id, saved_at)"
    " SELECT id, replace(spotify_id, 'u0', 's'), '2020-01-01T00:00:00Z' FROM users",
    "user_top_tracks": "INSERT INTO user_top_tracks (user_id, track_id, time_range, rank)"
    " SELECT id, replace(spotify_id, 'u0', 't'), 'short_term', 50 FROM users",
    "user_top_artists": "INSERT INTO user_top_artists (user_id, artist_id, time_range, rank)"
    " SELECT id, 'a2', 'long_term', 50 FROM users",
    "user_listening_history": "INSERT INTO user_listening_history (user_id, track_id, listened_at, context_type)"
    " SELECT user_id, track_id, listened_at, 'theirs' FROM user_listening_history",
    "playlist_tracks": "INSERT INTO playlist_tracks (playlist_id, track_id, position)"
    " SELECT playlist_id, track_id, 70 FROM playlist_tracks",
}


@pytest.fixture
def migrate(segue, tmp_path):
    """Return a function that imports the store and returns the report."""
    write_users(tmp_path / "storage", 8)

    def run(*arguments: str, code: int = 0):
        result = segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), "--json", *arguments)
        assert code == result.code, result.stderr
        return result.json

    return run


@pytest.mark.parametrize("load", ["fresh", "live"])
def test_people_write_what_the_files_say_too(load, migrate, segue, connection, snapshot) -> None:
    """Rows that people make while a run is half-way stand, the run's for the same key give way, and the run ends."""
    before = snapshot()
    migrate("--load", load, "-b", "4", "--max-chunks", "1", code=6)
    made = {}
    for table, query in SAME.items():
        sets = query if load == "fresh" else f"{query} ON CONFLICT DO NOTHING"
        connection.execute(sets)
        made[table] = rows(connection, f"SELECT (to_jsonb(t))::text FROM {table} AS t WHERE run_id IS NULL ORDER BY 1")
    connection.execute("INSERT INTO users (spotify_id, display_name) SELECT 'u0' || n, 'Own' FROM generate_series(0, 7) AS n"
                       " ON CONFLICT DO NOTHING")  # fmt: skip
    migrate("--load", load, "-b", "4")
    for table, theirs in made.items():
        query = f"SELECT (to_jsonb(t))::text FROM {table} AS t WHERE run_id IS NULL ORDER BY 1"
        assert theirs == rows(connection, query), table
    shape = {name: (of["constraints"], of["indexes"]) for name, of in before.items() if name != "sequences"}
    assert shape == {name: (of["constraints"], of["indexes"]) for name, of in snapshot().items() if name != "sequences"}
    assert 0 == segue("validate").code


def test_dry_run_beside_an_unfinished_run(migrate, connection, snapshot) -> None:
    """A dry run leaves a half-done run alone, though its tables have lost their keys."""
    migrate("-b", "3", "--max-chunks", "1", code=6)
    before = snapshot("public", "segue")
    assert 8 == migrate("--dry-run")["rows"]["processed"]
    assert before == snapshot("public", "segue")
    migrate("-b", "3")
    assert 8 == len(tables(connection, "users")["users"])


@pytest.mark.parametrize("moment", ["half-way", "complete"])
def test_people_delete_a_user(moment, migrate, segue, connection) -> None:
    """A user whom the application deletes is not an error for the run."""
    if moment == "half-way":
        migrate("-b", "4", "--max-chunks", "1", code=6)
    else:
        migrate()
    name = rows(connection, "SELECT min(spotify_id) FROM users")[0][0]
    connection.execute("DELETE FROM users WHERE spotify_id = %s", [name])
    result = segue(
        "migrate", "node-persist", "--source", rows(connection, "SELECT settings ->> 'source' FROM segue.runs")[0][0]
    )
    assert result.code in {0, 3}, result.stderr
    if result.code == 3:
        assert 0 == segue("validate", "--repair").code
