"""How many rows the next chunk takes: adapted to time, or fixed by --batch-size."""

from collections import deque
from dataclasses import dataclass, field

TARGET_SECONDS = 0.25
FIRST_SIZE = 10_000
SMALLEST, LARGEST = 100, 50_000
GROWTH_LIMIT = 1.5
PANIC_FACTOR = 5
_SAMPLES = 10

#: With a mirror a chunk's rows are locked for its time: it is shorter, so that users meet them seldom and wait briefly.
#: Still shorter ones cost more in commits than they give: at a tenth a run takes twice as long.
MIRRORED_FIRST_SIZE, MIRRORED_SHARE = 4_000, 0.4


@dataclass
class ChunkSize:
    """Aims at 250 ms of commit-inclusive time a chunk.

    The next size is size x target / p90 of the last ten seconds-per-row, growing at most by half; one chunk five
    times over the target cuts to a tenth at once and forgets the samples (the rule of Spirit's chunker).

    Attributes:
        size: rows of the next chunk.
        is_fixed: set by --batch-size; then the size never changes.
    """

    size: int = FIRST_SIZE
    is_fixed: bool = False
    target_seconds: float = TARGET_SECONDS
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
        self.size = int(max(SMALLEST, min(wanted, self.size * GROWTH_LIMIT, LARGEST)))
