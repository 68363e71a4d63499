"""Caching of suggestions, tags and search results: memory, then Redis, and never stale after an invalidation."""

from cache.breaker import Breaker
from cache.entry import MISSING, Key, Loaded
from cache.kinds import Kind, UnknownKind, standard_kinds
from cache.redis_tier import RedisMissing
from cache.single_flight import Abandoned
from cache.stats import CacheStats, KindStats, RedisStats, TierStats
from cache.tiered import Cache

__all__ = [
    "MISSING",
    "Abandoned",
    "Breaker",
    "Cache",
    "CacheStats",
    "Key",
    "Kind",
    "KindStats",
    "Loaded",
    "RedisMissing",
    "RedisStats",
    "TierStats",
    "UnknownKind",
    "standard_kinds",
]
