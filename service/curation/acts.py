"""The acts of a curator. Each works in the caller's transaction, logs itself, and returns the tags as they are then.

All of them take turns, lock the tags that they touch in the order of their ids, and raise a `CurationError` when they
are refused; the caller then rolls its transaction back. That must not be a repeatable-read one: each statement has to
see what was committed while it waited.
"""

from datetime import UTC, datetime

from service.curation.errors import InvalidReason, TagBusy
from service.curation.log import done, unchanged
from service.curation.merging import merge
from service.curation.naming import obeying_rules, parse_color, parse_name, require_category, require_free
from service.curation.reading import names
from service.curation.renaming import rename
from service.curation.synonyms import synonym, unsynonym
from service.curation.tables import AGAINST_ALL, image_of, lock_tag, open_tag, take_turn
from service.curation.tag import Curator, Done
from service.curation.undoing import undo
from sql.database import Transaction

__all__ = [
    "ban",
    "create",
    "merge",
    "promote",
    "recategorise",
    "recolour",
    "rename",
    "synonym",
    "undo",
    "unsynonym",
]

#: The longest reason of a ban, in characters.
REASON_LIMIT = 500


def create(
    transaction: Transaction, curator: Curator, name: str, *, category: str = "theme", color: str | None = None
) -> Done:
    """Make a tag.

    Raises:
        InvalidName, InvalidCategory, InvalidColor: the value, and which are possible.
        NameTaken, NameIsSynonym, NameBanned: the name means something already.
    """
    parsed, wanted = parse_name(name), parse_color(color)
    require_category(transaction, category)
    take_turn(transaction)
    require_free(transaction, curator.schema, parsed)
    values = {"cleaned": parsed.cleaned, "normalized": parsed.normalized, "category": category, "color": wanted}
    with obeying_rules(transaction, category):
        made = transaction.first("curation.create_tag", names(curator.schema), **values)
    if made is None:
        require_free(transaction, curator.schema, parsed)
        raise TagBusy(f"a tag {parsed.cleaned!r} was made and deleted at this moment")
    tag = lock_tag(transaction, curator.schema, made["id"])
    return done(transaction, curator, "create", tag["id"], None, {"tag": tag["image"]})


def recategorise(transaction: Transaction, curator: Curator, tag_id: str, category: str) -> Done:
    """Put a tag into another category.

    Raises:
        UnknownTag, MergedTag, BannedTag: which tag.
        InvalidCategory: which categories there are.
    """
    require_category(transaction, category)
    take_turn(transaction)
    tag = open_tag(transaction, curator.schema, tag_id)
    if category == tag["image"]["category"]:
        return unchanged(transaction, curator, "recategorise", tag)
    with obeying_rules(transaction, category):
        transaction.run("curation.set_category", names(curator.schema), tag_id=tag["id"], category=category)
    after = {"tag": image_of(transaction, curator.schema, tag["id"])}
    return done(transaction, curator, "recategorise", tag["id"], {"tag": tag["image"]}, after)


def recolour(transaction: Transaction, curator: Curator, tag_id: str, color: str | None) -> Done:
    """Give a tag another color, or none.

    Raises:
        UnknownTag, MergedTag, BannedTag: which tag.
        InvalidColor: it is not of the form #rrggbb.
    """
    wanted = parse_color(color)
    take_turn(transaction)
    tag = open_tag(transaction, curator.schema, tag_id)
    if wanted == tag["image"]["color"]:
        return unchanged(transaction, curator, "recolour", tag)
    transaction.run("curation.set_color", names(curator.schema), tag_id=tag["id"], color=wanted)
    after = {"tag": image_of(transaction, curator.schema, tag["id"])}
    return done(transaction, curator, "recolour", tag["id"], {"tag": tag["image"]}, after)


def promote(transaction: Transaction, curator: Curator, tag_id: str) -> Done:
    """Make a tag one of the standard vocabulary; the time of it is kept where the table has a column for it.

    Raises:
        UnknownTag, MergedTag, BannedTag: which tag.
    """
    take_turn(transaction)
    tag = open_tag(transaction, curator.schema, tag_id)
    if tag["image"]["is_standard"]:
        return unchanged(transaction, curator, "promote", tag)
    transaction.run("curation.set_standard", names(curator.schema), tag_id=tag["id"], is_standard=True)
    if "promoted_at" in tag["image"]:
        now = datetime.now(UTC)
        transaction.run("curation.set_promoted_at", names(curator.schema), tag_id=tag["id"], at=now)
    after = {"tag": image_of(transaction, curator.schema, tag["id"])}
    return done(transaction, curator, "promote", tag["id"], {"tag": tag["image"]}, after)


def ban(transaction: Transaction, curator: Curator, tag_id: str, reason: str) -> Done:
    """Hide a tag: it keeps its links, is neither suggested nor listed, and no tag can be made with its name.

    Raises:
        UnknownTag, MergedTag: which tag.
        BannedTag: it is banned already.
        InvalidReason: the reason is missing or too long.
    """
    said = reason.strip()
    if not said:
        raise InvalidReason("is missing")
    if len(said) > REASON_LIMIT or "\0" in said:
        raise InvalidReason("is too long or has a character that no text can hold")
    take_turn(transaction)
    tag = open_tag(transaction, curator.schema, tag_id, AGAINST_ALL)
    values = {"tag_id": tag["id"], "normalized": tag["normalized"]}
    left_over = transaction.first("curation.find_ban", **values)
    image = transaction.one("curation.add_ban", **values, reason=said, actor=curator.actor)["image"]
    before = {"tag": tag["image"], "ban": left_over["image"] if left_over else None}
    return done(transaction, curator, "ban", tag["id"], before, {"tag": tag["image"], "ban": image})
