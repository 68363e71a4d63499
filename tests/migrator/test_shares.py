"""Where a table is cut: enough for all workers, nothing too long, and small pieces for the end."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from migrator.source import LARGEST_PARTITION, SMALLEST_PARTITION, shares


def sizes(total: int, workers: int) -> list[float]:
    """Return the rows of each partition, in order."""
    return [total * (upto - after) for after, upto in pairwise([0.0, *shares(total, workers), 1.0])]


@given(total=st.integers(0, 100_000_000), workers=st.integers(1, 64))
def test_partitions(total: int, workers: int) -> None:
    """A small table is one; no partition is longer than a snapshot may be; nobody gets less than is worth it."""
    found = sizes(total, workers)
    assert all(0 < share < 1 for share in shares(total, workers))
    assert max(found) <= LARGEST_PARTITION + 1
    if total < 2 * SMALLEST_PARTITION or workers == 1:
        assert all(size >= min(total, LARGEST_PARTITION / 2) - 1 for size in found)
    else:
        assert len(found) >= min(workers, total // SMALLEST_PARTITION)
        assert found[0] >= 0.7 * SMALLEST_PARTITION


@given(total=st.integers(100_000, 3_000_000), slow=st.floats(1, 1.5))
def test_two_workers_end_together(total: int, slow: float) -> None:
    """The faster one waits for the last piece at most, a fifth of the time; with two halves it would be up to a third."""
    pace, clock = [1.0, slow], [0.0, 0.0]
    for size in sizes(total, 2):
        worker = clock.index(min(clock))
        clock[worker] += size * pace[worker]
    assert max(clock) - min(clock) <= 0.2 * max(clock)
