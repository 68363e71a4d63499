"""Merging a tag into another one: links, synonyms, name and id lead to the other tag from then on.

The application adds links while a tag is merged, each with its count in one transaction. The tag that goes is locked
first, against everything; of the tag that stays only its deletion is prevented, until all links have moved, and its
count is changed last. So an application that inserts the link and then counts never waits for us while we wait for
it. For one that works in another order, every wait here is short, and we begin again (`patiently`).
"""

from dataclasses import dataclass

from service.curation.errors import BannedTag, MergeIntoItself
from service.curation.log import write_log
from service.curation.naming import name_of
from service.curation.patience import patiently
from service.curation.reading import identifier, missing, names, read_tags
from service.curation.tables import AGAINST_ALL, AGAINST_DELETION, find_locked, require_unreferred, take_turn
from service.curation.tag import Curator, Done
from service.curation.words import move_decisions, move_words, shift_run_counts
from sql.database import Row, Transaction
from tags.normalise import normalise


def merge(transaction: Transaction, curator: Curator, source_id: str, target_id: str) -> Done:
    """Merge a tag into another one; every song that had either has the target then.

    The source's name and synonyms become synonyms of the target, and its id leads there. A song that had both keeps
    one link. Where the source was made by a run, the run's links stay the run's, and its rollback takes them.

    Args:
        transaction: the caller's.
        curator: who.
        source_id: the tag that goes.
        target_id: the tag that stays; its name, category and color stay, too.

    Returns:
        The act, with the target.

    Raises:
        UnknownTag, MergedTag, BannedTag, MergeIntoItself: which tag.
        TagReferredTo: another table of the application's refers to the source.
        RunIsPlanning: a migration resolves its vocabulary at this moment.
        TagBusy: others held what the merge needs.
    """
    take_turn(transaction)
    return patiently(transaction, lambda: _merge(transaction, curator, source_id, target_id))


@dataclass(frozen=True)
class _Pair:
    """Source and target, locked."""

    source: Row
    target: Row


def _merge(transaction: Transaction, curator: Curator, source_id: str, target_id: str) -> Done:
    pair = _lock(transaction, curator, source_id, target_id)
    require_unreferred(transaction, curator.schema, pair.source)
    log_id = _log(transaction, curator, pair)
    source, target = pair.source["id"], pair.target["id"]
    move_words(transaction, source, target, pair.target["normalized"])
    values = {"log_id": log_id, "source": source, "target": target}
    moved = transaction.all("curation_merge.move_links", names(curator.schema), **values)
    transaction.run("curation.delete_tag", names(curator.schema), tag_id=source)
    transaction.run("curation_merge.forget_run_counts", tag_id=source)
    links = sum(row["links"] for row in moved)
    counted = transaction.one("curation_merge.add_to_usage", names(curator.schema), tag_id=target, links=links)
    changes = {row["run_id"]: row["of_run"] for row in moved if row["run_id"] is not None}
    shift_run_counts(transaction, target, counted, changes)
    return Done(log_id, "merge", read_tags(transaction, curator.schema, [target]))


def _lock(transaction: Transaction, curator: Curator, source_id: str, target_id: str) -> _Pair:
    source_id, target_id = (identifier(each) or each for each in (source_id, target_id))
    if identifier(source_id):
        transaction.one("curation_merge.lock_links", names(curator.schema), tag_id=source_id)
    strengths = {target_id: AGAINST_DELETION, source_id: AGAINST_ALL}
    locked = {each: find_locked(transaction, curator.schema, each, strengths[each]) for each in sorted(strengths)}
    for tag_id in (source_id, target_id):
        row = locked[tag_id]
        if row is None:
            raise missing(transaction, curator.schema, tag_id)
        if row["is_banned"]:
            raise BannedTag(row["name"], row["id"])
    source, target = locked[source_id], locked[target_id]
    assert source is not None, "looked at above"
    assert target is not None, "looked at above"
    if source_id == target_id:
        raise MergeIntoItself(source["name"])
    return _Pair(source, target)


def _log(transaction: Transaction, curator: Curator, pair: _Pair) -> int:
    """Move everything but the links, and log it: the rows that keep the links refer to the log's."""
    schema, source, target = curator.schema, pair.source["id"], pair.target["id"]
    synonyms = transaction.all("curation_merge.list_synonyms", names(schema), tag_id=source)
    redirects = [row["old_id"] for row in transaction.all("curation_merge.list_redirects", tag_id=source)]
    for row in synonyms:
        if normalise(row["image"]["synonym"]) == pair.target["normalized"]:  # only an application makes such a chain
            transaction.run("curation.delete_synonym", names(schema), id=row["id"], tag_id=source)
    both = {"from": source, "to": target}
    transaction.run("curation_merge.move_synonyms", names(schema), ids=[row["id"] for row in synonyms], **both)
    transaction.run("curation_merge.move_redirects", old_ids=redirects, **both)
    transaction.run("curation_merge.add_redirect", old_id=source, tag_id=target)
    own = {"synonym": pair.source["normalized"], "tag_id": target}
    kept = transaction.first("curation.add_synonym", names(schema), **own)
    before = {
        "tag": pair.source["image"],
        "target": pair.target["image"],
        "synonyms": [row["image"] for row in synonyms],
        "redirects": redirects,
        "decisions": move_decisions(transaction, name_of(pair.source), name_of(pair.target)),
    }
    after = {"tag": pair.target["image"], "synonym": kept["image"] if kept else None}
    return write_log(transaction, curator, "merge", source, before, after)
