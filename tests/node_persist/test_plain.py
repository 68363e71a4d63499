"""The writer's path and the validator's path agree on every value, whatever warts it has."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migrator.node_persist import rows
from migrator.node_persist.extract import Extract, Extractor
from migrator.node_persist.plain import Plain, plain_rows
from migrator.node_persist.plain_merge import merge
from migrator.node_persist.rows import SHARED_TABLES, USER_TABLES
from tests.node_persist import values

MTIME = 1_700_000_000_123_456_789


def merged(plain: dict[str, list[Any]]) -> dict[str, Any]:
    """Return shared rows merged, with genres as lists."""
    return {name: merge(name, plain[name]) for name in SHARED_TABLES}


def assert_same(extract: Extract, plain: Plain) -> None:
    """Compare everything that both give."""
    account = [
        (one.is_user, one.elements, one.linked, one.merged, one.blank, one.updated_at) for one in (extract, plain)
    ]
    assert account[0] == account[1]
    assert sorted(extract.quarantined) == sorted(plain.quarantined)
    assert sorted(extract.notes) == sorted(plain.notes)
    if plain.is_user:
        assert {name: Counter(extract.user_rows[name]) for name in USER_TABLES} == {
            name: Counter(plain.rows[name]) for name in USER_TABLES
        }
        assert merged(extract.shared_rows) == merged(plain.rows)


_NUL_BESIDE_URI = {"type": "album", "uri": "spotify:album:b", "id": "nul\0"}
_HUGE_GENRE = {"id": "a", "name": "A", "genres": [values.number("9" * 5000)]}


@settings(max_examples=1000)
@example(values.text_of({"topArtists": {"short_term": [_HUGE_GENRE]}}))
@example(
    values.text_of(
        {"recentlyPlayed": [{"track": {"id": "a", "name": "x"}, "played_at": 1709296496, "context": _NUL_BESIDE_URI}]}
    )
)
@given(values.user_texts)
def test_paths_agree_on_users(text: bytes) -> None:
    """Rows, counts, quarantine and notes are the same."""
    extract = Extractor().extract(text, values.USER, mtime_ns=MTIME)

    assert_same(extract, plain_rows(text, values.USER, mtime_ns=MTIME))
    assert extract.elements == extract.linked + extract.merged + extract.blank + len(extract.quarantined)


@settings(max_examples=300)
@given(
    values.any_texts, st.sampled_from(["", *rows.TIME_RANGES, "profile", "savedTracks", "playlists", "audioFeatures"])
)
def test_paths_agree_on_any_json(text: bytes, section: str) -> None:
    """No JSON value raises, as a whole or as a section, and both say the same."""
    value = b'{"%s":%s}' % (section.encode(), text) if section else text

    assert_same(Extractor().extract(value, values.USER, mtime_ns=MTIME), plain_rows(value, values.USER, mtime_ns=MTIME))


@settings(max_examples=60)
@given(st.lists(values.user_texts, max_size=4))
def test_a_worker_gives_all_shared_rows_over_its_files(texts: list[bytes]) -> None:
    """What is not given again was given before: the union over files merges to what the plain path says."""
    extractor = Extractor()
    extracts = [extractor.extract(text, values.USER, mtime_ns=MTIME) for text in texts]
    plains = [plain_rows(text, values.USER, mtime_ns=MTIME) for text in texts]
    given_rows: dict[str, list[Any]] = {
        name: [row for one in extracts if one.is_user for row in one.shared_rows[name]] for name in SHARED_TABLES
    }
    due = {name: [row for one in plains for row in one.rows[name]] for name in SHARED_TABLES}

    assert merged(due) == merged(given_rows)
    for extract, plain in zip(extracts, plains, strict=True):
        assert sorted(plain.notes) == sorted(extract.notes)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,]", b"\xff", b'{"profile":{"email":"\xff"}}', b'{"a":NaN}', b"[" * 100_000]
)
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    """Neither path gives rows of it, and none is taken for something else."""
    for path in (Extractor().extract, plain_rows):
        with pytest.raises(ValueError):
            path(text, values.USER, mtime_ns=MTIME)


@pytest.mark.parametrize(
    "text",
    [
        b'{"profile":5,"profile":{"country":"DE"},"savedTracks":[{"track":null,"track":{"id":"a","name":1,"name":"y"}}]}',
        b'{"savedTracks":[{"track":{"id":"a","id":"b","name":"y","popularity":"x","popularity":3}}],"savedTracks":{"items":[]}}',
        b'{"savedTracks":[{"track":{"id":"a","name":"y"}}],"audioFeatures":{"a":null,"a":{"energy":2,"energy":1}}}',
    ],
)
def test_of_members_that_come_twice_the_last_counts(text: bytes) -> None:
    """As in JavaScript, on both paths."""
    assert_same(Extractor().extract(text, "u", mtime_ns=MTIME), plain_rows(text, "u", mtime_ns=MTIME))


@given(st.permutations(range(3)), st.lists(values.user_texts, min_size=3, max_size=3))
@settings(max_examples=50)
def test_merging_knows_no_order_and_no_repetition(order: list[int], texts: list[bytes]) -> None:
    """The contract with the loader: any order and any repetition of files gives the same shared rows."""
    plains = [plain_rows(text, values.USER, mtime_ns=MTIME).rows for text in texts]
    for name in SHARED_TABLES:
        once = merge(name, [row for one in plains for row in one[name]])
        again = merge(name, [row for at in (*order, 0) for row in plains[at][name]])
        assert once == again


def test_merging_keeps_what_the_fuller_object_gave() -> None:
    """The table of the contract, rule by rule."""
    assert merge("tracks", [("t", "A", "track", False, None, 3, None), ("t", "B", "track", False, 5, 2, True)]) == {
        ("t",): ("t", "B", "track", False, 5, 3, True)
    }
    assert merge("artists", [("a", "A", '["x"]', None), ("a", "A", "[]", 9), ("a", "A", '["é","b"]', 1)]) == {
        ("a",): ("a", "A", '["b","x","é"]', 9)
    }
    import datetime as dt

    year, day = dt.date(2030, 1, 1), dt.date(1999, 5, 6)
    assert merge("albums", [("b", "B", year, "year", None), ("b", "B", day, "day", 7), ("b", "B", None, None, 8)]) == {
        ("b",): ("b", "B", day, "day", 8)
    }
    assert merge("audio_features", [("t", Decimal("0.1"), *[None] * 11), ("t", None, *[1] * 11)]) == {
        ("t",): ("t", Decimal("0.1"), *[1] * 11)
    }
    assert json.loads(merge("artists", [("a", "A", "[]", None)])["a",][2]) == []
