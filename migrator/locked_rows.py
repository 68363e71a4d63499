"""Rows of a source locked before they are converted: with a mirror, what is read must stay true until it is written.

Users' transactions must neither wait long nor be chosen as a deadlock's victim because of us. So a row is waited for
only while nothing else is held; rows that somebody else holds are left for the next transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql as psql

from migrator.migration import Context
from migrator.source import KeyRange, TableSource
from sql.database import Transaction

#: How long whatever comes after the locks waits: below deadlock_timeout (1 s), after which the server picks a victim.
REST_WAITS = "200ms"

#: Rows waited for one after the other before a transaction does without.
MOST_WAITS = 20


@dataclass(frozen=True)
class Locked:
    """What could be locked.

    Attributes:
        keys: of the rows that are ours until the transaction ends, as text, in key order.
        has_more: whether the page goes on behind them.
    """

    keys: list[str]
    has_more: bool


def must_lock(context: Context) -> bool:
    """Whether a mirror writes the run's target beside us, so that we have to hold the rows that we convert."""
    return bool(context.plan.get("mirror", "off") != "off")


def lock_page(transaction: Transaction, source: TableSource, within: KeyRange, limit: int) -> Locked:
    """Lock the first rows of a range, as far as they can be had without waiting, and at least one if there is any."""
    values = {**vars(within), "limit": limit, "rest": REST_WAITS}
    fragments = {**source.fragments, "conditions": source.in_range(within, source.fragments["key"])}
    row = _locked(transaction, "locked_rows.lock_page", fragments, values, source)
    return Locked(row["keys"], has_more=row["busy"] is not None)


def lock_keys(transaction: Transaction, source: TableSource, keys: list[str]) -> tuple[list[str], list[str]]:
    """Lock those of some rows that nobody else holds; return their keys, and the keys of the others."""
    row = _locked(transaction, "locked_rows.lock_keys", source.fragments, {"keys": keys, "rest": REST_WAITS}, source)
    return row["keys"], row["busy"]


def _locked(
    transaction: Transaction,
    query: str,
    fragments: Mapping[str, psql.Composable],
    values: dict[str, Any],
    source: TableSource,
) -> dict[str, Any]:
    for _ in range(MOST_WAITS):
        try:
            with transaction.savepoint():
                row = transaction.one(query, fragments, **values)
                if row["busy"] and not row["keys"]:
                    raise _AllBusyError(row["busy"])  # noqa: TRY301 - it undoes the savepoint
        except _AllBusyError as error:
            # What was locked behind it is free again.
            busy = error.args[0]
            transaction.all("locked_rows.lock_row", source.fragments, key=busy if isinstance(busy, str) else busy[0])
        else:
            return row
    return row


class _AllBusyError(Exception):
    """Nothing could be locked; undoes the savepoint."""
