"""The catalog's tables: all of them made or adopted, or none while the application has one that Segue cannot use.

Most applications have a table `users`, and a migration that does without the catalog must not wait for it to change.
"""

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sql import sections
from sql.database import Transaction
from sql.schema.adoption import adopt_or_create, recorded, release, transaction_of
from sql.schema.differences import find_differences
from sql.schema.home import move_in

#: Parts of the same files that are Segue's own.
_OPERATIONAL = ("segue", "segue_down")

#: The class of SQLSTATEs that an admin mends, as other shapes: a name that something else has, a table that no key may
#: refer to, and above all a missing privilege.
_FOR_ADMINS, _NO_PRIVILEGE = "42", "42501"

Differences = dict[str, list[str]]


def ensure_catalog(connection: Connection, schema: str) -> Differences:
    """Make or adopt the tables that are not there yet; change nothing when one of them cannot be used.

    Returns:
        Per table, with its schema, what keeps the catalog from being there; empty when it is, or when Segue's tables
        are in another schema.
    """
    missing = [table for table in definitions() if table not in recorded(connection)]
    if not missing or not move_in(connection, schema):
        return {}
    if found := catalog_differences(transaction_of(connection), schema):
        return found
    undo = connection.begin_nested()
    for table in missing:
        try:
            adopt_or_create(connection, schema, table, definitions()[table])
        except DBAPIError as error:
            if (said := _said(error)) is None:
                raise
            undo.rollback()
            return {f"{schema}.{table}": [said]}
    undo.commit()
    return {}


def release_catalog(connection: Connection) -> None:
    """Drop what was created and give back what was adopted, if anything was."""
    there = recorded(connection)
    for table in reversed(definitions()):
        if table in there:
            release(connection, table)


def catalog_differences(transaction: Transaction, schema: str) -> Differences:
    """Return what keeps each table of the catalog's names from being used; tables that fit are left out."""
    found = {f"{schema}.{table}": find_differences(transaction, schema, table) for table in definitions()}
    return {table: said for table, said in found.items() if said}


def definitions() -> dict[str, str]:
    """Return the statements that create each table, each after those that it refers to."""
    parts = sections("schema/ddl/0003_catalog.sql") | sections("schema/ddl/0003_derived.sql")
    return {name: text for name, text in parts.items() if name not in _OPERATIONAL}


def _said(error: DBAPIError) -> str | None:
    """Say what an admin can mend; None for any other error."""
    cause = error.orig
    if not isinstance(cause, psycopg.Error) or not (cause.sqlstate or "").startswith(_FOR_ADMINS):
        return None
    hint = "; upgrade as the owner of the tables" if cause.sqlstate == _NO_PRIVILEGE else ""
    return f"{cause.diag.message_primary}{hint}"
