"""What stands in the way of dropping a legacy column, each with its next step; everything here only reads."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql as psql

from migrator.errors import Refused
from migrator.run_store import Run
from migrator.source import TableSource
from migrator.states import RESUMABLE, RunState
from migrator.validation import Validation
from sql.database import Row, Transaction

#: Mismatches named one by one in a refusal.
MOST_NAMED = 5

#: Next step by kind of dependent; {name} is its identity, {first} and {second} its halves around " on ".
_FIXES = {
    "view": "CREATE OR REPLACE VIEW {name} without the column, or DROP VIEW {name}",
    "materialized view": "run: DROP MATERIALIZED VIEW {name}, and make it again without the column",
    "index": "run: DROP INDEX CONCURRENTLY {name}, after making one without the column where it is needed",
    "table constraint": "run: ALTER TABLE {second} DROP CONSTRAINT {first}",
    "trigger": "run: DROP TRIGGER {first} ON {second}",
    "policy": "run: DROP POLICY {first} ON {second}",
    "rule": "run: DROP RULE {first} ON {second}",
    "function": "run: DROP FUNCTION {name}, or CREATE OR REPLACE it without the column",
    "statistics object": "run: DROP STATISTICS {name}",
    "default value": "it belongs to a generated column: ALTER TABLE … DROP COLUMN it, or make it anew without this one",
    "publication relation": "ALTER PUBLICATION … SET TABLE with a column list without it",
}


_BY_HAND = "by hand: ALTER TABLE {table} DROP COLUMN {column}"


@dataclass(frozen=True)
class Reason:
    """Why the column is not dropped.

    Attributes:
        problem: the object and the fact.
        fix: the next step.
    """

    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}"

    def as_json(self) -> dict[str, str]:
        """Return it as one object of `cleanup --json`."""
        return asdict(self)


class CleanupRefused(Refused):
    """The column stays; nothing was changed.

    Attributes:
        reasons: all that were found.
    """

    def __init__(self, run_id: int | None, reasons: list[Reason]) -> None:
        self.run_id = run_id
        self.reasons = reasons
        numbered = "\n".join(f"  {number}. {reason}" for number, reason in enumerate(reasons, 1))
        super().__init__(f"nothing was dropped and nothing was changed, because:\n{numbered}")


@dataclass(frozen=True)
class Look:
    """One look at the column in the catalog.

    Attributes:
        table: `cleanup_look.describe_table`.
        column: `cleanup_look.describe_column`.
        reasons: against dropping it.
    """

    table: Row
    column: Row
    reasons: list[Reason]

    def require_clear(self, run: Run) -> None:
        """Raise CleanupRefused when anything is in the way."""
        if self.reasons:
            raise CleanupRefused(run.id, self.reasons)

    @property
    def why_unmarked(self) -> str | None:
        """Why no restore point can be made, or None."""
        if not self.table["may_mark"]:
            grant = f"GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO {self.table['role']}"
            return f"no restore point: role {self.table['role']} may not make one; as a superuser: {grant}"
        if self.table["wal_level"] == "minimal":
            return "no restore point: wal_level is minimal, so there is no archive to restore from"
        return None


def look(transaction: Transaction, run: Run, source: TableSource) -> Look:
    """Look at everything but rows that may stand in the way."""
    table = transaction.one("cleanup_look.describe_table", table_name=source.fragments["table"].as_string(None))
    column = transaction.one("cleanup_look.describe_column", oid=table["oid"], column=source.column)
    found = [*of_run(run), *of_table(source, table), *of_column(transaction, source, table["oid"], column)]
    return Look(table, column, found)


def of_run(run: Run) -> list[Reason]:
    """Say why the run is not one to build upon."""
    if run.status is RunState.COMPLETE:
        return []
    problem = f"run {run.id} of {run.migration} is {run.status}, not complete"
    if run.status in RESUMABLE:
        return [Reason(problem, f"finish it: segue resume {run.id}")]
    if run.status is RunState.ROLLED_BACK:
        return [Reason(problem, f"migrate again: segue migrate {run.migration}")]
    return [Reason(problem, f"take it back: segue rollback {run.id}, and migrate again: segue migrate {run.migration}")]


def of_table(source: TableSource, table: Row) -> Iterator[Reason]:
    """Say what kind of table cannot be cleaned up, and which privileges are missing."""
    if table["kind"] != "r" or table["has_relatives"]:
        yield Reason(
            f"{source} is not a plain table (it is a view, partitioned, foreign, or inherits)",
            _BY_HAND.format(table=source, column=source.column),
        )
    if table["rules"]:
        names = ", ".join(table["rules"])
        yield Reason(f"{source} has rules ({names}), which would act on an undo", f"run: DROP RULE … ON {source}")
    if not table["may_alter"]:
        yield Reason(
            f"role {table['role']} may not alter {source}",
            f"run it as its owner, or: GRANT {table['owner']} TO {table['role']}",
        )
    if not table["may_archive"]:
        yield Reason(
            f"role {table['role']} may not make the archive in schema segue",
            f"as its owner: GRANT CREATE ON SCHEMA segue TO {table['role']}",
        )


def of_column(transaction: Transaction, source: TableSource, oid: int, column: Row) -> Iterator[Reason]:
    """Say what depends on the column and would go with it, or fail without it."""
    if column["is_generated"]:
        yield Reason(f"{source}.{source.column} is generated", _BY_HAND.format(table=source, column=source.column))
    own = [item["oid"] for part in ("constraints", "indexes") for item in column[part]]
    for row in transaction.all("cleanup_look.list_dependents", oid=oid, position=column["position"], own=own):
        first, _, second = row["name"].partition(" on ")
        fix = _FIXES.get(row["kind"], "change it so that it does without the column")
        said = "is generated from it" if row["kind"] == "default value" else "depends on the column"
        yield Reason(f"{row['kind']} {row['name']} {said}", fix.format(name=row["name"], first=first, second=second))
    for row in mentions(transaction, source, oid):
        if row["trigger"]:
            yield Reason(
                f"trigger {row['trigger']} on {source} calls {row['name']}, whose text names the column",
                f"change the function, or DROP TRIGGER {psql.Identifier(row['trigger']).as_string(None)} ON {source}",
            )


def mentions(transaction: Transaction, source: TableSource, oid: int) -> list[Row]:
    """Return functions whose text names the column; whether they mean it, PostgreSQL cannot tell."""
    return transaction.all("cleanup_look.list_mentions", oid=oid, column=source.column)


def of_validation(transaction: Transaction, run: Run, result: Validation) -> Iterator[Reason]:
    """Say which rows the tags do not agree with; mere counts of rows do not keep a column.

    Rows that came or went without any theme change a partition's totals, and links that went with them a tag's usage
    count, which is brought up to date after the drop. Rows that are noted as written since the archive was begun are
    taken in before it.
    """
    found = [
        item
        for item in result.mismatches
        if not item.key.startswith("partition ") and not item.problem.startswith("usage_count is")
    ]
    keys = [item.key for item in found]
    noted = {row["key"] for row in transaction.all("cleanup.list_noted", run_id=run.id, keys=keys)}
    found = [item for item in found if item.key not in noted]
    for item in found[:MOST_NAMED]:
        yield Reason(
            f"{item.key}: {item.problem}",
            f"segue migrate {run.migration} takes in what changed since; "
            f"where people have edited tags since on purpose: segue cleanup {run.migration} --accept-differences",
        )
    if len(found) > MOST_NAMED:
        yield Reason(f"{len(found) - MOST_NAMED} more differences", f"see them: segue validate {run.id}")


def own_parts(column: Row) -> dict[str, Any]:
    """Return what goes, and on an undo comes back, with the column."""
    return {
        "type": column["type"],
        "default": column["default"],
        "not_null": column["is_not_null"],
        "comment": column["comment"],
        "indexes": [item["name"] for item in column["indexes"]],
        "constraints": [item["name"] for item in column["constraints"]],
        "grants": len(column["grants"]),
        "after_column": column["after_column"],
    }
