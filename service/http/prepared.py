"""A finished answer: its bytes, its headers and its compressed forms, made once and sent many times."""

import gzip
from collections.abc import Callable, Mapping
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

Header = tuple[bytes, bytes]
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


class Prepared:
    """An answer with status 200 in every form that a client may ask for.

    Attributes:
        body: without compression.
        etag: strong; a compressed form has another.
        plain: the two ASGI messages of the uncompressed answer, sent to most.
    """

    __slots__ = ("_coded", "_fixed", "body", "etag", "plain")

    def __init__(self, body: bytes, fixed: tuple[Header, ...]) -> None:
        """Prepare a body; `fixed` are the headers beside Content-Length, ETag and those of compression."""
        self.body = body
        self.etag = b'"%s"' % blake2b(body, digest_size=12).hexdigest().encode()
        self._fixed = fixed
        self._coded: dict[bytes, tuple[Message, Message]] = {}
        self.plain = self._messages(body, self.etag, b"")

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return 2_000 + len(self.body) + sum(len(body["body"]) for _, body in self._coded.values())

    @property
    def is_compressible(self) -> bool:
        """Whether it is sent compressed to who asks for it."""
        return len(self.body) >= _LEAST_BYTES

    def coded(self, coding: bytes) -> tuple[Message, Message]:
        """Return the messages of the answer in a content coding, compressed at its first use."""
        found = self._coded.get(coding)
        if found is None:
            if not coding or not self.is_compressible:
                found = self.plain
            else:
                found = self._messages(COMPRESSORS[coding](self.body), self.tag_of(coding), coding)
            self._coded[coding] = found
        return found

    def tag_of(self, coding: bytes) -> bytes:
        """Return the entity tag of a coding."""
        return self.etag[:-1] + b"-" + coding + b'"' if coding and self.is_compressible else self.etag

    def not_modified(self, coding: bytes) -> Message:
        """Return the start of the 304."""
        headers = [(b"etag", self.tag_of(coding)), *self._vary(), *(h for h in self._fixed if h[0] != b"content-type")]
        return {"type": "http.response.start", "status": 304, "headers": headers}

    def matches(self, if_none_match: bytes, coding: bytes) -> bool:
        """Whether a client has this answer already; tags are compared weakly, as RFC 9110, 13.1.2 asks."""
        own = self.tag_of(coding)
        return any(
            given in (own, b"*") for given in (part.strip().removeprefix(b"W/") for part in if_none_match.split(b","))
        )

    def _messages(self, body: bytes, etag: bytes, coding: bytes) -> tuple[Message, Message]:
        headers = [(b"content-length", b"%d" % len(body)), (b"etag", etag), *self._vary(), *self._fixed]
        if coding:
            headers.append((b"content-encoding", coding))
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        return start, {"type": "http.response.body", "body": body}

    def _vary(self) -> tuple[Header, ...]:
        return ((b"vary", b"accept-encoding"),) if self.is_compressible else ()


def prepared(body: bytes, headers: Mapping[str, str], media_type: str = "application/json") -> Prepared:
    """Prepare a body with headers given as text."""
    named = {"content-type": media_type, **headers}
    return Prepared(body, tuple((name.lower().encode(), value.encode("latin-1")) for name, value in named.items()))


#: What follows the start of an answer without a body: to HEAD, or 304.
NO_BODY: Final[Message] = {"type": "http.response.body", "body": b""}
