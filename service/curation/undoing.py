"""Taking acts back: each once, and only while what it changed is still as it left it."""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql as psql

from service.curation.errors import AlreadyUndone, MovedOn, NotUndoable, TagInUse
from service.curation.log import write_log
from service.curation.naming import Name, delete_synonyms, meanings, name_of, require_free, synonyms_of_text
from service.curation.patience import patiently
from service.curation.reading import names, read_act, read_tags
from service.curation.renaming import set_name
from service.curation.tables import (
    AGAINST_ALL,
    AGAINST_CHANGES,
    Image,
    find_locked,
    require_unreferred,
    restore_row,
    take_turn,
    without_gone_run,
)
from service.curation.tag import Curator, Done, LoggedAct
from service.curation.unmerging import unmerge
from service.curation.words import fence_runs, follow_name
from sql.database import Row, Transaction
from tags.normalise import forms


def undo(transaction: Transaction, curator: Curator, log_id: int) -> Done:
    """Take an act back; what people did since that it does not touch stays.

    Args:
        transaction: the caller's.
        curator: who.
        log_id: the act's number in the moderation log.

    Returns:
        The undo, with the tags that it touched as they are now; one that it deleted is not among them.

    Raises:
        UnknownAct, AlreadyUndone, NotUndoable: which act.
        MovedOn, TagInUse, NameTaken, NameIsSynonym, NameBanned: what stands in the way.
        TagBusy, RunIsPlanning: others held what it needs.
    """
    take_turn(transaction)
    act = read_act(transaction, log_id)
    if act.action == "undo":
        raise NotUndoable(act.id)
    if act.undone_by is not None:
        raise AlreadyUndone(act.id, act.undone_by)
    if act.action == "merge":
        return patiently(transaction, lambda: unmerge(transaction, curator, act))
    tag = _tag_as_left(transaction, curator, act)
    return _Undoing(transaction, curator, act, tag).run()


#: What an act changed of the tag's own row, and what must be so still.
_CHANGED = {
    "create": ("name", "category", "color", "is_standard"),
    "rename": ("name", "normalized_name"),
    "recategorise": ("category",),
    "recolour": ("color",),
    "promote": ("is_standard",),
}


def _tag_as_left(transaction: Transaction, curator: Curator, act: LoggedAct) -> Row:
    """Lock the act's tag, which must still be what the act made of it."""
    assert act.after is not None, "every act but an undo leaves something"
    strength = AGAINST_ALL if act.action in {"create", "rename"} else AGAINST_CHANGES
    tag = find_locked(transaction, curator.schema, act.tag_id, strength)
    left = act.after["tag"]
    if tag is None:
        if act.action == "ban":  # the tag is gone, its name is banned all the same
            return {"id": act.tag_id, "name": left["name"], "image": None}
        raise MovedOn(act.id, f"tag {left['name']!r} ({act.tag_id}) is not there any more")
    if tag["is_banned"] and act.action != "ban":
        raise MovedOn(act.id, f"tag {tag['name']!r} was banned since")
    for column in _CHANGED.get(act.action, ()):
        if tag["image"][column] != left[column]:
            was, now = left[column], tag["image"][column]
            raise MovedOn(act.id, f"{column} of tag {tag['name']!r} was {was!r} after it and is {now!r} now")
    return tag


@dataclass(frozen=True)
class _Undoing:
    """One act on one tag being taken back."""

    transaction: Transaction
    curator: Curator
    act: LoggedAct
    tag: Row

    def run(self) -> Done:
        others = _UNDO[self.act.action](self)
        after = find_locked(self.transaction, self.curator.schema, self.act.tag_id, AGAINST_CHANGES)
        log_id = write_log(
            self.transaction,
            self.curator,
            "undo",
            self.act.tag_id,
            {"tag": self.tag["image"]},
            {"tag": after["image"]} if after else None,
            undoes=self.act.id,
        )
        return Done(log_id, "undo", read_tags(self.transaction, self.curator.schema, [self.act.tag_id, *others]))

    def create(self) -> list[str]:
        fence_runs(self.transaction)
        uses = self.transaction.one("curation.count_uses", names(self.curator.schema), tag_id=self.act.tag_id)
        if said := ", ".join(f"{count} {what}" for what, count in uses.items() if count):
            raise TagInUse(self.tag["name"], said)
        require_unreferred(self.transaction, self.curator.schema, self.tag)
        return self._run("delete_tag")

    def rename(self) -> list[str]:
        old, new = name_of(self.before["tag"]), name_of(self.after["tag"])
        own = require_free(self.transaction, self.curator.schema, old, of_tag=self.act.tag_id)
        delete_synonyms(self.transaction, self.curator.schema, own)
        set_name(self.transaction, self.curator.schema, self.act.tag_id, old)
        self.unsynonym()
        if old.normalized != new.normalized:
            follow_name(self.transaction, self.act.tag_id, new, old, self.after["decisions"])
        return []

    def recategorise(self) -> list[str]:
        return self._run("set_category", category=self.before["tag"]["category"])

    def recolour(self) -> list[str]:
        return self._run("set_color", color=self.before["tag"]["color"])

    def promote(self) -> list[str]:
        if "promoted_at" in self.tag["image"]:
            self._run("set_promoted_at", at=self.before["tag"].get("promoted_at"))
        return self._run("set_standard", is_standard=False)

    def synonym(self) -> list[str]:
        was, made = self.before["synonym"], self.after["synonym"]
        now = self.transaction.first("curation.read_synonym", names(self.curator.schema), id=made["id"])
        if now is None or now["image"]["canonical_tag_id"] != self.act.tag_id:
            raise self._moved_on(f"{made['synonym']!r} is no synonym of tag {self.tag['name']!r} any more")
        if was is None:
            return self._run("delete_synonym", id=made["id"])
        owner = was["canonical_tag_id"]
        found = find_locked(self.transaction, self.curator.schema, owner, AGAINST_CHANGES)
        if found is None or found["is_banned"]:
            state = "banned" if found else "not there any more"
            raise self._moved_on(f"tag {owner}, whose synonym it was, is {state}")
        run_id = without_gone_run(self.transaction, was).get("run_id")
        values = {"id": made["id"], "tag_id": owner, "run_id": run_id}
        self.transaction.run("curation.point_synonym", names(self.curator.schema), **values)
        return [owner]

    def unsynonym(self) -> list[str]:
        for image in self.before["synonyms"]:
            self._require_free(image["synonym"])
        for image in self.before["synonyms"]:
            own = without_gone_run(self.transaction, image)
            if not restore_row(self.transaction, psql.Identifier(self.curator.schema, "tag_synonyms"), own):
                raise self._moved_on(f"{image['synonym']!r} was made a synonym at this moment")
        return []

    def ban(self) -> list[str]:
        if self.transaction.run("curation.lift_ban", tag_id=self.act.tag_id) == 0:
            raise self._moved_on(f"tag {self.tag['name']!r} is not banned any more")
        if left_over := self.before["ban"]:
            restore_row(self.transaction, psql.Identifier("segue", "banned_tags"), left_over)
        return []

    @property
    def before(self) -> Image:
        return self.act.before or {}

    @property
    def after(self) -> Image:
        return self.act.after or {}

    def _run(self, query: str, **values: object) -> list[str]:
        self.transaction.run(f"curation.{query}", names(self.curator.schema), tag_id=self.act.tag_id, **values)
        return []

    def _require_free(self, text: str) -> None:
        """Refuse a synonym's text that means something else now."""
        schema, name = self.curator.schema, Name(*forms(text)[:2])
        for row in meanings(self.transaction, schema, name):
            whose = "banned" if row["kind"] == "banned" else f"the name of tag {row['name']!r}"
            raise self._moved_on(f"{text!r} is {whose} now")
        for row in synonyms_of_text(self.transaction, schema, name):
            raise self._moved_on(f"{text!r} is a synonym of tag {row['name']!r} now")

    def _moved_on(self, reason: str) -> MovedOn:
        return MovedOn(self.act.id, reason)


_UNDO: dict[str, Callable[[_Undoing], list[str]]] = {
    "create": _Undoing.create,
    "rename": _Undoing.rename,
    "recategorise": _Undoing.recategorise,
    "recolour": _Undoing.recolour,
    "promote": _Undoing.promote,
    "synonym": _Undoing.synonym,
    "unsynonym": _Undoing.unsynonym,
    "ban": _Undoing.ban,
}
