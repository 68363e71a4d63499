"""Taking a merge back: the tag that went comes back with its id, name, synonyms, and the links that are left of it."""

from typing import Any

from psycopg import sql as psql

from service.curation.errors import MovedOn
from service.curation.log import write_log
from service.curation.naming import Name, delete_synonyms, name_of, require_free
from service.curation.reading import names, read_tags
from service.curation.tables import (
    AGAINST_DELETION,
    Image,
    find_locked,
    gone_runs,
    restore_row,
    without_gone_run,
    writable_columns,
)
from service.curation.tag import Curator, Done, LoggedAct
from service.curation.words import move_decisions, move_words, shift_run_counts
from sql.database import Row, Transaction
from tags.normalise import normalise


def unmerge(transaction: Transaction, curator: Curator, act: LoggedAct) -> Done:
    """Take a merge back, in one attempt.

    Links that people removed since stay removed, and those that they made since stay where they are. What a run made
    that was rolled back since does not come back; a tag that such a run made comes back as people's own.

    Raises:
        MovedOn, NameTaken, NameIsSynonym, NameBanned: what stands in the way.
    """
    before, after = act.before, act.after
    assert before is not None, "a merge has both"
    assert after is not None, "a merge has both"
    target = _open_target(transaction, curator, act, before, after)
    source = without_gone_run(transaction, before["tag"])
    if not restore_row(transaction, psql.Identifier(curator.schema, "tags"), {**source, "usage_count": 0}):
        raise MovedOn(act.id, f"a tag {source['name']!r} was made at this moment")
    _move_words(transaction, act.tag_id, target, before)
    _move_names(transaction, curator, act, before)
    changes = _move_links(transaction, curator, act, target["id"])
    _count(transaction, curator, act.tag_id, target["id"], changes)
    made = {"tag": source, "target": target["image"]}
    log_id = write_log(transaction, curator, "undo", act.tag_id, {"tag": target["image"]}, made, undoes=act.id)
    return Done(log_id, "undo", read_tags(transaction, curator.schema, [act.tag_id, target["id"]]))


def _open_target(transaction: Transaction, curator: Curator, act: LoggedAct, before: Image, after: Image) -> Row:
    """Lock the target, and make the source's place free, which its name as a synonym has had."""
    target = find_locked(transaction, curator.schema, after["tag"]["id"], AGAINST_DELETION)
    if target is None:
        raise MovedOn(act.id, f"tag {after['tag']['name']!r}, into which it merged, is not there any more")
    if target["is_banned"]:
        raise MovedOn(act.id, f"tag {target['name']!r}, into which it merged, was banned since")
    if find_locked(transaction, curator.schema, act.tag_id, AGAINST_DELETION):
        raise MovedOn(act.id, f"there is a tag with the id {act.tag_id} again")
    name = name_of(before["tag"])
    if name.normalized == target["normalized"]:
        raise MovedOn(act.id, f"its name {name.cleaned!r} is the target's now")
    delete_synonyms(transaction, curator.schema, require_free(transaction, curator.schema, name, of_tag=target["id"]))
    return target


def _move_words(transaction: Transaction, source_id: str, target: Row, before: Image) -> None:
    """Let migrations convert the source's texts to it again."""
    source = name_of(before["tag"])
    decisions = move_decisions(transaction, Name(target["name"], target["normalized"]), source, before["decisions"])
    texts = {source.normalized, *(normalise(image["synonym"]) for image in before["synonyms"]), *decisions}
    move_words(transaction, target["id"], source_id, source.normalized, sorted(texts))


def _move_names(transaction: Transaction, curator: Curator, act: LoggedAct, before: Image) -> None:
    """Give synonyms and redirects back that are still the target's."""
    assert act.after is not None, "a merge has both"
    target_id = act.after["tag"]["id"]
    both: dict[str, Any] = {"from": target_id, "to": act.tag_id}
    ids = [image["id"] for image in before["synonyms"]]
    transaction.run("curation_merge.move_synonyms", names(curator.schema), ids=ids, **both)
    transaction.run("curation_merge.delete_redirect", old_id=act.tag_id)
    transaction.run("curation_merge.move_redirects", old_ids=before["redirects"], **both)


def _move_links(transaction: Transaction, curator: Curator, act: LoggedAct, target_id: str) -> list[Row]:
    """Move links back, and return what changed by run."""
    merged = transaction.one("curation_merge.read_merged", log_id=act.id)
    if merged["sample"] is None:
        return []
    table = psql.Identifier(curator.schema, "song_tags")
    columns = writable_columns(transaction, table, merged["sample"])
    fragments = {
        **names(curator.schema),
        "columns": psql.SQL(", ").join(map(psql.Identifier, columns)),
        "record_columns": psql.SQL(", ").join(psql.Identifier("record", column) for column in columns),
    }
    values = {"log_id": act.id, "source": act.tag_id, "target": target_id}
    changes = transaction.all(
        "curation_merge.move_links_back", fragments, **values, gone_runs=gone_runs(transaction, merged["runs"])
    )
    transaction.run("curation_merge.forget_merged", log_id=act.id)
    return changes


def _count(transaction: Transaction, curator: Curator, source_id: str, target_id: str, changes: list[Row]) -> None:
    """Bring both counts, and what runs have a part in them, to what was moved; the target's lock is had last."""
    by_run = {row["run_id"]: row for row in changes if row["run_id"] is not None}
    for tag_id, links, part in (
        (source_id, sum(row["source_links"] for row in changes), "source_links"),
        (target_id, -sum(row["links"] for row in changes), "of_run"),
    ):
        counted = transaction.one("curation_merge.add_to_usage", names(curator.schema), tag_id=tag_id, links=links)
        shift_run_counts(transaction, tag_id, counted, {run_id: row[part] for run_id, row in by_run.items()})
