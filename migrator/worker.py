"""The loop over one partition: one chunk, one transaction, until the range is done or somebody says stop."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

from migrator.chunk import Chunk
from migrator.chunk_size import LARGEST, MIRRORED_SHARE, ChunkSize
from migrator.claims import Desk, Share
from migrator.controls import Controls
from migrator.events import ChunkCommitted, Observer, tell
from migrator.migration import Converted
from migrator.request import Limits
from migrator.retry import retrying
from migrator.stop import StopSignal
from migrator.throttle import Throttle

#: Converts a partition's next chunk of some size.
Convert = Callable[[int, int], Chunk]


class Budget:
    """Watches the limits for all workers together and sets the stop signal.

    Args:
        limits: what to watch.
        stop: what to set.
        rows, quarantined: where the run stands when this call starts.
        totals: looks up where the run stands, with what other processes have done; None where there can be none.
    """

    def __init__(
        self,
        limits: Limits,
        stop: StopSignal,
        rows: int,
        quarantined: int,
        totals: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._limits = limits
        self._totals = totals
        self._stop = stop
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._chunks = 0
        self._rows = rows
        self._quarantined = quarantined

    def admits_chunk(self) -> bool:
        """Take one chunk from the allowance; False when none is left."""
        with self._lock:
            if self._limits.max_chunks is not None and self._chunks >= self._limits.max_chunks:
                self._stop.set("max-chunks")
                return False
            self._chunks += 1
            return True

    def spend(self, converted: Converted) -> None:
        """Count a committed chunk."""
        with self._lock:
            self._rows += converted.counts.rows
            self._quarantined += converted.counts.quarantined_rows
            self.watch()
            self._watch_errors()

    def learn(self, rows: int, quarantined: int) -> None:
        """Take in how far the whole run is, with what other processes have done."""
        with self._lock:
            self._rows, self._quarantined = max(self._rows, rows), max(self._quarantined, quarantined)
            self.watch()
            self._watch_errors()

    def _watch_errors(self) -> None:
        limit = self._limits.max_errors
        if limit is None or self._quarantined <= self._allowed(limit):
            return
        if self._totals is not None:
            # A chunk may have been learnt of before it was counted here, so what is stored decides.
            self._rows, self._quarantined = self._totals()
        if self._quarantined > self._allowed(limit):
            self._stop.set("max-errors")

    def watch(self) -> None:
        """Look at the time that this call has taken."""
        if self._limits.max_seconds is not None and time.monotonic() - self._started >= self._limits.max_seconds:
            self._stop.set("max-seconds")

    def _allowed(self, limit: str) -> float:
        if limit.endswith("%"):
            return self._rows * float(limit.removesuffix("%")) / 100
        return float(limit)


@dataclass(frozen=True)
class Work:
    """What all workers of a call share.

    Attributes:
        run_id: the run.
        chunks: makes a worker's way to have its chunks converted; it is closed when the worker has done its partitions.
        stop: why to stop, or not yet.
        budget: the call's limits.
        observers: told of every chunk.
        batch_size: rows of every chunk; None adapts to time.
        throttle: stands before every chunk.
        desk: gives out the partitions.
        most_held: rows that a chunk may hold against users who write, under a mirror; None: it holds none.
    """

    run_id: int
    chunks: Callable[[], AbstractContextManager[Convert]]
    stop: StopSignal
    budget: Budget
    observers: tuple[Observer, ...]
    batch_size: int | None
    throttle: Throttle
    desk: Desk
    most_held: int | None = None

    def convert_all(self, workers: int) -> None:
        """Convert partitions, `workers` at a time, until none is left; the first error stops the others."""
        in_parallel(workers, [self._work] * workers, self.stop)

    def _work(self) -> None:
        size = ChunkSize(0, is_fixed=self.batch_size is not None, largest=self.most_held or LARGEST)
        with self.chunks() as convert:
            while (share := self.desk.take()) is not None:
                # What a worker has learnt holds for its next partition, too.
                size.size = size.size or self.batch_size or min(share.chunk_size, size.largest)
                try:
                    self._convert(share, size, convert)
                finally:
                    self.desk.done(share)

    def _convert(self, share: Share, size: ChunkSize, convert: Convert) -> None:
        is_done = False
        while not is_done:
            self.throttle.enter()
            if self.stop.is_set or not self.budget.admits_chunk():
                self.throttle.leave()
                break
            shortened = MIRRORED_SHARE if self.most_held else 1.0
            size.target_seconds = shortened * self.throttle.controls.chunk_ms / 1_000
            started = time.monotonic()
            try:
                chunk = retrying(lambda: convert(share.ordinal, size.size), self.run_id, self.observers, self.stop)
            finally:
                seconds = time.monotonic() - started
                self.throttle.leave()
            self._obey(chunk)
            is_done = chunk.is_done
            counts = chunk.converted.counts
            size.learn(counts.rows, seconds)
            self.budget.spend(chunk.converted)
            tell(
                self.observers,
                ChunkCommitted(self.run_id, share.ordinal, counts.rows, seconds, size.size, counts.quarantined_rows),
            )
            self.throttle.rest(seconds)

    def _obey(self, chunk: Chunk) -> None:
        """Take in what an admin has asked since."""
        if chunk.wishes.request is not None:
            self.stop.set(chunk.wishes.request)
        if chunk.wishes.controls is not None:
            self.throttle.obey(Controls.of(chunk.wishes.controls))


def in_parallel(workers: int, jobs: list[Callable[[], None]], stop: StopSignal) -> None:
    """Run jobs on threads; when one fails the others are asked to stop, and its error is raised."""

    def guarded(job: Callable[[], None]) -> None:
        if stop.is_set:
            return
        try:
            job()
        except BaseException:
            stop.set("an error in another worker")
            raise

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = [pool.submit(guarded, job) for job in jobs]
    for future in futures:
        future.result()
