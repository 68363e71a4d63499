"""What a worker has sent already, so that a popular track is decoded and sent once and not with every user."""

from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Seen(Generic[K, V]):
    """A bounded memory of keys that can be taken back to the last commit.

    A key that was forgotten is only sent once more: forgetting is always right, remembering only what was committed.
    To remember an entry, put it into `known` and its key into `fresh`; then `bound`, now and then.

    Args:
        limit: entries; beyond it the oldest half is forgotten.

    Attributes:
        known: the entries, oldest first; always the same object.
        fresh: the keys added since the last `keep`; always the same object.
    """

    def __init__(self, limit: int) -> None:
        self.known: dict[K, V] = {}
        self.fresh: list[K] = []
        self._limit = limit
        self._is_certain = True  # whether `fresh` has all keys since the last `keep`

    def bound(self) -> None:
        """Forget the oldest half when there are too many."""
        if len(self.known) > self._limit:
            for old in list(islice(self.known, len(self.known) // 2)):
                del self.known[old]
        if len(self.fresh) > 2 * self._limit:
            self.fresh.clear()
            self._is_certain = False

    def mark(self) -> int:
        """Return a place to which `forget` can go back."""
        return len(self.fresh)

    def keep(self) -> None:
        """What was added is committed."""
        self.fresh.clear()
        self._is_certain = True

    def forget(self, mark: int = 0) -> None:
        """What was added since the last `keep`, or since a mark, was not sent after all."""
        if not self._is_certain:
            self.known.clear()
            self.keep()
            return
        for key in self.fresh[mark:]:
            self.known.pop(key, None)
        del self.fresh[mark:]
