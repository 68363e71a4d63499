"""Known answers: one hand-written user with many warts gives exactly these rows, counts, notes and quarantine."""

import hashlib
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.node_persist.people import album, artist, playlist, rows, saved, track, user
from tests.node_persist.stores import file_name, write

LOCAL = "spotify:local:Band:Demo:A+song:61"
ANN = {
    "profile": {
        "id": "ann", "display_name": " Ann \U0001f3b5", "email": "ann@example.org", "country": "de", "product": "premium",
    },
    "topTracks": {
        "short_term": [
            track("t1", ("a1", "a2"), album=album("b1", release_date="1999"), track_number=3, disc_number=1),
            None,
            {"id": "t2", "name": "Track t2"},
            track("t1"),
        ],
        "medium_term": [track("t2", duration_ms=200_000.0)],
    },
    "topArtists": {
        "long_term": [artist("a1", genres=["rock", "art pop", "rock"], popularity=70), {"name": "Nobody", "genres": []}],
    },
    "recentlyPlayed": [
        {"track": track("t1"), "played_at": "2025-05-04T08:00:00.123Z",
         "context": {"type": "album", "uri": "spotify:album:b1", "href": "x"}},
        {"track": track("t1"), "played_at": "2025-05-04T10:00:00.123+02:00", "context": None},
        {"track": track("t1"), "played_at": 1_746_345_600_456, "context": "spotify:user:bob:playlist:P9"},
        {"track": track("t1"), "played_at": None, "context": None},
        {"track": None, "played_at": "2025-05-04T08:00:00.123Z"},
    ],
    "savedTracks": [
        {"track": {"id": None, "uri": LOCAL, "name": "A song", "is_local": True, "artists": [{"name": "Band", "id": None}]},
         "added_at": None},
        saved("t2", "1970-01-01T00:00:00Z"),
        {"track": {"id": "e1", "type": "episode", "name": "x" * 600, "explicit": True}, "added_at": "2024-01-02T03:04:05Z"},
    ],
    "playlists": [
        playlist("p1", tracks={"items": [saved("t1"), None, saved("t1"), {"track": None}, saved("t2", None)]}),
        None,
    ],
    "audioFeatures": {
        "t1": {"id": "t1", "danceability": 0.123456789012, "loudness": 1.5, "key": -1, "tempo": 0, "time_signature": 0,
               "mode": 1},
        "t2": None,
        "zz": {"danceability": 0.5},
    },
    "lastUpdated": 1_748_772_000_000,
    "theme": "dark",
}  # fmt: skip

ANN_FILE = file_name(4, "users/ann/data")


def row_id(kind: str, key: str) -> uuid.UUID:
    """Return the id that a row of this kind must have."""
    return uuid.UUID(bytes=hashlib.sha256(f"{kind}:{key}".encode()).digest()[:16])


def instant(text: str) -> datetime:
    """Return a UTC instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


UPDATED = instant("2025-06-01T10:00:00")
USER, LIST = row_id("user", "ann"), row_id("playlist", "ann\x1fp1")

#: Table → its rows in the order of their keys, every column but created_at and run_id.
DUE = {
    "SELECT id, spotify_id, display_name, email, country, subscription_type, updated_at FROM users": [
        (USER, "ann", " Ann \U0001f3b5", "ann@example.org", None, "premium", UPDATED)
    ],
    "SELECT id, name, genres, popularity FROM artists ORDER BY id": [
        ("a1", "Artist a1", ["art pop", "rock"], 70),
        ("a2", "Artist a2", [], None),
    ],
    "SELECT id, name, release_date, release_date_precision, total_tracks FROM albums": [
        ("b1", "Album b1", date(1999, 1, 1), "year", 9)
    ],
    "SELECT id, name, kind, is_local, duration_ms, popularity, explicit FROM tracks ORDER BY id": [
        ("e1", "x" * 600, "episode", False, None, None, True),
        (LOCAL, "A song", "track", True, None, None, None),
        ("t1", "Track t1", "track", False, 180_000, 50, False),
        ("t2", "Track t2", "track", False, 200_000, 50, False),
    ],
    "SELECT track_id, artist_id, position FROM track_artists ORDER BY 1, 2": [
        ("t1", "a1", 0), ("t1", "a2", 1), ("t2", "a1", 0), ("t2", "a2", 1),
    ],
    "SELECT track_id, album_id, track_number, disc_number FROM track_albums": [("t1", "b1", 3, 1)],
    "SELECT track_id, danceability, energy, loudness, tempo, key, mode, time_signature FROM audio_features": [
        ("t1", Decimal("0.123456789012"), None, Decimal("1.5"), None, None, 1, None)
    ],
    "SELECT id, user_id, track_id, listened_at, context_type, context_id FROM user_listening_history ORDER BY listened_at": [
        (row_id("play", "ann\x1ft1\x1f1746345600123000"), USER, "t1", instant("2025-05-04T08:00:00.123"), "album", "b1"),
        (row_id("play", "ann\x1ft1\x1f1746345600456000"), USER, "t1", instant("2025-05-04T08:00:00.456"), "playlist", "P9"),
    ],
    "SELECT user_id, track_id, time_range, rank, updated_at FROM user_top_tracks ORDER BY time_range, rank": [
        (USER, "t2", "medium_term", 1, UPDATED),
        (USER, "t1", "short_term", 1, UPDATED),
        (USER, "t2", "short_term", 3, UPDATED),
    ],
    "SELECT user_id, artist_id, time_range, rank, updated_at FROM user_top_artists": [
        (USER, "a1", "long_term", 1, UPDATED)
    ],
    "SELECT user_id, track_id, saved_at FROM user_saved_tracks ORDER BY track_id": [
        (USER, "e1", instant("2024-01-02T03:04:05")), (USER, LOCAL, None), (USER, "t2", None),
    ],
    "SELECT id, user_id, spotify_playlist_id, name, description, is_public FROM playlists": [
        (LIST, USER, "p1", "List p1", "", True)
    ],
    "SELECT playlist_id, track_id, position, added_at FROM playlist_tracks ORDER BY position": [
        (LIST, "t1", 0, instant("2024-02-03T04:05:06")), (LIST, "t2", 4, None),
    ],
    "SELECT count(*) FROM spotify_tokens": [(0,)],
}  # fmt: skip


@pytest.fixture
def imported(segue, tmp_path):
    """Import Ann's file alone and return the report."""
    write(tmp_path / "storage", 4, "users/ann/data", ANN)
    result = segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), "--json")
    assert 4 == result.code, result.stderr
    return result.json


@pytest.mark.parametrize("query", DUE, ids=lambda query: query.partition(" FROM ")[2].partition(" ")[0])
def test_rows(query, imported, connection) -> None:
    """Every table holds exactly what is due, and nothing that would have to be made up."""
    assert DUE[query] == rows(connection, query)


def test_provenance(imported, connection) -> None:
    """Every row says which run made it, and that is the only run there is."""
    for query in DUE:
        table = query.partition(" FROM ")[2].partition(" ")[0]
        assert {imported["run_id"]} >= {run for (run,) in rows(connection, f"SELECT DISTINCT run_id FROM {table}")}
        assert [(0,)] == rows(connection, f"SELECT count(*) FROM {table} WHERE run_id IS NULL")


def test_accounting(imported, connection) -> None:
    """The file's four counts add up to its elements, and the report's are those of the file.

    Rows due are those that belong to the user: audio features are shared.
    """
    assert {"total": 26, "linked": 14, "merged": 3, "blank": 6, "quarantined": 3} == imported["elements"]
    assert {"total": 1, "processed": 1, "quarantined": 1} == imported["rows"]
    query = "SELECT path, user_id, outcome, elements, linked, merged, blank, quarantined, due_rows FROM segue.files"
    assert [(ANN_FILE, "ann", "imported", 26, 14, 3, 6, 3, 13)] == rows(connection, query)


def test_quarantine_names_file_and_place(imported, connection) -> None:
    """Each quarantined element has its file's path, its JSON pointer and a reason."""
    expected = {
        "/topArtists/long_term/1": "neither an id nor a URI",
        "/recentlyPlayed/3": "played_at is not an instant",
        "/audioFeatures/zz": "features of an unknown track",
    }
    query = "SELECT key, pointer, reason FROM segue.quarantine WHERE payload IS NULL"
    assert sorted((ANN_FILE, *of) for of in expected.items()) == sorted(rows(connection, query))
    errors = {error["key"]: error["error"] for error in imported["errors"]}
    assert {f"{ANN_FILE}#{pointer}": reason for pointer, reason in expected.items()} == errors


def test_notes_name_what_became_null(imported, connection) -> None:
    """What did not fit its column is NULL, and a note says where it was."""
    found = [pointer for (pointer,) in rows(connection, "SELECT pointer FROM segue.notes ORDER BY ordinal")]
    assert len(found) == len(set(found))
    assert {
        "/profile/country", "/savedTracks/1/added_at",
        "/audioFeatures/t1/key", "/audioFeatures/t1/tempo", "/audioFeatures/t1/time_signature",
    } == set(found)  # fmt: skip


def test_report(imported, connection) -> None:
    """The report has the contract's keys, and counts per table what is stored."""
    assert "complete" == imported["status"]
    assert {"migration": "node-persist", "dry_run": False, "resumed": False}.items() <= imported.items()
    assert imported["digest"]["equal"] is True
    assert imported["digest"]["expected"] == imported["digest"]["actual"]
    assert imported["digest"]["expected"].startswith("13:")  # rows due, not elements linked
    for table, count in imported["created"].items():
        assert [(count,)] == rows(connection, f"SELECT count(*) FROM {table}")
    assert 14 == len(imported["created"])


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_times_do_not_move(zone, imported, segue, connection, snapshot, tmp_path, monkeypatch) -> None:
    """Whatever the zones of process and connection, instants and dates are the same."""
    utc = [rows(connection, query) for query in DUE]
    assert 0 == segue("rollback").code
    for name in ("TZ", "PGTZ"):
        monkeypatch.setenv(name, zone)
    assert 4 == segue("migrate", "node-persist", "--source", str(tmp_path / "storage"), env={"TZ": zone}).code
    assert utc == [rows(connection, query) for query in DUE]


def test_file_time_dates_a_value_without_its_own(segue, connection, tmp_path) -> None:
    """Without lastUpdated, the file's time of change is that of user and rankings."""
    file = write(tmp_path / "storage", 2, "bob", user("bob", lastUpdated=None))
    assert 0 == segue("migrate", "node-persist", "--source", str(tmp_path / "storage")).code
    changed = datetime.fromtimestamp(0, UTC).timestamp() + file.stat().st_mtime_ns // 1_000 / 1e6
    for table in ("users", "user_top_tracks", "user_top_artists"):
        for (at,) in rows(connection, f"SELECT updated_at FROM {table}"):
            assert abs(at.timestamp() - changed) < 1e-5
