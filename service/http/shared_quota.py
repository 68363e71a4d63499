"""Rate limits over several processes: their token buckets are settled with each other through Redis."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from service.http.rate_limit import Quota

if TYPE_CHECKING:
    from redis import Redis
    from redis.commands.core import Script

#: Refill by the time that passed, subtract what was spent, and say what is left: the bucket that all processes share.
_SETTLE: Final = """
local rate, burst, spent = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if kept[1] then tokens = math.min(burst, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate) end
tokens = math.max(-burst, tokens - spent)
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(2000 * burst / rate) + 1000)
return tostring(tokens)
"""


class SharedQuotas:
    """A thread that settles the buckets of all processes with each other through Redis, every quarter of a second.

    No request waits for Redis. Without it each process goes on counting alone.
    """

    INTERVAL: Final = 0.25
    PAUSE_AFTER_FAILURE: Final = 5.0
    MOST_CLIENTS: Final = 500

    def __init__(self, redis_url: str, quotas: Sequence[Quota]) -> None:
        self._url = redis_url
        self._quotas = [quota for quota in quotas if quota.is_on]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segue-quotas", daemon=True)

    def start(self) -> None:
        """Begin, when any policy is on."""
        if self._quotas:
            self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for it at most two seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def _run(self) -> None:
        import redis  # noqa: PLC0415 - an extra, and 0.3 s of imports that only this thread needs

        client = redis.Redis.from_url(self._url, socket_timeout=0.5, socket_connect_timeout=0.5)
        settle = client.register_script(_SETTLE)
        pause = self.INTERVAL
        while not self._stopping.wait(pause):
            try:
                for quota in self._quotas:
                    self._settle(client, settle, quota)
                pause = self.INTERVAL
            except (redis.RedisError, OSError):
                pause = self.PAUSE_AFTER_FAILURE
        client.close()

    def _settle(self, client: "Redis", settle: "Script", quota: Quota) -> None:
        told = [(bucket, bucket.spent) for bucket in quota.spenders(self.MOST_CLIENTS)]
        if not told:
            return
        pipeline = client.pipeline(transaction=False)
        for bucket, spent in told:
            settle([f"segue:rate:{quota.policy}:{bucket.client}"], [quota.rate, quota.burst, spent], client=pipeline)
        for (bucket, spent), left in zip(told, pipeline.execute(), strict=True):
            bucket.spent -= spent
            bucket.tokens = float(left) - bucket.spent
            bucket.at = quota.clock()
