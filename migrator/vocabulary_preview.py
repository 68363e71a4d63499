"""The vocabulary as a run would resolve it now; nothing of it is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from migrator.migration import Context
from migrator.migrations.themes import ThemesStep
from migrator.vocabulary import PAGE_TEXTS, Suggestion, resolve, suggest
from sql.database import Database, Transaction


@contextmanager
def planned_vocabulary(database: Database, step: ThemesStep) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield what a run would map each distinct text to, most used first; everything is rolled back after."""
    with _resolved(database, step) as (transaction, run_id):
        pages = transaction.stream("vocabulary.read_vocabulary", step.fragments, size=PAGE_TEXTS, run_id=run_id)
        yield (row for page in pages for row in page if row["raw"])


def suggestions(database: Database, step: ThemesStep, most: int) -> list[Suggestion]:
    """Return which new texts may be misspellings of known tags."""
    with _resolved(database, step) as (transaction, run_id):
        return suggest(transaction, run_id, step.fragments, most)


@contextmanager
def _resolved(database: Database, step: ThemesStep) -> Iterator[tuple[Transaction, int]]:
    context = Context.rehearsing()
    with database.transaction(rolled_back=True) as transaction:
        step.require_privileges(transaction)
        resolve(transaction, context, step.discover(transaction), step.fragments)
        yield transaction, context.run_id
