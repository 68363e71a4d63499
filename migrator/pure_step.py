"""A step for authors who write one pure Python function: source row in, target row out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import sql as psql
from psycopg.types.json import Jsonb

from migrator.digest import Digest
from migrator.migration import Context, Converted, Counts, Mismatch, Preview
from migrator.source import KEY_TYPES, KeyRange, TableSource
from migrator.table_rows import TableRows
from sql.database import Transaction, literal_sql

#: Rows held in memory at a time by everything that walks a whole range.
PAGE_ROWS = 5_000

Transact = Callable[[Callable[[Transaction], None]], None]
Values = dict[str, Any]


class Reject(Exception):
    """Raised by a transform: this row cannot be converted; the reason goes to quarantine with the row's key."""


@dataclass(frozen=True)
class PureStep(TableRows):
    """Converts each row of a table by a pure function into at most one row of a new table.

    Attributes:
        source: the rows; `transform` gets the columns named in `reads`.
        target: the table to fill, in the application's schema; made by the run, dropped by its rollback.
        definition: the target's columns in SQL, `{key_type}` standing for the type of the source's key. The first
            column is the source's key and must be unique.
        reads: columns of the source that `transform` is given, as text, numbers, lists or None.
        transform: (key, values) → the target row without its key, or None for nothing to convert; may raise `Reject`.
        schema: the application's schema.
    """

    source: TableSource
    target: str
    definition: str
    reads: tuple[str, ...]
    transform: Callable[[str, Values], Values | None]
    schema: str = "public"
    shared: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        pairs = psql.SQL(", ").join(
            psql.SQL("{}, {}").format(psql.Literal(name), psql.Identifier(name)) for name in self.reads
        )
        object.__setattr__(self, "source", self.source.reading(psql.SQL("jsonb_build_object({})").format(pairs)))

    @property
    def targets(self) -> tuple[str, ...]:
        """The one table."""
        return (self.target,)

    @property
    def counted(self) -> str:
        """The one table."""
        return self.target

    @property
    def columns(self) -> list[str]:
        """The target's columns, without provenance, in order."""
        return [line.split()[0] for line in self.definition.split(",") if line.strip()]

    @property
    def fragments(self) -> dict[str, psql.Composable]:
        """Names for the query templates."""
        name = psql.Identifier(self.schema, self.target)
        return {
            **self.source.fragments,
            "target": name,
            self.target: name,
            "definition": literal_sql(self.definition.format(key_type=KEY_TYPES[self.source.key_type])),
            "columns": psql.SQL(", ").join(map(psql.Identifier, self.columns)),
            "stored_columns": psql.SQL(", ").join(psql.Identifier("stored", name) for name in self.columns),
            "target_key": psql.Identifier(self.columns[0]),
        }

    # -- before and after the chunks

    def prepare(self, transaction: Transaction, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the protocol's
        """Make the target table when it is missing."""
        return {"created_table": self._make_target(transaction)}

    def rehearse(self, transaction: Transaction, context: Context) -> Preview:  # noqa: ARG002
        """Say whether the target would be made."""
        return Preview({}, notes=(f"would make table {self.target}",) if self._make_target(transaction) else ())

    def refresh(self, transaction: Transaction, context: Context) -> None:
        """Nothing but the source matters."""

    def finish(self, context: Context, transact: Transact) -> None:
        """Nothing waits for the end."""

    def seal(self, context: Context, transact: Transact) -> bool:  # noqa: ARG002
        """Nothing needs the final rows."""
        return False

    def settle(self, transaction: Transaction, context: Context) -> None:
        """Nothing is derived."""

    def restore(self, context: Context, transact: Transact) -> dict[str, int]:
        """Drop the target when the run made it and nothing of others is in it."""
        dropped: dict[str, int] = {}

        def drop(transaction: Transaction) -> None:
            if not self._exists(transaction) or not context.plan.get("created_table"):
                return
            if transaction.one("pure_step.is_target_empty", self.fragments)["is_empty"]:
                transaction.run("pure_step.drop_target", self.fragments)
                dropped["tables"] = 1

        transact(drop)
        return dropped

    # -- chunks

    def convert(self, transaction: Transaction, context: Context, within: KeyRange, limit: int) -> Converted:
        """Transform and write the first `limit` rows of a range."""
        if not context.plan:  # a dry run: what planning made was rolled back
            self._make_target(transaction)
        page, bounds = self.source.page(within)
        return self._convert(transaction, context, page, {**bounds, "limit": limit})

    def reconvert(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Forget what the run made of these rows and convert them again."""
        self.forget(transaction, context, keys)
        self._convert(transaction, context, self.source.page_of_keys(), {"keys": keys})

    def forget(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Remove what the run made of these rows."""
        transaction.run("pure_step.forget_rows", self.fragments, run_id=context.run_id, keys=keys)

    def recount(self, transaction: Transaction, context: Context, within: KeyRange) -> Converted:
        """Take a range's accounting anew."""
        counts, expected = self.expected(transaction, context, within)
        stored = self.stored(transaction, context, within)
        total = counts + Counts(created=stored.count, quarantined_rows=counts.quarantined)
        return Converted(None, total, expected, stored, self.source_digest(transaction, within))

    def _convert(self, transaction: Transaction, context: Context, page: psql.Composed, values: Values) -> Converted:
        rows = transaction.all("pure_step.read_page", {"page": page}, **values)
        due, counts, rejected = self._transform(rows)
        for key, reason in rejected:
            transaction.run("pure_step.quarantine_row", run_id=context.run_id, key=key, payload=None, reason=reason)
        made = transaction.one("pure_step.write_rows", self.fragments, rows=Jsonb(due), run_id=context.run_id)
        created = Digest.of(made, "created", "created")
        source = transaction.one("pure_step.digest_source", {"page": page}, **values)
        return Converted(
            rows[-1]["key"] if rows else None,
            counts + Counts(created=created.count),
            self._digest(transaction, due),
            created,
            Digest.of(source, "source", "row_count"),
        )

    def _transform(self, rows: list[dict[str, Any]]) -> tuple[list[Values], Counts, list[tuple[str, str]]]:
        due: list[Values] = []
        rejected: list[tuple[str, str]] = []
        for row in rows:
            try:
                made = self.transform(row["key"], row["value"])
            except Reject as reason:
                rejected.append((row["key"], str(reason)))
            else:
                due += [] if made is None else [{self.columns[0]: row["key"], **made}]
        blank = len(rows) - len(due) - len(rejected)
        counts = Counts(
            rows=len(rows),
            quarantined_rows=len(rejected),
            elements=len(rows),
            linked=len(due),
            blank=blank,
            quarantined=len(rejected),
        )
        return due, counts, rejected

    # -- validation

    def source_digest(self, transaction: Transaction, within: KeyRange) -> Digest:
        """Digest of the columns read, as they are now."""
        page, bounds = self.source.whole(within)
        return Digest.of(transaction.one("pure_step.digest_source", {"page": page}, **bounds), "source", "row_count")

    def stored(self, transaction: Transaction, context: Context, within: KeyRange) -> Digest:
        """Digest of the run's rows of a range."""
        row = transaction.one("pure_step.digest_stored", self._in_range(within), run_id=context.run_id, **vars(within))
        return Digest.of(row, "created", "created")

    def stored_quarantine(self, transaction: Transaction, context: Context, within: KeyRange) -> int:
        """Return how many rows of a range are in quarantine."""
        row = transaction.one(
            "pure_step.count_quarantined", self._in_range(within), run_id=context.run_id, **vars(within)
        )
        return int(row["quarantined"])

    def expected(self, transaction: Transaction, context: Context, within: KeyRange) -> tuple[Counts, Digest]:  # noqa: ARG002
        """Transform a range again, page by page."""
        counts, digest = Counts(), Digest()
        for rows in self._pages(transaction, within):
            due, part, _ = self._transform(rows)
            counts, digest = counts + part, digest + self._digest(transaction, due)
        return counts, digest

    def differences(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Compare a range row by row, page by page."""
        found: list[Mismatch] = []
        after = within.after
        for rows in [*self._pages(transaction, within), []]:
            upto = rows[-1]["key"] if rows else within.upto
            part = replace(within, after=after, upto=upto)
            due, _, _ = self._transform(rows)
            listed = transaction.all(
                "pure_step.find_differences",
                self._in_range(part),
                rows=Jsonb(due),
                run_id=context.run_id,
                most=most,
                **vars(part),
            )
            found += [Mismatch(row["key"], row["problem"]) for row in listed]
            after = upto
        return found[:most]

    def changed(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Return what `differences` finds: one comparison tells what changed, on either side."""
        return self.differences(transaction, context, within, most)

    def details(self, transaction: Transaction, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Nothing that the counts do not say."""
        return {}

    def check(self, transaction: Transaction, context: Context, within: KeyRange) -> list[Mismatch]:  # noqa: ARG002
        """Nothing further: the transform itself is the check."""
        return []

    # -- rollback

    def own_tables(self, context: Context) -> tuple[str, ...]:
        """Return the target, when the run made it."""
        return (self.target,) if context.plan.get("created_table") else ()

    def conflicts(self, transaction: Transaction, context: Context) -> list[Mismatch]:
        """Rows of the run whose values are not what the transform gives: somebody edited them."""
        if not self._exists(transaction):
            return []
        found = self.differences(transaction, context, KeyRange(), 10_000)
        return [
            Mismatch(item.key, "the row was edited since") for item in found if item.problem == "row with other values"
        ]

    def release(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Give conflicting rows to the people who edited them."""
        transaction.run("pure_step.release_rows", self.fragments, run_id=context.run_id, keys=keys)

    def discard(self, transaction: Transaction, context: Context) -> None:
        """Nothing uses these rows."""

    # -- shared

    def _pages(self, transaction: Transaction, within: KeyRange) -> Iterator[list[dict[str, Any]]]:
        after = within.after
        while True:
            page, bounds = self.source.page(replace(within, after=after))
            rows = transaction.all("pure_step.read_page", {"page": page}, **bounds, limit=PAGE_ROWS)
            if not rows:
                return
            yield rows
            after = rows[-1]["key"]

    def _digest(self, transaction: Transaction, due: list[Values]) -> Digest:
        return Digest.of(
            transaction.one("pure_step.digest_rows", self.fragments, rows=Jsonb(due)), "expected", "linked"
        )

    def _in_range(self, within: KeyRange) -> Mapping[str, psql.Composable]:
        cast = psql.SQL("quarantine.key::{}").format(self.source.fragments["key_type"])
        key = psql.Identifier("stored", self.columns[0])
        return {
            **self.fragments,
            "stored_in_range": self.source.in_range(within, key),
            "quarantine_in_range": self.source.in_range(within, cast),
        }

    def _exists(self, transaction: Transaction) -> bool:
        name = self.fragments["target"].as_string(None)
        return bool(transaction.one("pure_step.target_exists", target=name)["found"])

    def _make_target(self, transaction: Transaction) -> bool:
        if self._exists(transaction):
            return False
        transaction.run("pure_step.create_target", self.fragments)
        return True
