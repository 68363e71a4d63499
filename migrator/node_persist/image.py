"""What an import should have made, read from the files by a path that the writer does not use."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg import sql as psql

from migrator.digest import Digest
from migrator.migration import Context, Converted, Counts, Mismatch
from migrator.node_persist.loader import Loader
from migrator.node_persist.manifest import Listed, StoreSource, in_range, pages, read_paths, sign_store, sound_in_range
from migrator.node_persist.outcome import Extract
from migrator.node_persist.plain import plain_rows
from migrator.node_persist.reader import Reader
from migrator.node_persist.staging import Read, fill_stage
from migrator.node_persist.store import Store
from migrator.node_persist.tables import OF_USERS, SHARED, TARGETS, staged_records, stored_records
from migrator.source import KeyRange
from sql.database import Transaction, compose

#: Files compared at a time; bounds memory.
PAGE_FILES = 200


class StoreImage:
    """The expected and the stored image of a range of files.

    Args:
        store: the directory.
        schema: the application's, home of the targets.
        reader: reads files.
    """

    targets = TARGETS
    counted = None

    def __init__(self, store: Store, schema: str, reader: Reader) -> None:
        self.source = StoreSource(store)
        self.store = store
        self.reader = reader
        self.fragments: dict[str, psql.Composable] = {name: psql.Identifier(schema, name) for name in self.targets}
        self.loader = Loader(self.fragments)

    # -- what is known of the files

    def source_digest(self, transaction: Transaction, within: KeyRange) -> Digest:
        """Digest of the names, sizes and times of a range of the store's files as they are now."""
        sign_store(transaction, self.store)
        row = transaction.one("files.digest_listing", in_range(within), **vars(within))
        return Digest.of(row, "source", "row_count")

    def changed(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Return files that are new, changed or gone since they were converted, by size and time."""
        sign_store(transaction, self.store)
        rows = transaction.all("files.find_changed", in_range(within), run_id=context.run_id, most=most, **vars(within))
        return [Mismatch(row["key"], row["problem"]) for row in rows]

    def recount(self, transaction: Transaction, context: Context, within: KeyRange) -> Converted:
        """Sum a range up from what is known of its files; what was created, from the tables."""
        return self.summed(transaction, context, within, self.stored(transaction, context, within))

    def summed(self, transaction: Transaction, context: Context, within: KeyRange, created: Digest | None) -> Converted:
        """Return a range's accounting; None for `created` says that everything due was."""
        row = transaction.one("files.count_range", sound_in_range(within), run_id=context.run_id, **vars(within))
        expected = Digest.of(row, "expected", "due_rows")
        created = expected if created is None else created
        counts = Counts(
            rows=row["row_count"],
            quarantined_rows=row["quarantined_rows"],
            created=created.count,
            **{name: int(row[name]) for name in ("elements", "linked", "merged", "blank", "quarantined")},
        )
        return Converted(row["last_key"], counts, expected, created, Digest.of(row, "source", "row_count"))

    def weigh(self, transaction: Transaction, context: Context, keys: list[str]) -> tuple[int, Digest]:
        """Return how many elements some files have by the plain path, and the digest of what is known of them."""
        files = read_paths(transaction, context.run_id, keys)
        elements = sum(self._read_plainly(listed, context.at).counts[0] for listed in files)
        only = KeyRange(only=keys)
        row = transaction.one("files.count_range", in_range(only), run_id=context.run_id, **vars(only))
        return elements, Digest.of(row, "source", "row_count")

    # -- what is stored

    def stored(self, transaction: Transaction, context: Context, within: KeyRange) -> Digest:
        """Digest of the run's rows of the users of a range."""
        if within == KeyRange():
            records = stored_records(self.fragments, lambda _: psql.SQL("true"))
        else:
            bounds = in_range(within, "file.path")
            records = stored_records(
                self.fragments,
                lambda table: compose("node_persist_image.users_in_range", {**self.fragments, **table, **bounds}),
            )
        values = {"run_id": context.run_id, **vars(within)}
        return Digest.of(
            transaction.one("node_persist_image.digest_stored", {"records": records}, **values), "created", "created"
        )

    def stored_quarantine(self, transaction: Transaction, context: Context, within: KeyRange) -> int:
        """Return how many elements of a range are in quarantine."""
        values = {"run_id": context.run_id, **vars(within)}
        return int(transaction.one("files.count_quarantined", in_range(within, "key"), **values)["quarantined"])

    def details(self, transaction: Transaction, context: Context) -> dict[str, Any]:
        """Return how many files had which outcome, and how many values were replaced by NULL or rescued."""
        outcomes = transaction.all("files.count_outcomes", run_id=context.run_id)
        notes = transaction.all("files.count_notes", run_id=context.run_id)
        return {
            "files": {row["outcome"]: row["found"] for row in outcomes},
            "file_notes": {row["problem"]: row["found"] for row in notes},
        }

    # -- what is due

    def expected(self, transaction: Transaction, context: Context, within: KeyRange) -> tuple[Counts, Digest]:
        """Take a range's files apart again by the plain path."""
        counts, digest = Counts(), Digest()
        for chunk in self._staged(transaction, context, within):
            row = transaction.one("stage.digest_due", {"records": staged_records(self.fragments)})
            digest += Digest.of(row, "expected", "due_rows")
            counts = sum((_counted(read) for read in chunk), start=counts)
        return counts, digest

    def differences(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Compare a range table by table and return the files whose users' rows are not as they should be."""
        found: list[Mismatch] = []
        for _ in self._staged(transaction, context, within):
            for table in OF_USERS:
                rows = transaction.all(
                    "node_persist_image.find_row_differences",
                    table.fragments(self.fragments),
                    run_id=context.run_id,
                    most=most,
                )
                found += [Mismatch(row["key"], f"{row['n']} rows of {row['table_name']} differ") for row in rows]
            if len(found) >= most:
                break
        return found[:most]

    def check(self, transaction: Transaction, context: Context, within: KeyRange) -> list[Mismatch]:
        """Compare each file's accounting, and the shared rows: each must hold what every file gives."""
        found: list[Mismatch] = []
        for chunk in self._staged(transaction, context, within):
            found += self._wrong_accounts(transaction, context, chunk)
            if self._uncovered(transaction, context):
                found += self._uncovering(transaction, context, chunk)
        return found[:1_000]

    def _uncovered(self, transaction: Transaction, context: Context) -> list[str]:
        """Return what is wrong with the shared rows that the staged files speak of."""
        found = []
        for table in SHARED:
            fragments = table.fragments(self.fragments)
            rows = transaction.all("node_persist_image.find_uncovered", fragments, run_id=context.run_id, most=100)
            found += [f"{row['problem']}: {table.name} {row['key']}" for row in rows]
        return found

    def _uncovering(self, transaction: Transaction, context: Context, chunk: list[Read]) -> Iterator[Mismatch]:
        """Find the files that speak of such rows, one by one; converting them again mends the rows."""
        for read in chunk:
            transaction.run("stage.empty_stage")
            fill_stage(transaction, [read])
            yield from (Mismatch(read.listed.path, problem) for problem in self._uncovered(transaction, context))

    def _staged(self, transaction: Transaction, context: Context, within: KeyRange) -> Iterator[list[Read]]:
        """Read a range by the plain path, some files at a time, with their rows in the staging tables."""
        for page in pages(transaction, context.run_id, within, PAGE_FILES):
            chunk = [self._read_plainly(listed, context.at) for listed in page]
            fill_stage(transaction, chunk)
            self.loader.name_owners(transaction)
            yield chunk
            transaction.run("stage.empty_stage")

    def _read_plainly(self, listed: Listed, at: datetime) -> Read:
        return self.reader.read(replace(listed, outcome=_undecided(listed.outcome)), at, _take_apart)

    def _wrong_accounts(self, transaction: Transaction, context: Context, chunk: list[Read]) -> Iterator[Mismatch]:
        """Compare each file's accounting, and what of it is in quarantine, with what the plain path gives."""
        due = {read.listed.path: read for read in chunk}
        for row in transaction.all("files.read_accounts", run_id=context.run_id, paths=list(due)):
            read = due[row["path"]]
            stored = tuple(row[name] for name in ("outcome", "elements", "linked", "merged", "blank", "quarantined"))
            if stored != (read.outcome, *read.counts) or row["kept"] != read.counts[-1]:
                yield Mismatch(row["path"], "the file's accounting or quarantine is not what the file gives")


def _take_apart(value: bytes | memoryview, user_id: str, *, mtime_ns: int) -> Extract:
    """Take a value apart by the plain path, whose result the loader takes like the other's."""
    plain = plain_rows(value, user_id, mtime_ns=mtime_ns)
    return Extract(
        is_user=plain.is_user,
        user_rows=plain.rows,
        elements=plain.elements,
        linked=plain.linked,
        merged=plain.merged,
        blank=plain.blank,
        quarantined=plain.quarantined,
        updated_at=plain.updated_at,
    )


def _undecided(outcome: str) -> str:
    """What the plain path may decide again: all but what rests on other files, on the name alone, or on an erasure."""
    return outcome if outcome in {"stray", "superseded", "erased"} else "due"


def _counted(read: Read) -> Counts:
    elements, linked, merged, blank, quarantined = read.counts
    return Counts(
        rows=1,
        quarantined_rows=int(read.is_quarantined or quarantined > 0),
        elements=elements,
        linked=linked,
        merged=merged,
        blank=blank,
        quarantined=quarantined,
    )
