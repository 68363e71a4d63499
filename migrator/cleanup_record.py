"""A row of segue.cleanups: which column, how far it is archived, dropped or brought back."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import sql as psql

from migrator.source import TableSource
from sql.database import Row, Transaction


class CleanupState(StrEnum):
    """Where the cleanup of a run's legacy column stands."""

    ARCHIVING = "archiving"  # values are copied; the column is in place
    DROPPED = "dropped"  # it is gone
    RESTORING = "restoring"  # it is filled again under another name
    BACK = "back"  # it has its name again; indexes and constraints are being made
    UNDONE = "undone"  # everything is back, and the archive is gone


#: States in which the column cannot be read.
GONE = {CleanupState.DROPPED, CleanupState.RESTORING}
#: States in which `segue rollback` brings the column back before anything else.
TAKEN = {*GONE, CleanupState.BACK}

#: The triggers that note writes of the column while it is archived.
TRIGGERS = ("update", "edge", "truncate")


@dataclass(frozen=True)
class Record:
    """A cleanup as it is stored.

    Attributes:
        run_id: of the run whose source the column was.
        state: where it stands.
        row: everything else, by column of segue.cleanups.
    """

    run_id: int
    state: CleanupState
    row: Mapping[str, Any]

    @classmethod
    def of(cls, row: Row) -> "Record":
        """Read a record from its row."""
        return cls(row["run_id"], CleanupState(row["state"]), row)

    @classmethod
    def find(cls, transaction: Transaction, run_id: int) -> "Record | None":
        """Return the cleanup of a run, or None."""
        row = transaction.first("cleanup.find_record", run_id=run_id)
        return cls.of(row) if row else None

    @property
    def column(self) -> str:
        """The column's whole name, for people."""
        return f"{self.row['schema_name']}.{self.row['table_name']}.{self.row['column_name']}"

    @property
    def archive(self) -> str:
        """The archive's whole name, for people."""
        return f"segue.{self.row['archive']}"

    @property
    def description(self) -> Mapping[str, Any]:
        """What the column was; see `cleanup_look.describe_column`."""
        described: Mapping[str, Any] = self.row["description"]
        return described

    @property
    def source(self) -> TableSource:
        """The column as the source that it was."""
        row = self.row
        names = row["schema_name"], row["table_name"], row["key_name"], row["column_name"]
        types = row["key_type"], self.description["base_type"]
        return TableSource(*names, *types, psql.Identifier(row["column_name"]), row["key_collation"], gone=self.gone)

    @property
    def gone(self) -> str:
        """What to say to those who need the column."""
        when = f" on {self.row['dropped_at']:%Y-%m-%d}" if self.row["dropped_at"] else ""
        return (
            f"{self.column} was dropped by segue cleanup{when}, so there is nothing to read or compare any more; "
            f"its values are in {self.archive}; to bring it back: segue rollback {self.run_id}"
        )

    @property
    def fragments(self) -> dict[str, psql.Composable]:
        """The names that the queries of cleanup and undo ask for."""
        run, row = self.run_id, self.row
        return {
            **self.source.fragments,
            "column": psql.Identifier(row["column_name"]),
            "archive": psql.Identifier("segue", row["archive"]),
            "hidden": psql.Identifier(f"segue_restoring_{run}"),
            "check": psql.Identifier(f"segue_restoring_{run}_not_null"),
            "arguments": psql.SQL(", ").join([psql.Literal(str(run)), psql.Literal(row["key_name"])]),
            **{f"{kind}_trigger": psql.Identifier(f"segue_archive_{run}_{kind}") for kind in TRIGGERS},
        }

    def as_json(self) -> dict[str, Any]:
        """Return it as `status --json` shows it."""
        dropped = self.row["dropped_at"]
        return {
            "state": self.state,
            "column": self.column,
            "archive": self.archive,
            "dropped_at": dropped.isoformat() if dropped else None,
            "restore_point": self.row["restore_point"],
        }
