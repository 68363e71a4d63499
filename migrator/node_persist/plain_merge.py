"""What many files say of one track, artist or album, as one row: the contract that the loader's SQL keeps.

Every rule is commutative, associative and idempotent, so neither order nor repetition of files matters.
"""

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from migrator.node_persist import rows

#: Table → how many of its columns are the key.
KEYS = {"artists": 1, "albums": 1, "tracks": 1, "track_artists": 2, "track_albums": 2, "audio_features": 1}
_PRECISIONS = ("year", "month", "day")

Row = tuple[Any, ...]


def merge(table: str, variants: Iterable[Row]) -> dict[Row, Row]:
    """Return one row for each key of a shared table."""
    merged: dict[Row, Row] = {}
    for row in variants:
        key = row[: KEYS[table]]
        merged[key] = _both(table, merged[key], row) if key in merged else row
    return merged


def _both(table: str, one: Row, other: Row) -> Row:
    columns = rows.SHARED_TABLES[table]
    left, right = dict(zip(columns, one, strict=True)), dict(zip(columns, other, strict=True))
    both = {name: _greatest(left[name], right[name]) for name in columns}
    if table == "artists":
        both["genres"] = _union(left["genres"], right["genres"])
    if table == "albums":
        finest = max(left, right, key=_release)
        both["release_date"], both["release_date_precision"] = finest["release_date"], finest["release_date_precision"]
    return tuple(both.values())


def _greatest(one: Any, other: Any) -> Any:
    """Return the greater of two values; NULL is less than any, text goes by code points, true is more than false."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _union(one: str, other: str) -> str:
    genres = sorted({*json.loads(one), *json.loads(other)})
    return json.dumps(genres, ensure_ascii=False, separators=(",", ":"))


def _release(album: dict[str, Any]) -> tuple[int, date]:
    """Return what orders releases: the finest precision first, then the latest date."""
    if album["release_date"] is None:
        return -1, date.min
    return _PRECISIONS.index(album["release_date_precision"]), album["release_date"]
