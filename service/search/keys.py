"""Songs' keys of three types as bytes that are ordered like the keys, and cursors made of them."""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.search.query import BadCursor

_SIGN: Final = 1 << 63


@dataclass(frozen=True)
class KeyKind:
    """How keys of one type are written.

    Attributes:
        name: PostgreSQL's name of the type.
        mark: the first byte of its cursors.
        pack: from text, as PostgreSQL writes it, to bytes; raises ValueError when it is no such key.
        show: back to text; raises ValueError.
    """

    name: str
    mark: bytes
    pack: Callable[[str], bytes]
    show: Callable[[bytes], str]

    def cursor(self, key: bytes) -> str:
        """Return the cursor of the page that begins after a key."""
        return urlsafe_b64encode(self.mark + key).decode("ascii").rstrip("=")

    def after(self, cursor: str) -> bytes:
        """Return the key after which a cursor's page begins.

        Raises:
            BadCursor: no page of a search over keys of this type gave it.
        """
        try:
            raw = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            if raw[:1] == self.mark and self.pack(self.show(raw[1:])) == raw[1:]:
                return raw[1:]
        except ValueError:
            pass
        raise BadCursor("this is no cursor of this search; take the one of a page, or leave it out for the first page")


def _pack_bigint(text: str) -> bytes:
    number = int(text)
    if not -_SIGN <= number < _SIGN:
        raise ValueError(f"{number} is no bigint")
    return (number + _SIGN).to_bytes(8, "big")


def _show_bigint(packed: bytes) -> str:
    return str(int.from_bytes(packed, "big") - _SIGN)


def _show_text(packed: bytes) -> str:
    if b"\0" in packed:
        raise ValueError("no text of PostgreSQL's holds a NUL")
    return packed.decode()


_UUID: Final = KeyKind("uuid", b"u", lambda text: UUID(text).bytes, lambda packed: str(UUID(bytes=packed)))
_BIGINT: Final = KeyKind("bigint", b"b", _pack_bigint, _show_bigint)
_TEXT: Final = KeyKind("text", b"t", str.encode, _show_text)

#: By PostgreSQL's name of a column's type.
KEY_KINDS: Final = {
    "uuid": _UUID,
    "bigint": _BIGINT,
    "integer": _BIGINT,
    "smallint": _BIGINT,
    "text": _TEXT,
    "character varying": _TEXT,
}
