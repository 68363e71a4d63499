"""Telling others through Redis that there are changes, without ever waiting for it."""

import threading
from typing import Protocol

from service.freshness.events import Failed, Observer, tell

CHANNEL = "segue_changes"
#: A Redis that failed is left alone for so long.
PAUSE_SECONDS = 10.0


class Publisher(Protocol):
    """The part of a Redis client that is used."""

    def publish(self, channel: str, message: str, /) -> object:
        """Send a message to all who listen."""


class Announcer:
    """Publishes the newest number on the channel `segue_changes`, in a thread of its own.

    A dead or slow Redis delays nobody: a number that waits is replaced by the next one.
    """

    def __init__(self, redis: Publisher, observers: tuple[Observer, ...]) -> None:
        self._redis = redis
        self._observers = observers
        self._number: int | None = None
        self._is_due = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segue-announcer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def announce(self, number: int) -> None:
        """Let the newest number be published."""
        self._number = number
        self._is_due.set()

    def stop(self, timeout: float = 1.0) -> None:
        """End the thread; an attempt that hangs is abandoned."""
        self._ended.set()
        self._is_due.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while self._is_due.wait() and not self._ended.is_set():
            self._is_due.clear()
            try:
                self._redis.publish(CHANNEL, str(self._number))
            except Exception as error:  # whatever the client raises: followers look for themselves anyway
                tell(self._observers, Failed("publish", error))
                self._ended.wait(PAUSE_SECONDS)
