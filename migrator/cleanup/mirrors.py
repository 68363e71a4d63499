"""The end of mirroring: the one place where a cleanup takes away what keeps legacy column and tags alike."""

from psycopg import sql as psql

from migrator.migration import Step
from migrator.source import TableSource
from sql.database import Transaction, literal_sql


def list_mirrors(transaction: Transaction, step: Step, source: TableSource) -> list[tuple[str, str]]:
    """Return (trigger, table) of Segue's mirrors, forward on the legacy table and reverse on the targets."""
    tables = [source.fragments["table"], *(step.fragments[name] for name in step.targets)]
    names = [table.as_string(None) for table in tables]
    return [(row["name"], row["table_name"]) for row in transaction.all("cleanup.list_mirrors", tables=names)]


def drop_mirrors(transaction: Transaction, step: Step, source: TableSource) -> list[str]:
    """Drop the mirrors, in the transaction that drops the column; return what was dropped, as `trigger on table`.

    Whatever else mirroring keeps (its settings, say) is to be taken away here, too. `segue migrate` makes mirrors
    anew after an undo.
    """
    dropped = []
    for name, table in list_mirrors(transaction, step, source):
        fragments = {"trigger": psql.Identifier(name), "table": literal_sql(table)}
        transaction.run("cleanup.drop_trigger", fragments)
        dropped.append(f"{name} on {table}")
    return dropped
