"""The second tier: entries in Redis, shared by processes, guarded like memory and left alone while Redis fails."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from cache.breaker import Breaker
from cache.entry import Key, Loaded
from cache.fill_guard import EVERYTHING, Mark, entry_marks
from cache.kinds import Kind
from cache.redis_scripts import LOOKUP, STAMP, STORE, Client
from cache.stats import Counters, RedisStats

Reply = TypeVar("Reply")

#: Part of every key: raised when the layout of entries changes, so that two releases can share a Redis.
FORMAT: Final = 1
TIMEOUT_SECONDS: Final = 0.05
#: Invalidations kept for a Redis that cannot be told; beyond them it is told that everything is invalid.
MOST_OWED: Final = 10_000
_STAMPED_AT_ONCE: Final = 1_000

_BODY: Final = msgspec.msgpack.Decoder(tuple[tuple[str, ...], bytes | None])


class RedisMissing(ImportError):
    """The Redis client is not installed."""

    def __init__(self) -> None:
        super().__init__("REDIS_URL is set, but the package redis is not installed: pip install 'segue[redis]'")


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of the second tier; `ttl` is seconds that it has left, `value` None says that there is nothing."""

    value: Any
    tags: tuple[str, ...]
    ttl: float


class RedisTier:
    """Entries in Redis.

    No method raises because of Redis: a call that fails costs one timeout and gives None, those after it cost nothing.
    Invalidations that Redis could not be told of are owed: nothing is read or stored before it has been told.

    Args:
        url: redis://, rediss:// or unix://.
        kinds: that use this tier.
        prefix: of its keys.
        timeout: seconds that one step of a call (connect, reply) may take.
        breaker: decides when Redis is left alone.

    Raises:
        RedisMissing: the extra is not installed.
        ValueError: the URL is none.
    """

    def __init__(self, url: str, kinds: Iterable[Kind], *, prefix: str, timeout: float, breaker: Breaker) -> None:
        try:
            import redis  # noqa: PLC0415 - an extra, and 0.3 s of imports
            from redis.backoff import NoBackoff  # noqa: PLC0415
            from redis.retry import Retry  # noqa: PLC0415
        except ImportError:
            raise RedisMissing from None
        self._failures = (redis.RedisError, OSError)
        self._breaker = breaker
        self.counters = {kind.name: Counters() for kind in kinds}
        try:
            self._client: Client = redis.Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0), protocol=2
            )
        except ValueError:  # its text may quote the password
            raise ValueError(
                "the Redis URL is none: write redis://[user:password@]host[:port][/db] or unix://path"
            ) from None
        self._prefix = f"{prefix}:{FORMAT}:".encode()
        self._clock_key = self._prefix + b"marks"
        self._lock = threading.Lock()
        self._owed: dict[Mark, tuple[int, int]] = {}  # mark -> (serial number, version)
        self._serial = 0

    def lookup(self, kind: Kind, key: Key) -> Found | int | None:
        """Return a key's entry, or a ticket for filling it, or None when Redis is left alone."""
        reply = self._call(lambda: LOOKUP(self._client, (self._name(kind, key), self._clock_key)))
        if reply is None:
            return None
        body, milliseconds, ticket = reply
        counters = self.counters[kind.name]
        if body is not None and milliseconds > 0:
            try:
                tags, packed = _BODY.decode(body)
                value = None if packed is None else kind.decode(packed)
            except Exception:  # by another release, damaged, or a decoder of a kind of which nothing is known
                counters.errors += 1
            else:
                if value is None:
                    counters.negative_hits += 1
                else:
                    counters.hits += 1
                return Found(value, tags, milliseconds / 1000)
        counters.misses += 1
        return int(ticket)

    def pack(self, kind: Kind, key: Key, loaded: Loaded[Any], ticket: int) -> bytes:
        """Return a value as it is stored.

        Raises:
            TypeError: the kind's encoder cannot encode it.
        """
        try:
            packed = None if loaded.value is None else kind.encode(loaded.value)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            what = f"kind {kind.name}: a value of type {type(loaded.value).__name__} cannot be encoded for Redis"
            raise TypeError(f"{what} ({error}); give the kind encode and decode, or is_shared=False") from error
        marks = ",".join(entry_marks(kind.name, key, loaded.tags))
        version = -1 if loaded.version is None else loaded.version
        return f"{ticket} {version} {marks}\n".encode() + msgspec.msgpack.encode((loaded.tags, packed))

    def store(self, kind: Kind, key: Key, packed: bytes, ttl: float) -> None:
        """Store a packed value for some seconds, unless it was invalidated since its ticket was taken."""
        keys = (self._name(kind, key), self._clock_key)
        if self._call(lambda: STORE(self._client, keys, packed, max(1, int(ttl * 1000)))) == 0:
            self.counters[kind.name].refused += 1

    def invalidate(self, marks: Iterable[Mark], version: int | None = None) -> int | None:
        """Invalidate what carries any of the marks; return a ticket for what is read from now on.

        None: Redis could not be told, and is told before anything else is asked of it.
        """
        with self._lock:
            self._serial += 1
            for mark in marks:
                older = self._owed.get(mark, (0, -1))[1]
                self._owed[mark] = (self._serial, older if version is None else max(version, older))
            if len(self._owed) > MOST_OWED:
                highest = max(version for _, version in self._owed.values())
                self._owed = {EVERYTHING: (self._serial, highest)}
        return self._call(self._pay, is_payment=True)

    def overdue(self, seconds: float) -> None:
        """Say that a call was waited for in vain: leave Redis alone."""
        self._breaker.failed(TimeoutError(f"no answer within {seconds:g} s"))

    def probe(self) -> bool:
        """Ask whether Redis answers, when the breaker lets one; return whether it does."""
        return self._call(lambda: self._client.execute_command("PING")) is not None

    def stats(self) -> RedisStats:
        """Return the connection's state."""
        breaker = self._breaker
        return RedisStats(
            state=breaker.state,
            opened=breaker.opened,
            skipped=breaker.skipped,
            pause_seconds=breaker.pause,
            last_error=breaker.last_error,
            owed=len(self._owed),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _name(self, kind: Kind, key: Key) -> bytes:
        # "a" and b"a" are two keys in memory, so they are here.
        if isinstance(key, str):
            return b"%b%b:%b" % (self._prefix, kind.name.encode(), key.encode("utf-8", "surrogatepass"))
        return b"%b%b=%b" % (self._prefix, kind.name.encode(), key)

    def _call(self, action: Callable[[], Reply], *, is_payment: bool = False) -> Reply | None:
        if not self._breaker.admits():
            return None
        try:
            if self._owed and not is_payment:
                self._pay()
            reply = action()
        except self._failures as error:
            self._breaker.failed(error)
            return None
        except BaseException as error:
            self._breaker.failed(error)
            raise
        self._breaker.succeeded()
        return reply

    def _pay(self) -> int:
        with self._lock:
            owed = dict(self._owed)
        marks = [(mark, version) for mark, (_, version) in owed.items()]
        ticket = 0
        for start in range(0, max(1, len(marks)), _STAMPED_AT_ONCE):
            part = marks[start : start + _STAMPED_AT_ONCE]
            ticket = int(STAMP(self._client, (self._clock_key,), *(item for pair in part for item in pair)))
        with self._lock:
            for mark, due in owed.items():
                if self._owed.get(mark) == due:  # not invalidated again meanwhile
                    del self._owed[mark]
        return ticket
