"""How many rows the next chunk takes: adapted to time, or fixed by --batch-size."""

from collections import deque
from dataclasses import dataclass, field

TARGET_SECONDS = 0.25
FIRST_SIZE = 10_000
SMALLEST, LARGEST = 100, 50_000
GROWTH_LIMIT = 1.5
PANIC_FACTOR = 5
_SAMPLES = 10

#: With a mirror a chunk's rows are locked for its time. So it is shorter, and all workers together hold so small a part
#: of the table that fewer than one in a hundred users, who write its rows at random, meets a locked one. In a small
#: table that would make chunks whose commits cost more than their rows.
MIRRORED_SHARE = 0.4
HELD_PART, SMALLEST_HELD = 150, 500


def most_held(total: int, workers: int) -> int:
    """Return how many rows of a table a chunk may hold against users, when so many workers are at it."""
    return max(SMALLEST_HELD, min(LARGEST, total // (HELD_PART * max(1, workers))))


@dataclass
class ChunkSize:
    """Aims at 250 ms of commit-inclusive time a chunk.

    The next size is size x target / p90 of the last ten seconds-per-row, growing at most by half; one chunk five
    times over the target cuts to a tenth at once and forgets the samples (the rule of Spirit's chunker).

    Attributes:
        size: rows of the next chunk.
        is_fixed: set by --batch-size; then the size never changes.
        largest: it grows no larger.
    """

    size: int = FIRST_SIZE
    is_fixed: bool = False
    target_seconds: float = TARGET_SECONDS
    largest: int = LARGEST
    _seconds_per_row: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))

    def learn(self, rows: int, seconds: float) -> None:
        """Take in what a chunk of `rows` rows cost."""
        if self.is_fixed or rows <= 0:
            return
        if seconds > PANIC_FACTOR * self.target_seconds:
            self._seconds_per_row.clear()
            self.size = max(SMALLEST, self.size // 10)
            return
        self._seconds_per_row.append(seconds / rows)
        slow = sorted(self._seconds_per_row)[int(0.9 * (len(self._seconds_per_row) - 1))]
        wanted = self.target_seconds / max(slow, 1e-9)
        self.size = int(max(SMALLEST, min(wanted, self.size * GROWTH_LIMIT, self.largest)))
