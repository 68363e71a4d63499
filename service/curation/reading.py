"""Reading tags and the moderation log, page by page, in an order that stays the same while tags are added."""

import uuid
from collections.abc import Iterable
from typing import Any

from psycopg import sql as psql

from service.curation.errors import CurationError, MergedTag, UnknownAct, UnknownTag
from service.curation.tag import CuratedTag, LoggedAct
from sql.database import Fragments, Transaction

#: The largest page.
MOST_ROWS = 1_000

_FIRST_ID = str(uuid.UUID(int=0))
_NEWEST = 2**63 - 1


def names(schema: str) -> Fragments:
    """Return the quoted names of the application's tag tables."""
    return {table: psql.Identifier(schema, table) for table in ("tags", "song_tags", "tag_synonyms")}


def identifier(tag_id: str) -> str | None:
    """Return an id in its usual spelling, or None when it is no uuid."""
    try:
        return str(uuid.UUID(tag_id))
    except ValueError:
        return None


def read_tag(transaction: Transaction, schema: str, tag_id: str) -> CuratedTag:
    """Return one tag, banned ones too.

    Raises:
        MergedTag: it was merged; the error names what it became.
        UnknownTag: there is no such tag.
    """
    found = read_tags(transaction, schema, [tag_id])
    if not found:
        raise missing(transaction, schema, tag_id)
    return found[0]


def read_tags(transaction: Transaction, schema: str, ids: Iterable[str]) -> tuple[CuratedTag, ...]:
    """Return the tags of some ids that exist, in the order of the ids."""
    wanted = [found for tag_id in ids if (found := identifier(tag_id)) is not None]
    rows = {row["id"]: row for row in transaction.all("curation.read_tags", names(schema), ids=wanted)}
    return tuple(CuratedTag.of(rows[tag_id]) for tag_id in dict.fromkeys(wanted) if tag_id in rows)


def missing(transaction: Transaction, schema: str, tag_id: str) -> CurationError:
    """Return the error that says what became of a tag that is not there."""
    into = follow_redirect(transaction, schema, tag_id)
    return UnknownTag(tag_id) if into is None else MergedTag(tag_id, into)


def follow_redirect(transaction: Transaction, schema: str, tag_id: str) -> str | None:
    """Return the id of the tag that a merged one became, or None when there is none."""
    if identifier(tag_id) is None:
        return None
    row = transaction.first("curation.find_redirect", names(schema), old_id=tag_id)
    return row["tag_id"] if row else None


def list_tags(
    transaction: Transaction,
    schema: str,
    *,
    after: tuple[str, str] | None = None,
    limit: int = 100,
    category: str | None = None,
    with_banned: bool = False,
) -> tuple[CuratedTag, ...]:
    """Return a page of tags in the order of their normalised names.

    Args:
        transaction: to read with.
        schema: the application's.
        after: normalised name and id of the last tag of the page before; None for the first page.
        limit: at most so many, from 1 to MOST_ROWS; a shorter page is the last one.
        category: only tags of this one.
        with_banned: also those that are hidden.
    """
    after_name, after_id = after or ("", _FIRST_ID)
    rows = transaction.all(
        "curation.list_tags",
        names(schema),
        after_name=after_name,
        after_id=identifier(after_id) or _FIRST_ID,
        category=category,
        with_banned=with_banned,
        limit=max(1, min(limit, MOST_ROWS)),
    )
    return tuple(map(CuratedTag.of, rows))


def list_acts(
    transaction: Transaction, *, tag_id: str | None = None, before: int | None = None, limit: int = 100
) -> tuple[LoggedAct, ...]:
    """Return a page of the moderation log, newest first.

    Args:
        transaction: to read with.
        tag_id: only acts about this tag and about those that were merged into it.
        before: number of the last act of the page before; None for the first page.
        limit: at most so many, from 1 to MOST_ROWS; a shorter page is the last one.
    """
    page: dict[str, Any] = {"before": _NEWEST if before is None else before, "limit": max(1, min(limit, MOST_ROWS))}
    if tag_id is None:
        rows = transaction.all("curation.list_acts", **page)
    elif (wanted := identifier(tag_id)) is None:
        rows = []
    else:
        rows = transaction.all("curation.list_acts_of_tag", **page, tag_id=wanted)
    return tuple(LoggedAct(**row) for row in rows)


def read_act(transaction: Transaction, log_id: int) -> LoggedAct:
    """Return one row of the moderation log.

    Raises:
        UnknownAct: there is none of this number.
    """
    row = transaction.first("curation.find_act", log_id=log_id) if 0 < log_id <= _NEWEST else None
    if row is None:
        raise UnknownAct(log_id)
    return LoggedAct(**row)
