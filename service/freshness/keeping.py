"""One index on its way: changes applied at once, and a build aside when there are too many."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from service.freshness.events import Failed, Kind, Observer, Rebuilt, tell
from service.freshness.served import Served
from sql.database import Row
from sql.errors import DatabaseError

Index = TypeVar("Index")

#: Changes with more keys are not applied one by one.
MOST_KEYS = 10_000
#: A build that failed is tried again after this time.
RETRY_SECONDS = 1.0


class Keeping(Generic[Index]):
    """Keeps one index up to date; used by the follower's thread alone, which also swaps what the builder has built.

    Args:
        served: the index.
        observers: of what happens.
        on_built: called from the builder's thread when it is done.
    """

    def __init__(self, served: Served[Index], observers: tuple[Observer, ...], on_built: Callable[[], None]) -> None:
        self.served = served
        self._observers = observers
        self._on_built = on_built
        self._build: _Build[Index] | None = None
        self._is_wanted = served.current is None
        #: The index that answers lacks something that only a build will bring.
        self.is_behind = self._is_wanted
        self._not_before = 0.0

    def start_over(self, number: int) -> None:
        """Take nothing before a change for granted: what is cached goes, and a build aside begins."""
        self.served.flush(number)
        self._want()
        if self._build is not None:
            self._build.is_void = True

    def apply(self, changes: Iterable[Row]) -> None:
        """Apply changes, oldest first, to the index that answers; those of other kinds are passed over.

        Raises:
            DatabaseError: what changed could not be read; nothing is lost when the same changes come again.
        """
        index = self.served.current
        if index is not None and not self._apply(index, list(changes)):
            self._want()

    def look_after_build(self, number: int, read_changes: Callable[[int], list[Row] | None]) -> None:
        """Swap in a finished build, and begin one that is wanted.

        Args:
            number: the change up to which the present index was fed.
            read_changes: returns the changes after a number, at least up to `number`; None when there are too many, or
                the log does not tell.
        """
        if self._build is not None and self._build.is_done:
            self._finish(self._build, number, read_changes)
            self._build = None
        if self._is_wanted and self._build is None and time.monotonic() >= self._not_before:
            self._is_wanted = False
            self._build = _Build(self.served.build, self._on_built)

    def stop(self, timeout: float) -> None:
        """Wait for a build that is under way, so that it leaves no connection behind; abandon one that takes longer."""
        if self._build is not None:
            self._build.join(timeout)

    def _finish(self, build: "_Build[Index]", number: int, read_changes: Callable[[int], list[Row] | None]) -> None:
        # Half of the time goes to building at most.
        self._not_before = time.monotonic() + max(build.seconds, RETRY_SECONDS if build.error else 0)
        if build.error is not None:
            tell(self._observers, Failed("rebuild", build.error))
            self._want()
            return
        assert build.result is not None
        known, index = build.result
        changes = read_changes(known)
        self.is_behind = not self._apply(index, changes or []) or build.is_void or changes is None
        self._is_wanted |= self.is_behind
        self.served.publish(index, number)
        tell(self._observers, Rebuilt(self.served.kind, build.seconds, max(known, number)))

    def _apply(self, index: Index, changes: list[Row]) -> bool:
        """Apply changes to an index and tell whether it knows them now; when not, only a build will bring them."""
        changes = [change for change in changes if change["kind"] in self.served.follows]
        keys: dict[Kind, set[str]] = {kind: set() for kind in self.served.follows}
        for change in changes:
            keys[change["kind"]].update(change["keys"] or ())
        if any(change["keys"] is None for change in changes) or sum(map(len, keys.values())) > MOST_KEYS:
            return False
        if not changes:
            return True
        try:
            self.served.apply(index, keys, changes[-1]["number"])
        except DatabaseError:
            raise
        except Exception as error:  # a change that the index cannot take must not stop all others
            tell(self._observers, Failed("apply", error))
            return False
        self._is_wanted |= self.served.is_worn(index)
        return True

    def _want(self) -> None:
        self._is_wanted = self.is_behind = True


class _Build(threading.Thread, Generic[Index]):
    """A build in a thread of its own.

    Attributes:
        is_done: it ended, with a result or an error.
        is_void: what it began with turned out to be no ground to stand on.
        seconds: that it took.
    """

    def __init__(self, work: Callable[[], tuple[int, Index]], on_done: Callable[[], None]) -> None:
        super().__init__(name="segue-build", daemon=True)
        self.result: tuple[int, Index] | None = None
        self.error: Exception | None = None
        self.is_done = self.is_void = False
        self.seconds = 0.0
        self._work = work
        self._on_done = on_done
        self.start()

    def run(self) -> None:
        """Build."""
        start = time.monotonic()
        try:
            self.result = self._work()
        except Exception as error:  # told by the follower, and tried again
            self.error = error
        self.seconds = time.monotonic() - start
        self.is_done = True
        self._on_done()
