"""The writer's path: one user file's value becomes rows, fast and tolerant.

What one element is, and what becomes of it (elements = linked + merged + blank + quarantined, always):

| section        | one element is                  | linked to             | merged when                        |
| -------------- | ------------------------------- | --------------------- | ---------------------------------- |
| profile        | the profile                     | users                 | -                                  |
| topTracks      | each entry of each time range   | user_top_tracks       | the track was in the range before  |
| topArtists     | each entry of each time range   | user_top_artists      | the artist was in the range before |
| recentlyPlayed | each play                       | user_listening_history| same track at the same instant     |
| savedTracks    | each entry                      | user_saved_tracks     | the track was saved before         |
| playlists      | each playlist                   | playlists             | same playlist id                   |
| - its items    | each item                       | playlist_tracks       | the track was in it before         |
| audioFeatures  | each member, object or pair     | audio_features        | features of that track came before |

- A missing or null section has no elements. One of a wrong type is one quarantined element, and so is a time range or a
  playlist's `items`. Unknown sections, time ranges and members are none.
- null is blank: an entry, a `track`, features. Ranks count from 1 and positions from 0, and nulls count.
- A quarantined playlist is one element with all that is in it; its items are none.
- What is merged fills what the earlier element lacks (a date, a context, a description) and changes nothing else.
- The row of `users` is made in any case. Artists, albums and the rows that link them are parts of elements, none
  themselves; one that does not fit (no name) is left out with a note. An element in quarantine gives no rows.
- A relinked track is stored under the id that the API returned, which is the one that other sections of the same
  market name; a note tells where, because a search for the id that was saved will not find it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Raw

from migrator.node_persist import scalars, spotify, typed
from migrator.node_persist.catalogue import Catalogue
from migrator.node_persist.features import read_features
from migrator.node_persist.outcome import Extract, Tokens
from migrator.node_persist.playlists import read_playlists
from migrator.node_persist.scalars import Unfit
from migrator.node_persist.sections import Sections
from migrator.node_persist.token_item import token_item, tokens_of

__all__ = ["Extract", "Extractor", "Tokens", "token_item"]

_LARGE: Final = 8_000_000  # bytes; above it only one section is decoded at a time
_USER: Final = spotify.Decode(spotify.User)
_ANY: Final = msgspec.json.Decoder(Raw).decode
_SECTIONS: Final = (
    "profile", "topTracks", "topArtists", "recentlyPlayed", "savedTracks", "playlists", "audioFeatures",
)  # fmt: skip


class Extractor:
    """Turns values into rows; one per worker, for it remembers which shared rows it gave already."""

    def __init__(self) -> None:
        self._catalogue = Catalogue()

    def extract(
        self, value: bytes | memoryview, user_id: str, *, mtime_ns: int, decoded: typed.User | None = None
    ) -> Extract:
        """Return the rows of one user's value.

        Tracks, artists and features stay raw slices of the value until they are found to be new. Of a value that is
        large or has warts the sections do too, until their turn comes.

        Args:
            value: JSON text, UTF-8.
            user_id: the id in the item's key.
            mtime_ns: of the file, which dates a value without lastUpdated.
            decoded: what `decode_sound` made of the value already.

        Raises:
            ValueError: it is no JSON text in UTF-8, or nested too deeply.
        """
        self._catalogue.begin()
        try:
            return self._extract(decoded or decode_sound(value) or _user(value), user_id, mtime_ns)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._catalogue.undo()
            raise ValueError("not JSON in UTF-8, or nested too deeply") from None
        except BaseException:
            self._catalogue.undo()
            raise

    def undo(self) -> None:
        """The rows of the last `extract` will not be written."""
        self._catalogue.undo()

    def keep(self) -> None:
        """The rows given since the last `keep` or `forget` are committed."""
        self._catalogue.keep()

    def forget(self) -> None:
        """The rows given since the last `keep` or `forget` were rolled back."""
        self._catalogue.forget()

    def _extract(self, user: typed.User | spotify.User | None, user_id: str, mtime_ns: int) -> Extract:
        found = Extract()
        if user is None or not any(_is_filled(getattr(user, name)) for name in _SECTIONS):
            return found
        found.is_user = True
        found.tokens = tokens_of(user)
        at = self._date(user.lastUpdated, found) or _observed(mtime_ns)
        sections = Sections(found, self._catalogue, user_id, at, keeps_names=_is_filled(user.audioFeatures))
        sections.profile(user.profile)
        sections.top_tracks(user.topTracks)
        sections.top_artists(user.topArtists)
        sections.plays(user.recentlyPlayed)
        sections.saved_tracks(user.savedTracks)
        read_playlists(user.playlists, sections, found, user_id)
        read_features(user.audioFeatures, self._catalogue, found, sections.named)
        found.shared_rows = self._catalogue.rows
        return found

    def _date(self, last_updated: Any, found: Extract) -> datetime | None:
        if last_updated is None:
            return None
        try:
            at = scalars.instant(last_updated)
        except Unfit as unfit:
            found.notes.append(("/lastUpdated", unfit.problem))
            return None
        found.updated_at = scalars.microseconds(at)
        return at


def decode_sound(value: bytes | memoryview) -> typed.User | None:
    """Return a sound value's sections, decoded; None when it is large, or anything in it has to be tolerated."""
    if len(value) > _LARGE:
        return None
    try:
        user: typed.User = typed.decode_user(value)
    except (msgspec.DecodeError, RecursionError):
        return None
    for tops in (user.topTracks, user.topArtists):
        if tops is not None and tops.short_term is tops.medium_term is tops.long_term:
            return None  # no time range at all: whether that is empty or wrong shows in the text
    return user


def _user(value: bytes | memoryview) -> spotify.User | None:
    """Return a value's sections as raw text, or None when it is no object."""
    try:
        return _sections(value)
    except msgspec.DecodeError:
        return _sections(spotify.holdable(value))


def _sections(value: bytes | memoryview) -> spotify.User | None:
    user: spotify.User | None = _USER(value)
    if user is None:
        _ANY(value)  # only its first byte was seen
    return user


def _is_filled(section: Any) -> bool:
    return spotify.first(section) in {b"{", b"["} if section.__class__ is Raw else section is not None


def _observed(mtime_ns: int) -> datetime:
    try:
        return scalars.EPOCH + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:  # a file system's fancy
        return datetime.max.replace(tzinfo=UTC) if mtime_ns > 0 else datetime.min.replace(tzinfo=UTC)
