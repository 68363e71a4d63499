"""What may be an id or a name, and what becomes of a value that does not fit its column."""

import re
from collections.abc import Callable
from typing import Any, Final

from migrator.node_persist import rows
from migrator.node_persist.scalars import Unfit

Note = tuple[str, str]

_URI: Final = re.compile(
    r"spotify:(?:(track|episode|artist|album|playlist)|user:[^:]*:(playlist)):([0-9A-Za-z]+)"
).fullmatch


class Misfit(Exception):
    """An object that cannot be imported; the only argument is the reason, without a value."""

    @property
    def reason(self) -> str:
        """Why."""
        return str(self.args[0])


def fit(notes: list[Note], pointer: str, value: Any, convert: Callable[..., Any], *bounds: Any) -> Any:
    """Return a converted value, or None and a note when it does not fit; null is None without a note."""
    if value is None:
        return None
    try:
        return convert(value, *bounds)
    except Unfit as unfit:
        notes.append((pointer, unfit.problem))
        return None


def bare(id_or_uri: str, kinds: set[str]) -> str:
    """Return the id in a URI of one of some kinds, any other text as it is."""
    match = _URI(id_or_uri)
    return match[3] if match and (match[1] or match[2]) in kinds else id_or_uri


def identity(id_: Any, uri: Any, kinds: set[str], *, longest: int = rows.LONGEST_ID, keeps_uri: bool = False) -> str:
    """Return an object's id, else the id in its URI, else (for items) the URI.

    Raises:
        Misfit: there is none, or it cannot be a key.
    """
    if id_.__class__ is str and id_:
        found = bare(id_, kinds)
    elif uri.__class__ is str and uri and (keeps_uri or bare(uri, kinds) != uri):
        found = bare(uri, kinds)
    else:
        raise Misfit(rows.NO_ID)
    if "\0" in found:
        raise Misfit(rows.ID_UNHOLDABLE)
    if len(found) * 4 > longest and len(found.encode()) > longest:
        raise Misfit(rows.ID_TOO_LONG)
    return found


def name_of(value: Any) -> str:
    """Return a name, of any length and with any spaces.

    Raises:
        Misfit: there is none, or PostgreSQL cannot hold it.
    """
    if value.__class__ is not str:
        raise Misfit(rows.NO_NAME)
    if "\0" in value:
        raise Misfit(rows.NAME_UNHOLDABLE)
    return str(value)
