"""Rows of artists, albums and audio features in whom nothing has to be tolerated."""

import json
from decimal import Decimal
from typing import Any, Final

import msgspec

from migrator.node_persist import scalars, typed
from migrator.node_persist.fitting import Note
from migrator.node_persist.scalars import Unfit
from migrator.node_persist.tolerant import Row

#: What the decoders raise at an object that is not sound.
ERRORS: Final = (msgspec.ValidationError, RecursionError)
_NUMBERS: Final = bytes(48 if byte in b"0123456789+-.eE" else 32 for byte in range(256))
_LONG_NUMBER: Final = b"0" * 30  # after translation; how exact and how large it may be is seen elsewhere
_EXACT: Final[frozenset[Any]] = frozenset((int, Decimal))
_LARGEST: Final = 20


def artist_row(artist: typed.Artist) -> Row | None:
    """Return the row of an artist, or None when something in it has to be tolerated."""
    if not artist.id.isalnum() or "\0" in artist.name:
        return None
    genres = "[]"
    if artist.genres:
        genres = json.dumps(sorted(set(artist.genres)), ensure_ascii=False, separators=(",", ":"))
        if "\\u0000" in genres:
            return None
    return artist.id, artist.name, genres, artist.popularity


def album_row(album: typed.Album) -> Row | None:
    """Return the row of an album, or None when something in it has to be tolerated."""
    if not album.id.isalnum() or "\0" in album.name:
        return None
    if album.release_date is None:
        return album.id, album.name, None, None, album.total_tracks
    try:
        released = scalars.release(album.release_date, album.release_date_precision)
    except Unfit:
        return None
    return album.id, album.name, *released, album.total_tracks


def typed_artist(octets: bytes) -> tuple[Row, tuple[Note, ...]] | None:
    """Return a sound artist's row, or None when it has to be read with tolerance."""
    try:
        row = artist_row(typed.decode_artist(octets))
    except ERRORS:
        return None
    return None if row is None else (row, ())


def typed_features(octets: bytes, track_id: str) -> tuple[Row, tuple[Note, ...]] | None:
    """Return the row of sound audio features, or None when they have to be read with tolerance."""
    if _LONG_NUMBER in octets.translate(_NUMBERS):
        return None
    try:
        found = typed.decode_features(octets)
    except (*ERRORS, ArithmeticError):
        return None
    id_: Any = found.id
    loudness: Any = found.loudness
    tempo: Any = found.tempo
    tone: Any = found.key
    mode: Any = found.mode
    signature: Any = found.time_signature
    shares: tuple[Any, ...] = (
        found.acousticness, found.danceability, found.energy, found.instrumentalness,
        found.liveness, found.speechiness, found.valence,
    )  # fmt: skip
    if (
        (id_ is not None and id_ != track_id)
        or not (tempo is None or (tempo.__class__ in _EXACT and tempo > 0))
        or not (tone is None or (tone.__class__ is int and 0 <= tone <= 11))
        or not (mode is None or (mode.__class__ is int and 0 <= mode <= 1))
        or not (signature is None or (signature.__class__ is int and 1 <= signature <= 7))
    ):
        return None
    for share in shares:
        if share is not None and (share.__class__ not in _EXACT or not 0 <= share <= 1):
            return None
    for number in (*shares, loudness, tempo):
        if number.__class__ is Decimal:
            if not -_LARGEST <= number.adjusted() <= _LARGEST:
                return None
        elif number is not None and number.__class__ is not int:
            return None
    return (track_id, *shares, loudness, tempo, tone, mode, signature), ()
