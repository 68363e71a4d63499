"""One server process put together: state, threads that keep it fresh, and the interface that answers."""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from logging.config import dictConfig
from math import inf
from typing import Any, Final

from cache import Cache, Kind, standard_kinds
from monitoring import loop_lag, sentry
from monitoring.exposition import Exposition
from monitoring.logs import JsonHandler, library_logging, server_logger
from monitoring.recorder import Recorder
from monitoring.shared_rows import SharedRows
from service.freshness.events import Applied, Event, Failed, LogLost, Rebuilt, TriggersLost
from service.freshness.follower import Follower
from service.freshness.relay import Relay
from service.freshness.trigger_watch import TriggerWatch
from service.http.answers import KIND
from service.http.app import interface
from service.measures import Measures
from service.search.index import SongIndex
from service.server.loading import Preloaded, warm_up
from service.server.preflight import make_triggers
from service.settings import Settings
from service.state import State
from sql.database import Database
from sql.errors import DatabaseError

_REFRESH_SECONDS: Final = 1.0
#: Between two answers of a warm-up beside requests: some milliseconds of waiting cost nobody anything.
_PAUSE_SECONDS: Final = 0.002
#: Room for autocomplete answers: about what one of ten rows takes, with all that is kept beside it.
_BYTES_OF_ANSWER: Final = 2_600
_CACHE_BYTES: Final = 16 * 2**20
#: How long the thread that follows may wait for a table's lock; what is served meanwhile grows old.
_TRIGGER_PATIENCE_SECONDS: Final = 2.0
#: How long an index that is there waits for the proof that it is up to date, which a running migration may put off.
_PROOF_SECONDS: Final = 2.0


class ServerProcess:
    """What a worker serves; made after the fork.

    Args:
        settings: what the server was told.
        rows: where the metrics of all workers are.
        preloaded: inherited indexes, or None to load them.
        version: of the program.
    """

    def __init__(self, settings: Settings, rows: SharedRows, preloaded: Preloaded | None, version: str) -> None:
        measures = Measures(Recorder(rows.claim()))
        self._log = server_logger(count=measures.logged)
        JsonHandler.count = measures.logged
        dictConfig(library_logging())
        # A build aside may use the interpreter for a millisecond at a time, not for the usual five.
        sys.setswitchinterval(0.001)
        sentry.start(settings.sentry_dsn, release=version, environment=settings.environment)
        database = Database(
            settings.database_url, lock_timeout_ms=settings.lock_timeout_ms, application_name="segue serve"
        )
        cache = Cache(cache_kinds(settings), redis_url=settings.redis_url, on_load=measures.loaded)
        self._state = state = State(settings, database, cache, measures, self._log)
        number = None
        if preloaded is not None:
            number, state.index, state.songs = preloaded.number, preloaded.index, preloaded.songs
        observers = (measures.happened, self._note)
        state.follower = Follower(
            database,
            settings.schema,
            state,
            number=number,
            load_songs=None if settings.songs is None else self._load_songs,
            triggers=TriggerWatch(
                partial(make_triggers, database, settings, patience_seconds=_TRIGGER_PATIENCE_SECONDS)
            ),
            observers=observers,
        )
        self._relay = Relay(database, _publisher(settings.redis_url), observers)
        self._interface = interface(state, Exposition(rows, version=version, revision=""), version)
        self._is_ended = self._is_cold = False
        self.app: Any = self._interface.app

    def become_ready(self) -> None:
        """Start to follow, wait for the index, and warm up."""
        state = self._state
        self._relay.start()
        assert state.follower is not None, "made with it"
        state.follower.start()
        if self._interface.quotas is not None:
            self._interface.quotas.start()
        self._wait(lambda: state.index is not None)
        self._wait(lambda: state.follower is not None and state.follower.staleness is not None, _PROOF_SECONDS)
        if (index := state.index) is None:
            return  # ended before there was one
        self._read_bans()
        warm_up(self._interface.answers, index)
        state.is_warm = True
        gc.freeze()
        state.refresh_measures()
        self._log.info("ready", tags=len(index), seconds=round(time.time() - state.started, 2))

    async def watch(self) -> None:
        """Keep measures up to date while the event loop runs."""
        lag = asyncio.create_task(loop_lag.watch(self._state.measures.loop_lag.observe))
        try:
            while True:
                await asyncio.to_thread(self._look_around)
                await asyncio.sleep(_REFRESH_SECONDS)
        finally:
            lag.cancel()

    def say_close(self) -> None:
        """Tell every client to close its connection, from the next answer on."""
        self._state.is_closing = True

    def say_stopping(self) -> None:
        """Be not ready any more."""
        self._state.is_stopping = True

    def close(self) -> None:
        """End the threads and close what is open."""
        self._is_ended = True
        state = self._state
        self._relay.stop()
        if state.follower is not None:
            state.follower.stop()
        if self._interface.quotas is not None:
            self._interface.quotas.stop()
        self._interface.threads.shutdown(wait=False, cancel_futures=True)
        state.cache.close()
        state.database.close()
        sentry.flush()
        self._log.info("stopped")

    def _wait(self, condition: Callable[[], bool], seconds: float = inf) -> None:
        end = time.monotonic() + seconds
        while not (condition() or self._is_ended or time.monotonic() > end):
            time.sleep(0.01)

    def _look_around(self) -> None:
        if self._state.bans.is_due:
            self._read_bans()
        if self._is_cold and self._state.index is not None:
            self._is_cold = False
            warm_up(self._interface.answers, self._state.index, pause=_PAUSE_SECONDS)
        self._state.cache.probe_redis()
        self._state.refresh_measures()

    def _read_bans(self) -> None:
        try:
            is_changed = self._state.bans.read(self._state.database)
        except DatabaseError as error:
            self._log.warning("banned names were not read", exc_info=error)
        else:
            if is_changed:
                self._state.cache.invalidate_kind(KIND)

    def _load_songs(self) -> SongIndex:
        settings = self._state.settings
        assert settings.songs is not None, "otherwise nobody asks"
        return SongIndex.load(self._state.database, settings.schema, settings.songs)

    def _note(self, event: Event) -> None:
        if isinstance(event, Applied | Rebuilt | LogLost | TriggersLost):
            self._state.bans.is_due = True
            # A new index starts with an empty cache.
            self._is_cold |= self._state.is_warm and isinstance(event, Rebuilt) and event.kind == "tags"
        if isinstance(event, Failed):
            self._log.warning("freshness failed", what=event.what, exc_info=event.error)
        elif isinstance(event, LogLost):
            self._log.warning("changes lost, starting over", known=event.known, newest=event.newest)
        elif isinstance(event, TriggersLost):
            self._log.warning("triggers were away, starting over")
        elif isinstance(event, Rebuilt):
            self._log.info("index built", kind=event.kind, seconds=round(event.seconds, 2))


def cache_kinds(settings: Settings) -> tuple[Kind, ...]:
    """Return what a process caches; finished answers stay in it, for they are made faster than Redis is asked."""
    finished = {"suggestions", "search"}
    kinds = standard_kinds(settings.cache_entries)
    room = max(_CACHE_BYTES, settings.cache_entries * _BYTES_OF_ANSWER)
    kinds = tuple(replace(kind, max_bytes=room) if kind.name == "suggestions" else kind for kind in kinds)
    return tuple(
        replace(kind, is_shared=False, measure=lambda answer: answer.size) if kind.name in finished else kind
        for kind in kinds
    )


def _publisher(redis_url: str | None) -> Any:
    if redis_url is None:
        return None
    from redis import Redis  # noqa: PLC0415 - an extra

    return Redis.from_url(redis_url, socket_timeout=0.5, socket_connect_timeout=0.5)
