"""Why an act of a curator is refused: a stable code, what kind of refusal, and a sentence that says what to do next."""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What kind of refusal it is; HTTP has a status for each."""

    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    GONE = "gone"


class CurationError(Exception):
    """An act was refused and nothing was changed; the message names the object, the reason and the next step.

    Attributes:
        code: stable, for programs.
        kind: what kind of refusal it is.
        field: the argument that is wrong, or None.
    """

    code: ClassVar[str]
    kind: ClassVar[Kind]
    field: ClassVar[str | None] = None


class UnknownTag(CurationError):
    """No tag has this id."""

    code, kind = "unknown_tag", Kind.NOT_FOUND

    def __init__(self, tag_id: str) -> None:
        super().__init__(f"there is no tag with the id {tag_id!r}; look its id up in the list of tags")


class MergedTag(CurationError):
    """The tag was merged into another one.

    Attributes:
        merged_into: the other tag's id.
    """

    code, kind = "merged_tag", Kind.GONE

    def __init__(self, tag_id: str, merged_into: str) -> None:
        super().__init__(f"tag {tag_id} was merged; use the tag that it became: {merged_into}")
        self.merged_into = merged_into


class InvalidName(CurationError):
    """The text cannot be the name of a tag or a synonym."""

    code, kind, field = "invalid_name", Kind.INVALID, "name"

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text[:60]!r} cannot be a name: {reason}; give one of 1 to 50 characters")


class NameTaken(CurationError):
    """Another tag has the name.

    Attributes:
        tag_id: that tag's id.
    """

    code, kind, field = "name_taken", Kind.CONFLICT, "name"

    def __init__(self, text: str, tag_id: str, name: str) -> None:
        super().__init__(f"the name {text!r} is taken by tag {name!r} ({tag_id}); choose another one, or merge the two")
        self.tag_id = tag_id


class NameIsSynonym(CurationError):
    """The name is a synonym of another tag.

    Attributes:
        tag_id: that tag's id.
    """

    code, kind, field = "name_is_synonym", Kind.CONFLICT, "name"

    def __init__(self, text: str, tag_id: str, name: str) -> None:
        super().__init__(
            f"{text!r} is a synonym of tag {name!r} ({tag_id}); choose another name, or take the synonym away first"
        )
        self.tag_id = tag_id


class NameBanned(CurationError):
    """The name belongs to a banned tag."""

    code, kind, field = "name_banned", Kind.CONFLICT, "name"

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"the name {text!r} is banned ({reason}); choose another one, or undo the ban first")


class BannedTag(CurationError):
    """The tag is banned, so it is left as it is."""

    code, kind = "banned_tag", Kind.CONFLICT

    def __init__(self, name: str, tag_id: str) -> None:
        super().__init__(f"tag {name!r} ({tag_id}) is banned; undo the ban first")


class InvalidCategory(CurationError):
    """A tag cannot have this category."""

    code, kind, field = "invalid_category", Kind.INVALID, "category"

    def __init__(self, category: str, allowed: tuple[str, ...]) -> None:
        known = (
            f"choose one of: {', '.join(allowed)}" if allowed else "the table of tags refuses it; choose another one"
        )
        super().__init__(f"{category[:60]!r} is no category of tags; {known}")


class InvalidColor(CurationError):
    """Not a color."""

    code, kind, field = "invalid_color", Kind.INVALID, "color"

    def __init__(self, color: str) -> None:
        super().__init__(f"{color[:60]!r} is no color; write #rrggbb with six hexadecimal digits, or null for none")


class InvalidReason(CurationError):
    """A ban needs a reason that people can read."""

    code, kind, field = "invalid_reason", Kind.INVALID, "reason"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the reason of the ban {problem}; write 1 to 500 characters")


class SynonymIsTag(CurationError):
    """The text is itself the name of a tag, and a chain of names is not wanted.

    Attributes:
        tag_id: that tag's id.
    """

    code, kind, field = "synonym_is_tag", Kind.CONFLICT, "synonym"

    def __init__(self, text: str, tag_id: str, name: str, target: str) -> None:
        super().__init__(
            f"{text!r} is the name of tag {name!r} ({tag_id}) and cannot be a synonym too; "
            f"merge that tag into {target!r} instead, which makes its name a synonym"
        )
        self.tag_id = tag_id


class SynonymTaken(CurationError):
    """The text is a synonym of another tag.

    Attributes:
        tag_id: that tag's id.
    """

    code, kind, field = "synonym_taken", Kind.CONFLICT, "synonym"

    def __init__(self, text: str, tag_id: str, name: str) -> None:
        super().__init__(f"{text!r} is a synonym of tag {name!r} ({tag_id}); ask to replace that to move it")
        self.tag_id = tag_id


class SynonymOfItself(CurationError):
    """The text is the tag's own name."""

    code, kind, field = "synonym_of_itself", Kind.INVALID, "synonym"

    def __init__(self, text: str, name: str) -> None:
        super().__init__(f"{text!r} is the name of tag {name!r} itself; a synonym is another word for it")


class UnknownSynonym(CurationError):
    """The tag has no such synonym."""

    code, kind, field = "unknown_synonym", Kind.NOT_FOUND, "synonym"

    def __init__(self, text: str, name: str, owner: str | None) -> None:
        whose = f"it is one of tag {owner!r}" if owner else "see the tag's synonyms"
        super().__init__(f"{text[:60]!r} is no synonym of tag {name!r}; {whose}")


class MergeIntoItself(CurationError):
    """Source and target are one tag."""

    code, kind, field = "merge_into_itself", Kind.INVALID, "target"

    def __init__(self, name: str) -> None:
        super().__init__(f"tag {name!r} cannot be merged into itself; name another tag as the target")


class TagReferredTo(CurationError):
    """Rows of another table of the application's refer to a tag that would go."""

    code, kind = "tag_referred_to", Kind.CONFLICT

    def __init__(self, name: str, table: str, rows: int) -> None:
        super().__init__(
            f"{rows} rows of {table} refer to tag {name!r}, which would be deleted; change or delete those rows first"
        )


class TagInUse(CurationError):
    """The tag that would go is used."""

    code, kind = "tag_in_use", Kind.CONFLICT

    def __init__(self, name: str, uses: str) -> None:
        super().__init__(f"tag {name!r} has come to be used: {uses}; merge it into another tag instead")


class TagBusy(CurationError):
    """Others changed the tag or its links all the time."""

    code, kind = "tag_busy", Kind.CONFLICT

    def __init__(self, said: str) -> None:
        super().__init__(f"others were changing the tag or its links all the time ({said}); try again in a moment")


class RunIsPlanning(CurationError):
    """A migration is deciding now which texts become which tags."""

    code, kind = "run_is_planning", Kind.CONFLICT

    def __init__(self, run_id: int) -> None:
        super().__init__(f"run {run_id} is deciding now which texts become which tags; try again when it is migrating")


class UnknownAct(CurationError):
    """The moderation log has no such row."""

    code, kind = "unknown_act", Kind.NOT_FOUND

    def __init__(self, log_id: int) -> None:
        super().__init__(f"the moderation log has no row {log_id}; look its number up in the log")


class AlreadyUndone(CurationError):
    """An act is undone once."""

    code, kind = "already_undone", Kind.CONFLICT

    def __init__(self, log_id: int, by: int) -> None:
        super().__init__(f"act {log_id} was undone already, by act {by}; to have its effect again, do the act again")


class NotUndoable(CurationError):
    """Undoing is not itself undone."""

    code, kind = "not_undoable", Kind.CONFLICT

    def __init__(self, log_id: int) -> None:
        super().__init__(f"act {log_id} is itself an undo; to have the undone act's effect again, do that act again")


class MovedOn(CurationError):
    """What the act changed was changed again since."""

    code, kind = "moved_on", Kind.CONFLICT

    def __init__(self, log_id: int, reason: str) -> None:
        super().__init__(
            f"act {log_id} cannot be undone any more: {reason}; undo what was done since first, if you can"
        )
