"""Listening for tests: users, tracks and plays in the tables, and their snapshots computed in plain Python."""

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor, isqrt
from typing import Any

import psycopg

Play = tuple[str, str, datetime]
Features = Mapping[str, Decimal | None]

RANGES = {"short_term": 28, "medium_term": 182, "long_term": 365}
NAMES = ("valence", "energy", "danceability", "tempo")


def at(day: str, time: str = "12:00") -> datetime:
    """Return a UTC instant."""
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)


def user_id(name: str) -> uuid.UUID:
    """Return the id that `listen` gives a user."""
    return uuid.uuid5(uuid.NAMESPACE_OID, name)


def features(valence: str | None, energy: str | None, danceability: str | None, tempo: str | None) -> Features:
    """Return a track's features from texts."""
    given = (valence, energy, danceability, tempo)
    return {name: None if text is None else Decimal(text) for name, text in zip(NAMES, given, strict=True)}


def listen(
    connection: psycopg.Connection[Any], plays: Iterable[Play], known: Mapping[str, Features], users: Iterable[str] = ()
) -> None:
    """Add users, tracks, features and plays; what is there already stays."""
    plays = list(plays)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO users (id, spotify_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [(user_id(name), name) for name in sorted({*users, *(play[0] for play in plays)})],
        )
        cursor.executemany(
            "INSERT INTO tracks (id, name) VALUES (%s, 'a track') ON CONFLICT DO NOTHING",
            [(track,) for track in sorted({*known, *(play[1] for play in plays)})],
        )
        cursor.executemany(
            "INSERT INTO audio_features (track_id, valence, energy, danceability, tempo) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [(track, *(of[name] for name in NAMES)) for track, of in sorted(known.items())],
        )
        cursor.executemany(
            "INSERT INTO user_listening_history (id, user_id, track_id, listened_at) VALUES (%s, %s, %s, %s)",
            [(uuid.uuid5(user_id(user), f"{track} {time}"), user_id(user), track, time) for user, track, time in plays],
        )


Snapshot = tuple[dict[str, Decimal | None], dict[str, dict[str, Decimal | int | None]], int]


def reference(plays: Iterable[Play], known: Mapping[str, Features]) -> dict[tuple[str, date, str], Snapshot]:
    """Return every snapshot due, computed one by one with exact fractions: slow and obvious."""
    due = {}
    plays = list(plays)
    for user, day in {(user, time.astimezone(UTC).date()) for user, _, time in plays}:
        for time_range, days in RANGES.items():
            heard = [
                known[track]
                for other, track, time in plays
                if other == user and day - timedelta(days=days) < time.astimezone(UTC).date() <= day and track in known
            ]
            due[user, day, time_range] = _figures(heard), _moods(heard), len(heard)
    return due


def stored(connection: psycopg.Connection[Any], *, run_id: int | None = None) -> dict[tuple[str, date, str], Snapshot]:
    """Return the snapshots in the table, with exact numbers; of one run, or all."""
    rows = connection.execute(
        "SELECT spotify_id, snapshot_date, time_range, audio_features::text, mood_patterns::text, total_tracks_analyzed"
        " FROM listening_snapshots JOIN users ON users.id = user_id WHERE listening_snapshots.run_id = %s OR %s::int IS NULL",
        [run_id, run_id],
    ).fetchall()
    return {row[:3]: (_exact(row[3]), _exact(row[4]), row[5]) for row in rows}


def rows_as_written(connection: psycopg.Connection[Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Return by user where each snapshot lies and which transaction wrote it: equal means never rewritten."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in connection.execute(
        "SELECT spotify_id, s.snapshot_date || ' ' || s.time_range, s.ctid::text, s.xmin::text"
        " FROM listening_snapshots s JOIN users ON users.id = s.user_id ORDER BY 1, 2"
    ).fetchall():
        found.setdefault(row[0], []).append(row[1:])
    return found


def _exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _figures(heard: list[Features]) -> dict[str, Decimal | None]:
    found: dict[str, Decimal | None] = {}
    for name in NAMES:
        values = [Fraction(of[name]) for of in heard if of[name] is not None]
        mean = sum(values) / len(values) if values else None
        variance = None if mean is None else sum((value - mean) ** 2 for value in values) / len(values)
        found[f"avg_{name}"] = None if mean is None else _rounded(mean, 6)
        found[f"std_{name}"] = None if variance is None else _rounded_root(variance)
    return found


def _moods(heard: list[Features]) -> dict[str, dict[str, Decimal | int | None]]:
    both = [(of["valence"], of["energy"]) for of in heard if of["valence"] is not None and of["energy"] is not None]
    half = Decimal("0.5")
    moods = {
        "happy": [1 for valence, energy in both if valence >= half and energy >= half],
        "calm": [1 for valence, energy in both if valence >= half and energy < half],
        "tense": [1 for valence, energy in both if valence < half and energy >= half],
        "sad": [1 for valence, energy in both if valence < half and energy < half],
    }
    return {
        name: {
            "percentage": _rounded(Fraction(100 * len(those), len(both)), 2) if both else None,
            "track_count": len(those),
        }
        for name, those in moods.items()
    }


def _rounded(value: Fraction, places: int) -> Decimal:
    return Decimal(floor(value * 10**places + Fraction(1, 2))).scaleb(-places)


def _rounded_root(value: Fraction) -> Decimal:
    """Return the square root to six places, exactly: floor(2 x 10^6 x root) by integers, then halved upwards."""
    return Decimal((isqrt(floor(4 * 10**12 * value)) + 1) // 2).scaleb(-6)
