"""A user's playlists and their items."""

from typing import Any, Final

from msgspec import UNSET, Raw

from migrator.node_persist import rows, scalars, spotify, typed
from migrator.node_persist.fitting import Misfit, Note, fit, identity, name_of
from migrator.node_persist.outcome import Extract
from migrator.node_persist.sections import ABSENT, PAGE, SAVED, Entries, Sections

_PLAYLIST: Final = spotify.Decode(spotify.Playlist)


def read_playlists(given: Any, sections: Sections, found: Extract, user_id: str) -> None:
    """Make rows of `playlists` and `playlist_tracks`; of a playlist that comes twice, items follow items."""
    listed, base = sections.listed(given, spotify.raw_list, "/playlists")
    found.elements += len(listed)
    due: dict[str, tuple[Any, ...]] = {}
    tracks: dict[str, Entries] = {}
    lengths: dict[str, int] = {}
    for index, one in enumerate(listed):
        if one is None or (one.__class__ is Raw and spotify.first(one) == b"n"):
            found.blank += 1
            continue
        playlist = _PLAYLIST(one) if one.__class__ is Raw else one
        pointer = f"{base}/{index}"
        try:
            if playlist is None:
                raise Misfit(rows.NOT_AN_OBJECT)  # noqa: TRY301 - one place tells of all misfits
            row = _row(playlist, index, pointer, found.notes)
        except Misfit as misfit:
            found.quarantined.append((pointer, misfit.reason))
            continue
        key = row[0]
        earlier = due.get(key)
        if earlier is None:
            due[key] = row
            found.linked += 1
        else:
            description = row[3] if earlier[3] is None else earlier[3]
            due[key] = (*earlier[:3], description, earlier[4] or row[4])
            found.merged += 1
        entries, where = _items(sections, playlist, pointer)
        start = lengths.get(key, 0)
        lengths[key] = start + len(entries)
        sections.collect(entries, where, tracks.setdefault(key, {}), start)
    found.linked += sum(map(len, tracks.values()))
    found.user_rows["playlists"].extend([(user_id, *row) for row in due.values()])
    found.user_rows["playlist_tracks"].extend(
        [
            (user_id, key, track_id, position, at)
            for key, items in tracks.items()
            for track_id, (position, at) in items.items()
        ]
    )


def _items(sections: Sections, playlist: spotify.Playlist | typed.Playlist, pointer: str) -> tuple[list[Any], str]:
    """Return a playlist's entries and the pointer to their array."""
    given, where = playlist.items, f"{pointer}/items"
    if given is None or (isinstance(given, Raw) and spotify.first(given) in ABSENT):
        given, where = playlist.tracks, f"{pointer}/tracks"
    if isinstance(given, typed.ItemsPage):
        return ([], where) if given.items is UNSET else (given.items, f"{where}/items")
    if isinstance(given, Raw) and spotify.first(given) == b"{" and not spotify.first(PAGE(given).items):
        return [], where
    return sections.listed(given, SAVED, where)


def _row(
    playlist: spotify.Playlist | typed.Playlist, index: int, pointer: str, notes: list[Note]
) -> tuple[str, str | None, str, str | None, bool]:
    """Return the columns of `playlists` after the user."""
    id_: str | None
    try:
        key = id_ = identity(playlist.id, playlist.uri, {"playlist"})
    except Misfit as misfit:
        if misfit.reason != rows.NO_ID:
            raise
        key, id_ = f"n:{index}", None
    name = name_of(playlist.name)
    description = fit(notes, f"{pointer}/description", playlist.description, scalars.text)
    is_public = fit(notes, f"{pointer}/public", playlist.public, scalars.truth)
    return key, id_, name, description, is_public is True
