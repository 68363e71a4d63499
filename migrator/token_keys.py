"""Encryption of tokens: AES-SIV (RFC 5297), which is authenticated, and gives the same text for the same token.

The same text matters: a migration that is run again with the same key changes no row, and a rotation that was killed
and is called again neither. A token is bound to its user, its column and its key, so that a text moved to another row
or column does not decrypt. What it leaks is whether one user's token is the same as before.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from migrator.errors import MigratorError, UsageError

#: The environment variable with the keys, newest first. There is no option: a command line can be read by others.
VARIABLE = "SEGUE_TOKEN_KEY"

#: Bytes of a key: two AES-256 keys, or two AES-128 keys.
KEY_SIZES = (64, 32)

_VERSION = "v1"
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class UndecryptableToken(MigratorError):
    """A token was encrypted with a key that is not given, or was changed, or belongs to another user or column."""


@dataclass(frozen=True)
class TokenKey:
    """One key; its id stands in every envelope that it made."""

    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> "TokenKey":
        """Make a random key of 64 bytes."""
        secret = secrets.token_bytes(KEY_SIZES[0])
        return cls(_id_of(secret), secret)

    @property
    def text(self) -> str:
        """The key as `SEGUE_TOKEN_KEY` takes it. It is the secret itself."""
        return f"{self.id}:{base64.b64encode(self.secret).decode()}"


class TokenKeys:
    """The keys of `SEGUE_TOKEN_KEY`: the newest encrypts, all of them decrypt.

    Args:
        keys: newest first, each id once.
    """

    def __init__(self, keys: tuple[TokenKey, ...]) -> None:
        self.newest_id = keys[0].id
        self._ciphers = {key.id: AESSIV(key.secret) for key in keys}

    @classmethod
    def parse(cls, text: str) -> "TokenKeys | None":
        """Read keys separated by commas or white space; None when there is none.

        A key is `ID:BASE64`, or plain base64 of 64 or 32 bytes, whose id is then the first 8 hex digits of its sha256.

        Raises:
            UsageError: one is malformed or stands twice; the message says which one and never shows any part of it.
        """
        keys = tuple(
            _parse_key(item, number) for number, item in enumerate(re.split(r"[,\s]+", text.strip(" ,\t\r\n")), 1)
        )
        if len({key.id for key in keys}) < len(keys):
            raise UsageError(f"{VARIABLE}: two keys have the same id; give each key once, newest first")
        return cls(keys)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "TokenKeys | None":
        """Read the keys from `SEGUE_TOKEN_KEY`; None when it is not set or blank.

        Raises:
            UsageError: a key is malformed.
        """
        text = environment.get(VARIABLE, "").strip(" ,\t\r\n")
        return cls.parse(text) if text else None

    def encrypt(self, user_id: str, column: str, token: str) -> str:
        """Return the token's envelope under the newest key: `v1.KEYID.BASE64URL`.

        Args:
            user_id: the user's Spotify id (`users.spotify_id`), which an import knows before the row exists.
            column: of `spotify_tokens`: `access_token` or `refresh_token`.
            token: any text.
        """
        key_id = self.newest_id
        sealed = self._ciphers[key_id].encrypt(_bytes(token), _associated(user_id, column, key_id))
        return f"{_VERSION}.{key_id}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def decrypt(self, user_id: str, column: str, envelope: str) -> str:
        """Return the token of an envelope.

        Raises:
            UndecryptableToken: none of the keys opens it for this user and column.
        """
        version, _, rest = envelope.partition(".")
        key_id, _, body = rest.partition(".")
        cipher = self._ciphers.get(key_id)
        if version != _VERSION or cipher is None:
            raise UndecryptableToken("the token was encrypted with a key that is not given")
        try:
            sealed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            token = cipher.decrypt(sealed, _associated(user_id, column, key_id))
        except (InvalidTag, ValueError):
            raise UndecryptableToken("the token was changed, or belongs to another user or column") from None
        return token.decode("utf-8", "surrogatepass")

    def needs_rotation(self, envelope: str) -> bool:
        """Whether an envelope is not under the newest key."""
        return not envelope.startswith(f"{_VERSION}.{self.newest_id}.")


def _parse_key(item: str, number: int) -> TokenKey:
    given_id, separator, body = item.rpartition(":")
    if separator and not _ID.fullmatch(given_id):
        raise UsageError(f"{VARIABLE}: the id of key {number} must be 1 to 32 letters, digits, '-' or '_'; {_HELP}")
    try:
        standard = body.replace("-", "+").replace("_", "/").rstrip("=")
        secret = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{VARIABLE}: key {number} is not base64; {_HELP}") from None
    if len(secret) not in KEY_SIZES:
        raise UsageError(f"{VARIABLE}: key {number} is {len(secret)} bytes; a key has 64, or 32; {_HELP}")
    return TokenKey(given_id or _id_of(secret), secret)


_HELP = "a fresh key: segue keys new"


def _id_of(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()[:8]


def _associated(user_id: str, column: str, key_id: str) -> list[bytes]:
    """A vector, not a joined text: RFC 5297 keeps its parts apart."""
    return [_bytes(user_id), _bytes(column), _bytes(key_id)]


def _bytes(text: str) -> bytes:
    # A lone surrogate, which a damaged file may hold, must not raise an error that carries the token.
    return text.encode("utf-8", "surrogatepass")
