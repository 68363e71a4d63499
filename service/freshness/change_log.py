"""Reading the log of changes without missing one, and without taking another log for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sql.database import Row, Transaction

if TYPE_CHECKING:
    from datetime import datetime

#: Changes read at once; each may name thousands of keys.
_ROWS = 50


class LogLost(Exception):
    """The log does not reach back to the change that the reader knows, or it is another one."""


class ChangeLog:
    """A place in the log of changes, moved forward by reading.

    Numbers follow each other without gaps in the order of commits, so whoever has read up to one has missed nothing.
    The change at that place is read once more every time: is it gone, or another one, the log cannot be trusted.

    Args:
        number: of the last change that is known; 0 is before the first.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._relayed_at: datetime | None = None

    def read(self, session: Transaction, newest: int) -> Iterator[list[Row]]:
        """Yield the changes after the present place, some at a time; the place moves on when they were taken.

        Args:
            session: to read with.
            newest: the number that there is at least.

        Raises:
            LogLost: there may have been changes that are no longer in the log.
        """
        if newest < self.number:
            raise LogLost
        while True:
            rows = session.all("outbox.read_changes", number=self.number, limit=_ROWS)
            fresh = self._after_place(rows)
            if fresh:
                yield fresh
                self.number, self._relayed_at = fresh[-1]["number"], fresh[-1]["relayed_at"]
            if len(rows) < _ROWS:
                return

    def _after_place(self, rows: list[Row]) -> list[Row]:
        if self.number == 0:
            if rows and rows[0]["number"] != 1:
                raise LogLost
            return rows
        if not rows or rows[0]["number"] != self.number or self._relayed_at not in (None, rows[0]["relayed_at"]):
            raise LogLost
        self._relayed_at = rows[0]["relayed_at"]
        return rows[1:]
