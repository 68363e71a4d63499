"""Other words for a tag. A word leads to one tag, and never to a word that leads on."""

from collections.abc import Sequence

from service.curation.errors import NameBanned, SynonymIsTag, SynonymOfItself, SynonymTaken, TagBusy, UnknownSynonym
from service.curation.log import done, unchanged
from service.curation.naming import Name, delete_synonyms, meanings, parse_name, synonyms_of_text
from service.curation.reading import identifier, names
from service.curation.tables import open_tag, take_turn
from service.curation.tag import Curator, Done
from sql.database import Row, Transaction


def synonym(transaction: Transaction, curator: Curator, tag_id: str, text: str, *, replace: bool = False) -> Done:
    """Make a text a synonym of a tag; it is stored in its normal form.

    Args:
        transaction: the caller's.
        curator: who.
        tag_id: which tag.
        text: another word for it.
        replace: take the text away from the tag that it is a synonym of.

    Raises:
        UnknownTag, MergedTag, BannedTag: which tag, also the one that the text is a synonym of.
        InvalidName, SynonymOfItself, SynonymIsTag, SynonymTaken, NameBanned: the text.
    """
    name = parse_name(text)
    take_turn(transaction)
    owners = [row["tag_id"] for row in synonyms_of_text(transaction, curator.schema, name)] if replace else []
    tags = _open_all(transaction, curator, tag_id, owners)
    tag = tags[0]
    _require_no_name(transaction, curator, tag, name)
    found = synonyms_of_text(transaction, curator.schema, name)
    if any(row["tag_id"] == tag["id"] for row in found):
        return unchanged(transaction, curator, "synonym", tag)
    if found and (not replace or found[0]["tag_id"] not in {other["id"] for other in tags}):
        raise SynonymTaken(name.cleaned, found[0]["tag_id"], found[0]["name"])
    if found:
        values = {"id": found[0]["id"], "tag_id": tag["id"], "run_id": None}
        transaction.run("curation.point_synonym", names(curator.schema), **values)
        row = transaction.one("curation.read_synonym", names(curator.schema), id=found[0]["id"])
    else:
        values = {"synonym": name.normalized, "tag_id": tag["id"]}
        made = transaction.first("curation.add_synonym", names(curator.schema), **values)
        if made is None:
            raise TagBusy(f"{name.cleaned!r} was made a synonym at this moment")
        row = made
    before = {"synonym": found[0]["image"] if found else None}
    after = {"tag": tag["image"], "synonym": row["image"]}
    return done(transaction, curator, "synonym", tag["id"], before, after, *(other["id"] for other in tags[1:]))


def unsynonym(transaction: Transaction, curator: Curator, tag_id: str, text: str) -> Done:
    """Take a synonym away from a tag, in whatever spelling it is stored.

    Raises:
        UnknownTag, MergedTag, BannedTag: which tag.
        InvalidName, UnknownSynonym: the text is no synonym of it.
    """
    name = parse_name(text)
    take_turn(transaction)
    tag = open_tag(transaction, curator.schema, tag_id)
    found = synonyms_of_text(transaction, curator.schema, name)
    own = [row for row in found if row["tag_id"] == tag["id"]]
    if not own:
        raise UnknownSynonym(name.cleaned, tag["name"], found[0]["name"] if found else None)
    delete_synonyms(transaction, curator.schema, own)
    before = {"tag": tag["image"], "synonyms": [row["image"] for row in own]}
    return done(transaction, curator, "unsynonym", tag["id"], before, {"tag": tag["image"]})


def _open_all(transaction: Transaction, curator: Curator, tag_id: str, others: Sequence[str]) -> list[Row]:
    """Lock a tag and others in the order of their ids, and return them, the tag first."""
    wanted = dict.fromkeys([identifier(tag_id) or tag_id, *others])
    locked = {each: open_tag(transaction, curator.schema, each) for each in sorted(wanted)}
    return [locked[each] for each in wanted]


def _require_no_name(transaction: Transaction, curator: Curator, tag: Row, name: Name) -> None:
    if name.normalized == tag["normalized"]:
        raise SynonymOfItself(name.cleaned, tag["name"])
    for row in meanings(transaction, curator.schema, name):
        if row["kind"] == "banned":
            raise NameBanned(name.cleaned, row["name"])
        if row["tag_id"] == tag["id"]:
            raise SynonymOfItself(name.cleaned, tag["name"])
        raise SynonymIsTag(name.cleaned, row["tag_id"], row["name"], tag["name"])
