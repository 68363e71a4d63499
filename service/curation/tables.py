"""The application's tables as curators' queries need them: their names, their rows as images, what refers to them."""

from typing import Any

from psycopg import sql as psql
from psycopg.types.json import Jsonb

from service.curation.errors import BannedTag, TagBusy, TagReferredTo
from service.curation.reading import identifier, missing, names
from sql.database import Row, Transaction
from sql.errors import DatabaseError

#: How a tag's row is locked: against everything, against changes (links may still be added), against deletion.
AGAINST_ALL, AGAINST_CHANGES, AGAINST_DELETION = map(psql.SQL, ("FOR UPDATE", "FOR NO KEY UPDATE", "FOR KEY SHARE"))

#: SQLSTATE of a lock that was not had within lock_timeout.
_LOCK_NOT_HAD = "55P03"

Image = dict[str, Any]


def take_turn(transaction: Transaction) -> None:
    """Wait until no other curator acts; held to the end of the transaction.

    Raises:
        TagBusy: one acts for longer than the transaction waits for locks.
    """
    try:
        with transaction.savepoint():
            transaction.run("curation.take_turn")
    except DatabaseError as error:
        if error.sqlstate != _LOCK_NOT_HAD:
            raise
        raise TagBusy("another curator's act goes on") from error


def lock_tag(transaction: Transaction, schema: str, tag_id: str, strength: psql.SQL = AGAINST_CHANGES) -> Row:
    """Lock a tag's row and return id, name, normalized, run_id, is_banned, and its image.

    Raises:
        UnknownTag, MergedTag: there is no such tag.
    """
    row = find_locked(transaction, schema, tag_id, strength)
    if row is None:
        raise missing(transaction, schema, tag_id)
    return row


def open_tag(transaction: Transaction, schema: str, tag_id: str, strength: psql.SQL = AGAINST_CHANGES) -> Row:
    """Lock a tag that may be changed, as `lock_tag` does.

    Raises:
        UnknownTag, MergedTag, BannedTag: which tag.
    """
    tag = lock_tag(transaction, schema, tag_id, strength)
    if tag["is_banned"]:
        raise BannedTag(tag["name"], tag["id"])
    return tag


def image_of(transaction: Transaction, schema: str, tag_id: str) -> Image:
    """Return the image of a tag as it is now."""
    return dict(lock_tag(transaction, schema, tag_id)["image"])


def find_locked(transaction: Transaction, schema: str, tag_id: str, strength: psql.SQL) -> Row | None:
    """Return what `lock_tag` does, or None when there is no such tag."""
    if identifier(tag_id) is None:
        return None
    return transaction.first("curation.lock_tag", {**names(schema), "strength": strength}, tag_id=tag_id)


def require_unreferred(transaction: Transaction, schema: str, tag: Row) -> None:
    """Refuse to delete a tag that other tables' rows refer to; its row is locked, so none can come.

    Raises:
        TagReferredTo: some do.
    """
    own = [psql.Identifier(schema, table).as_string(None) for table in ("song_tags", "tag_synonyms")]
    tags = psql.Identifier(schema, "tags").as_string(None)
    for guard in transaction.all("curation.list_referring", tags=tags, own=own):
        table = psql.Identifier(guard["schema"], guard["table"])
        fragments = {
            **names(schema),
            "target": table,
            "target_key": psql.Identifier(guard["column"]),
            "column": psql.Identifier(guard["referred"]),
        }
        found = transaction.one("curation.count_referring", fragments, tag_id=tag["id"])["found"]
        if found:
            raise TagReferredTo(tag["name"], table.as_string(None), found)


def writable_columns(transaction: Transaction, table: psql.Identifier, image: Image) -> list[str]:
    """Return the columns of a table that an image of a row holds and that may be written."""
    fragments = {"target_name": psql.Literal(table.as_string(None))}
    return [row["name"] for row in transaction.all("curation.list_columns", fragments, image=Jsonb(image))]


def restore_row(transaction: Transaction, table: psql.Identifier, image: Image) -> bool:
    """Insert a row as its image says; return False when another row has one of its unique values."""
    columns = psql.SQL(", ").join(map(psql.Identifier, writable_columns(transaction, table, image)))
    return transaction.run("curation.restore_row", {"target": table, "columns": columns}, image=Jsonb(image)) == 1


def gone_runs(transaction: Transaction, runs: list[int]) -> list[int]:
    """Return which runs were taken back or are being taken back; the others cannot be before this transaction ends."""
    return [row["id"] for row in transaction.all("curation.lock_runs", runs=runs) if row["is_gone"]]


def without_gone_run(transaction: Transaction, image: Image) -> Image:
    """Return a row's image as people's own when the run that made it was taken back."""
    run_id = image.get("run_id")
    if run_id is None or not gone_runs(transaction, [run_id]):
        return image
    return {**image, "run_id": None}
