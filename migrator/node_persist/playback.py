"""What a track was played from: an album, a playlist, an artist or the user's collection."""

from typing import Any, Final

from msgspec import Raw

from migrator.node_persist import rows, scalars, spotify, typed
from migrator.node_persist.fitting import Note, fit

Place = tuple[str | None, str | None]

_NO_ID: Final = frozenset(("", "collection"))
_CONTEXT: Final = spotify.Decode(spotify.Context)


def context_of(given: Raw | typed.Context, notes: list[Note], base: str, index: int) -> Place | None:
    """Return a context's type and id from an object, or from a URI in either form (the old one names the owner).

    Args:
        given: decoded, or raw text of any type.
        notes: what did not fit is added here.
        base, index: the play's place, for the pointers.
    """
    if isinstance(given, typed.Context):
        uri = given.uri
        if uri is not None and "\0" not in uri and (given.id is None or "\0" not in given.id):
            parts = uri.split(":")
            if len(parts) == 3 and parts[0] == "spotify" and parts[1] and parts[2] not in _NO_ID:
                type_ = given.type or parts[1]
                if "\0" not in type_:
                    return type_, parts[2]
        return _of_members(given, f"{base}/{index}/context", notes)
    kind = spotify.first(given)
    if kind in {b"", b"n"}:
        return None
    pointer = f"{base}/{index}/context"
    if kind == b'"':
        return _of_uri(fit(notes, pointer, spotify.scalar(given), scalars.text), pointer, notes)
    context = _CONTEXT(given)
    if context is None:
        notes.append((pointer, rows.WRONG_TYPE))
        return None
    return _of_members(context, pointer, notes)


def _of_members(context: Any, pointer: str, notes: list[Note]) -> Place:
    type_, uri, id_ = (
        fit(notes, f"{pointer}/{name}", getattr(context, name), scalars.text) for name in ("type", "uri", "id")
    )
    from_uri = _of_uri(uri, f"{pointer}/uri", notes) or (None, None)
    return type_ or from_uri[0], from_uri[1] or id_ or None


def _of_uri(uri: str | None, pointer: str, notes: list[Note]) -> Place | None:
    """Return the type and the id that a URI names."""
    if not uri:
        return None
    scheme, *names = uri.split(":")
    if scheme == "spotify" and names and all(names):
        if names[-1] == "collection":
            return "collection", None
        if len(names) > 1:
            return names[-2], names[-1]
    notes.append((pointer, rows.NOT_A_URI))
    return None
