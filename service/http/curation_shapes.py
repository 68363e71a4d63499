"""The shapes of curating: what a curator sends, and what comes of it."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from service.http.shapes import Id
from tags.normalise import NAME_LIMIT

_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT, examples=["Holy Spirit"])]
Color = Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$", examples=["#4a90d9"])]
Category = Annotated[str, Meta(min_length=1, max_length=50, examples=["theme"])]


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """A request's body: what it does not know it refuses."""


class CuratedTag(msgspec.Struct, frozen=True):
    """A tag, as curators see it."""

    id: Id
    name: str
    normalized_name: str
    category: str
    color: str | None
    usage_count: int
    is_standard: bool
    is_banned: bool
    created_at: datetime
    promoted_at: datetime | None
    synonyms: tuple[str, ...]


class Act(msgspec.Struct, frozen=True):
    """What was done."""

    action: str
    log_id: Annotated[
        int | None, Meta(description="Its number in the moderation log; null when nothing had to change.")
    ]


class Curated(msgspec.Struct, frozen=True):
    """The tags that acts touched, as they are now, and the acts."""

    tags: tuple[CuratedTag, ...]
    acts: tuple[Act, ...]


class LoggedAct(msgspec.Struct, frozen=True):
    """A row of the moderation log."""

    id: int
    at: datetime
    actor: str
    action: str
    tag_id: Id
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    undoes: int | None
    undone_by: int | None


class Moderation(msgspec.Struct, frozen=True):
    """A page of the moderation log, newest first."""

    acts: tuple[LoggedAct, ...]
    next: Annotated[str | None, Meta(description="The cursor of the next page; null on the last.")]


class NewTagRequest(Request):
    """A tag to make."""

    name: Name
    category: Category = "theme"
    color: Color | None = None


class TagChangeRequest(Request):
    """What of a tag to change; what is left out stays."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    category: Category | msgspec.UnsetType = msgspec.UNSET
    color: Color | msgspec.UnsetType | None = msgspec.UNSET
    keep_old_name: Annotated[bool, Meta(description="Make the old name a synonym.")] = True


class MergeRequest(Request):
    """What a tag becomes."""

    into: Annotated[str, Meta(pattern=_UUID, description="The id of the tag that stays.")]


class BanRequest(Request):
    """Why a tag is hidden."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class SynonymRequest(Request):
    """Another word for a tag."""

    synonym: Name
    replace: Annotated[bool, Meta(description="Take it away from the tag that has it now.")] = False
