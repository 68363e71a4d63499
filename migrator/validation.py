"""Proof that nothing was lost: the expected image against the stored one, range by range, down to the row."""

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from migrator import aside
from migrator.digest import ALGORITHM, Digest
from migrator.locked_rows import must_lock
from migrator.migration import Context, Counts, Mismatch, Step
from migrator.run_store import Partition
from migrator.source import KeyRange
from migrator.stop import StopSignal
from migrator.worker import in_parallel
from sql.database import Database, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Ranges up to this many rows are compared row by row; larger ones are halved first.
LEAF_ROWS = 10_000
#: Mismatches listed for one range.
MOST_LISTED = 1_000


@dataclass
class Validation:
    """What a validation found.

    Attributes:
        expected: digest of everything that is due, recomputed from the source.
        stored: digest of what the run made, read back from the target.
        checked_rows: source rows covered.
        mismatches: what is wrong; empty means proven equal.
        seconds: how long it took.
    """

    expected: Digest = field(default_factory=Digest)
    stored: Digest = field(default_factory=Digest)
    checked_rows: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether nothing was found."""
        return not self.mismatches

    def as_json(self) -> dict[str, object]:
        """Return the record kept with the run and in the certificate."""
        return {
            "algorithm": ALGORITHM,
            "equal": self.is_equal,
            "expected": str(self.expected),
            "stored": str(self.stored),
            "checked_rows": self.checked_rows,
            "mismatches": len(self.mismatches),
            "seconds": round(self.seconds, 3),
        }


def validate(
    database: Database, step: Step, context: Context, partitions: list[Partition], workers: int, stop: StopSignal
) -> Validation:
    """Compare every partition, each in a snapshot of its own, and run the step's further checks."""
    started = time.monotonic()
    result = Validation()
    parts = [Validation() for _ in partitions]

    def compare(partition: Partition, part: Validation) -> None:
        with database.transaction(repeatable_read=True) as transaction:
            _compare_partition(transaction, step, context, partition, part)

    def check() -> None:
        with database.transaction(repeatable_read=True) as transaction:
            result.mismatches += step.check(transaction, context, aside.sound(transaction, context, KeyRange()))

    jobs: list[Callable[[], None]] = [
        lambda partition=partition, part=part: compare(partition, part)  # type: ignore[misc]
        for partition, part in zip(partitions, parts, strict=True)
    ]
    in_parallel(workers, [*jobs, check], stop)
    for part in parts:
        result.expected += part.expected
        result.stored += part.stored
        result.checked_rows += part.checked_rows
        result.mismatches += part.mismatches
    result.seconds = time.monotonic() - started
    return result


def compare(
    database: Database,
    step: Step,
    context: Context,
    partitions: list[Partition],
    workers: int,
    stop: StopSignal,
    *,
    quick: bool,
) -> Validation:
    """Compare, quickly when asked; users may have made links of the run theirs, so a quick no is not the last word."""
    if quick:
        result = quick_check(database, step, context, partitions)
        if result.is_equal:
            return result
    return validate(database, step, context, partitions, workers, stop)


def _compare_partition(
    transaction: Transaction, step: Step, context: Context, partition: Partition, part: Validation
) -> None:
    counts, part.expected = aside.expected(transaction, step, context, partition.within)
    part.stored = step.stored(transaction, context, partition.within)
    source = step.source_digest(transaction, partition.within)
    part.checked_rows = source.count
    problems = list(_wrong_counters(partition, replace(counts, rows=part.checked_rows), part))
    if must_lock(context) and source != partition.source:
        problems = []  # the counters tell of another source; the mirror has brought the target along, which follows
    part.mismatches += [Mismatch(f"partition {partition.ordinal}", problem, is_row=False) for problem in problems]
    part.mismatches += aside.stale(transaction, step, context, partition.within)
    kept = step.stored_quarantine(transaction, context, partition.within)
    if part.expected == part.stored and kept == counts.quarantined:
        return
    # Links that others have made are due as well and not the run's, so digests of the whole need not be equal: what
    # the comparison row by row says, goes.
    has_adopted = partition.created.count != partition.expected.count
    part.mismatches += _bisect(transaction, step, context, partition.within, is_leaf=has_adopted)


def _wrong_counters(partition: Partition, due: Counts, part: Validation) -> "Iterator[str]":
    """Say what the checkpoint has that neither source nor target confirm."""
    for name in ("rows", "elements", "linked", "merged", "blank", "quarantined"):
        if (recorded := getattr(partition.counts, name)) != getattr(due, name):
            yield f"the checkpoint counts {recorded} {name}, the source {getattr(due, name)}"
    if partition.expected.count == part.expected.count and partition.expected != part.expected:
        yield "the checkpoint's digest of the links due is not the source's"
    # Fewer are possible: users delete links, and make them again as their own.
    if partition.created.count < part.stored.count:
        yield f"the checkpoint counts {partition.created.count} created, the table {part.stored.count}"


def _bisect(
    transaction: Transaction, step: Step, context: Context, within: KeyRange, *, is_leaf: bool
) -> list[Mismatch]:
    """Halve a range that differs until it is small, and list the rows of the halves that differ."""
    median, rows = (None, 0) if is_leaf else step.source.median(transaction, context.run_id, within)
    if rows <= LEAF_ROWS or median is None or median == within.upto:
        return step.differences(transaction, context, aside.sound(transaction, context, within), MOST_LISTED)
    found: list[Mismatch] = []
    for half in (KeyRange(within.after, median), KeyRange(median, within.upto)):
        counts, expected = aside.expected(transaction, step, context, half)
        kept = step.stored_quarantine(transaction, context, half)
        if expected != step.stored(transaction, context, half) or kept != counts.quarantined:
            found += _bisect(transaction, step, context, half, is_leaf=False)
    return found


def quick_check(database: Database, step: Step, context: Context, partitions: list[Partition]) -> Validation:
    """Read back what the run stored and compare it with what its chunks were due to write.

    Links that others had made before are part of the expected image; the chunk that met them found them in place,
    and a full validation reads them again.
    """
    started = time.monotonic()
    with database.transaction(repeatable_read=True) as transaction:
        stored = step.stored(transaction, context, step.source.everything)
        kept = step.stored_quarantine(transaction, context, step.source.everything)
    result = Validation(checked_rows=sum(part.counts.rows for part in partitions))
    created = sum((part.created for part in partitions), start=type(stored)())
    result.expected = sum((part.expected for part in partitions), start=type(stored)())
    result.stored = stored + (result.expected - created)
    if result.stored != result.expected:
        result.mismatches.append(
            Mismatch("run", "the stored digest is not the one that the chunks wrote", is_row=False)
        )
    if kept != sum(part.counts.quarantined for part in partitions):
        result.mismatches.append(Mismatch("run", "quarantine does not hold what the chunks put there", is_row=False))
    result.seconds = time.monotonic() - started
    return result
