"""Token buckets: how much one client may ask, who is one client, and how processes share."""

import time
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.clients import address_of, client_of
from service.http.problems import TOO_MANY
from service.http.rate_limit import Quota
from service.settings import Limits
from tests.http.servers import wait_for


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def quota(clock: Clock, *, rate: float = 10, burst: int = 20) -> Quota:
    """Make a policy that counts everybody."""
    return Quota("read", Limits(rate=rate, burst=burst, exempt=()), clock)


def test_a_burst_then_a_rate() -> None:
    """Twenty at once, then ten a second; what is refused costs nothing."""
    clock = Clock()
    limit = quota(clock)

    assert list(range(19, -1, -1)) == [limit.take("192.0.2.1") for _ in range(20)]
    assert -1 == limit.take("192.0.2.1")
    assert 19 == limit.take("192.0.2.2"), "another client has a bucket of its own"
    clock.now += 0.125
    assert 0 == limit.take("192.0.2.1")
    assert -1 == limit.take("192.0.2.1")


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 30)), max_size=30))
def test_never_more_than_burst_and_rate(steps: list[tuple[float, int]]) -> None:
    """Over any time, at most the burst and the rate's share of the time are let through."""
    clock = Clock()
    limit = quota(clock)
    passed, allowed = 0.0, 0

    for pause, requests in steps:
        clock.now += pause
        passed += pause
        allowed += sum(limit.take("192.0.2.1") != -1 for _ in range(requests))
        assert allowed <= 20 + passed * 10 + 1e-6


def test_headers_say_what_is_left() -> None:
    """RateLimit-Policy and RateLimit as the draft writes them, and a 429 that says when to come again."""
    clock = Clock()
    limit = quota(clock, rate=0.5, burst=3)

    assert (
        (b"ratelimit-policy", b'"read";q=3;w=6'),
        (b"ratelimit", b'"read";r=2;t=2'),
    ) == limit.headers(limit.take("192.0.2.1") or 0)
    limit.take("192.0.2.1")
    limit.take("192.0.2.1")
    assert -1 == limit.take("192.0.2.1")
    refusal = limit.refusal("192.0.2.1")
    assert TOO_MANY is refusal.kind
    assert ("retry-after", "2") in refusal.headers
    assert ("ratelimit", '"read";r=0;t=6') in refusal.headers


def test_exempt_networks_and_no_rate_count_nobody() -> None:
    """None instead of a number: such requests get no header either."""
    exempt = Quota("read", Limits(rate=1, burst=1, exempt=(ip_network("127.0.0.0/8"),)), Clock())
    off = Quota("read", Limits(rate=0, burst=1, exempt=()), Clock())

    assert [None, None] == [exempt.take("127.0.0.1"), exempt.take("::ffff:127.9.9.9")]
    assert [0, -1] == [exempt.take("10.0.0.1"), exempt.take("10.0.0.1")]
    assert [None, None] == [off.take("10.0.0.1"), off.take("10.0.0.1")]
    assert not off.is_on


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of addresses does not keep a bucket each for ever, and a spender stays known."""
    monkeypatch.setattr("service.http.rate_limit._MOST_BUCKETS", 100)
    clock = Clock()
    limit = quota(clock, rate=1, burst=2)
    limit.take("192.0.2.1")
    limit.take("192.0.2.1")

    for number in range(1_000):
        limit.take(f"10.0.{number // 250}.{number % 250}")
        clock.now += 0.001  # each is full again when the next hundred have come

    assert len(limit._by_client) <= 101
    assert len(limit._by_address) <= 101


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_who_is_one_client(address: str, client: str) -> None:
    """An IPv4 address, or the smallest IPv6 network that a customer has."""
    assert client == client_of(address)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", [b"198.51.100.1"], "203.0.113.5"),  # not a proxy of ours: what it says is its own invention
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # the first was written by the client
        ("10.0.0.1", [b"1.1.1.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [b"1.1.1.1", b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", [b"[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", [b"nonsense"], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1, nonsense, 10.0.0.2"], "10.0.0.2"),
    ],
)
def test_forwarded_addresses(peer: str, forwarded: list[bytes], address: str) -> None:
    """X-Forwarded-For counts only as far as our own proxies wrote it."""
    scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", value) for value in forwarded]}

    assert address == address_of(scope, (ip_network("10.0.0.0/8"),))
    assert peer == address_of(scope, ())


def test_processes_share_through_redis(redis_url: str) -> None:
    """What one process lets through is missing in another a moment later; without Redis each goes on alone."""
    from service.http.shared_quota import SharedQuotas

    started = time.monotonic()
    limits = Limits(rate=1, burst=10, exempt=())
    one, other = Quota("read", limits), Quota("read", limits)
    shared = [SharedQuotas(redis_url, [quota]) for quota in (one, other)]
    for _ in range(8):
        one.take("192.0.2.1")
    other.take("192.0.2.1")
    for quotas in shared:
        quotas.start()
    try:
        for quota in (one, other):
            wait_for(lambda quota=quota: quota._by_client["192.0.2.1"].spent == 0)  # type: ignore[misc]
        other.take("192.0.2.1")
        wait_for(lambda: other._by_client["192.0.2.1"].spent == 0)
        left = other.take("192.0.2.1")
    finally:
        for quotas in shared:
            quotas.stop()

    assert left is not None
    assert left <= time.monotonic() - started, "eleven were spent of ten, and one a second came back"


def test_without_redis_a_quota_still_counts() -> None:
    """A Redis that is not there stops nobody and nothing."""
    from service.http.shared_quota import SharedQuotas

    limit = Quota("read", Limits(rate=1, burst=2, exempt=()))
    shared = SharedQuotas("redis://127.0.0.1:1/0", [limit])
    shared.start()
    try:
        assert [1, 0, -1] == [limit.take("192.0.2.1") for _ in range(3)]
    finally:
        shared.stop()
