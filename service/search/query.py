"""What a search is asked and what it answers."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol

#: Shown tags per category, songs per page.
TOP: Final = 10
PAGE: Final = 20

#: What PostgreSQL's text cannot hold.
_UNWRITABLE: Final = re.compile("[\0\ud800-\udfff]")


class BadQuery(ValueError):
    """A query cannot be meant; the message says what would be right."""


class BadCursor(BadQuery):
    """A cursor that no page of this search gave."""


class NamedTag(Protocol):
    """What a search needs to know of a tag."""

    @property
    def id(self) -> str:
        """Its UUID, as PostgreSQL writes it."""

    @property
    def name(self) -> str:
        """As people see it."""

    @property
    def category(self) -> str:
        """The group that it is counted in."""


class Resolve(Protocol):
    """Says which tag a name, synonym or id means."""

    def __call__(self, text: str, /) -> NamedTag | None:
        """Return the tag, or None when there is none, or none that may be shown."""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A question.

    Attributes:
        tags: names, synonyms or ids of tags that a song must have.
        match: whether all of them, or any. A tag that nobody knows makes `all` find nothing; `any` passes over it, and
            finds nothing when it knows none of them.
        without: tags that no song may have.
        text: every word of it must begin a word of the song's title, both normalised; without words it asks nothing.
        cursor: of the page before, or None for the first page.
        limit: songs on a page, at least 1.
        facets: how many tags are shown per category, those on the most songs; None for all. With 0 and no categories
            nothing is counted.
        categories: the categories that are counted; empty for all.
        disjunctive: categories whose tags are counted as if no tag of the category were in `tags`, so that a person
            sees what else to choose there.

    Raises:
        BadQuery: `limit`, `facets` or `match` is out of its range, or a text holds a NUL or half a surrogate pair.
    """

    tags: tuple[str, ...] = ()
    match: Literal["all", "any"] = "all"
    without: tuple[str, ...] = ()
    text: str = ""
    cursor: str | None = None
    limit: int = PAGE
    facets: int | None = TOP
    categories: tuple[str, ...] = ()
    disjunctive: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise BadQuery(f"limit is {self.limit}; a page has at least one song")
        if self.facets is not None and self.facets < 0:
            raise BadQuery(f"facets is {self.facets}; give 0 for none, or leave it out")
        if self.match not in {"all", "any"}:
            raise BadQuery(f"match is {self.match!r}; it is all or any")
        texts = "".join((self.text, *self.tags, *self.without, *self.categories, *self.disjunctive))
        if unwritable := _UNWRITABLE.search(texts):
            raise BadQuery(f"a text holds U+{ord(unwritable[0]):04X}, which no tag and no title can hold")


@dataclass(frozen=True, slots=True)
class TagLabel:
    """A tag as it is shown."""

    id: str
    name: str
    category: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A song that was found.

    Attributes:
        key: the song's, as PostgreSQL writes it.
        title: or None when it has none.
        tags: all that may be shown, by name.
    """

    key: str
    title: str | None
    tags: tuple[TagLabel, ...]


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag, and how many of the songs found have it."""

    tag: TagLabel
    songs: int


@dataclass(frozen=True, slots=True)
class Facet:
    """A category in the songs found; every count is exact.

    Attributes:
        category: its name.
        songs: how many of them have a tag of it.
        tag_count: how many different tags of it they have.
        tags: the ones on the most songs, those first; equal ones by name.
        is_disjunctive: counted without the query's own tags of this category.
    """

    category: str
    songs: int
    tag_count: int
    tags: tuple[TagCount, ...]
    is_disjunctive: bool


@dataclass(frozen=True, slots=True)
class SearchPage:
    """An answer.

    Attributes:
        hits: the page, in the order of the songs' keys: uuid and bigint by value, text by code point.
        total: how many songs there are on all pages, exact.
        cursor: of the next page, or None on the last. It stays good when songs come and go: the next page goes on
            after the last song of this one, whether that still exists or not.
        facets: by category's name; those without a tag on any song found are left out.
        unknown: what `tags` and `without` hold that is no tag, as it was given.
    """

    hits: tuple[Hit, ...]
    total: int
    cursor: str | None
    facets: tuple[Facet, ...]
    unknown: tuple[str, ...]
