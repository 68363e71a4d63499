"""The writer's path as a whole: what it gives can be stored, what it remembers, how it bounds itself, secrets."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.node_persist import rows
from migrator.node_persist.extract import Extract, Extractor, token_item
from migrator.node_persist.identity import row_id
from migrator.node_persist.rows import SHARED_TABLES, TABLES, USER_TABLES
from migrator.node_persist.seen import Seen
from tests.node_persist import values

MTIME = 1_700_000_000_123_456_789
AT = datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
ID = values.TRACKS[0]
REASONS = {value for name, value in vars(rows).items() if name.isupper() and isinstance(value, str)}


def extract(value: Any, extractor: Extractor | None = None) -> Extract:
    """Extract one value of the usual user."""
    text = value if isinstance(value, bytes) else values.text_of(value)
    return (extractor or Extractor()).extract(text, values.USER, mtime_ns=MTIME)


@settings(max_examples=150)
@given(values.user_texts)
def test_rows_can_be_stored(text: bytes) -> None:
    """Each row has its table's columns, text without NUL and surrogates, aware times, and its key once."""
    found = extract(text)
    keys = {"users": 1, "user_listening_history": 3, "user_top_tracks": 3, "user_top_artists": 3, "user_saved_tracks": 2,
            "playlists": 2, "playlist_tracks": 3}  # fmt: skip
    for name, given_rows in [*found.user_rows.items(), *found.shared_rows.items()]:
        for row in given_rows:
            assert len(row) == len(TABLES[name])
            for value in row:
                if isinstance(value, str):
                    assert "\0" not in value
                    value.encode()  # raises for a surrogate
                assert not isinstance(value, datetime) or value.tzinfo is UTC
        if name in keys:
            assert len(given_rows) == len({row[: keys[name]] for row in given_rows})
    for pointer, reason in found.quarantined + found.notes:
        assert reason.removesuffix(f"; {rows.LEFT_OUT}") in REASONS
        assert pointer.startswith("/")
        assert "\0" not in pointer
        pointer.encode()


@settings(max_examples=40)
@given(st.lists(values.user_texts, min_size=1, max_size=4), values.user_texts)
def test_a_rolled_back_chunk_gives_its_rows_again(kept: list[bytes], text: bytes) -> None:
    """After `forget` and after `undo` a file gives what it gave; after `keep` its catalogue rows are not given again."""
    extractor = Extractor()
    for one in kept:
        extract(one, extractor)
    extractor.keep()
    first = extract(text, extractor)
    extractor.forget()
    second = extract(text, extractor)
    extractor.undo()
    third = extract(text, extractor)
    extractor.keep()
    fourth = extract(text, extractor)

    assert first.shared_rows == second.shared_rows == third.shared_rows
    assert all(not fourth.shared_rows.get(name) for name in SHARED_TABLES)
    assert first.user_rows == second.user_rows == fourth.user_rows
    assert sorted(first.notes) == sorted(fourth.notes)


def test_a_failed_file_leaves_no_trace() -> None:
    """What a damaged value had given before its fault is given by the next file."""
    extractor = Extractor()
    track = b'{"track":{"id":"%s","name":"x"}}' % ID.encode()
    with pytest.raises(ValueError, match="not JSON"):
        extract(b'{"savedTracks":[' + track + b',{"track":{"id":"\xff","name":"y"}}]}', extractor)

    assert len(extract(b'{"savedTracks":[' + track + b"]}", extractor).shared_rows["tracks"]) == 1


def test_the_memory_is_bounded() -> None:
    """Beyond its limit the oldest half goes; what cannot be taken back one by one is forgotten as a whole."""
    seen: Seen[int, None] = Seen(10)
    for number in range(21):
        seen.known[number] = None
        seen.fresh.append(number)
        seen.bound()
    assert len(seen.known) <= 10
    assert 20 in seen.known
    assert not seen.fresh

    seen.forget()
    assert not seen.known
    seen.known[1] = None
    seen.fresh.append(1)
    seen.keep()
    seen.forget()
    assert 1 in seen.known


@settings(max_examples=5)
@given(values.users)
def test_a_large_value_is_read_section_by_section(value: dict[str, Any]) -> None:
    """Above 8 MB the way is another one; the rows are the same."""
    small, large = extract(value), extract({**value, "padding": "x" * 8_000_001})

    assert (small.user_rows, small.notes, small.quarantined) == (large.user_rows, large.notes, large.quarantined)
    assert (small.elements, small.linked, small.shared_rows) == (large.elements, large.linked, large.shared_rows)


@pytest.mark.parametrize("value", [{}, {"theme": "dark"}, {"profile": "x"}, {"access_token": "s"}, [], 5, "x", None])
def test_what_is_no_user(value: Any) -> None:
    """No known section that is an object or an array: not a user, and no rows."""
    found = extract(value)

    assert not found.is_user
    assert not any(found.user_rows[name] for name in USER_TABLES)
    assert (found.elements, found.tokens, found.shared_rows) == (0, None, {})


def test_sections_of_a_wrong_type_are_one_element_each() -> None:
    """A pointer to the section, and the others are imported."""
    found = extract(
        {"profile": [], "topTracks": [1], "recentlyPlayed": 5, "playlists": {"items": 1}, "audioFeatures": "x"}
    )

    assert ["/audioFeatures", "/playlists", "/profile", "/recentlyPlayed", "/topTracks"] == sorted(
        p for p, _ in found.quarantined
    )
    assert 5 == found.elements
    assert [(values.USER, None, None, None, None, AT)] == found.user_rows["users"]


@pytest.mark.parametrize(
    "value",
    [
        {"accessToken": "s1", "refreshToken": "s2", "expiresAt": 1709296496789},
        {"access_token": "s1", "refresh_token": "s2", "expires_at": "2024-03-01T12:34:56.789Z"},
        {"tokens": {"accessToken": "s1", "refresh_token": "s2", "expires_at": 1709296496789}},
        {"accessToken": "s1", "tokens": {"access_token": "other", "refresh_token": "s2", "expiresAt": 1709296496789}},
    ],
)
def test_tokens_are_found_and_never_shown(value: dict[str, Any]) -> None:
    """In a user's value and as an item of their own; no repr and no row has them."""
    alone = token_item(json.dumps(value).encode())
    found = extract({**value, "profile": {}})

    for tokens in (alone, found.tokens):
        assert tokens is not None
        assert (tokens.access, tokens.refresh) == ("s1", "s2")
        assert tokens.expires_at == datetime(2024, 3, 1, 12, 34, 56, 789000, UTC)
        assert "s1" not in repr(tokens) + repr(found)
    assert "s1" not in str((found.user_rows, found.shared_rows, found.notes, found.quarantined))


@given(values.any_texts | values.user_texts | st.binary(max_size=8))
def test_any_item_may_be_asked_for_tokens(text: bytes) -> None:
    """Nothing raises; without a token there is None."""
    found = token_item(text)

    assert found is None or found.access or found.refresh


def test_row_id() -> None:
    """The first 16 bytes of sha256 over kind, colon and key."""
    assert "b012f86a-3420-2b3a-b2df-4661aa0d3e80" == str(row_id("user", "smedjan"))
