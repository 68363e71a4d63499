"""Validation reads the files by another path: whatever is tampered with is found, named by its file, and can be mended."""

import pytest

from tests.node_persist.people import accounts, rows, saved, tables, user, write_users
from tests.node_persist.stores import DAY_MS, NOW_MS, file_name, write

FILE = file_name(4, "u03")
OF_ANN = "(SELECT id FROM users WHERE spotify_id = 'u03')"

TAMPERINGS = {
    "top track's rank": f"UPDATE user_top_tracks SET rank = 9 WHERE rank = 1 AND user_id = {OF_ANN}",
    "top track gone": f"DELETE FROM user_top_tracks WHERE rank = 2 AND user_id = {OF_ANN}",
    "top track too many": "INSERT INTO user_top_tracks (user_id, track_id, time_range, rank, run_id)"
    f" VALUES ({OF_ANN}, 't1', 'long_term', 1, 1)",
    "top artist's time": f"UPDATE user_top_artists SET updated_at = now() WHERE user_id = {OF_ANN}",
    "top artist gone": f"DELETE FROM user_top_artists WHERE user_id = {OF_ANN}",
    "play's time": "UPDATE user_listening_history SET listened_at = listened_at + interval '1 microsecond'"
    f" WHERE user_id = {OF_ANN} AND track_id = 't3'",
    "play's context": f"UPDATE user_listening_history SET context_type = 'album' WHERE user_id = {OF_ANN}",
    "play gone": f"DELETE FROM user_listening_history WHERE user_id = {OF_ANN}",
    "saved track's time": f"UPDATE user_saved_tracks SET saved_at = NULL WHERE user_id = {OF_ANN}",
    "saved track gone": f"DELETE FROM user_saved_tracks WHERE user_id = {OF_ANN}",
    "playlist gone": f"DELETE FROM playlists WHERE user_id = {OF_ANN}",
    "playlist item's position": "UPDATE playlist_tracks SET position = position + 7"
    f" WHERE playlist_id IN (SELECT id FROM playlists WHERE user_id = {OF_ANN})",
    "playlist item gone": "DELETE FROM playlist_tracks"
    f" WHERE playlist_id IN (SELECT id FROM playlists WHERE user_id = {OF_ANN}) AND position = 1",
    "user gone": "DELETE FROM users WHERE spotify_id = 'u03'",
    "quarantine gone": f"DELETE FROM segue.quarantine WHERE key = '{FILE}'",
    "accounting": f"UPDATE segue.files SET blank = blank + 1, linked = linked - 1 WHERE path = '{FILE}'",
    "outcome": f"UPDATE segue.files SET outcome = 'expired' WHERE path = '{FILE}'",
}

SHARED_TAMPERINGS = {
    "tracks t3": "UPDATE tracks SET duration_ms = NULL WHERE id = 't3'",
    "artists a2": "UPDATE artists SET genres = '[]' WHERE id = 'a2'",
    "albums b3": "UPDATE albums SET release_date = NULL, release_date_precision = NULL WHERE id = 'b3'",
    "audio_features t3": "DELETE FROM audio_features WHERE track_id = 't3'",
    "track_artists t4\x1fa2": "DELETE FROM track_artists WHERE track_id = 't4' AND artist_id = 'a2'",
    "track_albums s3\x1fb3": "DELETE FROM track_albums WHERE track_id = 's3'",
}


@pytest.fixture
def store(tmp_path, segue):
    """A store with every kind of outcome, imported."""
    store = tmp_path / "storage"
    write_users(store, 8)
    write(
        store,
        4,
        "u03",
        user("u03", 3, savedTracks=[saved("s3", album={"id": "b3", "name": "B", "release_date": "1999"}), 3]),
    )
    write(store, 2, "u04", user("u04", 4, lastUpdated="2025-01-01T00:00:00Z"))
    write(store, 4, "cat", user("cat"), ttl=1, now_ms=NOW_MS - 10 * DAY_MS)
    write(store, 4, "session:1", {"theme": 1})
    file = write(store, 4, "eve", user("eve"))
    file.write_bytes(file.read_bytes()[:-40])
    (store / ".DS_Store").write_bytes(b"\0")
    assert 4 == segue("migrate", "node-persist", "--source", str(store)).code
    return store


def test_a_true_run_is_proven(store, segue) -> None:
    """Nothing is found in a run that nobody touched, and every file was checked."""
    result = segue("validate", "node-persist", "--json")
    assert (0, True, []) == (result.code, result.json["equal"], result.json["mismatches"])
    assert 13 == result.json["checked_rows"]
    digest = result.json["digest"]
    assert digest["expected"] == digest["actual"]
    assert 0 == segue("validate", "1", "--workers", "1").code


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_and_mended(what, store, segue, connection) -> None:
    """A row that was changed, deleted or added is found, its file is named, and --repair brings it back."""
    before = (
        tables(connection),
        accounts(connection),
        rows(connection, "SELECT key, pointer FROM segue.quarantine ORDER BY 1, 2"),
    )
    assert connection.execute(TAMPERINGS[what]).rowcount >= 1
    found = segue("validate", "--json")
    assert 3 == found.code
    assert FILE in {item["key"] for item in found.json["mismatches"]}, found.json["mismatches"]
    mended = segue("validate", "--repair", "--json")
    assert (0, []) == (mended.code, mended.json["mismatches"])
    assert 0 == segue("validate").code
    kept = rows(connection, "SELECT key, pointer FROM segue.quarantine ORDER BY 1, 2")
    assert before == (tables(connection), accounts(connection), kept)


@pytest.mark.parametrize("what", SHARED_TAMPERINGS, ids=lambda what: what.partition(" ")[0])
def test_shared_rows_are_proven(what, store, segue, connection) -> None:
    """A shared row that is missing or lacks what a file gives is found, and --repair brings it back."""
    before = tables(connection)
    assert connection.execute(SHARED_TAMPERINGS[what]).rowcount >= 1
    found = segue("validate", "--json")
    assert 3 == found.code
    files = {path for path, of in accounts(connection).items() if of[0] == "imported"}
    assert found.json["mismatches"]
    for item in found.json["mismatches"]:
        assert item["key"] in files
        assert item["problem"].endswith(what)
    mended = segue("validate", "--repair", "--json")
    assert (0, []) == (mended.code, mended.json["mismatches"])
    assert before == tables(connection)


def test_edits_of_people_are_no_mismatch(store, segue, connection) -> None:
    """People's own rows, their edits of users, and facts that are more than the files give are all as they should be."""
    for query in (
        "UPDATE users SET display_name = 'Edited', email = NULL WHERE spotify_id = 'u03'",
        f"UPDATE playlists SET name = 'Theirs', description = NULL WHERE user_id = {OF_ANN}",
        "UPDATE tracks SET popularity = 100, name = 'zzz' WHERE id = 't3'",
        f"INSERT INTO user_saved_tracks (user_id, track_id) VALUES ({OF_ANN}, 't3')",
        "INSERT INTO users (spotify_id) VALUES ('zoe')",
    ):
        connection.execute(query)
    result = segue("validate", "--json")
    assert (0, []) == (result.code, result.json["mismatches"])


def test_file_that_changed_since_is_told(store, segue) -> None:
    """A file that is no longer as it was imported is a mismatch, and --repair takes it in."""
    write(store, 4, "u03", user("u03", 33))
    found = segue("validate", "--json")
    assert (3, True) == (found.code, FILE in {item["key"] for item in found.json["mismatches"]})
    assert 0 == segue("validate", "--repair").code
    assert 0 == segue("validate").code


def test_full_validation_within_a_run(segue, connection, tmp_path) -> None:
    """`migrate --validate` proves everything before it says that it is done."""
    write_users(tmp_path / "storage", 5)
    result = segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), "--validate", "--json")
    assert (0, True, []) == (result.code, result.json["digest"]["equal"], result.json["mismatches"])
    assert [("full",)] == rows(connection, "SELECT validation ->> 'kind' FROM segue.runs")
