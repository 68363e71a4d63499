"""What a server is told: one frozen value made of options and the environment, checked before anything starts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

#: Requests of this machine itself are not limited: a probe or a load test is no stranger.
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class BadSetting(ValueError):
    """An option's value cannot be meant; the message names the option and what it takes."""


@dataclass(frozen=True, slots=True)
class SongsTable:
    """Where the songs are that a search finds.

    Attributes:
        table: with its schema when that is not the application's.
        key: its unique key's column.
        title: the column that a text filter looks into, or None when there is none.
    """

    table: str = "songs"
    key: str = "id"
    title: str | None = "title"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, one request and one process may take at most.

    Attributes:
        query_bytes: of a raw query string; a longer one is answered 422.
        body_bytes: of a request's body; a longer one is answered 413.
        request_seconds: until a request that waits for the database is answered 503; changes of tags have a minute.
        stream_seconds: after which a stream of events ends; its client comes back and goes on where it was.
        concurrency: requests in work at a time in one process, the autocomplete route aside; more are answered 503.
        rate: requests a second that one client may make in the long run; 0 switches the limit off.
        burst: requests that it may make at once.
        exempt: networks whose requests are not counted.
    """

    query_bytes: int = 4_096
    body_bytes: int = 65_536
    request_seconds: float = 5.0
    stream_seconds: float = 900.0
    concurrency: int = 64
    rate: float = 100.0
    burst: int = 200
    exempt: tuple[Network, ...] = LOOPBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that `segue serve` is told.

    Attributes:
        database_url: of PostgreSQL; it may hold a password, so it is left out of the representation.
        schema: the application's.
        lock_timeout_ms: how long one statement waits for a lock.
        host: address or name to listen on.
        port: 0 takes a free one.
        workers: processes that answer.
        redis_url: of a shared second cache tier and rate limit, or None.
        sentry_dsn: where errors are reported, or None.
        environment: under which name they are: production, staging, …
        songs: the searched table, or None for no search.
        limits: see there.
        cors_origins: that a browser may read answers from; "*" is any, empty is none but our own.
        trusted_proxies: networks whose X-Forwarded-For is believed.
        admin_networks: that may use a token; empty is any.
        cache_entries: answers that one process keeps at most.
        max_age: seconds that others may keep an autocomplete answer without asking.
        stale_seconds: that they may show an older one while they ask again.
        drain_seconds: how long a process that was asked to stop still answers, so that balancers see it is not ready.
        stop_seconds: that it then has to finish what it had begun.
    """

    database_url: str = field(repr=False)
    schema: str = "public"
    lock_timeout_ms: int = 5_000
    host: str = "127.0.0.1"
    port: int = 8_000
    workers: int = 1
    redis_url: str | None = field(default=None, repr=False)
    sentry_dsn: str | None = field(default=None, repr=False)
    environment: str = "production"
    songs: SongsTable | None = SongsTable()
    limits: Limits = Limits()
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    admin_networks: tuple[Network, ...] = ()
    cache_entries: int = 50_000
    max_age: int = 10
    stale_seconds: int = 60
    drain_seconds: float = 5.0
    stop_seconds: float = 15.0


def networks(option: str, texts: Iterable[str]) -> tuple[Network, ...]:
    """Read addresses and networks, each a network.

    Raises:
        BadSetting: one of them is neither.
    """
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ip_network(text.strip(), strict=False))
        except ValueError:
            raise BadSetting(
                f"{option} {text!r} is no network; write 10.0.0.0/8, 2001:db8::/32 or one address"
            ) from None
    return tuple(found)


def origins(option: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Read origins as browsers send them.

    Raises:
        BadSetting: one is no scheme://host[:port], or "*" stands beside others.
    """
    found = tuple(text.strip().rstrip("/").lower() for text in texts)
    for text in found:
        scheme, separator, host = text.partition("://")
        if text != "*" and (scheme not in {"http", "https"} or not separator or not host or "/" in host):
            raise BadSetting(f"{option} {text!r} is no origin; write https://app.example.org, or * for any")
    if "*" in found and len(found) > 1:
        raise BadSetting(f"{option} * already allows every origin; give it alone")
    return found
