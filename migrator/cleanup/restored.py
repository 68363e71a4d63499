"""What a legacy column had besides values: made again from the archive's description."""

import re
from collections.abc import Mapping
from typing import Any

from psycopg import sql as psql

from migrator.cleanup_record import Record
from sql.database import Transaction, literal_sql

#: Constraints that need an index or another table; they are made after the column has its name again.
LATER = ("u", "p", "x", "f")


def verbatim(text: str) -> psql.SQL:
    """Take SQL that the catalog wrote as a fragment; a % in it is no placeholder."""
    return literal_sql(text.replace("%", "%%"))


def add_hidden(transaction: Transaction, record: Record) -> None:
    """Add the column under a name of Segue's, with what steers how its values are stored."""
    kind = record.description["type"]
    if collation := record.description["collation"]:
        kind += f" COLLATE {collation}"
    transaction.run("cleanup_undo.add_column", {**record.fragments, "type": verbatim(kind)})
    hidden = record.fragments["hidden"]
    for setting in ("storage", "compression"):
        if value := record.description[setting]:
            alter(transaction, record, hidden, f"SET {setting.upper()} {value}")
    if default := filler(record):
        alter(transaction, record, hidden, f"SET DEFAULT {default}")
    if record.description["is_not_null"]:
        transaction.run("cleanup_undo.add_check", record.fragments)


def filler(record: Record) -> str | None:
    """Return the default of rows that have no archived value: the column's, or empty where it may not be null."""
    default: str | None = record.description["default"]
    if default is None and record.description["is_not_null"]:
        return "'[]'" if record.description["base_type"] == "jsonb" else "'{}'"
    return default


def give_name(transaction: Transaction, record: Record) -> None:
    """Give the filled column its name, and everything that needs no look at the rows."""
    described, names = record.description, record.fragments
    transaction.run("cleanup_undo.rename_column", names)
    column = names["column"]
    if described["default"] is None and filler(record):
        transaction.run("cleanup_undo.drop_default", names)
    if described["is_not_null"]:
        # The check proves it, so that nothing is read under the lock.
        alter(transaction, record, column, "SET NOT NULL")
        transaction.run("cleanup_undo.drop_check", names)
        _name_not_null(transaction, record)
    if described["statistics"] is not None:
        alter(transaction, record, column, f"SET STATISTICS {int(described['statistics'])}")
    if described["options"]:
        alter(transaction, record, column, f"SET ({', '.join(described['options'])})")
    if described["comment"] is not None:
        transaction.run("cleanup_undo.create_comment", {**names, "comment": psql.Literal(described["comment"])})
    for grant in described["grants"]:
        transaction.run("cleanup_undo.create_grant", {**names, **_grant(grant)})
    for constraint in described["constraints"]:
        if constraint["kind"] == "c":
            add_constraint(transaction, record, constraint)


def add_constraint(transaction: Transaction, record: Record, constraint: Mapping[str, Any]) -> None:
    """Make a constraint that is not there; old rows are looked at later, without keeping anybody out."""
    names = {**record.fragments, "name": psql.Identifier(constraint["name"])}
    found = transaction.all("cleanup_undo.list_constraints", table_name=table_name(record))
    if constraint["name"] in {row["name"] for row in found}:
        return
    definition = constraint["definition"].removesuffix(" NOT VALID")
    if constraint["kind"] in "cf":
        definition += " NOT VALID"
    transaction.run("cleanup_undo.add_constraint", {**names, "definition": verbatim(definition)})
    if constraint["comment"] is not None:
        comment = psql.Literal(constraint["comment"])
        transaction.run("cleanup_undo.create_constraint_comment", {**names, "comment": comment})


def validate_constraint(transaction: Transaction, record: Record, constraint: Mapping[str, Any]) -> None:
    """Prove a constraint for old rows, when it was proven before."""
    if constraint["kind"] in "cf" and constraint["is_valid"]:
        names = {**record.fragments, "name": psql.Identifier(constraint["name"])}
        transaction.run("cleanup_undo.alter_validity", names)


def concurrent(definition: str) -> psql.SQL:
    """Return an index's definition, built without keeping anybody from writing."""
    return verbatim(re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", definition))


def finish_index(transaction: Transaction, record: Record, index: Mapping[str, Any]) -> None:
    """Put back what an index has besides its definition."""
    name = psql.Identifier(record.row["schema_name"], index["name"])
    if index["comment"] is not None:
        fragments = {"name": name, "comment": psql.Literal(index["comment"])}
        transaction.run("cleanup_undo.create_index_comment", fragments)
    if index["is_clustered"]:
        names = {**record.fragments, "name": psql.Identifier(index["name"])}
        transaction.run("cleanup_undo.alter_cluster", names)


def table_name(record: Record) -> str:
    """Return the legacy table's quoted name."""
    return record.fragments["table"].as_string(None)


def alter(transaction: Transaction, record: Record, column: psql.Composable, change: str) -> None:
    """Change the column, under either of its names."""
    names = {**record.fragments, "name": column, "change": verbatim(change)}
    transaction.run("cleanup_undo.alter_column", names)


def _name_not_null(transaction: Transaction, record: Record) -> None:
    named = [item["name"] for item in record.description["constraints"] if item["kind"] == "n"]
    values = {"table_name": table_name(record), "column": record.row["column_name"]}
    found = transaction.first("cleanup_undo.find_not_null_constraint", **values)
    if named and found and found["name"] != named[0]:
        names = {"before": psql.Identifier(found["name"]), "after": psql.Identifier(named[0])}
        transaction.run("cleanup_undo.alter_constraint_name", {**record.fragments, **names})


def _grant(grant: Mapping[str, Any]) -> dict[str, psql.Composable]:
    return {
        "privilege": verbatim(grant["privilege"]),
        "role": psql.Identifier(grant["role"]) if grant["role"] is not None else psql.SQL("PUBLIC"),
        "option": psql.SQL("WITH GRANT OPTION" if grant["may_grant"] else ""),
    }
