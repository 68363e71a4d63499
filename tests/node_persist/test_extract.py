"""The writer's path: each wart alone, and what becomes of it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from migrator.node_persist import rows
from migrator.node_persist.extract import Extract, Extractor
from migrator.node_persist.rows import TABLES
from tests.node_persist import values

MTIME = 1_700_000_000_123_456_789
ID, OTHER = values.TRACKS[:2]


def extract(value: Any, extractor: Extractor | None = None) -> Extract:
    """Extract one value of the usual user."""
    text = value if isinstance(value, bytes) else values.text_of(value)
    return (extractor or Extractor()).extract(text, values.USER, mtime_ns=MTIME)


def saved(track: Any, **more: Any) -> Extract:
    """Extract one saved track."""
    return extract({"savedTracks": [{"track": track, **more}]})


def test_a_full_user_gives_every_table() -> None:
    """One of everything, in the columns' order."""
    artist = {"id": "a1", "name": "A"}
    album = {"id": "b1", "name": "B", "release_date": "1999-12", "release_date_precision": "month", "total_tracks": 9}
    track = {"id": ID, "name": " T", "artists": [artist], "album": album, "duration_ms": 5, "popularity": 7,
             "explicit": False, "track_number": 3, "disc_number": 1, "type": "track", "uri": f"spotify:track:{ID}"}  # fmt: skip
    found = extract(
        {
            "profile": {"id": values.USER, "display_name": "N", "email": "e@x", "country": "SE", "product": "free"},
            "topTracks": {"short_term": [None, track]},
            "topArtists": {"long_term": {"items": [{**artist, "genres": ["pop", "folk", "pop"], "popularity": 3}]}},
            "recentlyPlayed": [
                {
                    "track": track,
                    "played_at": "2024-03-01T12:34:56.789Z",
                    "context": {"type": "album", "uri": "spotify:album:b1"},
                }
            ],
            "savedTracks": [{"track": track, "added_at": None}],
            "playlists": [
                {
                    "id": "p1",
                    "name": "P",
                    "public": True,
                    "tracks": {"items": [{"track": track, "added_at": "2024-03-01T12:34:56Z"}]},
                }
            ],
            "audioFeatures": {ID: {"energy": 0.10, "tempo": 120.5, "key": 3.0}},
            "lastUpdated": 1709296496789,
        }
    )
    at = datetime(2024, 3, 1, 12, 34, 56, 789000, UTC)

    assert found.user_rows == {
        "users": [(values.USER, "N", "e@x", "SE", "free", at)],
        "user_listening_history": [(values.USER, ID, at, "album", "b1")],
        "user_top_tracks": [(values.USER, ID, "short_term", 2, at)],
        "user_top_artists": [(values.USER, "a1", "long_term", 1, at)],
        "user_saved_tracks": [(values.USER, ID, None)],
        "playlists": [(values.USER, "p1", "p1", "P", None, True)],
        "playlist_tracks": [(values.USER, "p1", ID, 0, at.replace(microsecond=0))],
    }
    assert found.shared_rows == {
        "artists": [("a1", "A", "[]", None), ("a1", "A", '["folk","pop"]', 3)],
        "albums": [("b1", "B", datetime(1999, 12, 1).date(), "month", 9)],  # noqa: DTZ001
        "tracks": [(ID, " T", "track", False, 5, 7, False)],
        "track_artists": [(ID, "a1", 0)],
        "track_albums": [(ID, "b1", 3, 1)],
        "audio_features": [(ID, None, None, Decimal("0.1"), *[None] * 5, Decimal("120.5"), 3, None, None)],
    }
    assert (found.elements, found.linked, found.merged, found.blank) == (9, 8, 0, 1)
    assert (found.notes, found.quarantined, found.updated_at) == ([], [], 1709296496789000)


@pytest.mark.parametrize(
    ("track", "row"),
    [
        ({"id": None, "uri": "spotify:local:a:b:c:1", "name": "x"}, ("spotify:local:a:b:c:1", "x", "track", True)),
        ({"id": ID, "name": "x", "type": "episode", "album": {"id": "show", "name": "s"}}, (ID, "x", "episode", False)),
        ({"uri": f"spotify:episode:{ID}", "name": "x"}, (ID, "x", "episode", False)),
        ({"id": ID, "name": "  \U0001f3b5" + "n" * 600}, (ID, "  \U0001f3b5" + "n" * 600, "track", False)),
        ({"id": ID, "name": "x", "linked_from": {"id": OTHER}}, (ID, "x", "track", False)),
        ({"id": ID, "name": "", "explicit": None, "popularity": 55.0}, (ID, "", "track", False, None, 55, None)),
        ({"id": ID, "name": "x", "popularity": 101, "duration_ms": -1}, (ID, "x", "track", False, None, None, None)),
    ],
)
def test_odd_tracks_are_kept(track: Any, row: tuple[Any, ...]) -> None:
    """Local, episode, relinked, trimmed and out of range: one row each, and an episode's show is no album."""
    found = saved(track)

    assert row == found.shared_rows["tracks"][0][: len(row)]
    assert [] == found.shared_rows["albums"] + found.quarantined


@pytest.mark.parametrize(
    ("track", "reason"),
    [
        ({"name": "x"}, rows.NO_ID),
        ({"id": ID}, rows.NO_NAME),
        ({"id": ID, "name": "a\0"}, rows.NAME_UNHOLDABLE),
        ({"id": ID, "name": "a\ud800"}, rows.NAME_UNHOLDABLE),
        ({"id": "i" * 2001, "name": "x"}, rows.ID_TOO_LONG),
        ({"id": "i\0", "name": "x"}, rows.ID_UNHOLDABLE),
        (5, rows.NOT_AN_OBJECT),
    ],
)
def test_what_cannot_be_imported_is_quarantined_alone(track: Any, reason: str) -> None:
    """The element's pointer and a reason; its neighbours are imported."""
    found = extract({"savedTracks": [{"track": {"id": OTHER, "name": "x"}}, {"track": track}, {"track": None}]})

    assert [("/savedTracks/1", reason)] == found.quarantined
    assert [(OTHER, "x", "track", False, None, None, None)] == found.shared_rows["tracks"]
    assert (3, 1, 0, 1) == (found.elements, found.linked, found.merged, found.blank)


@pytest.mark.parametrize(
    ("given_date", "precision", "row", "problems"),
    [
        ("1999", "year", ("1999-01-01", "year"), []),
        ("1999-12", None, ("1999-12-01", "month"), []),
        ("1999-12-31", "day", ("1999-12-31", "day"), []),
        ("2004-01-01", "year", ("2004-01-01", "year"), []),
        ("1999", "day", ("1999-01-01", "year"), []),
        ("0000", "year", ("None", None), [("/savedTracks/0/track/album/release_date", rows.NOT_A_DATE)]),
        (None, "day", ("None", None), []),
    ],
)
def test_release_dates(given_date: Any, precision: Any, row: Any, problems: Any) -> None:
    """The coarser of text and precision counts; what is no date is NULL with a note."""
    album = {"id": "b", "name": "B", "release_date": given_date, "release_date_precision": precision}
    found = saved({"id": ID, "name": "x", "album": album})

    assert row == (str(found.shared_rows["albums"][0][2]), found.shared_rows["albums"][0][3])
    assert problems == found.notes


@pytest.mark.parametrize(
    ("added_at", "stored", "problems"),
    [
        ("2024-03-01T13:34:56+01:00", "2024-03-01T12:34:56+00:00", []),
        (1709296496, "2024-03-01T12:34:56+00:00", []),
        ("1970-01-01T00:00:00Z", None, [rows.UNKNOWN_INSTANT]),
        (0, None, [rows.UNKNOWN_INSTANT]),
        ("2024-03-01T12:34:56", None, [rows.NOT_AN_INSTANT]),
        (None, None, []),
    ],
)
def test_instants(added_at: Any, stored: str | None, problems: list[str]) -> None:
    """Aware instants in UTC; the unknown is NULL, never a made-up time."""
    found = saved({"id": ID, "name": "x"}, added_at=added_at)
    at = found.user_rows["user_saved_tracks"][0][2]

    assert stored == (at and at.isoformat())
    assert problems == [problem for _, problem in found.notes]


def test_repeats_are_merged_and_fill_what_is_missing() -> None:
    """The first place counts, a later date or context fills a gap, and every repeat is counted."""
    track = {"id": ID, "name": "x"}
    play = {"track": track, "played_at": "2024-03-01T12:34:56Z"}
    found = extract(
        {
            "recentlyPlayed": [play, {**play, "played_at": 1709296496000, "context": "spotify:user:u:playlist:p"}],
            "playlists": [
                {"id": "p", "name": "One", "items": [{"track": track}, {"track": track, "added_at": 1709296496}]},
                {"id": "p", "name": "Two", "description": "d", "items": [{"track": {"id": OTHER, "name": "y"}}]},
                {"name": "no id"},
            ],
        }
    )
    at = datetime(2024, 3, 1, 12, 34, 56, tzinfo=UTC)

    assert [(values.USER, ID, at, "playlist", "p")] == found.user_rows["user_listening_history"]
    assert [
        (values.USER, "p", "p", "One", "d", False),
        (values.USER, "n:2", None, "no id", None, False),
    ] == found.user_rows["playlists"]
    assert [(values.USER, "p", ID, 0, at), (values.USER, "p", OTHER, 2, None)] == found.user_rows["playlist_tracks"]
    assert (8, 5, 3) == (found.elements, found.linked, found.merged)


@pytest.mark.parametrize("wrap", [lambda one: {ID: one}, lambda one: [{"id": ID, **one}], lambda one: [[ID, one]]])
def test_features_in_three_forms(wrap: Any) -> None:
    """An object, an array of features, an array of pairs; 0.10 keeps its digits; what means unknown is NULL."""
    one = {
        "energy": values.number("0.1000000000000000055"),
        "loudness": 2.5,
        "key": -1,
        "tempo": 0,
        "time_signature": 0,
    }
    found = extract({"savedTracks": [{"track": {"id": ID, "name": "x"}}], "audioFeatures": wrap(one)})

    row = dict(zip(TABLES["audio_features"], found.shared_rows["audio_features"][0], strict=True))
    assert (row["energy"], row["loudness"]) == (Decimal("0.1000000000000000055"), Decimal("2.5"))
    assert (row["key"], row["tempo"], row["time_signature"]) == (None, None, None)
    assert {rows.OUT_OF_RANGE} == {problem for _, problem in found.notes}
    assert (2, 2) == (found.elements, found.linked)


def test_features_of_a_track_that_nothing_names_are_quarantined() -> None:
    """There is no row that they could belong to; the pointer is escaped as RFC 6901 wants."""
    found = extract({"audioFeatures": {"a/b~c": {"energy": 1}}})

    assert [("/audioFeatures/a~1b~0c", rows.UNKNOWN_TRACK)] == found.quarantined
