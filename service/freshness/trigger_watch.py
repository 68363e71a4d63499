"""Noticing that the triggers were away: what was written meanwhile is in no log."""

import time
from collections.abc import Callable

from sql.database import Transaction
from sql.schema.serving import identify

#: So often it looks; a look is one read of the catalog.
LOOK_SECONDS = 5.0


class TriggerWatch:
    """Knows the triggers that fill the outbox, and has those made anew that are gone.

    Triggers go away with a table that is replaced or restored, by `DISABLE TRIGGER`, and when a standby takes over
    that had not received them yet. Whoever makes them anew, every process notices.

    Args:
        follow: makes those that are missing.
        seconds: how often to look.
    """

    def __init__(self, follow: Callable[[], object], seconds: float = LOOK_SECONDS) -> None:
        self._follow = follow
        self._seconds = seconds
        self._known: frozenset[tuple[int, int]] | None = None
        self._look_at = 0.0
        #: All triggers were there and worked at the last look.
        self.is_sound = False

    def look_soon(self) -> None:
        """Look at the next occasion."""
        self._look_at = 0.0

    def were_away(self, session: Transaction) -> bool:
        """Look, when it is time, and tell whether changes may have been missed since the last look.

        Raises:
            CannotFollow: triggers are missing and cannot be made; the next occasion is after the usual time.
            DatabaseError: nothing could be found out.
        """
        if time.monotonic() < self._look_at:
            return False
        found = identify(session)
        if not self.is_sound or found != self._known:
            self.is_sound = False
            self._look_at = time.monotonic() + self._seconds
            self._follow()
            found = identify(session)
        is_known = self._known in (None, found)
        self._known, self.is_sound = found, True
        self._look_at = time.monotonic() + self._seconds
        return not is_known
