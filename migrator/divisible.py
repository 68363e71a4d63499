"""What a source has to know so that its ranges can be cut in two."""

from typing import Protocol

from migrator.source import KeyRange
from sql.database import Transaction


class Divisible(Protocol):
    """A source whose ranges have a middle. `run_id` says whose rows are meant where a run keeps a list of its own."""

    @property
    def smallest_share(self) -> int:
        """Rows that make a partition worth a worker."""
        ...

    def median(self, transaction: Transaction, run_id: int, within: KeyRange) -> tuple[str | None, int]:
        """Return the middle key of a range and how many rows it has, exactly."""
        ...

    def halve(self, transaction: Transaction, run_id: int, within: KeyRange, total: int) -> tuple[str | None, int]:
        """Return a key near the middle of a range and about how many rows it has, quickly, whatever the range.

        Args:
            transaction: the caller's.
            run_id: whose rows.
            within: the range.
            total: rows of the whole source, about.
        """
        ...
