"""The sections of a user's value, each into its rows and its part of the account.

A section comes decoded (`typed`) or as raw text, of whatever type it is.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from migrator.node_persist import rows, scalars, spotify
from migrator.node_persist.catalogue import Catalogue, Known
from migrator.node_persist.fitting import Misfit, fit
from migrator.node_persist.outcome import Extract
from migrator.node_persist.playback import context_of
from migrator.node_persist.scalars import Unfit
from migrator.node_persist.spotify import FOREIGN

Entries = dict[str, tuple[int, datetime | None]]  # track → first position, first known instant
Learn = Callable[[Raw], str | Known | None]

_PROFILE: Final = spotify.Decode(spotify.Profile)
_TOPS: Final = spotify.Decode(spotify.Tops)
PAGE: Final = spotify.Decode(spotify.Page)
_PLAYS: Final = spotify.DecodeList(spotify.Play)
SAVED: Final = spotify.DecodeList(spotify.Saved)
ABSENT: Final = frozenset((b"", b"n"))
_COLUMNS: Final = (
    ("display_name", scalars.text), ("email", scalars.text), ("country", scalars.country), ("product", scalars.text),
)  # fmt: skip


class Sections:
    """Reads the sections of one user.

    Args:
        extract: what the file gives; filled here.
        catalogue: of the worker.
        user_id: of the file.
        at: when the data were current.
        keeps_names: whether anybody will ask for `named`; of a large file it is large, too.

    Attributes:
        named: tracks that elements of this file name.
    """

    def __init__(
        self, extract: Extract, catalogue: Catalogue, user_id: str, at: datetime, *, keeps_names: bool
    ) -> None:
        self.named: set[str] = set()
        self._keeps_names = keeps_names
        self._extract = extract
        self._catalogue = catalogue
        self._user = user_id
        self._at = at

    def profile(self, raw: Raw) -> None:
        """Make the row of `users`; it is made without a profile too."""
        found = self._extract
        own = spotify.Profile()
        if spotify.first(raw) not in ABSENT:
            profile = _PROFILE(raw)
            found.elements += 1
            if profile is None:
                found.quarantined.append(("/profile", rows.NOT_AN_OBJECT))
            else:
                found.linked += 1
                own = profile
        if own.id is not None and own.id != self._user:
            found.notes.append(("/profile/id", rows.OTHER_ID))
        values = [fit(found.notes, f"/profile/{name}", getattr(own, name), convert) for name, convert in _COLUMNS]
        found.user_rows["users"].append((self._user, *values, self._at))

    def top_tracks(self, given: Any) -> None:
        """Make rows of `user_top_tracks`."""
        self._keep_names(self._tops(given, "/topTracks", "user_top_tracks", self._catalogue.track))

    def top_artists(self, given: Any) -> None:
        """Make rows of `user_top_artists`."""
        self._tops(given, "/topArtists", "user_top_artists", self._catalogue.artist)

    def _tops(self, given: Any, pointer: str, table: str, learn: Learn) -> set[str]:
        tops = given
        if given.__class__ is Raw:
            if spotify.first(given) in ABSENT:
                return set()
            tops = _TOPS(given)
            if tops is None or not any(spotify.first(getattr(tops, name)) for name in rows.TIME_RANGES):
                if tops is None or spotify.raw_members(given):
                    self._extract.quarantine(pointer, rows.NO_TIME_RANGE)
                return set()
        ids: set[str] = set()
        if tops is not None:
            for time_range in rows.TIME_RANGES:
                listed, base = self.listed(getattr(tops, time_range), spotify.raw_list, f"{pointer}/{time_range}")
                due = self._ranked(listed, base, learn)
                ids.update(due)
                self._extract.user_rows[table].extend(
                    [(self._user, id_, time_range, rank, self._at) for id_, rank in due.items()]
                )
        return ids

    def _ranked(self, listed: list[Raw], base: str, learn: Learn) -> dict[str, int]:
        found = self._extract
        found.elements += len(listed)
        due: dict[str, int] = {}
        for index, one in enumerate(listed):
            try:
                known = learn(one)
            except Misfit as misfit:
                found.quarantined.append((f"{base}/{index}", misfit.reason))
                continue
            if known.__class__ is not str:
                known = self._id(known, f"{base}/{index}")
                if known is None:
                    continue
            if known in due:
                found.merged += 1
            else:
                due[known] = index + 1
        found.linked += len(due)
        return due

    def plays(self, given: Any) -> None:
        """Make rows of `user_listening_history`."""
        found, user, learn = self._extract, self._user, self._catalogue.track
        listed, base = self.listed(given, _PLAYS, "/recentlyPlayed")
        found.elements += len(listed)
        due: dict[tuple[str, datetime], tuple[Any, ...]] = {}
        for index, play in enumerate(listed):
            listed[index] = None  # as in `collect`
            if play is None or play is FOREIGN:
                self._leave(play, base, index)
                continue
            try:
                at = scalars.instant(play.played_at)
                known = learn(play.track)
            except (Unfit, Misfit) as problem:
                if spotify.first(play.track) == b"n":
                    found.blank += 1
                else:
                    reason = problem.reason if isinstance(problem, Misfit) else rows.NO_INSTANT
                    found.quarantined.append((f"{base}/{index}", reason))
                continue
            if known.__class__ is not str:
                known = self._id(known, f"{base}/{index}/track")
                if known is None:
                    continue
            context = play.context and context_of(play.context, found.notes, base, index)
            earlier = due.get((known, at))
            if earlier is not None:
                found.merged += 1
                if earlier[3] is not None or earlier[4] is not None:
                    continue
            due[known, at] = (user, known, at, *context) if context else (user, known, at, None, None)
        found.linked += len(due)
        found.user_rows["user_listening_history"].extend(due.values())
        if self._keeps_names:
            self.named.update([track_id for track_id, _ in due])

    def saved_tracks(self, given: Any) -> None:
        """Make rows of `user_saved_tracks`."""
        listed, base = self.listed(given, SAVED, "/savedTracks")
        due: Entries = {}
        self.collect(listed, base, due, 0)
        self._extract.linked += len(due)
        saved: dict[str, Any] = due  # its values become the rows one by one, so that there are never both
        for id_, (_, at) in due.items():
            saved[id_] = (self._user, id_, at)
        self._extract.user_rows["user_saved_tracks"].extend(saved.values())

    def collect(self, listed: list[Any], base: str, due: Entries, start: int) -> None:
        """Put the tracks of entries with `added_at` under their ids, each with the position of the first.

        Args:
            listed: the entries.
            base: pointer to their array.
            due: where they go.
            start: position of the first entry.
        """
        found, learn = self._extract, self._catalogue.track
        found.elements += len(listed)
        for index, entry in enumerate(listed):
            listed[index] = None  # of half a million entries, those that are done make room for the rows
            if entry is None or entry is FOREIGN:
                self._leave(entry, base, index)
                continue
            try:
                known = learn(entry.track)
            except Misfit as misfit:
                found.quarantined.append((f"{base}/{index}", misfit.reason))
                continue
            if known.__class__ is not str:
                known = self._id(known, f"{base}/{index}/track")
                if known is None:
                    continue
            at = None
            if entry.added_at is not None:
                try:
                    at = scalars.instant(entry.added_at)
                except Unfit as unfit:
                    found.notes.append((f"{base}/{index}/added_at", unfit.problem))
            earlier = due.get(known)
            if earlier is None:
                due[known] = start + index, at
            else:
                found.merged += 1
                if earlier[1] is None:
                    due[known] = earlier[0], at
        self._keep_names(due)

    def listed(self, given: Any, decode: Callable[[Raw], list[Any]], pointer: str) -> tuple[list[Any], str]:
        """Return the elements of an array or a page, and the pointer to the array; none for a wrong type."""
        if given.__class__ is list:
            return given, pointer
        if given.__class__ is not Raw or spotify.first(given) in ABSENT:
            return [], pointer
        try:
            return decode(given), pointer
        except msgspec.ValidationError:
            page = PAGE(given)
        try:
            if page is not None and spotify.first(page.items):
                return decode(page.items), f"{pointer}/items"
        except msgspec.ValidationError:
            pass
        self._extract.quarantine(pointer, rows.NOT_A_LIST)
        return [], pointer

    def _keep_names(self, ids: Iterable[str]) -> None:
        if self._keeps_names:
            self.named.update(ids)

    def _leave(self, element: Any, base: str, index: int) -> None:
        if element is None:
            self._extract.blank += 1
        else:
            self._extract.quarantined.append((f"{base}/{index}", rows.NOT_AN_OBJECT))

    def _id(self, known: str | Known | None, pointer: str) -> str | None:
        """Return the id of what is known with notes, which are made; account for null."""
        if known is None:
            self._extract.blank += 1
            return None
        assert isinstance(known, Known)
        self._extract.notes.extend([(pointer + suffix, problem) for suffix, problem in known.notes])
        return known.id
