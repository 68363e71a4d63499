"""The follower: keeps one server process's indexes and cache up to date with what writers commit."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any

import psycopg

from service.freshness import events
from service.freshness.change_log import ChangeLog, LogLost
from service.freshness.events import Observer, tell
from service.freshness.keeping import MOST_KEYS, Keeping
from service.freshness.served import Served, ServedSongs, ServedTags, State
from service.freshness.trigger_watch import TriggerWatch
from service.freshness.waker import Waker
from service.search.index import SongIndex
from service.suggest.index import REBUILD_DELTA
from sql.database import Database, Row, Transaction
from sql.schema.serving import CannotFollow

#: How often it looks, whatever it hears; a notification only makes it look at once.
POLL_SECONDS = 0.5
#: Between attempts to connect, with jitter.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 5.0


class Follower:
    """A thread in every server process; start it after a fork, not before.

    Where the state has no index yet it builds the first one.

    Args:
        database: where the tags are.
        schema: the application's.
        state: whose index, songs and cache it keeps; nobody else may write the indexes while it runs.
        number: of a change that the state's indexes surely know, read (`current_number`) before loading them; None:
            that of the state's index, or when there is none the newest.
        load_songs: loads the songs' index; None: songs are not followed.
        triggers: looked after; None: they are taken for granted.
        observers: of what happens; called in the follower's thread.
        poll_seconds: how often it looks.
        most_changes: an index of tags with more changes on top is built anew.
    """

    def __init__(
        self,
        database: Database,
        schema: str,
        state: State,
        *,
        number: int | None = None,
        load_songs: Callable[[], SongIndex] | None = None,
        triggers: TriggerWatch | None = None,
        observers: tuple[Observer, ...] = (),
        poll_seconds: float = POLL_SECONDS,
        most_changes: int = REBUILD_DELTA,
    ) -> None:
        served: list[Served[Any]] = [ServedTags(database, schema, state, most_changes)]
        if load_songs is not None:
            served.append(ServedSongs(database, schema, state, load_songs))
        self._database = database
        self._triggers = triggers
        self._observers = observers
        self._poll_seconds = poll_seconds
        self._kept = [Keeping(each, observers, self.wake) for each in served]
        known = state.index.version if number is None and state.index is not None else number
        self._log = None if known is None else ChangeLog(known)
        self._announced = 0
        self._relayed_until = 0.0
        self._proven_at: float | None = None
        self._is_connected = self._is_listening = False
        self._ended = threading.Event()
        self._waker = Waker()
        self._thread = threading.Thread(target=self._run, name="segue-follower", daemon=True)

    def __enter__(self) -> "Follower":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def staleness(self) -> float | None:
        """Seconds since the state surely was up to date; None: it never was."""
        return None if self._proven_at is None else time.monotonic() - self._proven_at

    @property
    def is_connected(self) -> bool:
        """Whether it can look."""
        return self._is_connected

    @property
    def is_listening(self) -> bool:
        """Whether it hears of changes at once; behind a pooler it polls."""
        return self._is_connected and self._is_listening

    @property
    def number(self) -> int | None:
        """The number of the last change applied."""
        return None if self._log is None else self._log.number

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look now, not at the next turn; callable from any thread."""
        self._waker.wake()

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread; a build that is under way is waited for, and abandoned after the timeout."""
        end = time.monotonic() + timeout
        self._ended.set()
        self.wake()
        self._thread.join(timeout)
        for kept in self._kept:
            kept.stop(max(end - time.monotonic(), 0))
        self._waker.close()

    def _run(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while not self._ended.is_set():
            try:
                with self._database.session() as connection, closing(connection):  # nobody else shall hear
                    self._connect(connection)
                    while not self._ended.is_set():
                        self._turn(Transaction(connection))
                        wait = FIRST_WAIT_SECONDS
                        self._rest(connection)
            except Exception as error:  # the thread must live; what was not applied comes again
                self._lose(error)
                self._ended.wait(random.uniform(wait / 2, wait))
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _connect(self, connection: psycopg.Connection[Any]) -> None:
        session = Transaction(connection)
        backend_pid = session.one("session.describe_server")["backend_pid"]
        # Through a transaction-mode pooler another client would hear instead.
        self._is_listening = backend_pid == connection.info.backend_pid
        if self._is_listening:
            connection.add_notify_handler(self._hear)
            session.run("outbox.listen")
        if self._triggers is not None:
            self._triggers.look_soon()
        self._is_connected = True
        tell(self._observers, events.ConnectionChanged(is_connected=True))

    def _lose(self, error: Exception) -> None:
        if self._is_connected:
            self._is_connected = False
            tell(self._observers, events.ConnectionChanged(is_connected=False))
        tell(self._observers, events.Failed("follow", error))

    def _hear(self, notification: psycopg.Notify) -> None:
        with suppress(ValueError):
            self._announced = max(self._announced, int(notification.payload))

    def _turn(self, session: Transaction) -> None:
        """Look once: apply what is new, look after builds, and tell how it stands."""
        must_start_over = self._were_triggers_away(session)
        looked_at = time.monotonic()
        state = session.one("outbox.read_state")
        newest = state["number"]
        if self._log is None:
            self._log = ChangeLog(newest)  # the first builds read theirs after this
        try:
            for changes in self._log.read(session, newest):
                self._apply(changes, state["now"], looked_at)
        except LogLost:
            tell(self._observers, events.LogLost(self._log.number, newest))
            must_start_over = True
        if must_start_over:
            self._log = ChangeLog(newest)
            for kept in self._kept:
                kept.start_over(newest)
        for kept in self._kept:
            kept.look_after_build(self._log.number, partial(_replay, session))
        self._prove(state, looked_at)

    def _were_triggers_away(self, session: Transaction) -> bool:
        """Tell whether triggers were away; while they are, nothing is proven fresh."""
        try:
            were_away = self._triggers is not None and self._triggers.were_away(session)
        except CannotFollow as error:
            tell(self._observers, events.Failed("follow", error))
            return False
        if were_away:
            tell(self._observers, events.TriggersLost())
        return were_away

    def _apply(self, changes: list[Row], now: datetime, looked_at: float) -> None:
        for kept in self._kept:
            kept.apply(changes)
        for change in changes:
            age = (now - change["written_at"]).total_seconds() + time.monotonic() - looked_at
            keys = None if change["keys"] is None else len(change["keys"])
            tell(self._observers, events.Applied(change["kind"], change["number"], keys, max(age, 0.0)))

    def _prove(self, state: Row, looked_at: float) -> None:
        """Note how fresh the state is: as of this look, or of the oldest row that nobody has relayed."""
        waits = state["waiting_since"] is not None
        waited = max((state["now"] - state["waiting_since"]).total_seconds(), 0.0) if waits else 0.0
        # A row that was not there at an earlier look was committed after it, however old the row is.
        self._relayed_until = max(self._relayed_until, looked_at - waited)
        is_told = self._triggers is None or self._triggers.is_sound
        if is_told and not any(kept.is_behind for kept in self._kept):
            self._proven_at = self._relayed_until
        if (staleness := self.staleness) is not None:
            age = looked_at - self._relayed_until if waits else 0.0
            tell(self._observers, events.Proven(staleness, age, state["is_relayed"]))

    def _rest(self, connection: psycopg.Connection[Any]) -> None:
        """Wait until there may be something to do."""
        if self._announced > (self.number or 0):
            self._announced = 0  # heard while looking; should the log not have it, the next look waits
            return
        self._waker.rest(connection.fileno(), self._poll_seconds)


def _replay(session: Transaction, after: int) -> list[Row] | None:
    """Return the changes after a number; None when they are too many, or the log does not tell."""
    found: list[Row] = []
    keys = 0
    try:
        for changes in ChangeLog(after).read(session, after):
            found += changes
            keys += sum(len(change["keys"] or ()) for change in changes)
            if keys > 2 * MOST_KEYS:
                return None
    except LogLost:
        return None
    return found
