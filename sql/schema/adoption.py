"""Adopting tables that the application already has: compare shapes, add only what is missing and nullable."""

import json

from sqlalchemy import Connection, inspect, text
from sqlalchemy.sql import quoted_name

from sql.errors import DatabaseError

#: What each table must have, column → accepted types, and which columns must be unique together.
SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "tags": {
        "id": ("UUID",),
        "name": ("TEXT", "VARCHAR"),
        "normalized_name": ("TEXT", "VARCHAR"),
        "category": ("TEXT", "VARCHAR"),
        "color": ("TEXT", "VARCHAR"),
        "usage_count": ("BIGINT", "INTEGER"),
        "is_standard": ("BOOLEAN",),
        "created_at": ("TIMESTAMP",),
    },
    "song_tags": {
        "song_id": ("UUID", "BIGINT", "INTEGER", "TEXT", "VARCHAR"),
        "tag_id": ("UUID",),
        "added_by": ("UUID", "TEXT", "VARCHAR", "BIGINT", "INTEGER"),
        "added_at": ("TIMESTAMP",),
    },
    "tag_synonyms": {
        "id": ("UUID",),
        "synonym": ("TEXT", "VARCHAR"),
        "canonical_tag_id": ("UUID",),
        "created_at": ("TIMESTAMP",),
    },
}
UNIQUE: dict[str, tuple[frozenset[str], ...]] = {
    "tags": (frozenset({"id"}), frozenset({"name"}), frozenset({"normalized_name"})),
    "song_tags": (frozenset({"song_id", "tag_id"}),),
    "tag_synonyms": (frozenset({"synonym"}),),
}


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


def adopt(connection: Connection, schema: str, table: str) -> bool:
    """Adopt a table of the application's, adding the `run_id` column when it is missing.

    Whether a table was created or adopted is recorded in `segue.tables`, not on the table.

    Returns:
        False when the table does not exist, so that the caller creates it.

    Raises:
        IncompatibleTable: it exists in another shape.
    """
    exists = inspect(connection).has_table(table, schema)
    added = _added_columns(connection, schema, table) if exists else []
    name = _qualified(connection, schema, table)
    for column in added:
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {column} bigint")
    connection.execute(
        text(
            "INSERT INTO segue.tables (name, schema_name, is_adopted, added_columns)"
            " VALUES (:table, :schema, :adopted, cast(:added AS jsonb))"
        ),
        {"table": table, "schema": schema, "adopted": exists, "added": json.dumps(added)},
    )
    return exists


def release(connection: Connection, table: str) -> None:
    """Undo `adopt`: drop a table that Segue created, or only the columns that it added."""
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


def _added_columns(connection: Connection, schema: str, table: str) -> list[str]:
    """Return the columns to add to an existing table.

    Raises:
        IncompatibleTable: with every difference, not only the first.
    """
    found = {
        column["name"]: str(column["type"]).partition("(")[0].split()[0]
        for column in inspect(connection).get_columns(table, schema)
    }
    differences = []
    for column, types in SHAPES[table].items():
        if column not in found:
            differences.append(f"column {column} ({types[0].lower()}) is missing")
        elif found[column] not in types:
            differences.append(f"column {column} is {found[column].lower()}, not {' or '.join(types).lower()}")
    keys = _unique_sets(connection, schema, table)
    differences += [
        f"no unique key on ({', '.join(sorted(columns))})" for columns in UNIQUE[table] if columns not in keys
    ]
    if differences:
        raise IncompatibleTable(f"{schema}.{table}", differences)
    return [] if "run_id" in found else ["run_id"]


def _unique_sets(connection: Connection, schema: str, table: str) -> set[frozenset[str]]:
    look = inspect(connection)
    keys = {frozenset(look.get_pk_constraint(table, schema)["constrained_columns"])}
    keys |= {frozenset(item["column_names"]) for item in look.get_unique_constraints(table, schema)}
    return keys | {
        frozenset(name for name in item["column_names"] if name)
        for item in look.get_indexes(table, schema)
        if item["unique"]
    }


def _qualified(connection: Connection, schema: str, table: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(quoted_name(schema, None))}.{quote(table)}"
