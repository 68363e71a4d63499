"""Dry run, run, run again, rollback: nothing happens that was not asked for, and everything can be taken back."""

import uuid

import pytest

from migrator.node_persist import manifest
from tests.node_persist.people import MADE, accounts, playlist, rows, tables, user, write_users
from tests.node_persist.stores import write

ANN = uuid.UUID(int=7)


@pytest.fixture
def migrate(segue, tmp_path):
    """Return a function that imports the store and returns the result."""

    def run(*arguments: str):
        return segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), "--json", *arguments)

    return run


def application(connection) -> None:
    """Make rows that the application owns: some that the files meet, some that they do not."""
    for query in (
        "INSERT INTO users (id, spotify_id, display_name) VALUES (%(ann)s, 'u01', 'Her own'), (gen_random_uuid(), 'zoe', NULL)",
        "INSERT INTO artists (id, name, genres) VALUES ('a1', 'Zz', '[\"own\"]'), ('a9', 'Nine', '[]')",
        "INSERT INTO albums (id, name) VALUES ('b1', 'Album b1')",
        "INSERT INTO tracks (id, name, popularity) VALUES ('t1', 'Track t1', 99), ('own', 'Own', NULL)",
        "INSERT INTO track_artists (track_id, artist_id) VALUES ('t1', 'a1')",
        "INSERT INTO audio_features (track_id, valence) VALUES ('t1', 0.75)",
        "INSERT INTO playlists (id, user_id, spotify_playlist_id, name) VALUES (%(ann)s, %(ann)s, 'p1', 'Mine')",
        "INSERT INTO playlist_tracks (playlist_id, track_id, position) VALUES (%(ann)s, 't1', 40)",
        "INSERT INTO user_saved_tracks (user_id, track_id) VALUES (%(ann)s, 'own')",
        "INSERT INTO user_top_tracks (user_id, track_id, time_range, rank) VALUES (%(ann)s, 't1', 'short_term', 5)",
        "INSERT INTO user_listening_history (user_id, track_id, listened_at) VALUES (%(ann)s, 't1', '2025-05-02T08:00:00.123Z')",
    ):
        connection.execute(query, {"ann": ANN} if "%(" in query else None)


@pytest.mark.parametrize("batch", ["3", "1000"])
@pytest.mark.parametrize("owner", ["nobody", "application"])
def test_life(owner, batch, migrate, segue, connection, snapshot, tmp_path) -> None:
    """A dry run leaves no trace and tells the truth; a second run changes nothing; rollback restores every byte."""
    write_users(tmp_path / "storage", 8)
    if owner == "application":
        application(connection)
    everything, before = snapshot("public", "segue"), snapshot()

    rehearsed = migrate("--dry-run", "-b", batch)
    assert (0, True) == (rehearsed.code, rehearsed.json["dry_run"])
    assert everything == snapshot("public", "segue")

    first = migrate("-b", batch)
    assert 0 == first.code, first.stderr
    for key in ("rows", "elements"):
        assert rehearsed.json[key] == first.json[key], key
    done = snapshot("public", "segue")
    again = migrate("-b", batch)
    assert (0, True) == (again.code, again.json["unchanged"])
    assert {0} == set(again.json["created"].values())
    assert done == snapshot("public", "segue")

    rolled = segue("rollback", "--json")
    assert 0 == rolled.code, rolled.stderr
    assert first.json["created"] == rolled.json["removed"]
    assert before == snapshot()
    for table in ("files", "notes", "quarantine"):
        assert [(0,)] == rows(connection, f"SELECT count(*) FROM segue.{table}")
    refused = segue("rollback", "1")
    assert (5, True) == (refused.code, "already rolled back" in refused.stderr)
    assert before == snapshot()


@pytest.mark.parametrize("batch", ["3", "1000"])
def test_dry_run_tells_what_would_be_made(batch, migrate, tmp_path) -> None:
    """A dry run counts the rows of every table, and gives the digest, that the run then makes."""
    write_users(tmp_path / "storage", 8)
    rehearsed, first = migrate("--dry-run", "-b", batch).json, migrate("-b", batch).json
    assert rehearsed["digest"]["expected"] == first["digest"]["expected"]
    assert rehearsed["created"] == first["created"]


def test_gaps_are_filled_and_nothing_else(migrate, connection, tmp_path) -> None:
    """Rows of the application keep what they hold; what they lack comes from the files, and stays theirs."""
    write_users(tmp_path / "storage", 3)
    application(connection)
    assert 0 == migrate().code
    query = "SELECT id, display_name, email, country, run_id FROM users WHERE spotify_id = 'u01'"
    assert [(ANN, "Her own", "u01@example.org", "DE", None)] == rows(connection, query)
    query = "SELECT name, popularity, duration_ms, explicit, run_id FROM tracks WHERE id = 't1'"
    assert [("Track t1", 99, 180_000, False, None)] == rows(connection, query)
    assert [("Zz", ["own"], None)] == rows(connection, "SELECT name, genres, run_id FROM artists WHERE id = 'a1'")
    query = "SELECT release_date::text, total_tracks, run_id FROM albums WHERE id = 'b1'"
    assert [("1999-01-01", 9, None)] == rows(connection, query)
    query = "SELECT valence::text, energy::text, run_id FROM audio_features WHERE track_id = 't1'"
    assert [("0.75", "0.25", None)] == rows(connection, query)
    assert [("Mine", None)] == rows(connection, f"SELECT name, run_id FROM playlists WHERE user_id = '{ANN}'")
    query = f"SELECT track_id, position, run_id FROM playlist_tracks WHERE playlist_id = '{ANN}' ORDER BY track_id"
    assert [("s1", 1, 1), ("t1", 40, None)] == rows(connection, query)
    query = f"SELECT track_id, rank, run_id FROM user_top_tracks WHERE user_id = '{ANN}' ORDER BY rank"
    assert [("t2", 2, 1), ("t1", 5, None)] == rows(connection, query)


def test_what_was_edited_since_is_kept(migrate, segue, connection, tmp_path) -> None:
    """Rollback restores gaps only where nobody has changed the row since."""
    write_users(tmp_path / "storage", 3)
    application(connection)
    assert 0 == migrate().code
    connection.execute("UPDATE users SET country = 'FR' WHERE spotify_id = 'u01'")
    connection.execute("UPDATE tracks SET duration_ms = 1 WHERE id = 't1'")
    rolled = segue("rollback", "--json")
    assert 0 == rolled.code
    assert [("Her own", "u01@example.org", "FR")] == rows(
        connection, "SELECT display_name, email, country FROM users WHERE spotify_id = 'u01'"
    )
    assert [(1, False)] == rows(connection, "SELECT duration_ms, explicit FROM tracks WHERE id = 't1'")
    assert [(None, None)] == rows(connection, "SELECT release_date, total_tracks FROM albums WHERE id = 'b1'")
    assert [(None,)] == rows(connection, "SELECT energy FROM audio_features WHERE track_id = 't1'")
    assert {"albums": 1, "audio_features": 1, "track_artists": 1} == rolled.json["restored"]


@pytest.fixture
def used(migrate, connection, tmp_path):
    """Import, then let the application refer to rows of the run and edit one."""
    write_users(tmp_path / "storage", 4)
    assert 0 == migrate().code
    user_id = rows(connection, "SELECT id FROM users WHERE spotify_id = 'u00'")[0][0]
    list_id = rows(
        connection, "SELECT id FROM playlists WHERE user_id = (SELECT id FROM users WHERE spotify_id = 'u02')"
    )[0][0]
    connection.execute("UPDATE users SET display_name = 'New' WHERE spotify_id = 'u03'")
    connection.execute("INSERT INTO user_saved_tracks (user_id, track_id) VALUES (%s, 't1')", [user_id])
    connection.execute("INSERT INTO tracks (id, name) VALUES ('own', 'Own')")
    connection.execute("INSERT INTO track_artists (track_id, artist_id) VALUES ('own', 'a3')")
    connection.execute("INSERT INTO playlist_tracks (playlist_id, track_id, position) VALUES (%s, 'own', 9)", [list_id])


def test_rollback_keeps_what_people_use(used, segue, connection) -> None:
    """Rows that the application refers to or has edited are kept as its own, with exit 7, and each is reported."""
    looked = segue("rollback", "--dry-run", "--json")
    assert 0 == looked.code
    rolled = segue("rollback", "--json")
    assert 7 == rolled.code
    kept = {
        table: {found for (found,) in rows(connection, f"SELECT {column} FROM {table}")}
        for table, column in (
            ("users", "spotify_id"), ("tracks", "id"), ("artists", "id"), ("albums", "id"),
            ("playlists", "spotify_playlist_id"), ("playlist_tracks", "track_id"), ("user_saved_tracks", "track_id"),
        )
    }  # fmt: skip
    assert {
        "users": {"u00", "u02", "u03"}, "tracks": {"t1", "own"}, "artists": {"a3"}, "albums": set(), "playlists": {"p2"},
        "playlist_tracks": {"own"}, "user_saved_tracks": {"t1"},
    } == kept  # fmt: skip
    for table in MADE:
        assert [(0,)] == rows(connection, f"SELECT count(*) FROM {table} WHERE run_id IS NOT NULL")
    found = sorted(conflict["key"].split(" ")[0] for conflict in rolled.json["conflicts"])
    assert ["artists", "playlists", "tracks", "users", "users", "users"] == found
    for table in ("users", "tracks", "artists", "playlists"):
        assert looked.json["removed"][table] == rolled.json["removed"][table], table


def test_rollback_aborts_when_asked(used, segue, snapshot) -> None:
    """With --on-conflict abort nothing is changed."""
    before = snapshot()
    assert 5 == segue("rollback", "--on-conflict", "abort").code
    assert before == snapshot()


def test_rollback_forced(used, segue, connection) -> None:
    """With --on-conflict force everything of the run goes, and what refers to it."""
    result = segue("rollback", "--on-conflict", "force", "--json")
    assert 0 == result.code, result.stderr
    assert [("own",)] == rows(connection, "SELECT id FROM tracks")
    for table in set(MADE) - {"tracks"}:
        assert [] == rows(connection, f"SELECT * FROM {table}"), table


@pytest.fixture
def results(migrate, segue, connection, tmp_path, monkeypatch):
    """Return a function that imports with some arguments, returns what it made, and takes it back."""
    write_users(tmp_path / "storage", 9)
    write(tmp_path / "storage", 2, "u03", user("u03", 3, lastUpdated="2025-09-09T00:00:00Z"))
    write(tmp_path / "storage", 4, "odd", {"playlists": [playlist("p1"), {"name": 3}], "topTracks": 7})
    monkeypatch.setattr(manifest, "SMALLEST_SHARE", 3)

    def run(*arguments: str):
        result = migrate(*arguments)
        assert 4 == result.code, result.stderr
        kept = rows(connection, "SELECT key, ordinal, pointer, reason FROM segue.quarantine ORDER BY 1, 2")
        found = tables(connection), accounts(connection), kept, result.json["elements"], result.json["digest"]
        assert 0 == segue("rollback").code
        return found

    return run


def test_ways_of_loading_agree(results) -> None:
    """Chunks of any size, one worker or two, with keys in place or without: the same tables, accounts and digest."""
    first = results("--workers", "1", "--load", "fresh")
    for load in ("fresh", "live"):
        for arguments in (("-b", "1"), ("-b", "7"), ("-b", "1000"), ("--workers", "2"), ("--workers", "2", "-b", "2")):
            assert first == results("--load", load, *arguments), (load, arguments)


def test_fresh_load_is_refused_beside_other_rows(migrate, connection, snapshot, tmp_path) -> None:
    """--load fresh takes keys away, so it wants empty tables; nothing is changed."""
    write_users(tmp_path / "storage", 1)
    application(connection)
    before = snapshot()
    assert 5 == migrate("--load", "fresh").code
    assert before == snapshot()
