"""Tokens of the HTTP interface: what one may do, from where, and until when.

A token is 256 random bits, so nobody finds one by trying, however fast a guess can be tested; a slow hash, which makes
up for passwords that people choose, would only slow every request. What is stored is the token's SHA-256: who reads
the table learns no token from it. The hash finds the row; how long that takes tells nothing about any other token.
"""

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from cachetools import TTLCache

from sql.database import Database, Row, Transaction

PREFIX = "segue_"
_TOKEN = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")

#: The longest time for which a verified token is believed without a look at the database, in seconds.
CACHE_SECONDS = 5.0
_MOST_CACHED = 1_000

NAME_LIMIT = 100

Network = IPv4Network | IPv6Network


class Scope(StrEnum):
    """What a token may do; none includes another."""

    READ = "read"
    CURATE = "curate"
    OPERATE = "operate"


class Refusal(StrEnum):
    """Why a token is not accepted. For logs and metrics; the client is told that it is not, and no more."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    NETWORK = "network"


class TokenError(Exception):
    """A token cannot be made or revoked as asked; the message says what is wrong.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 2


class TokenNameTaken(TokenError):
    """Another token that works has the name."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as it is stored; the token itself is nowhere.

    Attributes:
        id: uuid as text.
        name: what people call it.
        scopes: what it may do.
        networks: from where it may be used; empty: from anywhere.
        created_at: when it was made.
        created_by: by whom.
        expires_at: until when it works, or None for ever.
        revoked_at: since when it does not work any more, or None.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    networks: tuple[Network, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> "ApiToken":
        """Make it of a row of sql/queries/api_tokens.sql."""
        values = {name: row[name] for name in cls.__slots__}
        return cls(**{**values, "scopes": frozenset(map(Scope, row["scopes"])), "networks": tuple(row["networks"])})

    @property
    def state(self) -> str:
        """Whether it works now: active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= datetime.now(UTC) else "active"

    def may_be_used_from(self, address: str | None) -> bool:
        """Tell whether an address is in its networks; an unknown one is in none."""
        if not self.networks:
            return True
        try:
            found = ip_address(address or "")
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: the only time that its text is known."""

    token: ApiToken
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a token is accepted.

    Attributes:
        token: the accepted one, or None.
        refusal: why not, or None.
    """

    token: ApiToken | None
    refusal: Refusal | None = None


def create_token(
    transaction: Transaction,
    name: str,
    scopes: Iterable[str],
    *,
    created_by: str,
    networks: Iterable[str] = (),
    expires_in: timedelta | None = None,
) -> NewToken:
    """Make a token.

    Args:
        transaction: the caller's.
        name: what people call it, 1 to 100 characters.
        scopes: at least one.
        created_by: who makes it.
        networks: in CIDR notation.
        expires_in: from now; None for ever.

    Raises:
        TokenError: an argument, and what it should be.
        TokenNameTaken: revoke the other one first.
    """
    label = name.strip()
    if not 0 < len(label) <= NAME_LIMIT or not label.isprintable():
        raise TokenError(f"the name of a token has 1 to {NAME_LIMIT} printable characters; {name[:120]!r} does not")
    wanted = sorted({_parse_scope(scope) for scope in scopes})
    if not wanted:
        raise TokenError(f"a token needs a scope; give at least one of: {', '.join(Scope)}")
    allowed = [str(_parse_network(network)) for network in networks]
    for row in transaction.all("api_tokens.find_by_name", label=label):
        if ApiToken.of(row).state == "active":
            raise TokenNameTaken(f"token {row['id']} has the name {label!r}; choose another, or revoke that one first")
    text = PREFIX + secrets.token_urlsafe(32)
    row = transaction.one(
        "api_tokens.add_token",
        label=label,
        token_hash=_digest(text),
        scopes=[scope.value for scope in wanted],
        networks=allowed,
        created_by=created_by,
        expires_in=expires_in,
    )
    return NewToken(ApiToken.of(row), text)


def revoke_token(transaction: Transaction, name_or_id: str) -> ApiToken:
    """Revoke the token of a name or an id; one that was revoked before stays so since then.

    Raises:
        TokenError: there is none, or several that work have the name.
    """
    found = [ApiToken.of(row) for row in transaction.all("api_tokens.find_by_name", label=name_or_id)]
    if not found:
        raise TokenError(f"no token {name_or_id[:120]!r}; see: segue tokens list")
    working = [token for token in found if token.revoked_at is None]
    if len(working) > 1:
        ids = ", ".join(token.id for token in working)
        raise TokenError(f"several tokens have the name {name_or_id!r}; give one of their ids: {ids}")
    if not working:
        return found[-1]
    return ApiToken.of(transaction.one("api_tokens.revoke_token", id=working[0].id))


def list_tokens(transaction: Transaction, *, with_revoked: bool = False) -> tuple[ApiToken, ...]:
    """Return all tokens, the oldest first."""
    return tuple(map(ApiToken.of, transaction.all("api_tokens.list_tokens", with_revoked=with_revoked)))


class TokenVerifier:
    """Tells whether a token is accepted; safe to be used by several threads at a time.

    A revocation takes effect within `seconds` in every process; expiry and networks are looked at every time.

    Args:
        database: where the tokens are.
        seconds: how long a token is believed without another look.
        timer: monotonic seconds.
    """

    def __init__(
        self, database: Database, *, seconds: float = CACHE_SECONDS, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._known: TTLCache[bytes, ApiToken] = TTLCache(_MOST_CACHED, min(seconds, CACHE_SECONDS), timer)

    def verify(self, text: str, address: str | None) -> Verdict:
        """Look at a token that came from an address.

        Args:
            text: what the client sent.
            address: the client's, or None when it has none, as on a Unix socket.

        Raises:
            DatabaseError: the database was asked and does not answer.
        """
        if not _TOKEN.fullmatch(text):
            return Verdict(None, Refusal.MALFORMED)
        token = self._find(_digest(text))
        if token is None:
            return Verdict(None, Refusal.UNKNOWN)
        if token.state != "active":
            return Verdict(None, Refusal.REVOKED if token.revoked_at else Refusal.EXPIRED)
        return Verdict(token) if token.may_be_used_from(address) else Verdict(None, Refusal.NETWORK)

    def _find(self, digest: bytes) -> ApiToken | None:
        with self._guard:
            known = self._known.get(digest)
        if known is not None:
            return known
        with self._database.transaction() as transaction:
            row = transaction.first("api_tokens.find_by_hash", token_hash=digest)
        if row is None or not hmac.compare_digest(bytes(row["token_hash"]), digest):
            return None
        token = ApiToken.of(row)
        with self._guard:
            self._known[digest] = token
        return token


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _parse_scope(scope: str) -> Scope:
    try:
        return Scope(scope)
    except ValueError:
        raise TokenError(f"{scope[:60]!r} is no scope; there are: {', '.join(Scope)}") from None


def _parse_network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise TokenError(f"{text[:60]!r} is no network: {error}; write it like 10.0.0.0/8 or 2001:db8::/32") from None
