"""Strict shapes of what a sound file holds: decoded at once, all checks that can be are made by the decoder.

What does not fit here goes the tolerant way (`spotify`, `catalogue`), element by element; both give the same rows, and
a property test says so. Ids are shorter than a key's limit in whatever UTF-8 they are; local tracks, episodes, relinked
tracks and all other warts do not fit.
"""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from migrator.node_persist import rows
from migrator.node_persist.scalars import number_of
from migrator.node_persist.spotify import NOTHING, Features, Saved, Secrets

_Id = Annotated[str, Meta(max_length=rows.LONGEST_ID // 4)]
_Percent = Annotated[int, Meta(ge=0, le=100)]
_Count = Annotated[int, Meta(ge=0, le=rows.LARGEST_INT)]
_Number = Annotated[int, Meta(ge=1, le=rows.LARGEST_INT)]


class Artist(Struct, gc=False):
    """An artist."""

    id: _Id
    name: str
    genres: list[str] | None = None
    popularity: _Percent | None = None


class Credit(Struct, gc=False):
    """An artist inside of a track: simplified, without what a full one tells."""

    id: _Id
    name: str
    genres: None = None
    popularity: None = None


class Album(Struct, gc=False):
    """An album."""

    id: _Id
    name: str
    release_date: str | None = None
    release_date_precision: str | None = None
    total_tracks: _Count | None = None


class Track(Struct, gc=False):
    """A track with its artists and album."""

    id: _Id
    name: str
    uri: str | None = None
    type: Literal["track"] | None = None
    is_local: bool | None = None
    duration_ms: _Count | None = None
    popularity: _Percent | None = None
    explicit: bool | None = None
    track_number: _Number | None = None
    disc_number: _Number | None = None
    artists: list[Credit] | None = None
    album: Album | None = None
    linked_from: None = None


class Context(Struct, gc=False):
    """What a track was played from."""

    type: str | None = None
    uri: str | None = None
    id: str | None = None


class Play(Struct, gc=False):
    """One play of a track."""

    track: Raw = NOTHING
    played_at: Any = None
    context: Context | None = None


class Tops(Struct, gc=False):
    """Top tracks or artists by time range."""

    short_term: list[Raw] | UnsetType = UNSET
    medium_term: list[Raw] | UnsetType = UNSET
    long_term: list[Raw] | UnsetType = UNSET


class ItemsPage(Struct, gc=False):
    """A page of a playlist's items; a simplified playlist tells only how many there are."""

    items: list[Saved | None] | UnsetType = UNSET


_Items = list[Saved | None] | ItemsPage | None


class Playlist(Struct, gc=False):
    """A playlist."""

    id: Any = None
    uri: Any = None
    name: Any = None
    description: Any = None
    public: Any = None
    items: _Items = None
    tracks: _Items = None


class User(Secrets, gc=False):
    """The value of a user file."""

    profile: Raw = NOTHING
    topTracks: Tops | None = None  # noqa: N815
    topArtists: Tops | None = None  # noqa: N815
    recentlyPlayed: list[Play | None] | None = None  # noqa: N815
    savedTracks: list[Saved | None] | None = None  # noqa: N815
    playlists: list[Playlist | None] | None = None
    audioFeatures: dict[str, Raw] | list[Raw] | None = None  # noqa: N815
    lastUpdated: Any = None  # noqa: N815


decode_user: Final = msgspec.json.Decoder(User, float_hook=number_of).decode
decode_track: Final = msgspec.json.Decoder(Track).decode
decode_artist: Final = msgspec.json.Decoder(Artist).decode
decode_features: Final = msgspec.json.Decoder(Features, float_hook=Decimal).decode
