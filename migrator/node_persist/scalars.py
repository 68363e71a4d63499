"""Single values of the Web API's JSON, made fit for PostgreSQL: text, numbers, dates and instants.

Every function takes any decoded JSON value and raises `Unfit` with a problem of `rows` when it does not fit. null is
the callers' business.
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from migrator.node_persist import rows

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
INFINITE: Final = Decimal("Infinity")

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)", re.ASCII).fullmatch
_DATE: Final = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII).fullmatch
_COUNTRY: Final = re.compile(r"[A-Z]{2}").fullmatch


class Unfit(Exception):
    """A value that the column cannot hold; the only argument is the problem, without the value."""

    @property
    def problem(self) -> str:
        """What is wrong."""
        return str(self.args[0])


def number_of(text: str) -> Decimal:
    """Return the exact value of a JSON number with fraction or exponent; infinity when no column could hold it."""
    if len(text) > rows.LONGEST_NUMBER:
        return INFINITE
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond the decimal module
        return INFINITE
    return value if -rows.LARGEST_EXPONENT <= value.adjusted() <= rows.LARGEST_EXPONENT else INFINITE


def text(value: Any) -> str:
    """Return a text that PostgreSQL can hold."""
    if value.__class__ is not str:
        raise Unfit(rows.WRONG_TYPE)
    if "\0" in value:
        raise Unfit(rows.UNHOLDABLE)
    return str(value)


def country(value: Any) -> str:
    """Return a country code of two capital letters."""
    if not _COUNTRY(text(value)):
        raise Unfit(rows.NOT_A_COUNTRY)
    return str(value)


def truth(value: Any) -> bool:
    """Return a boolean."""
    if value is True or value is False:
        return bool(value)
    raise Unfit(rows.WRONG_TYPE)


def whole(value: Any, least: int, most: int) -> int:
    """Return an integer between two bounds; 3.0 is one."""
    if value.__class__ is int:
        if least <= value <= most:
            return int(value)
    elif value.__class__ is not Decimal:
        raise Unfit(rows.WRONG_TYPE)
    elif least <= value <= most and value == int(value):
        return int(value)
    raise Unfit(rows.OUT_OF_RANGE)


def exact(value: Any) -> Decimal:
    """Return a number with all its digits."""
    if value.__class__ is int:
        value = number_of(str(value)) if abs(value) < 10**rows.LONGEST_NUMBER else INFINITE
    elif value.__class__ is not Decimal:
        raise Unfit(rows.WRONG_TYPE)
    if value == INFINITE:
        raise Unfit(rows.OUT_OF_RANGE)
    return Decimal(value)


def share(value: Any) -> Decimal:
    """Return a number from 0 to 1."""
    number = exact(value)
    if not 0 <= number <= 1:
        raise Unfit(rows.OUT_OF_RANGE)
    return number


def tempo(value: Any) -> Decimal:
    """Return a number of beats per minute, above 0: the API's 0 means that none was found."""
    number = exact(value)
    if number <= 0:
        raise Unfit(rows.OUT_OF_RANGE)
    return number


def instant(value: Any) -> datetime:
    """Return an instant in UTC from ISO text with an offset, or from the seconds or milliseconds since 1970."""
    try:
        if value.__class__ is str:
            # As the API writes it, with and without milliseconds; digits elsewhere are checked by the parser.
            if value[4::3] == "--T::Z" or (len(value) == 24 and value[4:20:3] == "--T::." and value[23] == "Z"):
                found = datetime.fromisoformat(value)
            elif _INSTANT(value):
                found = datetime.fromisoformat(value).astimezone(UTC)
            else:
                raise Unfit(rows.NOT_AN_INSTANT)
        else:
            found = _of_epoch(value)
    except (ValueError, OverflowError):
        raise Unfit(rows.NOT_AN_INSTANT) from None
    if found == EPOCH:
        raise Unfit(rows.UNKNOWN_INSTANT)
    return found


def _of_epoch(value: Any) -> datetime:
    if (value.__class__ is int or value.__class__ is Decimal) and 0 <= value < 10**15:
        factor = 1_000_000 if value < rows.FEWEST_MILLISECONDS else 1_000
        return EPOCH + timedelta(microseconds=int(Fraction(value) * factor))
    raise Unfit(rows.NOT_AN_INSTANT)


def microseconds(at: datetime) -> int:
    """Return the microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def release(value: Any, precision: Any) -> tuple[date, str]:
    """Return the first day of the year, month or day of a release, and which of the three it is.

    The coarser of what the text shows and what the API says counts: "2004-01-01" of precision year is a year.
    """
    match = _DATE(value) if value.__class__ is str else None
    if match is None:
        raise Unfit(rows.NOT_A_DATE)
    year, month, day = match.groups()
    try:
        found = date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        raise Unfit(rows.NOT_A_DATE) from None
    if precision == "year" or not month:
        return found.replace(month=1, day=1), "year"
    if precision == "month" or not day:
        return found.replace(day=1), "month"
    return found, "day"
