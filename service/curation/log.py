"""The moderation log: every act leaves one row with what was before and after."""

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from service.curation.reading import read_tags
from service.curation.tag import Curator, Done
from sql.database import Row, Transaction


def write_log(
    transaction: Transaction,
    curator: Curator,
    action: str,
    tag_id: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    undoes: int | None = None,
) -> int:
    """Add a row and return its number."""
    row = transaction.one(
        "curation.write_log",
        actor=curator.actor,
        action=action,
        tag_id=tag_id,
        before=None if before is None else Jsonb(before),
        after=None if after is None else Jsonb(after),
        undoes=undoes,
    )
    return int(row["id"])


def done(
    transaction: Transaction,
    curator: Curator,
    action: str,
    tag_id: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    *others: str,
) -> Done:
    """Log an act and return it with its tag, and further ones that it touched, as they are now."""
    log_id = write_log(transaction, curator, action, tag_id, before, after)
    return Done(log_id, action, read_tags(transaction, curator.schema, [tag_id, *others]))


def unchanged(transaction: Transaction, curator: Curator, action: str, tag: Row) -> Done:
    """Return an act that found everything as it was to be: nothing was changed, so nothing is logged."""
    return Done(None, action, read_tags(transaction, curator.schema, [tag["id"]]))
