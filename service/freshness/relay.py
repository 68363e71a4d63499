"""The relay: moves what writers left in the outbox into the numbered log of changes, and wakes the followers."""

import random
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING
from uuid import uuid4

from service.freshness.announcer import Announcer, Publisher
from service.freshness.events import Failed, LeadershipChanged, Observer, Relayed, tell
from sql.database import Database, Transaction

if TYPE_CHECKING:
    from datetime import datetime

#: How often the leader looks into the outbox, and others whether there still is one.
POLL_SECONDS, STANDBY_SECONDS = 0.1, 0.25
#: A leader that is gone is replaced when its lease has run out. Two leaders at once would do no harm: each batch locks
#: the row with the lease.
LEASE_SECONDS, RENEW_SECONDS = 1.25, 0.4
#: One batch: rows of the outbox, and keys above which a change names none.
MOST_ROWS, MOST_KEYS = 2_000, 10_000
#: What the log keeps at least, so that a process that was away for so long can catch up.
KEEP_SECONDS, KEEP_ROWS = 3_600.0, 10_000
TRIM_SECONDS = 10.0
#: After a failure of the database, with jitter.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 2.0


class Relay:
    """A thread that relays while no other process does; every server process may have one.

    Args:
        database: where outbox and log are.
        redis: also told the newest number after each batch, as a message on `segue_changes`; it may be dead or slow.
        observers: of what happens; called in the relay's threads.
        keep_seconds: how long a change stays in the log at least.
        keep_rows: how many changes stay in the log at least.
    """

    def __init__(
        self,
        database: Database,
        redis: Publisher | None = None,
        observers: tuple[Observer, ...] = (),
        *,
        keep_seconds: float = KEEP_SECONDS,
        keep_rows: int = KEEP_ROWS,
    ) -> None:
        self._database = database
        self._announcer = None if redis is None else Announcer(redis, observers)
        self._observers = observers
        self._keep_seconds, self._keep_rows = keep_seconds, keep_rows
        self._holder = str(uuid4())
        self._is_leader = False
        self._renew_at = self._trim_at = 0.0
        self._empty_at: datetime | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segue-relay", daemon=True)

    def __enter__(self) -> "Relay":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def is_leader(self) -> bool:
        """Whether this process relays now."""
        return self._is_leader

    def start(self) -> None:
        """Start the thread; after a fork, not before."""
        if self._announcer is not None:
            self._announcer.start()
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread and let another process take over at once."""
        self._ended.set()
        self._thread.join(timeout)
        if self._announcer is not None:
            self._announcer.stop()

    def _run(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while not self._ended.is_set():
            try:
                with self._database.session() as connection:
                    session = Transaction(connection)
                    while not self._ended.is_set():
                        self._turn(session)
                        wait = FIRST_WAIT_SECONDS
                    session.run("outbox.release_lease", holder=self._holder)
            except Exception as error:  # the thread must live; what was not moved stays in the outbox
                self._lead(is_leader=False)
                tell(self._observers, Failed("relay", error))
                self._ended.wait(random.uniform(wait / 2, wait))
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        self._lead(is_leader=False)

    def _turn(self, session: Transaction) -> None:
        """Look once, and do what is due."""
        now = time.monotonic()
        if now >= self._renew_at:
            held = session.first("outbox.hold_lease", holder=self._holder, seconds=LEASE_SECONDS)
            self._lead(is_leader=held is not None)
            self._renew_at = now + (RENEW_SECONDS if self._is_leader else STANDBY_SECONDS)
        if not self._is_leader:
            self._ended.wait(STANDBY_SECONDS)
            return
        look = session.one("outbox.is_filled")
        if not look["found"]:
            self._empty_at = look["now"]
        elif self._move():
            return  # there may be more
        if now >= self._trim_at:
            session.run(
                "outbox.trim_changes", keep_seconds=self._keep_seconds, keep_rows=self._keep_rows, most_rows=MOST_KEYS
            )
            self._trim_at = now + TRIM_SECONDS
        # A table that cannot be vacuumed takes long to look into: never more than half of the time.
        self._ended.wait(max(POLL_SECONDS, time.monotonic() - now))

    def _move(self) -> bool:
        """Move one batch and tell whether it was a full one."""
        with self._database.transaction() as transaction:
            if transaction.first("outbox.hold_lease", holder=self._holder, seconds=LEASE_SECONDS) is None:
                self._lead(is_leader=False)
                return False
            moved = transaction.one(
                "outbox.move_batch", most_rows=MOST_ROWS, most_keys=MOST_KEYS, empty_at=self._empty_at
            )
            if moved["number"] is None:
                return False
            transaction.run("outbox.publish_number", number=moved["number"])
        tell(self._observers, Relayed(moved["rows"], moved["number"]))
        if self._announcer is not None:
            self._announcer.announce(moved["number"])
        return bool(moved["rows"] == MOST_ROWS)

    def _lead(self, *, is_leader: bool) -> None:
        if is_leader != self._is_leader:
            self._is_leader = is_leader
            self._empty_at = None
            self._renew_at = 0.0
            tell(self._observers, LeadershipChanged(is_leader))
