"""Query strings: what cannot be meant is named, and nothing but a problem ever comes of it."""

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.http.parameters import Parameter, choice, flag, names, read_query, text, uuid, whole
from service.http.problems import INVALID, Problem
from tags.normalise import is_blank

KNOWN: tuple[Parameter, ...] = (
    text("q", 10, "a text", is_required=True),
    whole("limit", 1, 50, 10, "a number"),
    names("context", 2, "names"),
    flag("explain", "a switch"),
    choice("match", ("all", "any"), "a word", "all"),
)


def read(raw: bytes) -> dict[str, object]:
    """Read with the parameters above."""
    return read_query(raw, KNOWN, most_bytes=1_000)


def test_everything_is_read() -> None:
    """Values arrive decoded and typed, missing ones as their defaults."""
    assert {"q": "a b+é", "limit": 7, "context": ("x", "y"), "explain": True, "match": "any"} == read(
        b"q=a+b%2B%C3%A9&limit=7&context=x,%20y&explain=1&match=any"
    )
    assert {"q": "a", "limit": 10, "context": (), "explain": False, "match": "all"} == read(b"&q=a&")


@pytest.mark.parametrize(
    ("raw", "parameter", "said"),
    [
        (b"", "q", "missing"),
        (b"q", "q", "must not be empty"),
        (b"q=%20+", "q", "must not be empty"),
        (b"q=%E2%80%8B%E3%80%80", "q", "must not be empty"),  # zero width space, ideographic space
        (b"q=12345678901", "q", "has 11 characters; at most 10 are read"),
        (b"q=%FF", "q", "is not UTF-8 at byte 1"),
        (b"q=%ED%A0%80", "q", "is not UTF-8 at byte 1"),
        (b"q=\xff", "q", "is not UTF-8 at byte 1"),
        (b"q=%zz", "q", "'%zz' is no percent-encoding; write a percent sign as %25"),
        (b"q=100%", "q", "'%' is no percent-encoding; write a percent sign as %25"),
        (b"q=a%00", "q", "holds the control character U+0000"),
        (b"q=a%7F", "q", "holds the control character U+007F"),
        (b"q=a&q=b", "q", "given more than once"),
        (b"q=a&x=1", "x", "unknown parameter; there are: q, limit, context, explain, match"),
        (b"q=a&limit=0", "limit", "must be a whole number from 1 to 50"),
        (b"q=a&limit=1000000000", "limit", "must be a whole number from 1 to 50"),
        (b"q=a&limit=-1", "limit", "must be a whole number from 1 to 50"),
        (b"q=a&limit=1.0", "limit", "must be a whole number from 1 to 50"),
        (b"q=a&limit=%D9%A1", "limit", "must be a whole number from 1 to 50"),
        (b"q=a&limit=", "limit", "must be a whole number from 1 to 50"),
        (b"q=a&explain=yes", "explain", "must be 1, true, 0 or false"),
        (b"q=a&match=none", "match", "must be one of all, any"),
        (b"q=a&context=a,,b", "context", "must be names or ids parted by commas, none of them empty"),
        (b"q=a&context=a,b,c", "context", "holds 3 names; at most 2 are read"),
        (b"q=a&%FF=1", None, "a parameter's name is not UTF-8 at byte 1"),
        (b"q=" + b"a" * 1_000, None, "the query string has 1,002 bytes; at most 1,000 are read"),
    ],
)
def test_faults_are_named(raw: bytes, parameter: str | None, said: str) -> None:
    """Each mistake gives 422 with the parameter and what would be right."""
    with pytest.raises(Problem) as caught:
        read(raw)

    assert INVALID is caught.value.kind
    assert [(parameter, said)] == [(fault.parameter, fault.detail) for fault in caught.value.faults]


def test_all_faults_are_told_at_once() -> None:
    """Who makes two mistakes learns of both."""
    with pytest.raises(Problem) as caught:
        read(b"limit=0&explain=2&y=1")

    assert ["limit", "explain", "y", "q"] == [fault.parameter for fault in caught.value.faults]


@given(st.binary(max_size=60))
@example(b"%")
@example(b"q=%F0%9F%98%80")
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No query string makes anything but values or a problem that can be written as JSON."""
    try:
        found = read(raw)
    except Problem as caught:
        problem = caught
    else:
        assert found["q"]
        return
    assert problem.faults
    assert problem.body("/x").decode("utf-8")


@given(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=10).filter(
        lambda text: not is_blank(text)
    )
)
def test_encoded_texts_come_back(value: str) -> None:
    """Both ways of writing a text into a query string give it back."""
    assert value == read(b"q=" + quote(value).encode())["q"] == read(b"q=" + quote_plus(value).encode())["q"]


def test_uuids_are_read_in_one_form() -> None:
    """Case does not matter, form does."""
    assert "0190b0a4-7c1e-7d30-9a53-0b7c4a2f4f11" == uuid("0190B0A4-7C1E-7D30-9A53-0B7C4A2F4F11")
    for wrong in ("", "0190b0a47c1e7d309a530b7c4a2f4f11", "{0190b0a4-7c1e-7d30-9a53-0b7c4a2f4f11}", "x" * 36):
        with pytest.raises(ValueError, match="must be a UUID"):
            uuid(wrong)
