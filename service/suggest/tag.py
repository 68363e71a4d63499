"""One tag as the index needs it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tag:
    """A row of `tags` with its synonyms.

    The texts are PostgreSQL's: any Unicode but NUL and lone surrogates.

    Attributes:
        id: the uuid as text.
        name: as people see it.
        normalized: as names are compared, `tags.normalized_name`.
        category: theme, occasion, liturgical or mood; any text will do.
        color: `#rrggbb`, or None.
        usage_count: songs that have the tag.
        is_standard: whether it belongs to the curated vocabulary.
        synonyms: as stored in `tag_synonyms.synonym`.
    """

    id: str
    name: str
    normalized: str
    category: str
    color: str | None
    usage_count: int
    is_standard: bool
    synonyms: tuple[str, ...] = ()
