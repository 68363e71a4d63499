"""The Web API's objects as far as the catalogue holds them: full, simplified or trimmed alike.

Scalars are decoded as they come and judged later (`scalars`), so that a wart in one never costs the object. Nested
objects stay raw text: most were seen before and are never decoded (`catalogue`).
"""

import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from migrator.node_persist.scalars import INFINITE, number_of

NOTHING: Final = Raw()  # a member that is missing


class Secrets(Struct, gc=False):
    """Tokens wherever applications put them."""

    accessToken: Any = None  # noqa: N815
    access_token: Any = None
    refreshToken: Any = None  # noqa: N815
    refresh_token: Any = None
    expiresAt: Any = None  # noqa: N815
    expires_at: Any = None
    tokens: Raw = NOTHING


class User(Secrets, gc=False):
    """The value of a user file: sections, raw."""

    profile: Raw = NOTHING
    topTracks: Raw = NOTHING  # noqa: N815
    topArtists: Raw = NOTHING  # noqa: N815
    recentlyPlayed: Raw = NOTHING  # noqa: N815
    savedTracks: Raw = NOTHING  # noqa: N815
    playlists: Raw = NOTHING
    audioFeatures: Raw = NOTHING  # noqa: N815
    lastUpdated: Any = None  # noqa: N815


class Profile(Struct, gc=False):
    """A user's own data."""

    id: Any = None
    display_name: Any = None
    email: Any = None
    country: Any = None
    product: Any = None


class Tops(Struct, gc=False):
    """Top tracks or artists by time range."""

    short_term: Raw = NOTHING
    medium_term: Raw = NOTHING
    long_term: Raw = NOTHING


class Page(Struct, gc=False):
    """A page of results as the API returns them."""

    items: Raw = NOTHING


class Play(Struct, gc=False):
    """One play of a track."""

    track: Raw = NOTHING
    played_at: Any = None
    context: Raw = NOTHING


class Context(Struct, gc=False):
    """What a track was played from."""

    type: Any = None
    uri: Any = None
    id: Any = None


class Saved(Struct, gc=False):
    """One saved track, or one item of a playlist."""

    track: Raw = NOTHING
    added_at: Any = None


class Playlist(Struct, gc=False):
    """A playlist with its items; the API calls them tracks."""

    id: Any = None
    uri: Any = None
    name: Any = None
    description: Any = None
    public: Any = None
    items: Raw = NOTHING
    tracks: Raw = NOTHING


class Track(Struct, gc=False):
    """A track or an episode."""

    id: Any = None
    uri: Any = None
    name: Any = None
    type: Any = None
    is_local: Any = None
    duration_ms: Any = None
    popularity: Any = None
    explicit: Any = None
    track_number: Any = None
    disc_number: Any = None
    artists: Raw = NOTHING
    album: Raw = NOTHING
    linked_from: Raw = NOTHING


class Artist(Struct, gc=False):
    """An artist."""

    id: Any = None
    uri: Any = None
    name: Any = None
    genres: Any = None
    popularity: Any = None


class Album(Struct, gc=False):
    """An album."""

    id: Any = None
    uri: Any = None
    name: Any = None
    release_date: Any = None
    release_date_precision: Any = None
    total_tracks: Any = None


class Features(Struct, gc=False):
    """Audio features of a track."""

    id: Any = None
    uri: Any = None
    acousticness: Any = None
    danceability: Any = None
    energy: Any = None
    instrumentalness: Any = None
    liveness: Any = None
    speechiness: Any = None
    valence: Any = None
    loudness: Any = None
    tempo: Any = None
    key: Any = None
    mode: Any = None
    time_signature: Any = None


S = TypeVar("S", bound=Struct)

FOREIGN: Final = object()  # an element that is not of its array's kind

_any: Final = msgspec.json.Decoder(float_hook=number_of).decode
raw_list: Final = msgspec.json.Decoder(list[Raw]).decode
raw_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode

_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class Decode:
    """A decoder of one kind of object that lets nothing but a foreign shape fail.

    Args:
        kind: the kind; members that it lacks are skipped.
    """

    def __init__(self, kind: type[S]) -> None:
        self._kind = kind
        self._whole = msgspec.json.Decoder(kind, float_hook=number_of).decode
        self._types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}

    def __call__(self, raw: Raw | bytes | memoryview) -> Any:
        """Return the object, or None when the JSON text is none."""
        try:
            return self._whole(raw)
        except (msgspec.ValidationError, RecursionError):
            pass
        try:
            members = raw_members(raw)
        except msgspec.ValidationError:
            return None
        return self._kind(
            **{name: member if self._types[name] is Raw else scalar(member)
               for name, member in members.items() if name in self._types}
        )  # fmt: skip


class DecodeList:
    """A decoder of an array of one kind of object.

    Args:
        kind: the kind of its elements.
    """

    def __init__(self, kind: type[S]) -> None:
        self._whole = msgspec.json.Decoder(list[kind | None], float_hook=number_of).decode  # type: ignore[valid-type]
        self._one = Decode(kind)

    def __call__(self, raw: Raw) -> list[Any]:
        """Return objects, None for each null, and `FOREIGN` for each element that is neither.

        Raises:
            msgspec.ValidationError: it is no array.
        """
        try:
            return self._whole(raw)
        except (msgspec.ValidationError, RecursionError):
            elements = raw_list(raw)
        return [None if first(one) == b"n" else self._one(one) or FOREIGN for one in elements]


def scalar(raw: Raw) -> Any:
    """Return any JSON value; a number too long to be decoded is infinite, and an object that holds one is empty."""
    try:
        return _any(raw)
    except (msgspec.ValidationError, RecursionError):
        kind = first(raw)
    if kind == b"[":
        return [scalar(one) for one in raw_list(raw)]
    return {} if kind == b"{" else INFINITE


def first(raw: Raw) -> bytes:
    """Return the first byte of JSON text: which kind of value it is; empty for a missing member."""
    return bytes(memoryview(raw)[:1])


def holdable(value: bytes | memoryview) -> bytes:
    """Return JSON text with NUL escapes in place of lone surrogates: no decoder takes these, and no column either."""
    return _ESCAPES.sub(lambda found: rb"\u0000" if found[1] else found[0], value)
