"""What one server process knows: the one object that its threads and its event loop share and change."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from monitoring.health import Facts, readiness
from service.bans import Bans
from service.measures import Measures
from service.settings import Settings
from sql.database import Database, Transaction
from sql.errors import ConnectionLost

if TYPE_CHECKING:
    import structlog

    from cache import Cache
    from service.freshness.follower import Follower
    from service.search.index import SongIndex
    from service.suggest.index import TagIndex

#: How long a request's lost connection speaks against the database, when no later one speaks for it.
_LOST_SECONDS: Final = 3.0


class State:
    """A server process.

    Attributes:
        settings: what it was told.
        database: where tags and songs come from.
        cache: finished answers.
        measures: its metrics.
        log: where it notes what happens.
        bans: names that no tag may have.
        index: of tags; None until it is loaded. Only the follower writes it after that.
        songs: the index of songs; None until it is loaded, or when no songs are searched.
        follower: keeps both up to date; None until it is started.
        started: Unix time.
        is_warm: the cache holds what is asked for most.
        is_closing: answers tell clients to close their connections.
        is_stopping: it was told to stop, so it is not ready.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        cache: "Cache",
        measures: Measures,
        log: "structlog.typing.FilteringBoundLogger",
    ) -> None:
        self.settings = settings
        self.database = database
        self.cache = cache
        self.measures = measures
        self.log = log
        self.bans = Bans()
        self.index: TagIndex | None = None
        self.songs: SongIndex | None = None
        self.follower: Follower | None = None
        self.started = time.time()
        self.is_warm = False
        self.is_closing = False
        self.is_stopping = False
        self._lost_database_at: float | None = None

    @property
    def is_database_up(self) -> bool:
        """Whether the database is there: for the follower, and for the last request that needed it just now."""
        is_lost = self._lost_database_at is not None and time.monotonic() - self._lost_database_at < _LOST_SECONDS
        return not is_lost and (self.follower is None or self.follower.is_connected)

    @contextmanager
    def watching_database(self) -> Iterator[None]:
        """Note whether the database is there as the block uses it."""
        try:
            yield
        except ConnectionLost:
            self._lost_database_at = time.monotonic()
            raise
        self._lost_database_at = None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction, and note whether the database is there."""
        with self.watching_database(), self.database.transaction() as transaction:
            yield transaction

    def facts(self) -> Facts:
        """Return what probes look at."""
        redis = self.cache.stats().redis
        return Facts(
            index_entries=None if self.index is None else len(self.index),
            is_warm=self.is_warm,
            is_draining=self.is_stopping,
            is_database_up=self.is_database_up,
            is_redis_up=None if redis is None else redis.state == "closed",
            is_search_loaded=None if self.settings.songs is None else self.songs is not None,
            staleness_seconds=self.follower.staleness if self.follower else None,
        )

    def refresh_measures(self) -> None:
        """Bring the gauges up to date that nobody sets when something happens; called about once a second."""
        self.measures.health(readiness(self.facts()))
        self.measures.cache(self.cache.stats())
        if self.index is not None:
            self.measures.index(len(self.index), self.index.built_at)
        if self.follower is not None:
            self.measures.hears(is_listening=self.follower.is_listening)
        pool: Any = self.database.engine.pool
        self.measures.pool(busy=pool.checkedout(), idle=pool.checkedin())
