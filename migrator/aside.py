"""Rows in quarantine as a whole: the application's own rules refuse them, so nothing is due for any of their elements.

Steps know nothing of them: they are asked about ranges that leave these rows out, and what is left out is added here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from psycopg import sql as psql

from migrator.digest import Digest
from migrator.migration import Context, Converted, Counts, Mismatch, Step
from migrator.source import KeyRange
from sql.database import Fragments, Transaction
from sql.errors import DatabaseError

#: Rows weighed at a time.
PAGE_ROWS = 1_000


@dataclass
class Refusals:
    """What a transaction has put into quarantine, for its event.

    Attributes:
        rows: how many rows.
        sqlstates: how many by SQLSTATE.
        attempts: by key, how often rows had been refused before.
    """

    rows: int = 0
    sqlstates: dict[str, int] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)


def sound(transaction: Transaction, context: Context, within: KeyRange) -> KeyRange:
    """Return a range without the rows in quarantine as a whole; the same range where there are none."""
    if transaction.one("aside.has_any", run_id=context.run_id)["found"]:
        return replace(within, aside_of=context.run_id)
    return within


def keep(
    transaction: Transaction,
    step: Step,
    context: Context,
    key: str,
    error: DatabaseError,
    refusals: Refusals,
    *,
    is_known: bool,
) -> Converted:
    """Put a row into quarantine as a whole and return its accounting.

    Args:
        transaction: the caller's.
        step: of the run's migration.
        context: the run.
        key: of the row.
        error: why the database refuses it.
        refusals: what the caller's transaction has put aside; this row is added.
        is_known: whether the run may have made something of it.
    """
    weights = step.set_aside(transaction, context, [key], is_known=is_known)
    converted = Converted(key, Counts(), Digest(), Digest(), Digest())
    for refused, (elements, source) in weights.items():
        transaction.run(
            "aside.save_row",
            run_id=context.run_id,
            key=refused,
            pointer=None if step.source.is_table else "",
            payload=None,
            elements=elements,
            reason=error.refusal,
            sqlstate=error.sqlstate,
            attempts=refusals.attempts.get(refused, 0) + 1,
            source=str(source),
        )
        refusals.rows += 1
        refusals.sqlstates[error.sqlstate or ""] = refusals.sqlstates.get(error.sqlstate or "", 0) + 1
        counts = Counts(rows=1, quarantined_rows=1, elements=elements, quarantined=elements)
        converted += Converted(key, counts, Digest(), Digest(), source)
    return converted


def forget(transaction: Transaction, context: Context, keys: list[str]) -> dict[str, int]:
    """Take rows out of quarantine that are to be tried again; return by key how often they were."""
    rows = transaction.all("aside.forget_rows", run_id=context.run_id, keys=keys)
    return {row["key"]: row["attempts"] for row in rows}


def recount(transaction: Transaction, step: Step, context: Context, within: KeyRange) -> Converted:
    """Take a range's accounting anew, writing nothing."""
    rest = sound(transaction, context, within)
    recounted = step.recount(transaction, context, rest)
    if rest is within:
        return recounted
    row = transaction.one("aside.count_rows", _in_range(step, within), run_id=context.run_id, **vars(within))
    rows, elements = int(row["row_count"]), int(row["elements"])
    counts = Counts(rows=rows, quarantined_rows=rows, elements=elements, quarantined=elements)
    source = sum((digest for _, digest in _stored(transaction, step, context, within)), start=Digest())
    return replace(recounted, counts=recounted.counts + counts, source=recounted.source + source)


def expected(transaction: Transaction, step: Step, context: Context, within: KeyRange) -> tuple[Counts, Digest]:
    """Return accounting and digest of what is due for a range, by the step's independent path."""
    rest = sound(transaction, context, within)
    counts, digest = step.expected(transaction, context, rest)
    if rest is not within:
        for page in _pages(transaction, step, context, within):
            elements, _ = step.weigh(transaction, context, [key for key, _ in page])
            counts += Counts(elements=elements, quarantined=elements)
    return counts, digest


def stale(transaction: Transaction, step: Step, context: Context, within: KeyRange) -> list[Mismatch]:
    """Return the rows in quarantine as a whole that are not what they were when they were refused."""
    found: list[Mismatch] = []
    if sound(transaction, context, within) is within:
        return found
    for page in _pages(transaction, step, context, within):
        due = sum((digest for _, digest in page), start=Digest())
        if str(step.weigh(transaction, context, [key for key, _ in page])[1]) == str(due):
            continue
        found += [
            Mismatch(key, "the row was changed since it was put into quarantine")
            for key, digest in page
            if str(step.weigh(transaction, context, [key])[1]) != str(digest)
        ]
    return found


def _pages(
    transaction: Transaction, step: Step, context: Context, within: KeyRange
) -> Iterator[list[tuple[str, Digest]]]:
    rows = _stored(transaction, step, context, within)
    while page := list(islice(rows, PAGE_ROWS)):
        yield page


def _stored(transaction: Transaction, step: Step, context: Context, within: KeyRange) -> Iterator[tuple[str, Digest]]:
    fragments = _in_range(step, within)
    for rows in transaction.stream("aside.read_rows", fragments, size=PAGE_ROWS, run_id=context.run_id, **vars(within)):
        yield from ((row["key"], Digest.parse(row["source"])) for row in rows)


def _in_range(step: Step, within: KeyRange) -> Fragments:
    return {"key_in_range": step.source.keys_in_range(within, psql.Identifier("quarantine", "key"))}
