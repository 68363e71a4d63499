"""Single values on the validator's path, written apart from the writer's `scalars`."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from migrator.node_persist import rows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wrong(Exception):
    """A value or an object that does not fit; its text is a reason or problem of `rows`."""


def holds(text: str) -> bool:
    """Tell whether PostgreSQL can hold a text."""
    return not any(character == "\0" or 0xD800 <= ord(character) <= 0xDFFF for character in text)


def text(value: Any) -> str:
    """Take a text."""
    if not isinstance(value, str):
        raise Wrong(rows.WRONG_TYPE)
    if not holds(value):
        raise Wrong(rows.UNHOLDABLE)
    return value


def country(value: Any) -> str:
    """Take two capital letters."""
    letters = text(value)
    if len(letters) != 2 or not all("A" <= letter <= "Z" for letter in letters):
        raise Wrong(rows.NOT_A_COUNTRY)
    return letters


def boolean(value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise Wrong(rows.WRONG_TYPE)
    return value


def is_number(value: Any) -> bool:
    """Tell whether a value is a JSON number."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def integer(value: Any, least: int, most: int) -> int:
    """Take a whole number between two bounds."""
    if not is_number(value):
        raise Wrong(rows.WRONG_TYPE)
    if not least <= value <= most or value != int(value):
        raise Wrong(rows.OUT_OF_RANGE)
    return int(value)


def number(value: Any) -> Decimal:
    """Take a number with all its digits."""
    if not is_number(value):
        raise Wrong(rows.WRONG_TYPE)
    if value == Decimal("Infinity"):
        raise Wrong(rows.OUT_OF_RANGE)
    return Decimal(value)


def share(value: Any) -> Decimal:
    """Take a number from 0 to 1."""
    taken = number(value)
    if taken < 0 or taken > 1:
        raise Wrong(rows.OUT_OF_RANGE)
    return taken


def tempo(value: Any) -> Decimal:
    """Take a number above 0."""
    taken = number(value)
    if taken <= 0:
        raise Wrong(rows.OUT_OF_RANGE)
    return taken


def instant(value: Any) -> datetime:
    """Take an instant, from text with an offset or from a number of seconds or milliseconds."""
    try:
        if isinstance(value, str):
            taken = _instant_of_text(value)
        elif is_number(value) and 0 <= value < 10**15:
            seconds = Fraction(value) if value < rows.FEWEST_MILLISECONDS else Fraction(value) / 1000
            taken = EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
        else:
            raise Wrong(rows.NOT_AN_INSTANT)
    except (ValueError, OverflowError):
        raise Wrong(rows.NOT_AN_INSTANT) from None
    if taken == EPOCH:
        raise Wrong(rows.UNKNOWN_INSTANT)
    return taken


def _instant_of_text(value: str) -> datetime:
    match = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
        r"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))",
        value,
    )
    if match is None:
        raise Wrong(rows.NOT_AN_INSTANT)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    local = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    if match[8] is None:
        return local
    hours, minutes = int(match[9]), int(match[10])
    if hours > 23 or minutes > 59:
        raise Wrong(rows.NOT_AN_INSTANT)
    offset = timedelta(hours=hours, minutes=minutes)
    return local - offset if match[8] == "+" else local + offset


def release(value: Any, precision: Any) -> tuple[date, str]:
    """Take a date of a year, a month or a day; what is coarser of its text and its stated precision counts."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?", value):
        raise Wrong(rows.NOT_A_DATE)
    parts = [int(part) for part in value.split("-")]
    try:
        date(*[*parts, 1, 1][:3])
    except ValueError:
        raise Wrong(rows.NOT_A_DATE) from None
    names = ["year", "month", "day"]
    wanted = len(parts)
    if isinstance(precision, str) and precision in names:
        wanted = min(wanted, names.index(precision) + 1)
    return date(*[*parts[:wanted], 1, 1][:3]), names[wanted - 1]


def id_in_uri(uri: str, kinds: tuple[str, ...]) -> str | None:
    """Return the id in `spotify:KIND:ID` or, for playlists, `spotify:user:OWNER:playlist:ID`."""
    parts = uri.split(":")
    if len(parts) == 5 and parts[1] == "user" and parts[3] == "playlist":
        parts = [parts[0], parts[3], parts[4]]
    if len(parts) == 3 and parts[0] == "spotify" and parts[1] in kinds and re.fullmatch(r"[0-9A-Za-z]+", parts[2]):
        return parts[2]
    return None


def key_of(id_: Any, uri: Any, kinds: tuple[str, ...], *, longest: int, or_uri: bool = False) -> str:
    """Take an object's id, or the one in its URI, or the URI."""
    if isinstance(id_, str) and id_ != "":
        key = id_in_uri(id_, kinds) or id_
    elif isinstance(uri, str) and id_in_uri(uri, kinds):
        key = id_in_uri(uri, kinds) or uri
    elif isinstance(uri, str) and uri != "" and or_uri:
        key = uri
    else:
        raise Wrong(rows.NO_ID)
    if not holds(key):
        raise Wrong(rows.ID_UNHOLDABLE)
    if len(key.encode()) > longest:
        raise Wrong(rows.ID_TOO_LONG)
    return key


def name(value: Any) -> str:
    """Take a name."""
    if not isinstance(value, str):
        raise Wrong(rows.NO_NAME)
    if not holds(value):
        raise Wrong(rows.NAME_UNHOLDABLE)
    return value
