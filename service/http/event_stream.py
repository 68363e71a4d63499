"""A run's events as server-sent events: read twice a second, until the run has ended or the server ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from service.http.problems import UNAVAILABLE, Problem
from service.runs import reading
from service.runs.errors import RunRefused
from service.state import State
from sql.database import Row
from sql.errors import DatabaseError

_LOOK_SECONDS: Final = 0.5
#: A comment now and then shows proxies and clients that the connection lives.
KEEP_ALIVE_SECONDS: Final = 15.0
#: Events that are read at a time.
_PAGE: Final = 500
#: After which a client that was cut off asks again.
_RETRY: Final = b"retry: 2000\n\n"


class Places:
    """How many may follow at a time in one process; each takes a place among the requests in work."""

    def __init__(self, count: int = 16) -> None:
        self._free = count

    def require(self) -> None:
        """Refuse whoever finds none, while an answer can still say so.

        Raises:
            Problem: none is left.
        """
        if self._free <= 0:
            raise Problem(UNAVAILABLE, "too many follow runs here; ask again", headers=[("retry-after", "5")])

    def take(self) -> None:
        """Take one."""
        self._free -= 1

    def give_back(self) -> None:
        """Give one back."""
        self._free += 1


class EventStream:
    """What one client follows.

    Args:
        state: of this process.
        run_id: the run.
        after: the last event that the client has seen.
        places: of this process; one is taken while it is followed.
    """

    def __init__(self, state: State, run_id: int, after: int, places: Places) -> None:
        self._state, self._run_id, self._after = state, run_id, after
        self._places = places
        self._progress: dict[str, Any] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield pieces of the stream."""
        self._places.take()
        try:
            yield _RETRY
            ends = time.monotonic() + self._state.settings.limits.stream_seconds
            said = time.monotonic()
            while not self._state.is_stopping:
                # Whether it has ended is read before its events, so that the last of them are not missed.
                try:
                    seen, events = await asyncio.to_thread(self._look)
                except (DatabaseError, RunRefused):
                    return  # the client asks again, and is told what is wrong then
                for piece in self._pieces(seen, events):
                    said = time.monotonic()
                    yield piece
                if len(events) == _PAGE:
                    continue
                if seen.has_ended:
                    yield _event("end", {"status": seen.status})
                    return
                if time.monotonic() >= ends:
                    return
                if time.monotonic() - said >= KEEP_ALIVE_SECONDS:
                    said = time.monotonic()
                    yield b": still here\n\n"
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._places.give_back()

    def _look(self) -> tuple[reading.Seen, list[Row]]:
        with self._state.transaction() as transaction:
            seen = reading.read(transaction, self._run_id)
            events = transaction.all("run_status.list_events_after", run_id=self._run_id, after=self._after, most=_PAGE)
        return seen, events

    def _pieces(self, seen: reading.Seen, events: list[Row]) -> list[bytes]:
        pieces = []
        for row in events:
            self._after = row["id"]
            body = {name: value for name, value in row.items() if name != "id"}
            pieces.append(_event(row["kind"], body, row["id"]))
        progress = seen.progress()
        if progress != self._progress:
            self._progress = progress
            pieces.append(_event("progress", progress))
        return pieces


def _event(name: str, body: Any, number: int | None = None) -> bytes:
    head = b"" if number is None else b"id: %d\n" % number
    # JSON has no line breaks of its own, and an event's name is ours.
    return head + b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(body) + b"\n\n"
