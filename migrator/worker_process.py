"""Workers as processes, for sources whose chunks are mostly Python's own work: threads would wait for one another.

The parent keeps everything that decides - limits, retries, chunk sizes, events, the lease - and asks a child for one
chunk at a time. The child holds its own connection, and its chunks are fenced by the same token; when the parent is
gone, the child reads the end of its pipe and ends after the chunk at hand.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import FrameType
from typing import TYPE_CHECKING

from migrator.bisection import Patience
from migrator.chunk import Chunk, Chunks
from migrator.errors import MigratorError
from migrator.migration import Context, Step
from migrator.request import Request
from migrator.stop import StopSignal
from sql.database import Database, Transaction
from sql.silence import SilenceWatch

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Pipe = Connection

#: A child that dies this often without finishing a chunk will not finish it.
MOST_STARTS = 3


class WorkerLost(MigratorError):
    """A worker process ended in the middle of a chunk; the chunk was rolled back."""


@dataclass(frozen=True)
class Setup:
    """What a child needs to make the run's step anew.

    Attributes:
        url: of the database.
        lock_timeout_ms: how long one statement waits for a lock.
        open_step: the migration's function that checks the settings and returns the step.
        settings: of the run.
        schema: the application's.
        context: the run.
        token: the lease's.
        patience: with rows that the database refuses.
    """

    url: str
    lock_timeout_ms: int
    open_step: Callable[[Transaction, Mapping[str, str | None], str], Step]
    settings: Mapping[str, str | None]
    schema: str
    context: Context
    token: str
    patience: Patience


class WorkerProcess:
    """A child that converts chunks; started at the first one, and again when it was killed."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: SpawnProcess | None = None
        self._pipe: Pipe | None = None

    def convert(self, ordinal: int, size: int) -> Chunk:
        """Have a partition's next chunk converted.

        Raises:
            WorkerLost: the child was killed at every attempt.
            Exception: what the child raised.
        """
        code: int | None = None
        for _ in range(MOST_STARTS):
            with suppress(EOFError, ConnectionError):
                pipe = self._pipe or self._start()
                pipe.send((ordinal, size))
                answer: Chunk | BaseException = pipe.recv()
                if isinstance(answer, BaseException):
                    raise answer
                return answer
            code = self.stop()
        raise WorkerLost(
            f"run {self._setup.context.run_id}, partition {ordinal}: its worker process ended {MOST_STARTS} times "
            f"(last exit code {code}); run the same command again, or with --workers 1"
        )

    def abort(self) -> None:
        """Cancel what the child's session runs now."""
        if self._process is not None and self._process.is_alive():
            self._process.terminate()

    def stop(self) -> int | None:
        """End the child after its chunk, and return its exit code."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is None:
            return None
        self._process.join()
        code, self._process = self._process.exitcode, None
        return code

    def _start(self) -> Pipe:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._setup), name="segue-worker", daemon=True)
        self._process.start()
        theirs.close()
        return self._pipe


def chunks_of_workers(
    database: Database, request: Request, step: Step, context: Context, token: str, partitions: int, stop: StopSignal
) -> Callable[[], AbstractContextManager[Callable[[int, int], Chunk]]]:
    """Return what gives each worker its chunks: this process, or one of its own where Python does most of the work."""
    patience = Patience.of(request.limits.max_errors)
    if step.source.is_table or min(request.workers, partitions) <= 1:
        here = Chunks(database, step, context, token, patience)
        return lambda: nullcontext(here.convert)
    setup = Setup(
        database.url,
        database.lock_timeout_ms,
        request.migration.open,
        request.settings,
        request.schema,
        context,
        token,
        patience,
    )
    return lambda: worker_process(setup, stop)


@contextmanager
def worker_process(setup: Setup, stop: StopSignal) -> Iterator[Callable[[int, int], Chunk]]:
    """Lend a worker process; the second signal cancels what it runs."""
    worker = WorkerProcess(setup)
    stop.on_abort(worker.abort)
    try:
        yield worker.convert
    finally:
        worker.stop()


def serve(pipe: Connection, setup: Setup) -> None:
    """The child: convert the chunks that the parent asks for, until it hangs up."""
    database = Database(setup.url, lock_timeout_ms=setup.lock_timeout_ms)

    def abort(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is Python's
        threading.Thread(target=database.cancel_running, daemon=True).start()

    # A Ctrl-C reaches the whole group; when to stop is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, abort)
    chunks: Chunks | None = None
    with SilenceWatch(database), suppress(EOFError, ConnectionError):
        while True:
            ordinal, size = pipe.recv()
            try:
                chunks = chunks or _chunks(database, setup)
                answer: Chunk | Exception = chunks.convert(ordinal, size)
            except Exception as error:
                answer = error
            pipe.send(answer)
    database.close()
    sys.exit(0)


def _chunks(database: Database, setup: Setup) -> Chunks:
    with database.transaction() as transaction:
        step = setup.open_step(transaction, setup.settings, setup.schema)
    return Chunks(database, step, setup.context, setup.token, setup.patience)
