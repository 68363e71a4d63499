"""Everything that can be wrong with a request, as RFC 9457 problem details."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of problem.

    Attributes:
        status: the HTTP status code.
        title: the same for every occurrence.
        type: a URI reference that says more; ours lead to a section of the documentation page.
    """

    status: int
    title: str
    type: str


def _kind(status: int, slug: str, title: str) -> Kind:
    return Kind(status, title, f"/docs#{slug}")


BAD_REQUEST = _kind(400, "bad-request", "The request cannot be read")
UNAUTHORIZED = _kind(401, "unauthorized", "A valid token is needed")
FORBIDDEN = _kind(403, "forbidden", "The token or its network does not allow this")
NOT_FOUND = _kind(404, "not-found", "Nothing is here")
METHOD_NOT_ALLOWED = _kind(405, "method-not-allowed", "This resource does not answer this method")
CONFLICT = _kind(409, "conflict", "The request contradicts what is stored")
GONE = _kind(410, "gone", "This was merged into something else")
TOO_LARGE = _kind(413, "content-too-large", "The request's body is too large")
UNSUPPORTED_MEDIA_TYPE = _kind(415, "unsupported-media-type", "The request's body is not JSON")
INVALID = _kind(422, "invalid-request", "The request holds values that cannot be right")
TOO_MANY = Kind(429, "Too many requests", "https://iana.org/assignments/http-problem-types#quota-exceeded")
INTERNAL = _kind(500, "internal-error", "The server made a mistake")
UNAVAILABLE = _kind(503, "unavailable", "The server cannot answer this now")

KINDS: Final[tuple[Kind, ...]] = (
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    CONFLICT,
    GONE,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID,
    TOO_MANY,
    INTERNAL,
    UNAVAILABLE,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        detail: in words, with what would be right.
        parameter: the query or path parameter that is meant, or None.
        pointer: a JSON Pointer (RFC 6901) into the body, or None.
    """

    detail: str
    parameter: str | None = None
    pointer: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return the members that are set."""
        found = {"detail": self.detail}
        if self.parameter is not None:
            found["parameter"] = self.parameter
        if self.pointer is not None:
            found["pointer"] = self.pointer
        return found


class Problem(Exception):
    """A request that is answered with a problem instead of a result.

    Attributes:
        kind: which sort.
        detail: what is wrong with this request, and what to do.
        faults: each single thing, when there are several or one has a place.
        headers: further response headers, such as Allow or Retry-After.
    """

    def __init__(
        self, kind: Kind, detail: str, faults: Sequence[Fault] = (), headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = tuple(headers)

    def body(self, instance: str, request_id: str | None = None) -> bytes:
        """Return the JSON object; `instance` is the request's path, without what was typed into its query."""
        shown: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance.encode("utf-8", "replace").decode(),
        }
        if request_id is not None:
            shown["request_id"] = request_id
        if self.faults:
            shown["errors"] = [fault.as_json() for fault in self.faults]
        return msgspec.json.encode(shown)


def invalid(*faults: Fault) -> Problem:
    """Return the 422 that names each fault."""
    places = [fault.parameter or fault.pointer or "" for fault in faults]
    said = "; ".join(
        f"{place}: {fault.detail}" if place else fault.detail for place, fault in zip(places, faults, strict=True)
    )
    return Problem(INVALID, said, faults)
