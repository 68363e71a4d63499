"""Giving a tag another name."""

from service.curation.log import done, unchanged
from service.curation.naming import Name, delete_synonyms, name_of, parse_name, require_free
from service.curation.reading import names
from service.curation.tables import AGAINST_ALL, image_of, open_tag, take_turn
from service.curation.tag import Curator, Done
from service.curation.words import follow_name
from sql.database import Transaction
from sql.errors import UniqueViolation


def rename(transaction: Transaction, curator: Curator, tag_id: str, name: str, *, keep_old: bool = True) -> Done:
    """Give a tag another name; another spelling of the same name changes only how people see it.

    A synonym of the tag's own may become its name, and is no synonym then.

    Args:
        transaction: the caller's.
        curator: who.
        tag_id: which tag.
        name: its new name.
        keep_old: make the old name a synonym.

    Raises:
        UnknownTag, MergedTag, BannedTag: which tag.
        InvalidName, NameTaken, NameIsSynonym, NameBanned: the name.
    """
    parsed = parse_name(name)
    take_turn(transaction)
    tag = open_tag(transaction, curator.schema, tag_id, AGAINST_ALL)
    old = name_of(tag)
    if parsed == old:
        return unchanged(transaction, curator, "rename", tag)
    own = require_free(transaction, curator.schema, parsed, of_tag=tag["id"])
    delete_synonyms(transaction, curator.schema, own)
    set_name(transaction, curator.schema, tag["id"], parsed)
    kept, decisions = None, []
    if parsed.normalized != old.normalized:
        if keep_old:
            values = {"synonym": old.normalized, "tag_id": tag["id"]}
            kept = transaction.first("curation.add_synonym", names(curator.schema), **values)
        decisions = follow_name(transaction, tag["id"], old, parsed)
    before = {"tag": tag["image"], "synonyms": [row["image"] for row in own]}
    after = {
        "tag": image_of(transaction, curator.schema, tag["id"]),
        "synonym": kept["image"] if kept else None,
        "decisions": decisions,
    }
    return done(transaction, curator, "rename", tag["id"], before, after)


def set_name(transaction: Transaction, schema: str, tag_id: str, name: Name) -> None:
    """Write a tag's name.

    Raises:
        NameTaken: somebody made a tag of that name at this moment.
    """
    values = {"tag_id": tag_id, "cleaned": name.cleaned, "normalized": name.normalized}
    try:
        with transaction.savepoint():
            transaction.run("curation.set_name", names(schema), **values)
    except UniqueViolation:
        require_free(transaction, schema, name, of_tag=tag_id)
        raise
