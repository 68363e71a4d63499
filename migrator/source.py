"""A legacy table read in key order: looked up, checked, cut into ranges and paged by keyset."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from psycopg import sql as psql

from migrator.errors import Refused, UnknownName, UsageError
from sql.database import Transaction, compose, literal_sql

#: Key types by PostgreSQL's name → the type that a foreign key to them has.
KEY_TYPES = {
    "uuid": "uuid",
    "bigint": "bigint",
    "integer": "bigint",
    "smallint": "bigint",
    "text": "text",
    "character varying": "text",
}

_NAME = re.compile(r'(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^".]+))(?:\.(?P<rest>.+))?')

#: A chunk of a table with large values holds no more bytes of them than this, as they are stored, unless one row alone
#: does; bounds memory and time where chunks of so many rows would not.
MOST_BYTES = 16_000_000

#: A partition smaller than this is not worth a worker; one larger makes validation's snapshots long.
SMALLEST_PARTITION, LARGEST_PARTITION = 20_000, 2_000_000

#: The part of all rows that is left for the end, in one small piece a worker, so that workers that are not equally fast
#: end at about the same time. More and smaller pieces would do that better (guided self-scheduling), but validation
#: reads the texts of each piece anew.
TAIL = 1 / 8


@dataclass(frozen=True)
class KeyRange:
    """The keys after `after` up to and including `upto`, as text; None is open.

    Attributes:
        only: no other keys than these; None is all.
        aside_of: without the rows that this run has in quarantine as a whole; None is with them.
    """

    after: str | None = None
    upto: str | None = None
    only: list[str] | None = None
    aside_of: int | None = None


@dataclass(frozen=True)
class TableSource:
    """A table, its unique key and the one column (or none) that a migration converts.

    Attributes:
        schema: of the table.
        table: its name.
        key: the name of its single-column unique key.
        column: the name of the column read, as `v`.
        key_type: PostgreSQL's name of the key's type.
        column_type: PostgreSQL's name of the column's type.
        value: the expression read as `v`; the column itself unless a migration casts it.
        collation: the order of a text key, quoted; other columns' keys are compared in it, too.
        gone: why it cannot be read any more; empty when it can.
        has_large_rows: whether some values are too large to be stored in their row.
    """

    schema: str
    table: str
    key: str
    column: str
    key_type: str
    column_type: str
    value: psql.Composable
    collation: str | None = None
    gone: str = ""
    has_large_rows: bool = False

    @classmethod
    def find(cls, transaction: Transaction, *, table: str, key: str, column: str, schema: str) -> "TableSource":
        """Look the table up and check that its key can carry a keyset walk.

        Raises:
            UnknownName: no such table or column, with the nearest name.
            Refused: no privilege; key without a unique index, nullable, or of an unsupported type.
        """
        schema, table = split_name(table, schema)
        tables = transaction.all("source.find_tables", schema=schema)
        oids = {row["table_name"]: row["oid"] for row in tables}
        if table not in oids:
            hint = f" (schema {schema!r} has {len(oids)} tables; name another table with --table)"
            raise UnknownName("table", table, list(oids), hint=hint)
        columns = {row["name"]: row for row in transaction.all("source.list_columns", oid=oids[table])}
        for option, name in (("--key", key), ("--column", column)):
            if name not in columns:
                raise UnknownName(f"column in {schema}.{table}", name, list(columns), hint=f" (option {option})")
            if not columns[name]["is_readable"]:
                raise Refused(
                    f"no privilege to read {schema}.{table}; as its owner: GRANT SELECT ON {schema}.{table} TO the role"
                )
        _check_key(f"{schema}.{table}", columns[key])
        types = columns[key]["type"], columns[column]["type"]
        toast = transaction.one("source.weigh_toast", oid=oids[table])["bytes"]
        return cls(
            *(schema, table, key, column),
            *types,
            psql.Identifier(column),
            columns[key]["collation"],
            has_large_rows=toast > MOST_BYTES,
        )

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def is_table(self) -> bool:
        """Chunks read it in their own transaction."""
        return True

    def require(self) -> None:
        """Refuse when the column was cleaned up; otherwise `find` has looked the table up."""
        if self.gone:
            raise Refused(self.gone)

    @property
    def fragments(self) -> dict[str, psql.Composable]:
        """The source's names for query templates."""
        return {
            "table": psql.Identifier(self.schema, self.table),
            "key": psql.Identifier(self.key),
            "key_type": literal_sql(self.key_type),
            "value": self.value,
        }

    def reading(self, value: psql.Composable) -> "TableSource":
        """Return this source with another expression read as `v`."""
        return replace(self, value=value)

    @property
    def everything(self) -> KeyRange:
        """The range of all keys."""
        return KeyRange()

    def count(self, transaction: Transaction, run_id: int = 0) -> int:  # noqa: ARG002 - a table is every run's
        """Return the number of rows, exactly."""
        return int(transaction.one("source.count_rows", self.fragments)["total"])

    def page(self, within: KeyRange) -> tuple[psql.Composed, dict[str, Any]]:
        """Return the query of a range's first `%(limit)s` rows in key order, and its bounds."""
        return compose("source.page", self._bounded(within)), vars(within)

    def fitting(self, transaction: Transaction, within: KeyRange, limit: int) -> int:
        """Return how many of a range's first `limit` rows make a chunk; at least one."""
        if not self.has_large_rows:
            return limit
        fragments = {**self._bounded(within), "column": psql.Identifier(self.column)}
        values = {**vars(within), "limit": limit, "most": MOST_BYTES}
        sizes = compose("source.page_of_sizes", fragments)
        row = transaction.one("source.fit_page", {"sizes": sizes}, **values)
        return limit if row["fitting"] == row["row_count"] else max(1, int(row["fitting"]))

    def whole(self, within: KeyRange) -> tuple[psql.Composed, dict[str, Any]]:
        """Return the query of all rows of a range, in any order, and its bounds."""
        return compose("source.whole", self._bounded(within)), vars(within)

    def sample(self, within: KeyRange) -> tuple[psql.Composed, dict[str, Any]]:
        """Return the query of `%(limit)s` rows of a range at random, and its bounds."""
        return compose("source.sample", self._bounded(within)), vars(within)

    def page_of_keys(self) -> psql.Composed:
        """Return the query of the rows whose keys are in `%(keys)s`."""
        return compose("source.page_of_keys", self.fragments)

    def first_key(self, transaction: Transaction, within: KeyRange) -> str | None:
        """Return the first key of a range, as text, or None."""
        row = transaction.first("source.first_key", self._bounded(within), **vars(within))
        return row["key"] if row else None

    def keys_in_range(self, within: KeyRange, column: psql.Composable) -> psql.Composable:
        """Return the condition that a column that holds keys as text lies in a range."""
        return self.in_range(within, psql.SQL("{}::{}").format(column, self.fragments["key_type"]))

    def ordered(self, key: psql.Composable) -> psql.Composable:
        """Return a key's expression or type with the source's collation."""
        return psql.SQL("{} COLLATE {}").format(key, literal_sql(self.collation)) if self.collation else key

    def in_range(self, within: KeyRange, column: psql.Composable) -> psql.Composable:
        """Return the condition that a column that holds keys lies in a range."""
        fragments = {"column": self.ordered(column), "key_type": self.fragments["key_type"]}
        parts = [
            compose(f"source.{bound}", fragments) for bound in ("after", "upto") if getattr(within, bound) is not None
        ]
        return psql.SQL(" AND ").join(parts) if parts else psql.SQL("true")

    def cut(self, transaction: Transaction, run_id: int, total: int, workers: int) -> list[KeyRange]:  # noqa: ARG002
        """Cut the keys into ranges, one per worker or more, and a small one each for the end; the last one is open."""
        cuts_at = shares(total, workers)
        if not cuts_at:
            return [KeyRange()]
        percent = _percent(total)
        cuts = transaction.one("source.cut_keys", self.fragments, shares=cuts_at, percent=percent)["cuts"] or []
        bounds = [None, *dict.fromkeys(cuts), None]
        return [KeyRange(after, upto) for after, upto in pairwise(bounds)]

    def median(self, transaction: Transaction, run_id: int, within: KeyRange) -> tuple[str | None, int]:  # noqa: ARG002
        """Return the middle key of a range and how many rows it has."""
        page, bounds = self.whole(within)
        row = transaction.one("source.find_median", {"page": page}, **bounds)
        return row["median"], int(row["row_count"])

    @property
    def smallest_share(self) -> int:
        """Rows that make a partition worth a worker."""
        return SMALLEST_PARTITION

    def halve(self, transaction: Transaction, run_id: int, within: KeyRange, total: int) -> tuple[str | None, int]:  # noqa: ARG002
        """Return a key near the middle of a range and about how many rows it has, from a sample of the table."""
        values = {**vars(within), "percent": _percent(total)}
        row = transaction.one("source.halve_keys", self._bounded(within), **values)
        return row["median"], int(row["row_count"])

    def _bounded(self, within: KeyRange) -> Mapping[str, psql.Composable]:
        conditions = [self.in_range(within, self.fragments["key"])]
        for name, is_wanted in (("only", within.only is not None), ("sound", within.aside_of is not None)):
            if is_wanted:
                conditions.append(compose(f"source.{name}", {**self.fragments, "column": self.fragments["key"]}))
        return {**self.fragments, "conditions": psql.SQL(" AND ").join(conditions)}


def shares(total: int, workers: int) -> list[float]:
    """Return where a table is cut, as parts of its rows from 0 to 1, both left out."""
    workers = min(workers, total // SMALLEST_PARTITION)
    even = max(workers, -(-total // LARGEST_PARTITION), 1)
    tail = [TAIL / workers] * workers if workers > 1 else []
    return list(accumulate([(1 - sum(tail)) / even] * even + tail))[:-1]


def _percent(total: int) -> float:
    """Return the share of a table's pages that gives a sample of about 30,000 rows."""
    return min(100.0, 100.0 * 30_000 / max(total, 1))


def split_name(name: str, schema: str) -> tuple[str, str]:
    """Split ``[schema.]table``, either part in double quotes where it holds a dot."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f'{name!r} is not a table name; write table, schema.table or "odd.name"')
    first = (match["quoted"] or "").replace('""', '"') or match["plain"]
    if match["rest"] is None:
        return schema, first
    second = _NAME.fullmatch(match["rest"])
    if second is None or second["rest"] is not None:
        raise UsageError(f'{name!r} is not a table name; write table, schema.table or "odd.name"')
    return first, split_name(match["rest"], schema)[1]


def _check_key(table: str, column: Mapping[str, Any]) -> None:
    name = f"key column {column['name']!r} of {table}"
    if column["type"] not in KEY_TYPES:
        raise Refused(f"{name} is {column['type']}; a key must be one of: {', '.join(KEY_TYPES)}")
    if not column["is_unique"]:
        raise Refused(
            f"{name} is not unique; name another with --key, "
            f"or CREATE UNIQUE INDEX CONCURRENTLY ON {table} ({column['name']})"
        )
    if not column["is_not_null"]:
        raise Refused(
            f"{name} may be NULL; name another with --key, "
            f"or ALTER TABLE {table} ALTER COLUMN {column['name']} SET NOT NULL"
        )
