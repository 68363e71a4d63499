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


_new = object.__new__
_set_id, _set_name, _set_normalized, _set_category, _set_color, _set_usage, _set_standard, _set_synonyms = (
    getattr(Tag, name).__set__ for name in Tag.__slots__
)


def make_tag(
    tag_id: str,
    name: str,
    normalized: str,
    category: str,
    color: str | None,
    usage_count: int,
    is_standard: bool,
    synonyms: tuple[str, ...],
) -> Tag:
    """Return what `Tag` makes in two thirds of its time; an answer makes ten.

    A frozen class sets its own fields by `object.__setattr__`, which looks each of them up.
    """
    tag = _new(Tag)
    _set_id(tag, tag_id)
    _set_name(tag, name)
    _set_normalized(tag, normalized)
    _set_category(tag, category)
    _set_color(tag, color)
    _set_usage(tag, usage_count)
    _set_standard(tag, is_standard)
    _set_synonyms(tag, synonyms)
    return tag
