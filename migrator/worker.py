"""The loop over one partition: one chunk, one transaction, until the range is done or somebody says stop."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from migrator import run_store
from migrator.chunk_size import ChunkSize
from migrator.digest import Digest
from migrator.errors import AccountingError
from migrator.events import ChunkCommitted, Observer, tell
from migrator.migration import Context, Converted, Counts, Step
from migrator.request import Limits
from migrator.retry import retrying
from migrator.run_store import Partition
from migrator.stop import StopSignal
from sql.database import Database


class Budget:
    """Watches the limits for all workers together and sets the stop signal.

    Args:
        limits: what to watch.
        stop: what to set.
        rows, quarantined: where the run stands when this call starts.
    """

    def __init__(self, limits: Limits, stop: StopSignal, rows: int, quarantined: int) -> None:
        self._limits = limits
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
            if self._limits.max_seconds is not None and time.monotonic() - self._started >= self._limits.max_seconds:
                self._stop.set("max-seconds")
            if self._limits.max_errors is not None and self._quarantined > self._allowed(self._limits.max_errors):
                self._stop.set("max-errors")

    def _allowed(self, limit: str) -> float:
        if limit.endswith("%"):
            return self._rows * float(limit.removesuffix("%")) / 100
        return float(limit)


@dataclass(frozen=True)
class Work:
    """What all workers of a call share."""

    database: Database
    step: Step
    context: Context
    stop: StopSignal
    budget: Budget
    observers: tuple[Observer, ...]
    batch_size: int | None
    token: str

    def convert_all(self, partitions: list[Partition], workers: int) -> None:
        """Convert every unfinished partition, `workers` at a time; the first error stops the others."""
        todo = [partition for partition in partitions if not partition.is_done]
        in_parallel(workers, [lambda partition=partition: self._convert(partition) for partition in todo], self.stop)  # type: ignore[misc]

    def _convert(self, partition: Partition) -> None:
        size = ChunkSize(self.batch_size or partition.chunk_size, is_fixed=self.batch_size is not None)
        is_done = False
        while not is_done and not self.stop.is_set and self.budget.admits_chunk():
            started = time.monotonic()
            converted, is_done = retrying(
                lambda: self._chunk(partition.ordinal, size.size), self.context.run_id, self.observers, self.stop
            )
            seconds = time.monotonic() - started
            size.learn(converted.counts.rows, seconds)
            self.budget.spend(converted)
            counts = converted.counts
            tell(
                self.observers,
                ChunkCommitted(
                    self.context.run_id, partition.ordinal, counts.rows, seconds, size.size, counts.quarantined_rows
                ),
            )

    def _chunk(self, ordinal: int, size: int) -> tuple[Converted, bool]:
        """Convert one chunk from the stored checkpoint, so that after a lost COMMIT the database says what happened."""
        with self.database.transaction(repeatable_read=True) as transaction:
            partition = run_store.partition(transaction, self.context.run_id, ordinal)
            if partition.is_done:  # by a chunk of ours whose reply to COMMIT was lost
                run_store.require_lease(transaction, self.context.run_id, self.token)
                return Converted(None, Counts(), Digest(), Digest(), Digest()), True
            converted = self.step.convert(transaction, self.context, partition.remaining, size)
            if not converted.counts.adds_up:
                raise AccountingError(
                    f"run {self.context.run_id}, partition {ordinal}: {converted.counts} does not add up"
                )
            is_done = converted.counts.rows < size
            request = run_store.save_checkpoint(
                transaction,
                self.context.run_id,
                partition,
                converted,
                is_done=is_done,
                chunk_size=size,
                token=self.token,
            )
        if request is not None:
            self.stop.set(request)
        return converted, is_done


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
