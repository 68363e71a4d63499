"""Whether the application's catalog is there: `segue db upgrade` leaves it out while a table stands in its way."""

from collections.abc import Mapping

from migrator.errors import Refused
from sql.database import Transaction

#: What an admin can do about it.
WAYS_OUT = (
    "Change what differs and run again: segue db upgrade. Or let the application keep its tables and give Segue "
    "another schema, which exists: segue --schema NAME db upgrade (after the first run: another database)"
)


def require_catalog(transaction: Transaction, schema: str) -> None:
    """Check that the catalog's tables were made or adopted.

    Raises:
        Refused: they were not, with the tables that stand in their way.
    """
    if transaction.one("adoption.has_catalog")["found"]:
        return
    from sql.schema.catalog import catalog_differences  # noqa: PLC0415 - Alembic is slow to import

    found = catalog_differences(transaction, schema)
    if not found:
        raise Refused("the catalog's tables are not there; next: segue db upgrade, which makes them or says why not")
    raise Refused(f"the catalog's tables are not there, because {'; '.join(sentences(found))}. {WAYS_OUT}")


def sentences(differences: Mapping[str, list[str]]) -> list[str]:
    """Say of each table what keeps Segue from using it."""
    return [f"table {table} cannot be made or adopted: {'; '.join(found)}" for table, found in differences.items()]
