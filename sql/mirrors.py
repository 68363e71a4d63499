"""The triggers of mirrors, wherever they are: found by their names, dropped in the order that users' writes allow."""

from psycopg import sql as psql

from sql.database import Transaction

PREFIX = "segue_mirror_"


def mirror_triggers(transaction: Transaction) -> list[tuple[str, str, str]]:
    """Return schema, table and name of every trigger of a mirror on the application's tables."""
    rows = transaction.all("mirror_state.list_triggers")
    return [(row["schema"], row["table"], row["name"]) for row in rows]


def drop_triggers(transaction: Transaction) -> None:
    """Drop the triggers of mirrors from the application's tables; waits for the transactions that write these."""
    for schema, table, name in mirror_triggers(transaction):
        fragments = {"name": psql.Identifier(name), "table": psql.Identifier(schema, table)}
        transaction.run("mirror.drop_trigger", fragments)


def drop_mirror(transaction: Transaction) -> None:
    """Drop triggers and functions of mirrors in one transaction."""
    drop_triggers(transaction)
    transaction.run("mirror.drop_functions")
