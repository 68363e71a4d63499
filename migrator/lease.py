"""One owner per run: a lease that a heartbeat renews, and a token that every checkpoint must show."""

import threading
import uuid
from types import TracebackType
from typing import Any, Self

from migrator import run_store
from migrator.errors import LeaseLost, RunHeld
from migrator.run_store import Run
from migrator.stop import StopSignal
from sql.database import Database, Transaction
from sql.errors import DatabaseError

LEASE_SECONDS = 30
HEARTBEAT_SECONDS = 5


class Heartbeat:
    """Renews a lease from a thread of its own, between `__enter__` and `__exit__`.

    The lease names the heartbeat's own server session, so that a rival notices a dead holder at once; through a
    pooler, where sessions are shared and prove nothing, the lease has to expire (`segue.is_alive` decides). A lost
    connection is made anew, and the lease shows the new session at once.

    Args:
        database: where the lease is.
        stop: set when the lease is lost, and by `_renew` when something is asked of its holder.
        token: of the lease; a new one without it.
        is_claimed: it is held already; otherwise `_claim` takes it, and entering waits for that and raises its errors.
    """

    def __init__(
        self, database: Database, stop: StopSignal, *, token: str | None = None, is_claimed: bool = False
    ) -> None:
        self._database = database
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._claimed = threading.Event()
        self._failure: BaseException | None = None
        self.token = token or str(uuid.uuid4())
        if is_claimed:
            self._claimed.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._claimed.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=2 * HEARTBEAT_SECONDS)

    # -- what is held

    def _claim(self, session: Transaction, values: dict[str, Any]) -> None:
        """Take it; `values` are the lease's `token`, `lease` (an interval) and `backend_pid`."""
        raise NotImplementedError

    def _renew(self, session: Transaction, values: dict[str, Any]) -> bool:
        """Hold it for longer and hear what is asked of its holder; False when it is lost."""
        raise NotImplementedError

    def _release(self, session: Transaction) -> None:
        """Give it back."""

    # -- the thread

    def _beat(self) -> None:
        while not self._ended.is_set():
            try:
                with self._database.session() as connection:
                    self._hold(Transaction(connection))
            except DatabaseError as error:
                if not self._claimed.is_set():
                    self._failure = error
                    self._claimed.set()
                    return
                # The server went away; the workers retry, and so does the heartbeat.
                self._ended.wait(1)
            except (RunHeld, LeaseLost) as error:
                self._failure = error
                if self._claimed.is_set():
                    self._stop.set("lease lost")
                self._claimed.set()
                return

    def _hold(self, session: Transaction) -> None:
        values: dict[str, Any] = {
            "token": self.token,
            "lease": f"{LEASE_SECONDS} seconds",
            "backend_pid": session_pid(session),
        }
        if not self._claimed.is_set():
            self._claim(session, values)
            self._claimed.set()
        wait = 0  # right after a reconnection the lease shows the new session at once
        while not self._ended.wait(wait):
            wait = HEARTBEAT_SECONDS
            if not self._renew(session, values):
                raise LeaseLost("another process has taken over")
        self._release(session)


class Lease(Heartbeat):
    """Holds a run for this process.

    Correctness does not rest on it: it rests on the token in segue.partitions, which a rival changes when it takes
    over.

    Args:
        database: where the run is.
        run: which one.
        stop: set when the run's `request` says pause or cancel, or the lease is lost.
        is_exclusive: takes the whole run and is refused while joiners work on it; otherwise they keep their partitions.
    """

    def __init__(self, database: Database, run: Run, stop: StopSignal, *, is_exclusive: bool = True) -> None:
        super().__init__(database, stop)
        self._is_exclusive = is_exclusive
        self._run = run
        self.work_seconds = 0.0

    def _claim(self, session: Transaction, values: dict[str, Any]) -> None:
        is_exclusive, run_id = self._is_exclusive, self._run.id
        if not session.all(
            "runs.claim_run", run_id=run_id, **values, holder=run_store.actor(), is_exclusive=is_exclusive
        ):
            row = session.first("claims.list_holders", run_id=run_id) or {}
            since = row["held_since"].isoformat(timespec="seconds") if row.get("held_since") else "a moment ago"
            raise RunHeld(run_id, row.get("holder") or "another process", since)
        session.run("runs.fence_partitions", run_id=run_id, token=self.token, is_exclusive=is_exclusive)

    def _renew(self, session: Transaction, values: dict[str, Any]) -> bool:
        row = session.first("runs.renew_lease", run_id=self._run.id, **values)
        if row is not None and row["request"]:
            self._stop.set(row["request"])
        return row is not None

    def _release(self, session: Transaction) -> None:
        session.run("runs.release_run", run_id=self._run.id, token=self.token, seconds=self.work_seconds)


def session_pid(session: Transaction) -> int | None:
    """Return the server process that serves only us, or None when a pooler stands between."""
    pid = int(session.one("session.describe_server")["backend_pid"])
    return pid if pid == session.connection.info.backend_pid else None
