"""When to leave a failing neighbour alone: one failure opens, growing pauses, one call tries whether it is back."""

import random
import threading
from collections.abc import Callable
from typing import Final, Literal

State = Literal["closed", "open", "half-open"]

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
#: A try that says nothing for so long is taken for lost, and another is let through.
TRY_SECONDS: Final = 5.0


class Breaker:
    """A circuit breaker.

    Args:
        clock: seconds.
        first_pause: seconds after the first failure; each failed try doubles it.
        longest_pause: seconds at most. All pauses vary by 20 %, so that processes do not come back together.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        first_pause: float = FIRST_PAUSE_SECONDS,
        longest_pause: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self._clock, self._first, self._longest = clock, first_pause, longest_pause
        self._lock = threading.Lock()
        self._retry_at = 0.0
        self.state: State = "closed"
        self.pause = 0.0
        self.opened = self.skipped = 0
        self.last_error: str | None = None

    def admits(self) -> bool:
        """Return whether a call may be made; who gets True reports how it went."""
        if self.state == "closed":
            return True
        with self._lock:
            now = self._clock()
            if self._retry_at == 0:  # closed meanwhile
                return True
            if now < self._retry_at:
                self.skipped += 1
                return False
            self._retry_at = now + TRY_SECONDS
            self.state = "half-open"
            return True

    def succeeded(self) -> None:
        """Say that an admitted call went well."""
        if self.state == "closed":
            return
        with self._lock:
            if self.state == "half-open":  # while it is open, the call was admitted before and proves nothing
                self.state, self.pause, self._retry_at = "closed", 0.0, 0.0

    def failed(self, error: BaseException) -> None:
        """Say that an admitted call failed."""
        with self._lock:
            if self.state == "open":
                return  # of several calls that fail together, one counts
            self.pause = min(self._longest, self.pause * 2 or self._first)
            self.state = "open"
            self.opened += 1
            self.last_error = f"{type(error).__name__}: {error}"
            self._retry_at = self._clock() + self.pause * random.uniform(0.8, 1.2)
