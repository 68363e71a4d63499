"""The validator's path: the same rows as `extract`, made in the slow and obvious way with the standard library.

It shares with the writer's path only the names in `rows` (columns, limits, reasons). Whatever the two disagree on is a
fault of one of them: a property test compares them, and a run's validation compares this one with the tables.
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from migrator.node_persist import plain_values as take
from migrator.node_persist import rows
from migrator.node_persist.plain_reader import Plain, Reader

__all__ = ["Plain", "parse", "plain_rows"]

SECTIONS = ("profile", "topTracks", "topArtists", "recentlyPlayed", "savedTracks", "playlists", "audioFeatures")


def plain_rows(value: bytes | memoryview, user_id: str, *, mtime_ns: int) -> Plain:
    """Return the rows and the account of one user's value.

    Args:
        value: JSON text, UTF-8.
        user_id: the id in the item's key.
        mtime_ns: of the file, which dates a value without lastUpdated.

    Raises:
        ValueError: it is no JSON text in UTF-8, or nested too deeply.
    """
    user = parse(value)
    if not isinstance(user, dict) or not any(isinstance(user.get(name), dict | list) for name in SECTIONS):
        return Plain()
    plain = Plain(is_user=True)
    stated = plain.notes.fit("/lastUpdated", user.get("lastUpdated"), take.instant)
    if stated is not None:
        plain.updated_at = (stated - take.EPOCH) // timedelta(microseconds=1)
    Reader(user_id, plain).read(user, stated or _observed(mtime_ns))
    return plain


def parse(value: bytes | memoryview) -> Any:
    """Decode JSON: exact numbers, and infinity for those that no column holds.

    Raises:
        ValueError: it is no JSON text in UTF-8, or nested too deeply.
    """
    try:
        return json.loads(
            bytes(value).decode(),
            parse_float=_fraction,
            parse_int=lambda digits: int(digits) if len(digits) <= rows.LONGEST_NUMBER else Decimal("Infinity"),
            parse_constant=_refuse,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _fraction(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")
    is_sane = len(text) <= rows.LONGEST_NUMBER and abs(number.adjusted()) <= rows.LARGEST_EXPONENT
    return number if is_sane else Decimal("Infinity")


def _refuse(_: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _observed(mtime_ns: int) -> datetime:
    try:
        return take.EPOCH + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:
        return datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC) if mtime_ns > 0 else datetime(1, 1, 1, tzinfo=UTC)
