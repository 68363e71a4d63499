"""Small users for stores, as the Web API gave them, and what a database holds of them when times of making do not count."""

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.node_persist.stores import write

#: What a run fills, each table with the columns that say when or by which run a row was made.
MADE: dict[str, tuple[str, ...]] = {
    "users": ("created_at",),
    "artists": ("created_at",),
    "albums": ("created_at",),
    "tracks": ("created_at",),
    "track_artists": (),
    "track_albums": (),
    "audio_features": (),
    "playlists": ("created_at", "updated_at"),
    "playlist_tracks": (),
    "user_listening_history": (),
    "user_top_tracks": (),
    "user_top_artists": (),
    "user_saved_tracks": (),
    "spotify_tokens": ("updated_at",),
}
SHARED = ("artists", "albums", "tracks", "track_artists", "track_albums", "audio_features")
UPDATED = "2025-06-01T10:00:00.000Z"
PLAYED = "2025-05-{:02}T08:00:00.123Z"

Json = dict[str, Any]


def artist(name: str, /, **more: Any) -> Json:
    """Return a simplified artist; `more` makes it full."""
    return {"id": name, "name": f"Artist {name}", "uri": f"spotify:artist:{name}", **more}


def album(name: str, /, **more: Any) -> Json:
    """Return an album without a date."""
    return {"id": name, "name": f"Album {name}", "total_tracks": 9, **more}


def track(name: str, /, artists: tuple[str, ...] = (), **more: Any) -> Json:
    """Return a track without an album; its artists follow from its name, so that all who name it agree."""
    artists = artists or (("a1", "a2") if name[-1] in "02468" else ("a1",))
    return {
        "id": name,
        "name": f"Track {name}",
        "uri": f"spotify:track:{name}",
        "type": "track",
        "duration_ms": 180_000,
        "explicit": False,
        "popularity": 50,
        "artists": [artist(one) for one in artists],
        **more,
    }


def play(name: str, day: int, **more: Any) -> Json:
    """Return a play of a track on a day of May 2025."""
    return {"track": track(name), "played_at": PLAYED.format(day), "context": None, **more}


def saved(name: str, at: str | None = "2024-02-03T04:05:06Z", **more: Any) -> Json:
    """Return a saved track or an item of a playlist."""
    return {"track": track(name, **more), "added_at": at}


def playlist(name: str, /, *tracks: str, **more: Any) -> Json:
    """Return a playlist with its items."""
    items = {"total": len(tracks), "items": [saved(one) for one in tracks]}
    return {"id": name, "name": f"List {name}", "description": "", "public": True, "tracks": items, **more}


def user(name: str, number: int = 1, **more: Any) -> Json:
    """Return a user with something in every section; another number, other tracks."""
    one, two = f"t{number}", f"t{number % 7 + 1}"
    known = {"danceability": 0.5, "energy": 0.25, "tempo": 120.5, "loudness": -5.25, "key": number % 12, "mode": 1}
    return {
        "profile": {"id": name, "display_name": f"Name {name}", "email": f"{name}@example.org", "country": "DE"},
        "topTracks": {"short_term": [track(one), track(two)]},
        "topArtists": {"long_term": [artist("a2", genres=["rock", "art pop"], popularity=40), artist("a3")]},
        "recentlyPlayed": [play(one, number % 28 + 1), play(two, number % 28 + 1)],
        "savedTracks": [saved(f"s{number}", album=album(f"b{number % 5}", release_date="1999"))],
        "playlists": [playlist(f"p{number % 3}", one, f"s{number}")],
        "audioFeatures": {one: known},
        "lastUpdated": UPDATED,
        **more,
    }


def write_users(directory: Path, count: int) -> None:
    """Write users u00, u01, … as 4.x does."""
    for number in range(count):
        write(directory, 4, f"u{number:02}", user(f"u{number:02}", number))


def tables(connection: psycopg.Connection[Any], *names: str) -> dict[str, list[str]]:
    """Return the rows of the tables that a run fills, and of each whether a run made it, without times of making."""
    found = {}
    for name in names or MADE:
        query = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text || (run_id IS NOT NULL) FROM {} AS t").format(
            sql.Identifier(name)
        )
        found[name] = sorted(row[0] for row in connection.execute(query, [["run_id", *MADE[name]]]))
    return found


def rows(connection: psycopg.Connection[Any], query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return a query's rows."""
    return connection.execute(query, values).fetchall()  # type: ignore[arg-type]


def accounts(connection: psycopg.Connection[Any]) -> dict[str, tuple[Any, ...]]:
    """Return each file's outcome and how many elements it has, linked, merged, blank and quarantined."""
    query = "SELECT path, outcome, elements, linked, merged, blank, quarantined FROM segue.files ORDER BY path"
    return {path: found for path, *found in connection.execute(query).fetchall()}  # type: ignore[misc]
