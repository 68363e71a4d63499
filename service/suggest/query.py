"""What is asked of the index, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.suggest.tag import Tag

#: The bands, best first: whatever is in one comes before everything in the next.
BANDS: Final = ("exact", "prefix", "word", "words", "synonym", "initials", "typo")


@dataclass(frozen=True, slots=True)
class Query:
    """A text that somebody is typing.

    Attributes:
        text: as typed; in double quotes (the closing one may still be missing) the exact name comes first however
            little it is used, and nothing is taken for a typing error.
        limit: the most suggestions wanted, at least 1.
        category: only tags of this category.
        context: tags already chosen, as ids or names; they are left out, and what is often used together with them is
            preferred.
        explain: whether each suggestion says in words why it is there.
    """

    text: str
    limit: int = 10
    category: str | None = None
    context: tuple[str, ...] = ()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tag of the answer.

    Attributes:
        tag: the tag.
        band: one of `BANDS`: why it is here.
        antecedent: the synonym that matched, as stored; None when the name did.
        match: what to highlight, as [start, end) in code points of `tag.name`, or of `antecedent` when there is one;
            in order, not overlapping.
        why: the band in a sentence, when asked for.
    """

    tag: Tag
    band: str
    antecedent: str | None
    match: tuple[tuple[int, int], ...]
    why: str | None


@dataclass(frozen=True, slots=True)
class Create:
    """Whether the text may become a new tag.

    Attributes:
        name: as it would be shown.
        normalized: as it would be compared.
        is_possible: whether nothing stands against it; near-duplicates do not.
        reason: what does, or None.
        near: existing tags that differ by case, accents, number, spaces, hyphens, or (looked for when few tags match
            the text) one edit; a tag whose name or synonym it already is comes first.
    """

    name: str
    normalized: str
    is_possible: bool
    reason: str | None
    near: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the index says to a query.

    Attributes:
        suggestions: best first, never two of one tag.
        create: None for a blank text.
        groups: the answer stays right until `TagIndex.apply` touches one of these.
        version: number of the last change that it knows.
        stage_seconds: time spent by stage: `normalize`, `index`, and `fuzzy` when typing errors were looked for.
    """

    suggestions: tuple[Suggestion, ...]
    create: Create | None
    groups: tuple[str, ...]
    version: int
    stage_seconds: Mapping[str, float]
