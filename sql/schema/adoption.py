"""Adopting tables that the application already has: compare shapes, add only what is missing and nullable."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.sql import quoted_name

from sql.database import Transaction
from sql.errors import DatabaseError
from sql.schema.differences import find_differences


class IncompatibleTable(DatabaseError):
    """A table that Segue needs exists in a shape it cannot use; nothing was changed.

    Attributes:
        table: its name.
        differences: one sentence each.
    """

    exit_code = 5

    def __init__(self, table: str, differences: list[str]) -> None:
        super().__init__(
            f"table {table} exists but cannot be adopted: {'; '.join(differences)}. "
            "Change the table, or give Segue another schema with --schema"
        )
        self.table = table
        self.differences = differences


def adopt_or_create(connection: Connection, schema: str, table: str, definition: str) -> None:
    """Adopt a table of the application's, adding the `run_id` column when it is missing, or create it.

    Which of both is recorded in `segue.tables`, not on the table.

    Args:
        connection: with a transaction open.
        schema: the application's.
        table: its name.
        definition: the statements that create it, with `{schema}` where its name goes.

    Raises:
        IncompatibleTable: it exists in another shape.
    """
    transaction = transaction_of(connection)
    place: dict[str, Any] = {"schema": schema, "table": table}
    if found := find_differences(transaction, schema, table):
        raise IncompatibleTable(f"{schema}.{table}", found)
    exists = transaction.first("adoption.find_relation", **place) is not None
    added = []
    if not exists:
        quoted = connection.dialect.identifier_preparer.quote(quoted_name(schema, None))
        connection.exec_driver_sql(definition.format(schema=quoted).replace("%", "%%"))
    elif "run_id" not in {row["name"] for row in transaction.all("adoption.list_columns", **place)}:
        added = ["run_id"]
        connection.exec_driver_sql(f"ALTER TABLE {_qualified(connection, schema, table)} ADD COLUMN run_id bigint")
    connection.execute(
        text(
            "INSERT INTO segue.tables (name, schema_name, is_adopted, added_columns)"
            " VALUES (:table, :schema, :adopted, cast(:added AS jsonb))"
        ),
        {**place, "adopted": exists, "added": json.dumps(added)},
    )


def release(connection: Connection, table: str) -> None:
    """Undo `adopt_or_create`: drop a table that Segue created, or only the columns that it added."""
    row = connection.execute(
        text("DELETE FROM segue.tables WHERE name = :table RETURNING schema_name, is_adopted, added_columns"),
        {"table": table},
    ).one()
    name = _qualified(connection, row.schema_name, table)
    if row.is_adopted:
        for column in row.added_columns:
            connection.exec_driver_sql(f"ALTER TABLE {name} DROP COLUMN {column}")
    else:
        connection.exec_driver_sql(f"DROP TABLE {name}")


def recorded(connection: Connection) -> Mapping[str, str]:
    """Return the tables that were adopted or created, each with its schema."""
    rows = connection.execute(text("SELECT name, schema_name FROM segue.tables")).all()
    return {row.name: row.schema_name for row in rows}


def transaction_of(connection: Connection) -> Transaction:
    """Return a connection's open transaction as one that runs named queries."""
    driver: Any = connection.connection.driver_connection
    return Transaction(driver)


def _qualified(connection: Connection, schema: str, table: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(quoted_name(schema, None))}.{quote(table)}"
