"""What keeps Segue from working with a table that the application already has."""

from typing import Any

from sql.database import Row, Transaction
from sql.schema.shapes import BY_DEFAULT, NULLABLE, SHAPES, UNIQUE, UNWRITTEN


def find_differences(transaction: Transaction, schema: str, table: str) -> list[str]:
    """Return every difference that matters, one sentence each; none when the table fits or does not exist."""
    place: dict[str, Any] = {"schema": schema, "table": table}
    relation = transaction.first("adoption.find_relation", **place)
    if relation is None:
        return []
    if not relation["is_table"]:
        return ["it is not a table"]
    found = {row["name"]: row for row in transaction.all("adoption.list_columns", **place)}
    keys = {frozenset(row["columns"]) for row in transaction.all("adoption.list_unique_keys", **place)}
    said = [
        difference
        for column, types in SHAPES[table].items()
        if (difference := _difference(table, column, types, found.get(column)))
    ]
    if table not in UNWRITTEN:
        filled = (SHAPES[table].keys() - BY_DEFAULT.get(table, frozenset())) | {"run_id"}
        said += [
            f"column {name} is not null without a default, and Segue does not fill it"
            for name, row in found.items()
            if row["is_required"] and not row["has_default"] and name not in filled
        ]
    return said + [
        f"no unique key on ({', '.join(sorted(columns))})" for columns in UNIQUE[table] if columns not in keys
    ]


def _difference(table: str, column: str, types: tuple[str, ...], found: Row | None) -> str | None:
    """Say why a column cannot be used, or return None."""
    if found is None:
        return f"column {column} ({_said(types[:1])}) is missing"
    if found["type"] not in types and f"{found['base_type']}*" not in types:
        return f"column {column} is {found['type']}, not {_said(types)}"
    if found["is_required"] and column in NULLABLE.get(table, ()):
        return f"column {column} is not null, and the source may leave it out"
    if found["is_blurred"] and any(column in key for key in UNIQUE[table]):
        return f"column {column} has a collation that takes different texts for equal"
    return None


def _said(types: tuple[str, ...]) -> str:
    return " or ".join(name.removesuffix("*") for name in types)
