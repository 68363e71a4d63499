"""A user's audio features, in the three forms that applications stored them in."""

from typing import Any, Final

from msgspec import Raw, Struct

from migrator.node_persist import rows, spotify
from migrator.node_persist.catalogue import Catalogue
from migrator.node_persist.fitting import Misfit, bare, identity
from migrator.node_persist.outcome import Extract

_ITEMS: Final = {"track", "episode"}


class _Named(Struct, gc=False):
    id: Any = None
    uri: Any = None


_NAMED: Final = spotify.Decode(_Named)


def read_features(given: Any, catalogue: Catalogue, found: Extract, named: set[str]) -> None:
    """Make rows of `audio_features`.

    Args:
        given: the section, decoded or raw: an object id → features, or an array of features or of [id, features].
        catalogue: of the worker.
        found: what the file gives; filled here.
        named: tracks that elements of this file name; features of another track have no row to belong to.
    """
    if given.__class__ is Raw:
        kind = spotify.first(given)
        if kind in {b"", b"n"}:
            return
        if kind not in {b"{", b"["}:
            found.quarantine("/audioFeatures", rows.NOT_A_LIST)
            return
        given = spotify.raw_members(given) if kind == b"{" else spotify.raw_list(given)
    if not given:
        return
    done: set[str] = set()
    found.elements += len(given)
    for place, one in given.items() if isinstance(given, dict) else enumerate(given):
        member = ""
        try:
            if place in named and spotify.first(one) == b"{":  # as nearly always
                known: Any = catalogue.features(one, place)
            else:
                key, raw, member = _entry(place, one)
                if raw is None:
                    found.blank += 1
                    continue
                known = _learn(key, raw, catalogue, named)
        except Misfit as misfit:
            found.quarantined.append((_pointer(place), misfit.reason))
            continue
        if known.__class__ is not str:
            where = _pointer(place) + member
            found.notes.extend([(where + suffix, problem) for suffix, problem in known.notes])
            known = known.id
        if known in done:
            found.merged += 1
        else:
            done.add(known)
    found.linked += len(done)


def _entry(place: str | int, one: Raw) -> tuple[str | None, Raw | None, str]:
    """Return the id that stands beside an entry's features, their text or None for null, and the pointer to it."""
    kind = spotify.first(one)
    if kind == b"n":
        return None, None, ""
    if place.__class__ is str:
        return str(place), one, ""
    if kind != b"[":
        return None, one, ""
    pair = spotify.raw_list(one)
    key = spotify.scalar(pair[0]) if len(pair) == 2 else None
    if key.__class__ is not str:
        raise Misfit(rows.NOT_FEATURES)
    return key, None if spotify.first(pair[1]) == b"n" else pair[1], "/1"


def _learn(key: str | None, raw: Raw, catalogue: Catalogue, named: set[str]) -> Any:
    if key is None:
        own = _NAMED(raw)
        if own is None:
            raise Misfit(rows.NOT_FEATURES)
        track_id = identity(own.id, own.uri, _ITEMS, longest=rows.LONGEST_TRACK_ID)
    else:
        track_id = key if key in named else bare(key, _ITEMS)
    if track_id not in named:
        raise Misfit(rows.UNKNOWN_TRACK)
    return catalogue.features(raw, track_id)


def _pointer(place: str | int) -> str:
    """Return the pointer to an entry as RFC 6901 writes it; a NUL, which no text column holds, as U+FFFD."""
    token = str(place).replace("~", "~0").replace("/", "~1").replace("\0", "\ufffd")
    return f"/audioFeatures/{token}"
