"""A user's sections on the validator's path, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from migrator.node_persist import plain_elements, plain_objects, rows
from migrator.node_persist import plain_values as take
from migrator.node_persist.plain_objects import Found, Notes
from migrator.node_persist.plain_values import Wrong

Entries = dict[str, tuple[int, datetime | None]]  # track → first position, first known instant


@dataclass(repr=False)
class Plain:
    """What one value gives: see `extract.Extract`; shared rows come every time, and all tables are together."""

    is_user: bool = False
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {name: [] for name in rows.TABLES})
    elements: int = 0
    linked: int = 0
    merged: int = 0
    blank: int = 0
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    updated_at: int | None = None


class Reader:
    """Reads one user, section by section, element by element."""

    def __init__(self, user_id: str, plain: Plain) -> None:
        self.id = user_id
        self.plain = plain
        self.named: set[str] = set()

    def read(self, user: dict[str, Any], at: datetime) -> None:
        """Read all sections of a user who was like this at an instant."""
        self.profile(user.get("profile"), at)
        for name, table, read in (
            ("topTracks", "user_top_tracks", plain_objects.track),
            ("topArtists", "user_top_artists", plain_objects.artist),
        ):
            self.tops(user.get(name), f"/{name}", table, read, at)
        self.plays(user.get("recentlyPlayed"))
        saved: Entries = {}
        self.entries(saved, *self.listed(user.get("savedTracks"), "/savedTracks"))
        self.plain.rows["user_saved_tracks"] = [(self.id, key, added) for key, (_, added) in saved.items()]
        self.playlists(user.get("playlists"))
        self.features(user.get("audioFeatures"))

    def element(self, pointer: str, read: Callable[..., Found | None], *given: Any) -> str | None:
        """Account for one element and keep its rows; return its id, or None when it is blank or in quarantine."""
        self.plain.elements += 1
        try:
            found = read(*given)
        except Wrong as wrong:
            self.plain.quarantined.append((pointer, str(wrong)))
            return None
        if found is None:
            self.plain.blank += 1
            return None
        key, more, notes = found
        for table, row in more:
            self.plain.rows[table].append(row)
        self.plain.notes.extend(notes)
        return key

    def count(self, *, is_new: bool) -> None:
        """Count an element that is imported."""
        if is_new:
            self.plain.linked += 1
        else:
            self.plain.merged += 1

    def listed(self, value: Any, pointer: str) -> tuple[list[Any], str]:
        """Return the elements of an array or of a page, and where they are."""
        if value is None:
            return [], pointer
        if isinstance(value, list):
            return value, pointer
        if isinstance(value, dict) and isinstance(value.get("items"), list):
            return value["items"], f"{pointer}/items"
        self.quarantine(pointer, rows.NOT_A_LIST)
        return [], pointer

    def quarantine(self, pointer: str, reason: str) -> None:
        """Account for one element that cannot be read at all."""
        self.plain.elements += 1
        self.plain.quarantined.append((pointer, reason))

    def profile(self, value: Any, at: datetime) -> None:
        """Read the profile; the user's row is made without one too."""
        profile: dict[str, Any] = {}
        if isinstance(value, dict):
            profile = value
            self.plain.elements += 1
            self.plain.linked += 1
        elif value is not None:
            self.quarantine("/profile", rows.NOT_AN_OBJECT)
        notes = self.plain.notes
        if profile.get("id") is not None and profile["id"] != self.id:
            notes.append(("/profile/id", rows.OTHER_ID))
        row = (
            self.id,
            notes.fit("/profile/display_name", profile.get("display_name"), take.text),
            notes.fit("/profile/email", profile.get("email"), take.text),
            notes.fit("/profile/country", profile.get("country"), take.country),
            notes.fit("/profile/product", profile.get("product"), take.text),
            at,
        )
        self.plain.rows["users"].append(row)

    def tops(self, value: Any, pointer: str, table: str, read: Callable[[Any, str], Found], at: datetime) -> None:
        """Read the top tracks or artists of the three time ranges."""
        if value is None or value == {}:
            return
        if not isinstance(value, dict) or not any(name in value for name in rows.TIME_RANGES):
            self.quarantine(pointer, rows.NO_TIME_RANGE)
            return
        for time_range in rows.TIME_RANGES:
            elements, base = self.listed(value.get(time_range), f"{pointer}/{time_range}")
            due: dict[str, tuple[Any, ...]] = {}
            for index, element in enumerate(elements):
                where = f"{base}/{index}"
                key = self.element(where, plain_elements.unless_null, read, element, where)
                if key is not None:
                    self.count(is_new=key not in due)
                    due.setdefault(key, (self.id, key, time_range, index + 1, at))
            self.plain.rows[table].extend(due.values())
            if table == "user_top_tracks":
                self.named |= due.keys()

    def plays(self, value: Any) -> None:
        """Read the listening history."""
        elements, base = self.listed(value, "/recentlyPlayed")
        due: dict[tuple[str, datetime], tuple[Any, ...]] = {}
        for index, play in enumerate(elements):
            where = f"{base}/{index}"
            key = self.element(where, plain_elements.play, play, where)
            if key is None:
                continue
            self.named.add(key)
            at = take.instant(play["played_at"])
            context = plain_elements.context(play.get("context"), f"{where}/context", self.plain.notes)
            row = (self.id, key, at, *context)
            self.count(is_new=(key, at) not in due)
            if due.get((key, at), (None,) * 5)[3:] == (None, None):
                due[key, at] = row
        self.plain.rows["user_listening_history"] = list(due.values())

    def entries(self, due: Entries, elements: list[Any], base: str, start: int = 0) -> None:
        """Read saved tracks or a playlist's items and put them where entries of the same list may be already."""
        for index, entry in enumerate(elements):
            where = f"{base}/{index}"
            key = self.element(where, plain_elements.entry_with_track, entry, where)
            if key is None:
                continue
            self.named.add(key)
            at = self.plain.notes.fit(f"{where}/added_at", entry.get("added_at"), take.instant)
            self.count(is_new=key not in due)
            position, earlier = due.get(key, (start + index, None))
            due[key] = position, earlier or at

    def playlists(self, value: Any) -> None:
        """Read the playlists with their items."""
        elements, base = self.listed(value, "/playlists")
        due: dict[str, list[Any]] = {}
        items: dict[str, Entries] = {}
        lengths: dict[str, int] = {}
        for index, playlist in enumerate(elements):
            where = f"{base}/{index}"
            key = self.element(where, plain_elements.playlist, playlist, index)
            if key is None:
                continue
            self.count(is_new=key not in due)
            notes = self.plain.notes
            description = notes.fit(f"{where}/description", playlist.get("description"), take.text)
            is_public = notes.fit(f"{where}/public", playlist.get("public"), take.boolean)
            id_ = plain_elements.playlist_id(playlist)
            row = due.setdefault(key, [self.id, key, id_, playlist["name"], None, False])
            row[4] = description if row[4] is None else row[4]
            row[5] = row[5] or is_public is True
            member = "items" if playlist.get("items") is not None else "tracks"
            given = playlist.get(member)
            if isinstance(given, dict) and "items" not in given:
                continue  # a simplified playlist tells only where its items are
            entries, entries_base = self.listed(given, f"{where}/{member}")
            self.entries(items.setdefault(key, {}), entries, entries_base, lengths.get(key, 0))
            lengths[key] = lengths.get(key, 0) + len(entries)
        self.plain.rows["playlists"] = [tuple(row) for row in due.values()]
        self.plain.rows["playlist_tracks"] = [
            (self.id, key, track, position, at)
            for key, tracks in items.items()
            for track, (position, at) in tracks.items()
        ]

    def features(self, value: Any) -> None:
        """Read the audio features of tracks that this file names."""
        if isinstance(value, dict):
            pairs = [(place, place, features, "") for place, features in value.items()]
        elif isinstance(value, list):
            pairs = [plain_elements.features_entry(place, entry) for place, entry in enumerate(value)]
        else:
            if value is not None:
                self.quarantine("/audioFeatures", rows.NOT_A_LIST)
            return
        done: set[str] = set()
        for place, key, features, member in pairs:
            where = f"/audioFeatures/{plain_elements.pointer_token(place)}"
            found = self.element(where, plain_elements.features, key, features, where + member, self.named)
            if found is not None:
                self.count(is_new=found not in done)
                done.add(found)
