"""The triggers of mirrors, wherever they are: found by their names, dropped in the order that users' writes allow."""

from psycopg import sql as psql

from sql.database import Transaction

PREFIX = "segue_mirror_"
#: Of the triggers that carry people's edits of links and tags back into a legacy column.
BACK = f"{PREFIX}back_"


def mirror_triggers(transaction: Transaction) -> list[tuple[str, str, str]]:
    """Return schema, table and name of every trigger of a mirror on the application's tables."""
    rows = transaction.all("mirror_state.list_triggers")
    return [(row["schema"], row["table"], row["name"]) for row in rows]


def mirrored_tables(transaction: Transaction) -> list[tuple[str, str]]:
    """Return schema and name of the tables with such triggers, legacy tables first."""
    found = mirror_triggers(transaction)
    legacy = {(schema, table) for schema, table, name in found if not name.startswith(BACK)}
    return sorted({(schema, table) for schema, table, _ in found}, key=lambda table: (table not in legacy, table))


def drop_triggers(transaction: Transaction, of: tuple[str, str] | None = None, *, prefix: str = PREFIX) -> None:
    """Drop the triggers of mirrors, of one table or all; waits for the transactions that write these."""
    for schema, table, name in mirror_triggers(transaction):
        if (of is None or (schema, table) == of) and name.startswith(prefix):
            fragments = {"name": psql.Identifier(name), "table": psql.Identifier(schema, table)}
            transaction.run("mirror.drop_trigger", fragments)


def drop_back(transaction: Transaction) -> None:
    """Drop triggers and functions of the way back of mirrors in one transaction."""
    drop_triggers(transaction, prefix=BACK)
    transaction.run("mirror_back.drop_functions")


def drop_mirror(transaction: Transaction) -> None:
    """Drop triggers and functions of mirrors in one transaction."""
    drop_triggers(transaction)
    transaction.run("mirror.drop_functions")
    transaction.run("mirror_back.drop_functions")
