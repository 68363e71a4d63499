"""What every step over a table knows of rows that the database refuses."""

from typing import Protocol

from migrator.digest import Digest
from migrator.migration import Context
from migrator.source import KeyRange, TableSource
from sql.database import Transaction


class _TableStep(Protocol):
    @property
    def source(self) -> TableSource: ...

    def forget(self, transaction: Transaction, context: Context, keys: list[str]) -> None: ...

    def count_elements(self, transaction: Transaction, keys: list[str]) -> int: ...

    def source_digest(self, transaction: Transaction, within: KeyRange) -> Digest: ...

    def weigh(self, transaction: Transaction, context: Context, keys: list[str]) -> tuple[int, Digest]: ...


class TableRows:
    """Finds, weighs and gives up rows of a table; the step itself forgets what it made."""

    def first_key(self: _TableStep, transaction: Transaction, context: Context, within: KeyRange) -> str | None:  # noqa: ARG002
        """Return the first key of a range."""
        return self.source.first_key(transaction, within)

    def weigh(self: _TableStep, transaction: Transaction, context: Context, keys: list[str]) -> tuple[int, Digest]:  # noqa: ARG002
        """Return how many elements some rows have, and their digest."""
        return self.count_elements(transaction, keys), self.source_digest(transaction, KeyRange(only=keys))

    def count_elements(self: _TableStep, transaction: Transaction, keys: list[str]) -> int:
        """Return how many elements some rows have; one each, unless the step knows better."""
        return self.source_digest(transaction, KeyRange(only=keys)).count

    def set_aside(
        self: _TableStep, transaction: Transaction, context: Context, keys: list[str], *, is_known: bool
    ) -> dict[str, tuple[int, Digest]]:
        """Remove what the run made of rows that it gives up, and weigh those that are still there."""
        if is_known:
            self.forget(transaction, context, keys)
        weights = {key: self.weigh(transaction, context, [key]) for key in keys}
        return {key: weight for key, weight in weights.items() if weight[1].count}
