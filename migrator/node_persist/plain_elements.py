"""Single elements of a user's sections on the validator's path: null gives None, what does not fit raises `Wrong`."""

from collections.abc import Callable
from typing import Any

from migrator.node_persist import plain_objects, rows
from migrator.node_persist import plain_values as take
from migrator.node_persist.plain_objects import Found, Notes
from migrator.node_persist.plain_values import Wrong

_MALFORMED = object()


def unless_null(read: Callable[[Any, str], Found], value: Any, at: str) -> Found | None:
    """Read an element that is a track or an artist itself."""
    return None if value is None else read(value, at)


def entry_with_track(value: Any, at: str) -> Found | None:
    """Read a saved track or a playlist's item."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Wrong(rows.NOT_AN_OBJECT)
    if "track" not in value:
        raise Wrong(rows.NO_TRACK)
    return None if value["track"] is None else plain_objects.track(value["track"], f"{at}/track")


def play(value: Any, at: str) -> Found | None:
    """Read a play: its track, once its instant is sure."""
    if isinstance(value, dict) and value.get("track", "missing") is not None:
        try:
            take.instant(value.get("played_at"))
        except Wrong:
            raise Wrong(rows.NO_INSTANT) from None
    return entry_with_track(value, at)


def playlist_id(value: dict[str, Any]) -> str | None:
    """Return a playlist's id, None when it has none."""
    try:
        return take.key_of(value.get("id"), value.get("uri"), ("playlist",), longest=rows.LONGEST_ID)
    except Wrong as wrong:
        if str(wrong) == rows.NO_ID:
            return None
        raise


def playlist(value: Any, index: int) -> Found | None:
    """Read a playlist's key: its id, or its place among the playlists."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Wrong(rows.NOT_AN_OBJECT)
    id_ = playlist_id(value)
    take.name(value.get("name"))
    return f"n:{index}" if id_ is None else id_, [], Notes()


def features_entry(place: int, value: Any) -> tuple[int, str | None, Any, str]:
    """Return an array's entry: its place, an id beside the features, the features, and the pointer to these."""
    if not isinstance(value, list):
        return place, None, value, ""
    if len(value) != 2 or not isinstance(value[0], str):
        return place, None, _MALFORMED, ""
    return place, value[0], value[1], "/1"


def features(key: str | None, value: Any, at: str, named: set[str]) -> Found | None:
    """Read the audio features of one of the tracks that the file names."""
    if value is None:
        return None
    if key is not None:
        track = take.id_in_uri(key, plain_objects.ITEMS) or key
    elif isinstance(value, dict):
        track = take.key_of(
            value.get("id"), value.get("uri"), plain_objects.ITEMS, longest=rows.LONGEST_TRACK_ID
        )  # fmt: skip
    else:
        raise Wrong(rows.NOT_FEATURES)
    if track not in named:
        raise Wrong(rows.UNKNOWN_TRACK)
    return plain_objects.features(value, track, at)


def context(value: Any, at: str, notes: Notes) -> tuple[str | None, str | None]:
    """Return what a track was played from: its type and its id."""
    if value is None:
        return None, None
    if isinstance(value, str):
        return _place(notes.fit(at, value, take.text), at, notes)
    if not isinstance(value, dict):
        notes.append((at, rows.WRONG_TYPE))
        return None, None
    type_ = notes.fit(f"{at}/type", value.get("type"), take.text)
    uri = notes.fit(f"{at}/uri", value.get("uri"), take.text)
    id_ = notes.fit(f"{at}/id", value.get("id"), take.text)
    type_in_uri, id_in_uri = _place(uri, f"{at}/uri", notes)
    return type_ or type_in_uri, id_in_uri or id_ or None


def _place(uri: str | None, at: str, notes: Notes) -> tuple[str | None, str | None]:
    if uri is None or uri == "":
        return None, None
    parts = uri.split(":")
    if parts[0] == "spotify" and len(parts) >= 2 and "" not in parts:
        if parts[-1] == "collection":
            return "collection", None
        if len(parts) >= 3:
            return parts[-2], parts[-1]
    notes.append((at, rows.NOT_A_URI))
    return None, None


def pointer_token(place: str | int) -> str:
    """Return a member's name or an index as RFC 6901 writes it; what no text column holds, as U+FFFD."""
    token = str(place).replace("~", "~0").replace("/", "~1")
    return "".join(character if take.holds(character) else "\ufffd" for character in token)
