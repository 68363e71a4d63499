"""A finished answer: its bytes, its headers and its compressed forms, made once and sent many times."""

import gzip
from collections.abc import Callable, Mapping
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

Header = tuple[bytes, bytes]
TextHeader = tuple[str, str]
Message = dict[str, Any]

#: A shorter body fits one packet anyway, and unpacking costs the client more than the bytes saved.
_LEAST_BYTES: Final = 1_000
_GZIP_LEVEL: Final = 5
_BROTLI_QUALITY: Final = 4
_MOST_CHOICES: Final = 512


def _compressors() -> dict[bytes, Callable[[bytes], bytes]]:
    found: dict[bytes, Callable[[bytes], bytes]] = {}
    if find_spec("brotli"):  # no dependency, but better where it is installed
        brotli = import_module("brotli")
        found[b"br"] = lambda body: bytes(brotli.compress(body, quality=_BROTLI_QUALITY))
    found[b"gzip"] = lambda body: gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return found


#: Content coding -> compression, the better one first.
COMPRESSORS: Final[Mapping[bytes, Callable[[bytes], bytes]]] = _compressors()

#: Accept-Encoding headers that were sent -> the coding chosen; a browser sends one of a handful.
CHOICES: Final[dict[bytes, bytes]] = {}


def coding_of(accept_encoding: bytes) -> bytes:
    """Return the content coding for an Accept-Encoding header (RFC 9110, 12.5.3); empty for none."""
    chosen = CHOICES.get(accept_encoding)
    if chosen is None:
        chosen = _chosen(accept_encoding)
        if len(CHOICES) < _MOST_CHOICES and len(accept_encoding) <= 200:
            CHOICES[accept_encoding] = chosen
    return chosen


def _chosen(accept_encoding: bytes) -> bytes:
    weights: dict[bytes, float] = {}
    for part in accept_encoding.lower().split(b","):
        name, *parameters = (piece.strip() for piece in part.split(b";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith(b"q=")), b"1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0.0
    return next((name for name in COMPRESSORS if weights.get(name, weights.get(b"*", 0.0)) > 0), b"")


class Fixed:
    """Headers that many answers share.

    Attributes:
        small: for an answer that is never compressed.
        large: for one that is sent in another coding to who asks for it.
        small_text, large_text: the same as text.
    """

    __slots__ = ("large", "large_text", "small", "small_text")

    def __init__(self, *headers: Header) -> None:
        self.small = headers
        self.large = (*headers, (b"vary", b"accept-encoding"))
        self.small_text, self.large_text = (
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in some)
            for some in (self.small, self.large)
        )

    @classmethod
    def of(cls, headers: Mapping[str, str], media_type: str = "application/json") -> "Fixed":
        """Take headers given as text."""
        named = {"content-type": media_type, **headers}
        return cls(*((name.lower().encode(), value.encode("latin-1")) for name, value in named.items()))


class Prepared:
    """An answer with status 200 in every form that a client may ask for.

    A cache has tens of thousands, so it holds bytes and no messages, which are made in a third of a microsecond.

    Attributes:
        body: without compression.
        etag: strong; a compressed form has another.
    """

    __slots__ = ("_etag_text", "_fixed", "_packed", "body", "etag")

    def __init__(self, body: bytes, fixed: Fixed) -> None:
        """Prepare a body; `fixed` are the headers beside Content-Length, ETag and those of compression."""
        self.body = body
        self.etag = b'"%s"' % blake2b(body, digest_size=12).hexdigest().encode()
        self._etag_text = self.etag.decode()
        self._fixed = fixed
        # The coding that was asked for last, and the body in it: browsers agree.
        self._packed: tuple[bytes, bytes] | None = None

    @property
    def size(self) -> int:
        """Bytes that it holds or will hold, about; a compressed form has a third of the body's."""
        return 400 + len(self.body) * 4 // 3

    @property
    def is_compressible(self) -> bool:
        """Whether it is sent compressed to who asks for it."""
        return len(self.body) >= _LEAST_BYTES

    def messages(self, coding: bytes = b"") -> tuple[Message, bytes]:
        """Return the start of the answer and its body in a content coding, compressed at its first use."""
        body = self.body
        length = len(body)
        if length < _LEAST_BYTES:
            headers = [(b"content-length", b"%d" % length), (b"etag", self.etag), *self._fixed.small]
        elif not coding:
            headers = [(b"content-length", b"%d" % length), (b"etag", self.etag), *self._fixed.large]
        else:
            body = self._in(coding)
            headers = [
                (b"content-length", b"%d" % len(body)),
                (b"etag", self.tag_of(coding)),
                (b"content-encoding", coding),
                *self._fixed.large,
            ]
        return {"type": "http.response.start", "status": 200, "headers": headers}, body

    def parts(self, coding: bytes = b"") -> tuple[list[TextHeader], bytes]:
        """Return the same as headers in text, without Content-Length, and body, for an interface that wants those."""
        body = self.body
        if len(body) < _LEAST_BYTES:
            return [("etag", self._etag_text), *self._fixed.small_text], body
        if not coding:
            return [("etag", self._etag_text), *self._fixed.large_text], body
        tag, name = self.tag_of(coding).decode(), coding.decode()
        return [("etag", tag), ("content-encoding", name), *self._fixed.large_text], self._in(coding)

    def _in(self, coding: bytes) -> bytes:
        """Return the body compressed."""
        packed = self._packed
        if packed is None or packed[0] != coding:
            packed = self._packed = (coding, COMPRESSORS[coding](self.body))
        return packed[1]

    def tag_of(self, coding: bytes) -> bytes:
        """Return the entity tag of a coding."""
        return self.etag[:-1] + b"-" + coding + b'"' if coding and self.is_compressible else self.etag

    def not_modified(self, coding: bytes) -> Message:
        """Return the start of the 304."""
        fixed = self._fixed.large if self.is_compressible else self._fixed.small
        headers = [(b"etag", self.tag_of(coding)), *(header for header in fixed if header[0] != b"content-type")]
        return {"type": "http.response.start", "status": 304, "headers": headers}

    def matches(self, if_none_match: bytes, coding: bytes) -> bool:
        """Whether a client has this answer already; tags are compared weakly, as RFC 9110, 13.1.2 asks."""
        own = self.tag_of(coding)
        return any(
            given in (own, b"*") for given in (part.strip().removeprefix(b"W/") for part in if_none_match.split(b","))
        )


#: What follows the start of an answer without a body: to HEAD, or 304.
NO_BODY: Final[Message] = {"type": "http.response.body", "body": b""}
