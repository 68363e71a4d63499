"""A server process's metrics, bound to their places once, so that measuring a request costs next to nothing."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from monitoring.recorder import Histogram, Recorder

if TYPE_CHECKING:
    from cache.stats import CacheStats, TierStats
    from monitoring.health import Health
    from service.freshness.events import Event

_REQUESTS = "segue_http_request_duration_seconds"
_LOOKUPS = "segue_cache_lookups_total"


class Measures:
    """What this process measures.

    Args:
        recorder: of this process.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.in_progress = recorder.gauge("segue_http_requests_in_progress")
        self.loop_lag = recorder.histogram("segue_event_loop_lag_seconds")

    def request(self, method: str, route: str, code: int) -> Histogram:
        """Return the histogram of a kind of request."""
        return self._recorder.histogram(_REQUESTS, method, route, str(code))

    def refused(self, policy: str) -> None:
        """Count a request that its client's quota refused."""
        self._recorder.counter("segue_rate_limited_total", policy).inc()

    def answered(self, band: str, stage_seconds: Mapping[str, float]) -> None:
        """Count an autocomplete answer that was made, and where its time went."""
        self._recorder.counter("segue_autocomplete_results_total", band).inc()
        for stage, seconds in stage_seconds.items():
            self._recorder.histogram("segue_autocomplete_stage_duration_seconds", stage).observe(seconds)

    def loaded(self, kind: str, seconds: float, is_ok: bool) -> None:
        """Note how long a load behind the cache took."""
        if is_ok:
            self._recorder.histogram("segue_cache_load_duration_seconds", kind).observe(seconds)

    def logged(self, level: str) -> None:
        """Count a line of the log."""
        self._recorder.counter("segue_log_messages_total", level).inc()

    def health(self, health: "Health") -> None:
        """Set what the process answers without."""
        for part, is_degraded in health.degraded_parts.items():
            self._recorder.gauge("segue_degraded", part).set(float(is_degraded))

    def index(self, entries: int, built_at: float) -> None:
        """Set how large and how old the index is."""
        self._recorder.gauge("segue_index_entries").set(entries)
        self._recorder.gauge("segue_index_built_timestamp_seconds").set(built_at)

    def hears(self, *, is_listening: bool) -> None:
        """Set whether the process hears of changes at once, or polls."""
        self._recorder.gauge("segue_invalidation_connected").set(float(is_listening))

    def pool(self, *, busy: int, idle: int) -> None:
        """Set how many database connections there are."""
        self._recorder.gauge("segue_db_pool_connections", "busy").set(busy)
        self._recorder.gauge("segue_db_pool_connections", "idle").set(idle)

    def cache(self, stats: "CacheStats") -> None:
        """Take over what the cache has counted."""
        for name, kind in stats.kinds.items():
            self._tier(name, "l1", kind.l1)
            if kind.l2 is not None:
                self._tier(name, "l2", kind.l2)
            counted = {"ok": kind.loads, "error": kind.load_errors, "coalesced": kind.coalesced}
            for result, total in counted.items():
                self._recorder.counter("segue_cache_loads_total", name, result).advance_to(total)
            for cause, total in kind.l1.evictions.items():
                self._recorder.counter("segue_cache_evictions_total", name, cause).advance_to(total)
            self._recorder.gauge("segue_cache_entries", name).set(kind.l1.entries)
            self._recorder.gauge("segue_cache_size_bytes", name).set(kind.l1.bytes)

    def _tier(self, name: str, tier: str, stats: "TierStats") -> None:
        counted = {"hit": stats.hits, "miss": stats.misses, "negative": stats.negative_hits}
        for result, total in counted.items():
            self._recorder.counter(_LOOKUPS, name, tier, result).advance_to(total)

    def happened(self, event: "Event") -> None:
        """Note what happened on the way of a change; an observer of follower and relay."""
        from service.freshness import events  # noqa: PLC0415 - imported by whoever calls this

        match event:
            case events.Applied():
                self._recorder.histogram("segue_invalidation_lag_seconds").observe(event.seconds)
                self._recorder.counter("segue_invalidations_total", "outbox").inc()
            case events.Proven():
                self._recorder.gauge("segue_staleness_seconds").set(time.time() - event.staleness)
                self._recorder.gauge("segue_outbox_age_seconds").set(event.outbox_age)
            case events.Rebuilt(kind="tags"):
                self._recorder.gauge("segue_index_build_duration_seconds").set(event.seconds)
            case _:
                pass
