"""Finished answers: entity tags, encodings and what a client has already."""

import gzip

import pytest

from service.http.prepared import Fixed, Prepared, coding_of

BODY = b'{"suggestions":[' + b",".join(b'{"name":"tag %d"}' % n for n in range(100)) + b"]}"
FIXED = Fixed((b"content-type", b"application/json"), (b"cache-control", b"public, max-age=10"))


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"", b""),
        (b"identity", b""),
        (b"gzip", b"gzip"),
        (b"GZIP;q=0.5", b"gzip"),
        (b"gzip;q=0", b""),
        (b"gzip; q=0.0, identity", b""),
        (b"*", b"gzip"),
        (b"*;q=0", b""),
        (b"deflate, gzip;q=1.0, *;q=0.5", b"gzip"),
        (b"gzip;q=x", b""),
    ],
)
def test_the_coding_is_what_the_client_accepts(accepted: bytes, coding: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept-Encoding with weights, as RFC 9110 reads it; here without brotli."""
    import service.http.prepared as module

    monkeypatch.setattr(module, "COMPRESSORS", {b"gzip": module.COMPRESSORS[b"gzip"]})
    module.CHOICES.clear()

    assert coding == coding_of(accepted)
    module.CHOICES.clear()


def test_compressed_and_plain_say_the_same() -> None:
    """The gzip form unpacks to the body, is shorter, and has a tag and a length of its own."""
    prepared = Prepared(BODY, FIXED)
    start, body = prepared.messages(b"gzip")
    headers = dict(start["headers"])
    plain_start, plain_body = prepared.messages()

    assert BODY == gzip.decompress(body) == plain_body
    assert len(body) < len(BODY) / 2
    assert b"%d" % len(body) == headers[b"content-length"]
    assert b"gzip" == headers[b"content-encoding"]
    assert headers[b"etag"] != prepared.etag == dict(plain_start["headers"])[b"etag"]
    assert b"accept-encoding" == headers[b"vary"] == dict(plain_start["headers"])[b"vary"]
    assert prepared.messages(b"gzip")[1] is body, "compressed once"


def test_small_bodies_are_not_compressed() -> None:
    """Below a packet's size it pays nobody, so nothing varies either."""
    start, body = Prepared(b"{}", FIXED).messages(b"gzip")

    assert b"{}" == body
    assert not {b"vary", b"content-encoding"} & {name for name, _ in start["headers"]}


def test_messages_are_not_shared() -> None:
    """Who adds headers to one answer adds them to no other."""
    prepared = Prepared(BODY, FIXED)
    prepared.messages()[0]["headers"].append((b"connection", b"close"))

    assert b"connection" not in dict(prepared.messages()[0]["headers"])


def test_tags_depend_on_the_body_alone() -> None:
    """Two processes give one answer one tag; another answer gets another."""
    assert Prepared(BODY, FIXED).etag == Prepared(BODY, Fixed()).etag
    assert Prepared(BODY, FIXED).etag != Prepared(BODY + b" ", FIXED).etag


@pytest.mark.parametrize("coding", [b"", b"gzip"])
def test_if_none_match(coding: bytes) -> None:
    """A known tag, alone, in a list, weak or as *, means 304 with the headers that a 200 would have had."""
    prepared = Prepared(BODY, FIXED)
    tag = prepared.tag_of(coding)

    assert all(prepared.matches(given, coding) for given in (tag, b'"x", ' + tag, b"W/" + tag, b"*"))
    assert not any(prepared.matches(given, coding) for given in (b"", b'"x"', tag.strip(b'"')))
    start = prepared.not_modified(coding)
    assert 304 == start["status"]
    assert {b"etag", b"vary", b"cache-control"} == {name for name, _ in start["headers"]}
    assert tag == dict(start["headers"])[b"etag"]
