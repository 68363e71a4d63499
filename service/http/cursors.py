"""Opaque cursors: where a page ended, in a form that only the list that made it takes back."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any

from service.http.parameters import Parameter

_CHECK_BYTES = 6
_LONGEST = 1_500


def encoded(purpose: str, *parts: str | int) -> str:
    """Return the cursor of a list for what its last row is found by."""
    body = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()
    return urlsafe_b64encode(_check(purpose, body) + body).decode().rstrip("=")


def decoded(purpose: str, cursor: str, *kinds: type) -> list[Any]:
    """Return the parts of a cursor.

    The check keeps cursors of other lists and typing mistakes out; it is no secret, for a cursor shows nothing secret.

    Raises:
        ValueError: this list did not make it.
    """
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        body = raw[_CHECK_BYTES:]
        parts = json.loads(body) if raw[:_CHECK_BYTES] == _check(purpose, body) else None
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise ValueError("is no cursor of this list; take `next` of a page, or leave it out for the first page")
    return parts


def cursor_parameter(purpose: str, *kinds: type) -> Parameter:
    """Describe the parameter; its value is the list of the cursor's parts, or None for the first page."""

    def read(text: str) -> list[Any]:
        return decoded(purpose, text, *kinds)

    return Parameter(
        name="cursor",
        description="Where the page begins: `next` of the page before; missing for the first page.",
        read=read,
        schema={"type": "string", "minLength": 1, "maxLength": _LONGEST, "pattern": "^[A-Za-z0-9_-]+$"},
    )


def _check(purpose: str, body: bytes) -> bytes:
    return blake2b(body, digest_size=_CHECK_BYTES, person=purpose.encode()[:16]).digest()
