"""Which worker converts which partition: processes claim them, and one that idles takes half of another's rest."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from migrator import run_store
from migrator.divisible import Divisible
from migrator.events import Observer
from migrator.retry import retrying
from migrator.run_store import Partition, Run
from migrator.states import RunState
from migrator.stop import StopSignal
from sql.database import Database, Row, Transaction

Result = TypeVar("Result")

#: How often a worker without a partition looks for one.
POLL_SECONDS = 0.5
#: A rest is cut when each half has at least this many chunks: the chunk under way is converted once more.
LEAST_CHUNKS = 8
#: After a look that found nothing to cut, the next one of this process.
NEXT_CUT_SECONDS = 3.0
#: How long a run that closes waits for joiners to finish their chunks before it takes the partitions away.
GRACE_SECONDS = 10.0

#: Told how many rows all workers have done, how many of them are in quarantine, and whether others work on the run too.
Learn = Callable[[int, int, bool], None]


@dataclass(frozen=True)
class Share:
    """A partition that this process has.

    Attributes:
        ordinal: its number.
        chunk_size: rows of its next chunk.
    """

    ordinal: int
    chunk_size: int


@dataclass
class Desk:
    """Gives the workers of one process their partitions.

    Attributes:
        database: where the run is.
        source: whose ranges are cut.
        run: the run.
        token: of the process's lease.
        stop: ends the wait for a partition; set when the run is asked to stop.
        observers: told of retries.
        learn: told how far the whole run is, while a worker waits.
        kept: partitions that are the process's already.
    """

    database: Database
    source: Divisible
    run: Run
    token: str
    stop: StopSignal
    observers: tuple[Observer, ...]
    learn: Learn
    kept: list[Share] = field(default_factory=list)
    _busy: set[int] = field(default_factory=set)
    _change: threading.Condition = field(default_factory=threading.Condition)
    _is_over: bool = False
    _next_cut: float = 0.0

    def take(self) -> Share | None:
        """Wait for a partition; None when none will come: all are done, or the run or our part in it ends."""
        with self._change:
            while not (self.stop.is_set or self._is_over):
                share = self.kept.pop(0) if self.kept else self._claim()
                if share is not None:
                    self._busy.add(share.ordinal)
                    return share
                if not self._is_over:
                    self._change.wait(POLL_SECONDS)
        return None

    def done(self, share: Share) -> None:
        """Take note that a worker has finished, or left, its partition."""
        with self._change:
            self._busy.discard(share.ordinal)
            self._change.notify_all()

    def _claim(self) -> Share | None:
        row = self._retrying(self._ask)
        if row["unfinished"]:  # what is done needs no limit: a call without time still closes the run
            self.learn(row["row_count"], row["quarantined_rows"], row["is_shared"])
        if row["request"]:
            self.stop.set(row["request"])
        if not row["unfinished"] or not row["is_ours"] or row["status"] != RunState.MIGRATING:
            self._is_over = True
            self._change.notify_all()
            return None
        if row["ordinal"] is not None:
            return Share(row["ordinal"], row["chunk_size"])
        rest = row["total_rows"] - row["row_count"]
        if rest >= 2 * self.source.smallest_share and time.monotonic() >= self._next_cut:
            self._next_cut = time.monotonic() + NEXT_CUT_SECONDS
            cut = partial(cut_largest, self.database, self.source, self.run.id, self.token, row["total_rows"])
            return self._retrying(cut)
        return None

    def _ask(self) -> Row:
        with self.database.transaction() as transaction:
            return transaction.one(
                "claims.claim_partition", run_id=self.run.id, token=self.token, busy=sorted(self._busy)
            )

    def _retrying(self, action: Callable[[], Result]) -> Result:
        return retrying(action, self.run.id, self.observers, self.stop)


def offer(database: Database, run_id: int, token: str, partitions: list[Partition], workers: int) -> list[Share]:
    """Keep as many unfinished partitions of the leader's as it has workers, give the others free, and return the kept.

    Those that joiners hold stay theirs: a partition that is listed here and not the leader's is not claimed by it.
    """
    with database.transaction() as transaction:
        mine = {row["ordinal"] for row in transaction.all("claims.list_own", run_id=run_id, token=token)}
        kept = [part for part in partitions if part.ordinal in mine][:workers]
        if len(mine) > len(kept):
            transaction.run("claims.offer_partitions", run_id=run_id, token=token, kept=[part.ordinal for part in kept])
    return [Share(part.ordinal, part.chunk_size) for part in kept]


def cut_largest(database: Database, source: Divisible, run_id: int, token: str, total: int) -> Share | None:
    """Cut the largest unfinished rest in two and take its tail; None when none is worth it, or the run ends.

    Counters and digests stay where they are: they are of rows up to the cursor, and only keys beyond it change hands.
    """

    def halved(transaction: Transaction, part: Partition) -> tuple[int, str | None]:
        key, rows = source.halve(transaction, run_id, part.remaining, total)
        is_worth_it = rows >= 2 * max(source.smallest_share, LEAST_CHUNKS * part.chunk_size)
        return (rows, key) if is_worth_it and key != part.within.upto else (0, None)

    with database.transaction() as transaction:
        rests = [
            (*halved(transaction, part), part.ordinal)
            for part in run_store.partitions(transaction, run_id)
            if not part.is_done
        ]
    rows, _, ordinal = max(rests, key=lambda rest: rest[0], default=(0, None, 0))
    return _cut(database, run_id, token, ordinal, halved) if rows else None


def _cut(
    database: Database,
    run_id: int,
    token: str,
    ordinal: int,
    halved: Callable[[Transaction, Partition], tuple[int, str | None]],
) -> Share | None:
    with database.transaction() as transaction:
        if transaction.first("claims.lock_run", run_id=run_id, token=token) is None:
            return None
        row = transaction.first("claims.lock_partition", run_id=run_id, ordinal=ordinal)
        if row is None:
            return None
        part = Partition.of(row)
        _, key = halved(transaction, part)  # again, now that the cursor stands still
        if key is None:
            return None
        transaction.run("claims.shorten_partition", run_id=run_id, ordinal=ordinal, cut=key)
        tail = transaction.one(
            "claims.add_tail", run_id=run_id, cut=key, upto=part.within.upto, chunk_size=part.chunk_size, token=token
        )
        run_store.note(transaction, run_id, "cut", detail={"partition": ordinal, "tail": tail["ordinal"]})
    return Share(tail["ordinal"], tail["chunk_size"])


def send_home(database: Database, run_id: int, request: str) -> None:
    """Ask joiners to stop, and wait until they have given their partitions back, but not for long."""
    end = time.monotonic() + GRACE_SECONDS
    is_asked = False
    while time.monotonic() < end:
        with database.transaction() as transaction:
            if not transaction.one("claims.count_at_work", run_id=run_id)["at_work"]:
                return
            if not is_asked:
                transaction.run("runs.request_change", run_id=run_id, request=request)
                is_asked = True
        time.sleep(0.05)
