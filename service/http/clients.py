"""Who asks: the address that a limit or an allow-list looks at, believed only as far as the configured proxies go."""

from collections.abc import Iterable, MutableMapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from service.settings import Network

#: Of a client whose address is not known, such as one behind a Unix socket.
UNKNOWN = "unknown"

#: The smallest IPv6 network that one customer has; its addresses are one client.
_IPV6_PREFIX = 64

Scope = MutableMapping[str, Any]


def address_of(scope: Scope, trusted: Sequence[Network]) -> str:
    """Return the address that an ASGI request comes from; see `believed`."""
    peer = scope.get("client")
    address = str(peer[0]) if peer else UNKNOWN
    if not trusted:
        return address
    return believed(
        address, (value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"), trusted
    )


def believed(address: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """Return the address that asks, as text.

    Behind trusted proxies it is the last address of X-Forwarded-For that none of them has: everything before it was
    written by whoever asked.

    Args:
        address: of the peer.
        forwarded: values of X-Forwarded-For.
        trusted: networks of the proxies.
    """
    if not _is_within(address, trusted):
        return address
    for part in reversed(",".join(forwarded).split(",")):
        if (shown := _parsed(part)) is None:
            break
        address = str(shown)
        if not _is_within(address, trusted):
            break
    return address


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 address's /64."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed) if parsed else address[:64]


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address belongs to one of the networks; an unknown one belongs to none."""
    return _is_within(address, networks)


def _is_within(address: str, networks: Iterable[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks if network.version == parsed.version)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows IPv4 peers as ::ffff:192.0.2.1.
    return getattr(parsed, "ipv4_mapped", None) or parsed
