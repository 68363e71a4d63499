"""Tracks, artists, albums and audio features on the validator's path."""

import json
from collections.abc import Callable
from typing import Any

from migrator.node_persist import plain_values as take
from migrator.node_persist import rows
from migrator.node_persist.plain_values import Wrong

ITEMS = ("track", "episode")

Row = tuple[Any, ...]
Found = tuple[str, list[tuple[str, Row]], list[tuple[str, str]]]  # the id, (table, row)s, notes


class Notes(list[tuple[str, str]]):
    """Pointers and problems."""

    def fit(self, pointer: str, value: Any, convert: Callable[..., Any], *more: Any) -> Any:
        """Convert an optional value; None, with a note, when it does not fit."""
        if value is None:
            return None
        try:
            return convert(value, *more)
        except Wrong as wrong:
            self.append((pointer, str(wrong)))
            return None


def track(value: Any, at: str) -> Found:
    """Read a track or an episode that stands at a pointer."""
    if not isinstance(value, dict):
        raise Wrong(rows.NOT_AN_OBJECT)
    notes = Notes()
    uri = value["uri"] if isinstance(value.get("uri"), str) else ""
    key = take.key_of(value.get("id"), uri, ITEMS, longest=rows.LONGEST_TRACK_ID, or_uri=True)
    is_episode = value.get("type") == "episode" or uri.startswith("spotify:episode:")
    row = (
        key,
        take.name(value.get("name")),
        "episode" if is_episode else "track",
        value.get("is_local") is True or uri.startswith("spotify:local:") or key.startswith("spotify:local:"),
        notes.fit(f"{at}/duration_ms", value.get("duration_ms"), take.integer, 0, rows.LARGEST_INT),
        notes.fit(f"{at}/popularity", value.get("popularity"), take.integer, 0, 100),
        notes.fit(f"{at}/explicit", value.get("explicit"), take.boolean),
    )
    found: list[tuple[str, Row]] = [("tracks", row)]
    if value.get("linked_from") is not None:
        notes.append((f"{at}/linked_from", rows.RELINKED))
    if not is_episode:
        found += _artists_of(key, value.get("artists"), f"{at}/artists", notes)
        found += _album_of(key, value, at, notes)
    return key, found, notes


def _artists_of(key: str, artists: Any, at: str, notes: Notes) -> list[tuple[str, Row]]:
    if artists is None:
        return []
    if not isinstance(artists, list):
        notes.append((at, rows.WRONG_TYPE))
        return []
    found: list[tuple[str, Row]] = []
    done = set()
    for position, one in enumerate(artists):
        id_, more = _part(artist, one, f"{at}/{position}", notes)
        if id_ is not None and id_ not in done:
            done.add(id_)
            found += [*more, ("track_artists", (key, id_, position))]
    return found


def _album_of(key: str, value: dict[str, Any], at: str, notes: Notes) -> list[tuple[str, Row]]:
    id_, found = _part(album, value.get("album"), f"{at}/album", notes)
    if id_ is None:
        return []
    number = notes.fit(f"{at}/track_number", value.get("track_number"), take.integer, 1, rows.LARGEST_INT)
    disc = notes.fit(f"{at}/disc_number", value.get("disc_number"), take.integer, 1, rows.LARGEST_INT)
    return [*found, ("track_albums", (key, id_, number, disc))]


def _part(
    read: Callable[[Any, str], Found], value: Any, at: str, notes: Notes
) -> tuple[str | None, list[tuple[str, Row]]]:
    """Read a part of a track; one that does not fit is left out, with a note unless it only lacks an id."""
    if value is None:
        return None, []
    try:
        id_, found, own = read(value, at)
    except Wrong as wrong:
        if str(wrong) != rows.NO_ID:
            notes.append((at, f"{wrong}; {rows.LEFT_OUT}"))
        return None, []
    notes += own
    return id_, found


def artist(value: Any, at: str) -> Found:
    """Read an artist that stands at a pointer."""
    if not isinstance(value, dict):
        raise Wrong(rows.NOT_AN_OBJECT)
    notes = Notes()
    key = take.key_of(value.get("id"), value.get("uri"), ("artist",), longest=rows.LONGEST_ID)
    name = take.name(value.get("name"))
    genres = value.get("genres")
    if genres is not None and not isinstance(genres, list):
        notes.append((f"{at}/genres", rows.WRONG_TYPE))
        genres = None
    kept = {notes.fit(f"{at}/genres/{number}", one, take.text) for number, one in enumerate(genres or [])}
    genre_text = json.dumps(sorted(one for one in kept if one is not None), ensure_ascii=False, separators=(",", ":"))
    popularity = notes.fit(f"{at}/popularity", value.get("popularity"), take.integer, 0, 100)
    return key, [("artists", (key, name, genre_text, popularity))], notes


def album(value: Any, at: str) -> Found:
    """Read an album that stands at a pointer."""
    if not isinstance(value, dict):
        raise Wrong(rows.NOT_AN_OBJECT)
    notes = Notes()
    key = take.key_of(value.get("id"), value.get("uri"), ("album",), longest=rows.LONGEST_ID)
    name = take.name(value.get("name"))
    released = notes.fit(
        f"{at}/release_date", value.get("release_date"), take.release, value.get("release_date_precision")
    )
    total = notes.fit(f"{at}/total_tracks", value.get("total_tracks"), take.integer, 0, rows.LARGEST_INT)
    day, precision = released if released is not None else (None, None)
    return key, [("albums", (key, name, day, precision, total))], notes


def features(value: Any, key: str, at: str) -> Found:
    """Read the audio features of a track that stand at a pointer."""
    if not isinstance(value, dict):
        raise Wrong(rows.NOT_FEATURES)
    notes = Notes()
    own = value.get("id")
    if isinstance(own, str) and (take.id_in_uri(own, ITEMS) or own) != key:
        notes.append((f"{at}/id", rows.OTHER_ID))
    row: list[Any] = [key]
    row += [notes.fit(f"{at}/{name}", value.get(name), take.share) for name in rows.SHARES]
    row.append(notes.fit(f"{at}/loudness", value.get("loudness"), take.number))
    row.append(notes.fit(f"{at}/tempo", value.get("tempo"), take.tempo))
    row.append(notes.fit(f"{at}/key", value.get("key"), take.integer, 0, 11))
    row.append(notes.fit(f"{at}/mode", value.get("mode"), take.integer, 0, 1))
    row.append(notes.fit(f"{at}/time_signature", value.get("time_signature"), take.integer, 1, 7))
    return key, [("audio_features", tuple(row))], notes
