"""Tracks, artists, albums and audio features: rows that many users' files speak of.

An object's text is hashed before it is decoded. Seen before, it costs the hash and nothing else; and of the rows that a
new text gives (a track whose popularity changed names the same artists) only those not sent before are given.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from msgspec import Raw

from migrator.node_persist import tolerant, typed
from migrator.node_persist.fitting import Misfit, Note
from migrator.node_persist.rows import NO_TRACK
from migrator.node_persist.seen import Seen
from migrator.node_persist.sound_rows import ERRORS, album_row, typed_artist, typed_features
from migrator.node_persist.tolerant import Row, TrackRows

_Numbers = tuple[int | None, int | None]
_NO_NUMBERS: Final[_Numbers] = (None, None)
_BOUND_EVERY: Final = 256  # objects of one kind; the memories are bounded at each file, and so often in a large one
_TAIL: Final = 64  # bytes at the end, hashed again: Web API objects end with what tells them apart


class Known(NamedTuple):
    """An object that is imported, and what did not fit in it (pointers from the object)."""

    id: str
    notes: tuple[Note, ...]


class Catalogue:
    """The shared rows of one worker.

    Attributes:
        rows: table → rows of the file at hand that were not sent before.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        # Sizes: about 220 bytes an object and 450 a row, so some 80 MB when all are full.
        self._tracks: Seen[int, str | Known] = Seen(120_000)
        self._artists: Seen[int, str | Known] = Seen(30_000)
        self._features: Seen[int, str | Known] = Seen(30_000)
        self._sent: Seen[Row, None] = Seen(100_000)
        self._memories: tuple[Seen[Any, Any], ...] = self._tracks, self._artists, self._features, self._sent
        self._marks = [0] * len(self._memories)
        self._known_track = self._tracks.known.get

    def begin(self) -> None:
        """A new file comes."""
        self.rows = {
            "artists": [], "albums": [], "tracks": [], "track_artists": [], "track_albums": [], "audio_features": [],
        }  # fmt: skip
        for memory in self._memories:
            memory.bound()
        self._marks = [memory.mark() for memory in self._memories]

    def undo(self) -> None:
        """The last file's rows will not be written."""
        for memory, mark in zip(self._memories, self._marks, strict=True):
            memory.forget(mark)

    def keep(self) -> None:
        """The rows of all files until now are committed."""
        for memory in self._memories:
            memory.keep()
        self._marks = [0] * len(self._memories)

    def forget(self) -> None:
        """The rows of all files since the last `keep` were rolled back."""
        for memory in self._memories:
            memory.forget()
        self._marks = [0] * len(self._memories)

    def track(self, raw: Raw) -> str | Known | None:
        """Return the id of the track or episode that a JSON text is, with notes if there are any; None for null.

        Raises:
            Misfit: it is none.
        """
        octets = bytes(raw)
        key = hash(octets) << 64 ^ hash(octets[-_TAIL:])
        known = self._known_track(key)
        if known is None:
            if octets == b"null":
                return None
            if not octets:
                raise Misfit(NO_TRACK)
            known = self._send_sound_track(octets) or self._send_track(tolerant.read_track(raw))
            self._tracks.known[key] = known
            self._tracks.fresh.append(key)
            if not len(self._tracks.fresh) % _BOUND_EVERY:
                self._tracks.bound()
                self._sent.bound()
        return known

    def artist(self, raw: Raw) -> str | Known | None:
        """Return the id of the artist that a JSON text is, with notes if there are any; None for null.

        Raises:
            Misfit: it is none.
        """
        octets = bytes(raw)
        key = hash(octets) << 64 ^ hash(octets[-_TAIL:])
        known = self._artists.known.get(key)
        if known is None:
            if octets == b"null":
                return None
            row, notes = typed_artist(octets) or tolerant.read_artist(raw)
            self._send("artists", row)
            known = Known(row[0], notes) if notes else row[0]
            self._artists.known[key] = known
            self._artists.fresh.append(key)
            if not len(self._artists.fresh) % _BOUND_EVERY:
                self._artists.bound()
                self._sent.bound()
        return known

    def features(self, raw: Raw, track_id: str) -> str | Known:
        """Return the track's id once the audio features that a JSON text is are given, with notes if there are any.

        Raises:
            Misfit: it is none.
        """
        octets = bytes(raw)
        key = hash(octets) << 64 ^ hash(track_id)
        known = self._features.known.get(key)
        if known is None:
            row, notes = typed_features(octets, track_id) or tolerant.read_features(raw, track_id)
            self.rows["audio_features"].append(row)
            known = Known(track_id, notes) if notes else track_id
            self._features.known[key] = known
            self._features.fresh.append(key)
            if not len(self._features.fresh) % _BOUND_EVERY:
                self._features.bound()
        return known

    def _send(self, table: str, row: Row) -> None:
        if row not in self._sent.known:
            self._sent.known[row] = None
            self._sent.fresh.append(row)
            self.rows[table].append(row)

    def _send_track(self, found: TrackRows) -> str | Known:
        row, artists, positions, album, numbers, notes = found
        id_ = str(row[0])
        self.rows["tracks"].append(row)
        for artist in artists:
            self._send("artists", artist)
        if album is not None:
            self._send("albums", album)
        album_id = None if album is None else str(album[0])
        links = (id_, album_id, *numbers, *positions, *[artist[0] for artist in artists])
        if links not in self._sent.known:
            self._sent.known[links] = None
            self._sent.fresh.append(links)
            self._link(id_, [artist[0] for artist in artists], positions, album_id, numbers)
        return Known(id_, notes) if notes else id_

    def _send_sound_track(self, octets: bytes) -> str | None:
        """Send what a track in whom nothing has to be tolerated gives; None when something has to be."""
        try:
            track = typed.decode_track(octets)
        except ERRORS:
            return None
        id_, name, uri, album = track.id, track.name, track.uri, track.album
        if not id_.isalnum() or "\0" in name or (uri is not None and not uri.startswith("spotify:track:")):
            return None
        artists = track.artists or ()
        for artist in artists:
            if not artist.id.isalnum() or "\0" in artist.name:
                return None
        artist_ids = [artist.id for artist in artists]
        if len(artist_ids) > 1 and len(set(artist_ids)) < len(artist_ids):
            return None
        sent, fresh = self._sent.known, self._sent.fresh
        album_id, numbers = None, _NO_NUMBERS
        if album is not None:
            album_id, numbers = album.id, (track.track_number, track.disc_number)
            key: Row = (album_id, album.name, album.release_date, album.release_date_precision, album.total_tracks)
            if key not in sent:
                row = album_row(album)
                if row is None:
                    return None
                sent[key] = None
                fresh.append(key)
                self.rows["albums"].append(row)
        for artist in artists:
            key = artist.id, artist.name
            if key not in sent:
                sent[key] = None
                fresh.append(key)
                self.rows["artists"].append((*key, "[]", None))
        own = id_, name, "track", track.is_local is True, track.duration_ms, track.popularity, track.explicit
        self.rows["tracks"].append(own)
        key = (id_, album_id, *numbers, *artist_ids)
        if key not in sent:
            sent[key] = None
            fresh.append(key)
            self._link(id_, artist_ids, range(len(artist_ids)), album_id, numbers)
        return id_

    def _link(
        self, id_: str, artist_ids: list[str], positions: Iterable[int], album_id: str | None, numbers: _Numbers
    ) -> None:
        self.rows["track_artists"].extend([(id_, *link) for link in zip(artist_ids, positions, strict=True)])
        if album_id is not None:
            self.rows["track_albums"].append((id_, album_id, *numbers))
