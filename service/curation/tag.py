"""What curators see: a tag as it is now, an act as it was done, a row of the moderation log."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sql.database import Row


@dataclass(frozen=True, slots=True)
class Curator:
    """Who acts, and on which application's tags.

    Attributes:
        schema: the application's, home of `tags`, `song_tags` and `tag_synonyms`.
        actor: the name that the log keeps: an operator or a token, never a user of the application.
    """

    schema: str
    actor: str


@dataclass(frozen=True, slots=True)
class CuratedTag:
    """A tag with everything that an act can change.

    Attributes:
        id: uuid as text.
        name: as people see it.
        normalized: as names are compared.
        category: one of the table's.
        color: `#rrggbb`, or None.
        usage_count: how many songs have it.
        is_standard: whether it was promoted to the standard vocabulary.
        is_banned: whether it is hidden.
        created_at: when it was made; without a zone where the application's column has none.
        promoted_at: when it was promoted, if that is known.
        synonyms: other words for it, as stored, sorted.
    """

    id: str
    name: str
    normalized: str
    category: str
    color: str | None
    usage_count: int
    is_standard: bool
    is_banned: bool
    created_at: datetime
    promoted_at: datetime | None
    synonyms: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Row) -> "CuratedTag":
        """Make it of a row of `curation.read_tags` or `curation.list_tags`."""
        return cls(**{**row, "synonyms": tuple(row["synonyms"])})


@dataclass(frozen=True, slots=True)
class Done:
    """An act that was done.

    Attributes:
        log_id: its number in the moderation log; None when everything was so already and nothing was changed.
        action: its name in the log.
        tags: the tags that it touched, as they are after it; one that it deleted is not among them.
    """

    log_id: int | None
    action: str
    tags: tuple[CuratedTag, ...]


@dataclass(frozen=True, slots=True)
class LoggedAct:
    """A row of the moderation log.

    Attributes:
        id: its number; later acts have larger ones.
        at: when.
        actor: who.
        action: create, rename, recategorise, recolour, synonym, unsynonym, merge, promote, ban or undo.
        tag_id: the tag that the act was about; of a merge, the source.
        before: what was, enough to undo it.
        after: what became of it.
        undoes: the number of the act that it undid, or None.
        undone_by: the number of the act that undid it, or None.
    """

    id: int
    at: datetime
    actor: str
    action: str
    tag_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    undoes: int | None
    undone_by: int | None
