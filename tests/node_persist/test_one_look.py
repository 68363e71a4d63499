"""Decoding a value in the look that finds its end gives what the two looks give, for every content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.node_persist.contents import Content, unwrap
from migrator.node_persist.damage import Damaged
from migrator.node_persist.extract import decode_sound
from tests.node_persist.stores import file_name

VALUE = b'{"profile":{"id":"ann","display_name":"\xc3\x84nn"},"savedTracks":[{"track":{"id":"a","name":"b"}}],"ttl":5}'
PATH = file_name(4, "ann")
WHOLE = b'{"key":"ann","value":' + VALUE + b"}"
TIMED = b'{"key":"ann","value":' + VALUE + b',"ttl":99999999999999}'


def found(data: bytes, *, at_once: bool) -> object:
    """Return what `unwrap` tells of a content, comparable."""
    try:
        content: Content = unwrap(PATH, data, decode_sound if at_once else None)
    except Damaged as damaged:
        return damaged.outcome, damaged.reason
    return content.key, content.generation, bytes(content.value), content.expires_at_ms, content.rescued


@pytest.mark.parametrize("whole", [WHOLE, TIMED])
def test_a_sound_value_is_decoded_at_once(whole: bytes) -> None:
    """And nothing else about it changes."""
    content = unwrap(PATH, whole, decode_sound)

    assert content.decoded is not None
    assert found(whole, at_once=True) == found(whole, at_once=False)


@pytest.mark.parametrize("whole", [WHOLE, TIMED])
def test_every_beginning_and_every_end_is_judged_alike(whole: bytes) -> None:
    """Cut short, or an older write's end after a newer one's beginning."""
    for place in range(len(whole) + 1):
        for data in (whole[:place], whole[:place] + whole[place + 1 :], whole + whole[place:]):
            assert found(data, at_once=True) == found(data, at_once=False), data


@given(
    st.sampled_from([WHOLE, TIMED]),
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from([b"", b"}", b",", b'"', b"\0", b"\xff", b"\\ud800", b" "]))
    ),
)
def test_every_damage_is_judged_alike(whole: bytes, changes: list[tuple[int, bytes]]) -> None:
    """Bytes put in or put over, one after the other."""
    for place, octets in changes:
        whole = whole[:place] + octets + whole[place + (len(octets) > 1) :]

    assert found(whole, at_once=True) == found(whole, at_once=False)
