"""How often one client may ask: a token bucket each, in this process's memory."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from service.http.clients import client_of, is_within
from service.http.problems import TOO_MANY, Problem
from service.settings import Limits

Header = tuple[bytes, bytes]

#: Buckets that are kept; beyond it the full ones, which say nothing, are dropped.
_MOST_BUCKETS: Final = 50_000


class Bucket:
    """What one client may still spend.

    Attributes:
        client: whose it is.
        tokens: left at the time `at`, in requests.
        at: monotonic seconds.
        spent: since others were last told.
    """

    __slots__ = ("at", "client", "spent", "tokens")

    def __init__(self, client: str, tokens: float, at: float) -> None:
        self.client = client
        self.tokens = tokens
        self.at = at
        self.spent = 0


class Quota:
    """The buckets of one policy.

    Used by one thread, the event loop's; another may read and correct `tokens`, which costs or gives a request at most.

    Args:
        policy: its name in headers and metrics.
        limits: rate, burst and who is exempt.
        clock: monotonic seconds.
    """

    def __init__(self, policy: str, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy
        self.rate = limits.rate
        self.burst = limits.burst
        self.clock = clock
        self._exempt = limits.exempt
        window = max(1, math.ceil(self.burst / self.rate)) if self.rate else 1
        self._policy_header: Header = (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (policy.encode(), self.burst, window))
        # Address -> its client's bucket; None for one that is not counted.
        self._by_address: dict[str, Bucket | None] = {}
        self._by_client: dict[str, Bucket] = {}

    @property
    def is_on(self) -> bool:
        """Whether anybody is counted."""
        return self.rate > 0

    def take(self, address: str) -> int | None:
        """Spend one request; return how many are left, -1 when none was, or None for a client who is not counted."""
        try:
            bucket = self._by_address[address]
        except KeyError:
            bucket = self._new(address)
        if bucket is None:
            return None
        now = self.clock()
        tokens = bucket.tokens + (now - bucket.at) * self.rate
        if tokens > self.burst:
            tokens = self.burst
        bucket.at = now
        if tokens < 1:
            bucket.tokens = tokens
            return -1
        bucket.tokens = tokens - 1
        bucket.spent += 1
        return int(tokens - 1)

    def headers(self, left: int) -> tuple[Header, Header]:
        """Return RateLimit-Policy and RateLimit for what `take` gave: requests left, and seconds until all are back."""
        left = max(left, 0)
        until_full = math.ceil((self.burst - left) / self.rate)
        return self._policy_header, (b"ratelimit", b'"%s";r=%d;t=%d' % (self.policy.encode(), left, until_full))

    def refusal(self, address: str) -> Problem:
        """Return the 429 for a client whose bucket is empty."""
        bucket = self._by_address.get(address)
        missing = 1 - bucket.tokens if bucket else 1.0
        seconds = max(1, math.ceil(missing / self.rate))
        headers = [(name.decode(), value.decode()) for name, value in self.headers(0)]
        return Problem(
            TOO_MANY,
            f"more than {self.burst} requests at once or {self.rate:g} a second; ask again in {seconds} s",
            headers=[*headers, ("retry-after", str(seconds))],
        )

    def spenders(self, most: int) -> Sequence[Bucket]:
        """Return the buckets that others have not been told of, those that spent most first."""
        found = [bucket for bucket in list(self._by_client.values()) if bucket.spent]
        return sorted(found, key=lambda bucket: -bucket.spent)[:most]

    def _new(self, address: str) -> Bucket | None:
        if len(self._by_address) >= _MOST_BUCKETS:
            self._forget_full()
        if not self.is_on or is_within(address, self._exempt):
            self._by_address[address] = None
            return None
        client = client_of(address)
        bucket = self._by_client.get(client)
        if bucket is None:
            bucket = self._by_client[client] = Bucket(client, self.burst, self.clock())
        self._by_address[address] = bucket
        return bucket

    def _forget_full(self) -> None:
        now = self.clock()
        kept = {
            client: bucket
            for client, bucket in self._by_client.items()
            if bucket.tokens + (now - bucket.at) * self.rate < self.burst
        }
        if len(kept) >= _MOST_BUCKETS:  # a flood from everywhere: the buckets are no help, their memory would be no end
            kept = {}
        self._by_client = kept
        self._by_address = {}
