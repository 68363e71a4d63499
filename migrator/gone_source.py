"""A source whose column was cleaned up: reports on its run still work, everything else says where it went."""

from migrator.cleanup_record import Record
from migrator.errors import UnknownName
from migrator.source import TableSource, split_name
from sql.database import Transaction


def find_source(transaction: Transaction, *, table: str, key: str, column: str, schema: str) -> TableSource:
    """Look a source up, or what a cleanup has written down of it; the latter's `require` refuses, saying so.

    Raises:
        UnknownName, Refused: as `TableSource.find`.
    """
    try:
        return TableSource.find(transaction, table=table, key=key, column=column, schema=schema)
    except UnknownName as unknown:
        if unknown.name != column:
            raise
        owner, name = split_name(table, schema)
        row = transaction.first("cleanup.find_record_of_column", schema=owner, table=name, column=column, key=key)
        if row is None:
            raise
        return Record.of(row).source
