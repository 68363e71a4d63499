"""Response headers that every answer has, and those for other origins."""

import re
from typing import Final

Header = tuple[bytes, bytes]

#: Answers are data: nothing in them is to be run, framed or guessed at.
JSON_SECURITY: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
#: The same for pages, whose links say nothing of where they stood.
SECURITY: Final[tuple[Header, ...]] = (*JSON_SECURITY, (b"referrer-policy", b"no-referrer"))

NO_STORE: Final[Header] = (b"cache-control", b"no-store")

#: A request's own id is kept when it is short and plain; it goes into logs.
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,64}")


def request_id_of(given: bytes) -> str | None:
    """Return a client's X-Request-ID when it may be repeated, else None."""
    return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else None


class Cors:
    """Which origins' pages may read answers.

    Args:
        origins: exact, or "*" for any; empty switches it off. No cookies are ever meant, so no credentials are allowed.
    """

    METHODS: Final = b"GET, HEAD, POST, PATCH, DELETE"
    REQUEST_HEADERS: Final = b"authorization, content-type, if-none-match, x-request-id"
    EXPOSED: Final = b"etag, link, location, ratelimit, ratelimit-policy, retry-after, x-request-id"

    def __init__(self, origins: tuple[str, ...]) -> None:
        self.is_on = bool(origins)
        self.is_any = "*" in origins
        self._allowed = {origin.encode("ascii", "replace") for origin in origins}

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """Return the headers of an answer to a request with this Origin header."""
        if not self.is_on:
            return ()
        if self.is_any:
            return ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", self.EXPOSED))
        if origin is None or origin.lower() not in self._allowed:
            return ((b"vary", b"origin"),)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", self.EXPOSED),
            (b"vary", b"origin"),
        )

    def preflight(self, origin: bytes) -> tuple[Header, ...]:
        """Return the headers of the answer to a preflight request."""
        allowed = self.headers(origin)
        if not any(name == b"access-control-allow-origin" for name, _ in allowed):
            return allowed
        return (
            *allowed,
            (b"access-control-allow-methods", self.METHODS),
            (b"access-control-allow-headers", self.REQUEST_HEADERS),
            (b"access-control-max-age", b"600"),
        )
