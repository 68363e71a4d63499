"""One load per key: who misses while another loads the same key waits for that load, in threads and in tasks alike."""

import threading
from concurrent.futures import Future
from typing import Any

from cache.entry import Key
from cache.fill_guard import FillGuard

Place = tuple[str, Key]


class Abandoned(Exception):
    """The load that one waited for was given up, by a cancelled event loop or an interrupted thread; load anew."""


class Flight:
    """One load under way.

    Attributes:
        place: kind and key.
        ticket: of the guard, taken before the load.
        thread: that loads, or that runs the event loop of the task that loads.
    """

    __slots__ = ("place", "thread", "ticket", "waiters")

    def __init__(self, place: Place, ticket: int) -> None:
        self.place, self.ticket = place, ticket
        self.thread = threading.get_ident()
        self.waiters: list[Future[Any]] = []


class Flights:
    """The loads under way in this process."""

    def __init__(self, guard: FillGuard) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._flights: dict[Place, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def enter(self, place: Place, *, may_wait_for_own_thread: bool) -> tuple[Flight, Future[Any] | None]:
        """Join the load of a key, or begin it.

        A load that began before an invalidation is not joined: its value may be older than what the caller was
        promised. It goes on for those who wait for it already, and the new load takes its place.

        Args:
            place: kind and key.
            may_wait_for_own_thread: a task may wait for a load of its own thread, a plain call would wait for itself.

        Returns:
            The flight, and what to wait for; None there says that the caller loads and then lands the flight.
        """
        with self._lock:
            flight = self._flights.get(place)
            if flight is not None and self._guard.is_untouched(flight.ticket, *place):
                if not may_wait_for_own_thread and flight.thread == threading.get_ident():
                    return Flight(place, self._guard.now), None
                waiter: Future[Any] = Future()
                flight.waiters.append(waiter)
                return flight, waiter
            flight = self._flights[place] = Flight(place, self._guard.now)
            return flight, None

    def join(self, flight: Flight) -> Future[Any]:
        """Return what to wait for to the one who began the flight but lets a task load."""
        waiter: Future[Any] = Future()
        with self._lock:
            flight.waiters.append(waiter)
        return waiter

    def land(self, flight: Flight, value: Any) -> None:
        """Give everyone who waits the value."""
        for waiter in self._leave(flight):
            waiter.set_result(value)

    def fail(self, flight: Flight, error: BaseException) -> None:
        """Raise a load's error to everyone who waits; they load anew when it was no error of the load."""
        if not isinstance(error, Exception):
            error = Abandoned()
        elif isinstance(error, StopIteration):  # a future cannot carry it: it would end the generator that waits
            error = RuntimeError(f"a load of {flight.place[0]} raised StopIteration")
        for waiter in self._leave(flight):
            waiter.set_exception(error)

    def _leave(self, flight: Flight) -> list[Future[Any]]:
        with self._lock:
            if self._flights.get(flight.place) is flight:
                del self._flights[flight.place]
            waiters, flight.waiters = flight.waiters, []
        # A waiter that was cancelled meanwhile has left; the others cannot be cancelled any more.
        return [waiter for waiter in waiters if waiter.set_running_or_notify_cancel()]
