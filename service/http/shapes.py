"""The shapes of what goes in and out as JSON; the OpenAPI document is made of them."""

from typing import Annotated

import msgspec
from msgspec import Meta

Id = Annotated[str, Meta(description="A tag's id, a UUID.", examples=["0b8f6f3c-52d5-4a3e-9e0c-6d2f2f8f7a01"])]


class Tag(msgspec.Struct, frozen=True):
    """A tag."""

    id: Id
    name: str
    normalized_name: Annotated[str, Meta(description="What names are compared by.")]
    category: str
    color: str | None
    usage_count: Annotated[int, Meta(description="Songs that have it.")]
    is_standard: Annotated[bool, Meta(description="Whether curators have approved it.")]
    synonyms: tuple[str, ...]


class SuggestedTag(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of an autocomplete answer."""

    type: Annotated[str, Meta(description="Why it is here: exact, prefix, word, words, synonym, initials or typo.")]
    id: Id
    name: str
    category: str
    color: str | None
    usage_count: int
    antecedent: Annotated[str | None, Meta(description="The synonym that matched; null when the name did.")]
    match: Annotated[
        tuple[tuple[int, int], ...],
        Meta(description="What to highlight, in `name` or else in `antecedent`: [start, end) in code points."),
    ]
    why: Annotated[str | None, Meta(description="The rank in words; only with explain=1.")] = None


class NearTag(msgspec.Struct, frozen=True):
    """A tag that a new name may be meant for."""

    id: Id
    name: str
    category: str
    usage_count: int


class NewTag(msgspec.Struct, frozen=True):
    """Whether the text could become a tag."""

    name: Annotated[str, Meta(description="The name that it would get.")]
    is_possible: bool
    reason: Annotated[str | None, Meta(description="Why not.")]
    near: Annotated[tuple[NearTag, ...], Meta(description="Tags that differ in case, number, spacing or one letter.")]


class Suggestions(msgspec.Struct, frozen=True):
    """An autocomplete answer, best first."""

    suggestions: tuple[SuggestedTag, ...]
    create: NewTag | None


class TagList(msgspec.Struct, frozen=True):
    """Several tags."""

    tags: tuple[Tag, ...]


class TagPage(msgspec.Struct, frozen=True):
    """A page of all tags, in the order of their normalised names."""

    tags: tuple[Tag, ...]
    next: Annotated[str | None, Meta(description="The cursor of the next page; null on the last.")]


class SongTag(msgspec.Struct, frozen=True):
    """A tag of a song."""

    id: Id
    name: str
    category: str


class Song(msgspec.Struct, frozen=True):
    """A song that was found."""

    key: Annotated[str, Meta(description="The song's key, as PostgreSQL writes it.")]
    title: str | None
    tags: tuple[SongTag, ...]


class FacetTag(msgspec.Struct, frozen=True):
    """A tag, and how many of the songs found have it."""

    id: Id
    name: str
    songs: int


class Facet(msgspec.Struct, frozen=True):
    """A category in the songs found."""

    category: str
    songs: Annotated[int, Meta(description="How many of them have a tag of it.")]
    tag_count: Annotated[int, Meta(description="How many different tags of it they have.")]
    tags: Annotated[tuple[FacetTag, ...], Meta(description="The ones on the most songs.")]
    is_disjunctive: Annotated[bool, Meta(description="Counted without the category's own filter.")]


class SongPage(msgspec.Struct, frozen=True):
    """A page of songs; every count is exact."""

    songs: tuple[Song, ...]
    total: Annotated[int, Meta(description="Songs on all pages.")]
    next: Annotated[str | None, Meta(description="The cursor of the next page; null on the last.")]
    facets: tuple[Facet, ...]
    unknown: Annotated[tuple[str, ...], Meta(description="What was asked for that is no tag.")]


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong."""

    detail: str
    parameter: Annotated[str | None, Meta(description="The query or path parameter that is meant.")] = None
    pointer: Annotated[str | None, Meta(description="A JSON Pointer into the request's body.")] = None


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None = None
    errors: tuple[Fault, ...] = ()


class ProbeCheck(msgspec.Struct, frozen=True):
    """One thing that a probe looked at."""

    name: str
    ok: bool
    degraded: bool
    detail: str


class Probe(msgspec.Struct, frozen=True):
    """A probe's answer."""

    status: Annotated[str, Meta(description="ok, degraded or failed.")]
    checks: tuple[ProbeCheck, ...]
