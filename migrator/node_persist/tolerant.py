"""Tracks, artists, albums and audio features with any wart that the Web API or an application gave them."""

import json
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from migrator.node_persist import rows, scalars, spotify
from migrator.node_persist.fitting import Misfit, Note, bare, fit, identity, name_of

Row = tuple[Any, ...]

_ARTIST: Final = spotify.Decode(spotify.Artist)
_ALBUM: Final = spotify.Decode(spotify.Album)
_TRACK: Final = spotify.Decode(spotify.Track)
_FEATURES: Final = spotify.Decode(spotify.Features)

_ITEMS: Final = {"track", "episode"}
_LOCAL: Final = "spotify:local:"
_ABSENT: Final = frozenset((b"", b"n"))


class TrackRows(NamedTuple):
    """The rows that a track gives.

    Attributes:
        row: of `tracks`.
        artists: rows of `artists`, each id once.
        positions: of these artists.
        album: row of `albums`, or None.
        numbers: of the track and the disc.
        notes: what did not fit; pointers from the track.
    """

    row: Row
    artists: list[Row]
    positions: list[int]
    album: Row | None
    numbers: tuple[int | None, int | None]
    notes: tuple[Note, ...] = ()


def read_track(raw: Raw) -> TrackRows:
    """Read a track or an episode.

    Raises:
        Misfit: it cannot be imported.
    """
    track = _object(_TRACK(raw))
    notes: list[Note] = []
    id_ = identity(track.id, track.uri, _ITEMS, longest=rows.LONGEST_TRACK_ID, keeps_uri=True)
    uri = track.uri if track.uri.__class__ is str else ""
    is_episode = track.type == "episode" or uri.startswith("spotify:episode:")
    row = (
        id_,
        name_of(track.name),
        "episode" if is_episode else "track",
        track.is_local is True or uri.startswith(_LOCAL) or id_.startswith(_LOCAL),
        fit(notes, "/duration_ms", track.duration_ms, scalars.whole, 0, rows.LARGEST_INT),
        fit(notes, "/popularity", track.popularity, scalars.whole, 0, 100),
        fit(notes, "/explicit", track.explicit, scalars.truth),
    )
    if spotify.first(track.linked_from) not in _ABSENT:
        notes.append(("/linked_from", rows.RELINKED))
    if is_episode:  # its album is the show, its artist the publisher
        return TrackRows(row, [], [], None, (None, None), tuple(notes))
    artists = _artists(track.artists, notes)
    album = None if spotify.first(track.album) in _ABSENT else _nested(read_album, track.album, "/album", notes)
    numbers = None, None
    if album is not None:
        numbers = (
            fit(notes, "/track_number", track.track_number, scalars.whole, 1, rows.LARGEST_INT),
            fit(notes, "/disc_number", track.disc_number, scalars.whole, 1, rows.LARGEST_INT),
        )
    found = list(artists.values())
    return TrackRows(row, [one for one, _ in found], [at for _, at in found], album, numbers, tuple(notes))


def read_artist(raw: Raw) -> tuple[Row, tuple[Note, ...]]:
    """Read an artist: the row of `artists`, and what did not fit.

    Raises:
        Misfit: it cannot be imported.
    """
    artist = _object(_ARTIST(raw))
    notes: list[Note] = []
    id_ = identity(artist.id, artist.uri, {"artist"})
    name = name_of(artist.name)
    genres = _genres(artist.genres, notes)
    popularity = fit(notes, "/popularity", artist.popularity, scalars.whole, 0, 100)
    return (id_, name, genres, popularity), tuple(notes)


def read_album(raw: Raw) -> tuple[Row, tuple[Note, ...]]:
    """Read an album: the row of `albums`, and what did not fit.

    Raises:
        Misfit: it cannot be imported.
    """
    album = _object(_ALBUM(raw))
    notes: list[Note] = []
    id_ = identity(album.id, album.uri, {"album"})
    name = name_of(album.name)
    released = fit(notes, "/release_date", album.release_date, scalars.release, album.release_date_precision)
    total = fit(notes, "/total_tracks", album.total_tracks, scalars.whole, 0, rows.LARGEST_INT)
    return (id_, name, *(released or (None, None)), total), tuple(notes)


def read_features(raw: Raw, track_id: str) -> tuple[Row, tuple[Note, ...]]:
    """Read audio features as those of a track: the row of `audio_features`, and what did not fit.

    Raises:
        Misfit: they cannot be imported.
    """
    found = _FEATURES(raw)
    if found is None:
        raise Misfit(rows.NOT_FEATURES)
    notes: list[Note] = []
    if found.id.__class__ is str and bare(found.id, _ITEMS) != track_id:
        notes.append(("/id", rows.OTHER_ID))
    row = (
        track_id,
        *(fit(notes, f"/{name}", getattr(found, name), scalars.share) for name in rows.SHARES),
        fit(notes, "/loudness", found.loudness, scalars.exact),
        fit(notes, "/tempo", found.tempo, scalars.tempo),
        fit(notes, "/key", found.key, scalars.whole, 0, 11),
        fit(notes, "/mode", found.mode, scalars.whole, 0, 1),
        fit(notes, "/time_signature", found.time_signature, scalars.whole, 1, 7),
    )
    return row, tuple(notes)


T = TypeVar("T")


def _object(found: T | None) -> T:
    if found is None:
        raise Misfit(rows.NOT_AN_OBJECT)
    return found


def _artists(raw: Raw, notes: list[Note]) -> dict[str, tuple[Row, int]]:
    """Return a track's artists by id, each with its first position."""
    found: dict[str, tuple[Row, int]] = {}
    if spotify.first(raw) in _ABSENT:
        return found
    try:
        listed = spotify.raw_list(raw)
    except msgspec.ValidationError:
        notes.append(("/artists", rows.WRONG_TYPE))
        return found
    for position, one in enumerate(listed):
        if spotify.first(one) != b"n":
            row = _nested(read_artist, one, f"/artists/{position}", notes)
            if row is not None:
                found.setdefault(row[0], (row, position))
    return found


def _nested(read: Any, raw: Raw, pointer: str, notes: list[Note]) -> Row | None:
    """Return the row of an artist or album of a track; one that does not fit does not cost the track."""
    row: Row
    try:
        row, own = read(raw)
    except Misfit as misfit:
        if misfit.reason != rows.NO_ID:  # a local track's artists and album have names only
            notes.append((pointer, f"{misfit.reason}; {rows.LEFT_OUT}"))
        return None
    notes.extend((pointer + suffix, problem) for suffix, problem in own)
    return row


def _genres(value: Any, notes: list[Note]) -> str:
    """Return the genres as sorted JSON text without repeats."""
    if value is None:
        return "[]"
    if value.__class__ is not list:
        notes.append(("/genres", rows.WRONG_TYPE))
        return "[]"
    found = {fit(notes, f"/genres/{number}", one, scalars.text) for number, one in enumerate(value)} - {None}
    return json.dumps(sorted(found), ensure_ascii=False, separators=(",", ":"))
