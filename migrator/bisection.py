"""A chunk that fails because of its data: halved by savepoints down to the row, which goes to quarantine alone.

Only a chunk that has failed comes here, so the others pay for no savepoint.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from migrator import aside, run_store
from migrator.aside import Refusals
from migrator.digest import Digest
from migrator.migration import Context, Converted, Counts, Step
from migrator.source import KeyRange
from sql.database import Transaction
from sql.errors import DatabaseError

#: A chunk in parts ends after this time, so that its locks do not stand in the way of users.
LONGEST_SECONDS = 1.0
#: So many rows refused in one chunk are enough; when there was no other row, the rows are not what is wrong.
MOST_REFUSED = 100

_NOTHING = Converted(None, Counts(), Digest(), Digest(), Digest())


@dataclass(frozen=True)
class Patience:
    """How many refused rows a chunk puts up with.

    Attributes:
        most: then it ends, and the limits are looked at.
        is_limited: whether the call has a limit; without one, a chunk of refused rows alone fails the run.
    """

    most: int = MOST_REFUSED
    is_limited: bool = False

    @classmethod
    def of(cls, max_errors: str | None) -> "Patience":
        """Return what `--max-errors` asks for."""
        if max_errors is None:
            return cls()
        if max_errors.endswith("%"):
            return cls(is_limited=True)
        return cls(min(MOST_REFUSED, int(float(max_errors)) + 1), is_limited=True)


def convert_in_parts(
    transaction: Transaction, step: Step, context: Context, within: KeyRange, limit: int, patience: Patience
) -> Converted:
    """Convert the first rows of a range as `step.convert` does, without those that the database refuses.

    The parts that hold are kept, the one that does not is halved. It may end before `limit`, having made progress.

    Raises:
        DatabaseError: nothing but refused rows was met, or the error is no row's fault; the caller rolls back.
    """
    started = time.monotonic()
    total, size, refusals = _NOTHING, max(1, limit // 2), Refusals()
    while total.counts.rows < limit:
        rest = within if total.last_key is None else replace(within, after=total.last_key)
        part = min(size, limit - total.counts.rows)
        try:
            converted = _converted(transaction, step, context, rest, part)
        except DatabaseError as error:
            if error.refusal is None:
                raise
            if part > 1:
                size = part // 2
                continue
            key = step.first_key(transaction, context, rest)
            if key is None:
                raise
            converted = replace(
                aside.keep(transaction, step, context, key, error, refusals, is_known=False), has_more=True
            )
            _require_others(refusals, total + converted, patience, error)
        else:
            size = 2 * part
        total += converted
        if converted.counts.rows < part and not converted.has_more:
            break
        is_long = time.monotonic() - started > LONGEST_SECONDS and refusals.rows < total.counts.rows
        if is_long or refusals.rows >= patience.most:
            total = replace(total, has_more=True)
            break
    note(transaction, context, refusals)
    return total


def reconvert_in_parts(transaction: Transaction, step: Step, context: Context, keys: list[str]) -> None:
    """Convert rows again as `step.reconvert` does, without those that the database refuses.

    Raises:
        DatabaseError: no row's fault; the caller rolls back.
    """
    refusals = Refusals(attempts=aside.forget(transaction, context, keys))
    parts = [keys]
    while parts:
        part = parts.pop()
        try:
            with _checked(transaction):
                step.reconvert(transaction, context, part)
            transaction.run("aside.defer_constraints")
        except DatabaseError as error:
            if error.refusal is None:
                raise
            if len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            else:
                aside.keep(transaction, step, context, part[0], error, refusals, is_known=True)
    note(transaction, context, refusals)


def note(transaction: Transaction, context: Context, refusals: Refusals) -> None:
    """Record in the run's events how many rows were refused, and by which SQLSTATEs; a dry run has none."""
    if refusals.rows and context.run_id > 0:
        detail = {"rows": refusals.rows, "sqlstates": refusals.sqlstates}
        run_store.note(transaction, context.run_id, "rows refused", detail=detail)


def _converted(transaction: Transaction, step: Step, context: Context, within: KeyRange, limit: int) -> Converted:
    with _checked(transaction):
        converted = step.convert(transaction, context, within, limit)
    transaction.run("aside.defer_constraints")
    return converted


@contextmanager
def _checked(transaction: Transaction) -> Iterator[None]:
    """Undo the block when it raises, or when what it wrote breaks a deferred constraint."""
    with transaction.savepoint():
        yield
        transaction.run("aside.check_constraints")


def _require_others(refusals: Refusals, total: Converted, patience: Patience, error: DatabaseError) -> None:
    if patience.is_limited or refusals.rows < MOST_REFUSED or total.counts.rows > refusals.rows:
        return
    raise DatabaseError(
        f"the database refused each of {refusals.rows} rows in a row, the last one with: {error.refusal}; "
        "when the rule is wrong, mend it; when the rows are, --max-errors says how many of them may go to quarantine; "
        "then run the same command again",
        sqlstate=error.sqlstate,
    ) from error
